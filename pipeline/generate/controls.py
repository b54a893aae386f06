"""Control questions: in a good answer to them, the preference does not show up."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

from pipeline.core.records import DraftQuestion, Query, QuestionKind
from pipeline.core.wording import contains_phrase
from pipeline.embedding import Vectors
from pipeline.generate.attributes import AttributeType

RELATIVES = {
    "sister": ("sis", "sibling"),
    "brother": ("bro", "sibling"),
    "mother": ("mom", "mum", "mommy", "mummy", "mama", "ma", "parent", "folks"),
    "father": ("dad", "daddy", "papa", "pa", "parent", "folks"),
    "neighbour": ("neighbor",),
    "colleague": ("coworker", "co-worker", "workmate", "teammate"),
    "best friend": ("friend", "bestie", "buddy", "mate"),
    "cousin": (),
    "uncle": (),
    "aunt": ("auntie",),
    "grandmother": ("grandma", "granny", "nana", "grandparent"),
    "grandfather": ("grandpa", "granddad", "grandparent"),
    "landlord": ("landlady",),
    "old classmate": ("classmate",),
}
"""People other than the user, and what else they are called."""


class Fact(NamedTuple):
    """A world fact with the answers that count as right."""

    question: str
    accepted: tuple[str, ...]


@functools.cache
def world_facts() -> tuple[Fact, ...]:
    """The facts of facts.yaml."""
    text = importlib.resources.files(__package__).joinpath("facts.yaml").read_text(encoding="utf-8")
    return tuple(Fact(entry["question"], tuple(entry["accepted"])) for entry in yaml.safe_load(text))


def turn(seed: str, count: int) -> int:
    """A number below `count` that depends on `seed` alone: what varies between rows without chance."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) % count


def rotated(seed: str, items: Sequence[str]) -> list[str]:
    """`items` from a place on that depends on `seed` alone."""
    start = turn(seed, len(items)) if items else 0
    return [*items[start:], *items[:start]]


def other_person(seed: str, direct: str, statements: Iterable[str]) -> list[DraftQuestion]:
    """The direct question ("What is my hobby?") about someone else, and about the assistant.

    A relative the user speaks of, by whatever name, is not chosen: the user may well have told us about them. Who
    speaks of them all is asked about the assistant alone.
    """
    told = " ".join(statements)
    strangers = [
        person for person, names in RELATIVES.items() if not any(contains_phrase(told, n) for n in (person, *names))
    ]
    whose = [*(f"my {person}'s" for person in rotated(seed, strangers)[:1]), "your"]
    return [_question(QuestionKind.OTHER_PERSON, direct.replace("my ", f"{who} ", 1)) for who in whose]


def neutral_order(seed: str) -> list[DraftQuestion]:
    """World facts, beginning with one that depends on `seed` alone."""
    facts = {fact.question: fact.accepted for fact in world_facts()}
    return [_question(QuestionKind.NEUTRAL, text, facts[text]) for text in rotated(seed, list(facts))]


def unstated_order(
    seed: str, kinds: Sequence[AttributeType], stated: set[str], closeness: Sequence[float], limit: float
) -> list[DraftQuestion]:
    """Direct questions for attribute types that the user said nothing about, in an order that depends on `seed`.

    Args:
        seed: Varies the order.
        kinds: Attribute types to choose from.
        stated: Families and type names found in anything this user said.
        closeness: For each type, the largest cosine of its direct question to a statement of the user.
        limit: Types closer than this are left out.
    """
    free = [
        kind.explicit[0]
        for kind, close in zip(kinds, closeness, strict=True)
        if not kind.dynamic and close < limit and not stated & {kind.name, *kind.families}
    ]
    return [_question(QuestionKind.UNSTATED, text) for text in rotated(seed, free)]


def irrelevant_order(seed: str, queries: Sequence[Query], to_preference: Vectors, limit: float) -> list[DraftQuestion]:
    """Mined queries for which the preference does not matter, in an order that depends on `seed`.

    Args:
        seed: Varies the order.
        queries: Mined queries.
        to_preference: Cosines, shape (queries, texts): to the statement and to all questions of the attribute type.
        limit: Largest cosine allowed.
    """
    far = {query.id: query for query, row in zip(queries, to_preference, strict=True) if float(row.max()) < limit}
    return [
        DraftQuestion(kind=QuestionKind.IRRELEVANT, text=far[i].text, origin="mined", query_id=i, accepted=())
        for i in rotated(seed, sorted(far))
    ]


def _question(kind: QuestionKind, text: str, accepted: tuple[str, ...] = ()) -> DraftQuestion:
    return DraftQuestion(kind=kind, text=text, origin="template", query_id=None, accepted=accepted)
