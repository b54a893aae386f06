"""What a judge is: items in, rulings out, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from pipeline.core.records import TARGET_KINDS, QuestionKind

RECALL_KINDS = (QuestionKind.EXPLICIT, QuestionKind.REPHRASED)
"""Kinds whose good answer says the target."""
APPLY_KINDS = (QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
"""Kinds whose good answer applies the preference."""


@dataclass(frozen=True)
class Item:
    """Everything a judge may look at."""

    kind: QuestionKind
    """Kind of the question."""
    question: str
    """The question as it was asked."""
    statement: str
    """What the user said about themself."""
    attribute_type: str
    """What kind of fact it is."""
    target: str
    """The user's value."""
    aliases: tuple[str, ...]
    """Other surface forms of the target."""
    accepted: tuple[str, ...]
    """Answers the question accepts; for a neutral question the fact."""
    reply: str
    """The answer to judge."""

    @property
    def is_control(self) -> bool:
        """Whether the target must not show up."""
        return self.kind not in TARGET_KINDS

    @property
    def targets(self) -> tuple[str, ...]:
        """The target and its aliases, the target first, without repetitions."""
        return tuple(dict.fromkeys((self.target, *self.aliases)))


class Ruling(NamedTuple):
    """One judge's opinion of one item."""

    verdict: Literal["correct", "incorrect", "unscored"]
    """For controls, correct means that the target does not show up."""
    reason: str
    """Why, in a word or two."""
    score: float | None = None
    """The judge's raw score where it has one; higher speaks for the preference being used."""


class Judge(Protocol):
    """Rules on items; a problem of the judge itself is `unscored`, never a guess."""

    name: str
    """Judge id, e.g. "exact"."""

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order."""
        ...
