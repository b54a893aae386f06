"""Judge `exact`: the target or an alias stands in the answer as whole words, and the answer asserts it."""

from __future__ import annotations

from collections.abc import Sequence

from editing.judges.base import APPLY_KINDS, RECALL_KINDS, Item, Ruling
from editing.judges.reading import (
    Sentence,
    Stance,
    affirms,
    denies_dislike,
    is_negative,
    mentions,
    own_words,
    refused,
    sentences,
    stance,
)
from editing.judges.words import find, tokens
from pipeline.core.config import Section


class ExactConfig(Section):
    """Section judge.exact of params.yaml."""

    list_items_recall: int
    """So many alternatives in the answer to an explicit or rephrased question are a shotgun list."""
    list_items_apply: int
    """So many alternatives in the answer to an implicit or product question are a shotgun list."""


class ExactJudge:
    """Word-boundary match of the target and its aliases, aware of negation, overriding and whose preference it is."""

    name = "exact"

    def __init__(self, config: ExactConfig) -> None:
        """A judge with these settings."""
        self.config = config

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order; see docs/protocol.md for the rules."""
        return [self._rule(item) for item in items]

    def _rule(self, item: Item) -> Ruling:
        if item.is_control:
            return rule_control(item)
        no_answer = refused(item)
        if no_answer is not None:
            return Ruling("incorrect", no_answer)
        return self.rule_target(item)

    def rule_target(self, item: Item) -> Ruling:
        """The ruling on a non-empty answer to a target kind."""
        found = own_words(item)
        stances = self.stances(found, item)
        if not stances:
            return Ruling("incorrect", "not mentioned")
        if is_negative(item):
            return _against(found, stances, item)
        asserted = [s for _, s in stances if s is Stance.ASSERTED]
        # Advice may name the target and later what to do without it; a recalled fact is what was said last.
        final = asserted[-1] if asserted and item.kind in APPLY_KINDS else stances[-1][1]
        return Ruling("correct", "mentioned") if final is Stance.ASSERTED else Ruling("incorrect", final.value)

    def stances(self, found: Sequence[Sentence], item: Item) -> list[tuple[Sentence, Stance]]:
        """The stance of every mention of the target in `found`, in order, each with its sentence."""
        limit = self.config.list_items_recall if item.kind in RECALL_KINDS else self.config.list_items_apply
        return [(found[m.sentence], stance(found, m, item, limit)) for m in mentions(found, item.targets)]


def _against(found: Sequence[Sentence], stances: Sequence[tuple[Sentence, Stance]], item: Item) -> Ruling:
    """The ruling where the preference is against the target."""
    bad = set(Stance) - {Stance.ASSERTED, Stance.NEGATED}
    sentence, final = stances[-1]
    if final in bad:
        return Ruling("incorrect", final.value)
    if item.kind in RECALL_KINDS:
        liked = (final is Stance.ASSERTED and affirms(sentence)) or denies_dislike(sentence)
        return Ruling("incorrect", "violating") if liked else Ruling("correct", "mentioned")
    offered = any(s is Stance.ASSERTED for _, s in stances)
    return Ruling("incorrect", "violating") if offered else Ruling("correct", "excluded")


def rule_control(item: Item) -> Ruling:
    """The ruling on a control: correct unless the target or an alias stands in the answer, in any polarity.

    Unscored where the target belongs into a good answer: it stands in the question or among the accepted facts.
    """
    asked = tokens(item.question)
    if any(find(asked, target) for target in item.targets) or any(
        find(tokens(fact), target) for fact in item.accepted for target in item.targets
    ):
        return Ruling("unscored", "target belongs there")
    if not any(token.forms for token in tokens(item.reply)):
        return Ruling("correct", "empty")
    shown = mentions(sentences(item.reply), item.targets)
    return Ruling("incorrect", "shows up") if shown else Ruling("correct", "absent")


def holds_fact(reply: str, accepted: Sequence[str]) -> bool:
    """Whether one of the `accepted` facts stands in `reply` as whole words."""
    given = tokens(reply)
    return any(find(given, fact) for fact in accepted)
