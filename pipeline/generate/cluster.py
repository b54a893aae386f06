"""Preference clusters for Personalization Editing: synonyms of the attribute type, each with its direct question."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.records import ClusterMember, DraftQuestion
from pipeline.core.wording import contains_phrase, stems
from pipeline.generate.attributes import AttributeType


def build_cluster(
    kind: AttributeType, target: str, aliases: tuple[str, ...], asked: tuple[DraftQuestion, ...], size: int
) -> tuple[ClusterMember, ...]:
    """At most `size` members, the original first; all in the first person.

    A synonym is left out when it gives the target away or when its question is one of `asked`, because a question of
    the evaluation must not be trained on.
    """
    original = ClusterMember(attribute_type=kind.name, question=kind.explicit[0], target=target)
    return (original, *_synonyms(kind, target, aliases, asked))[:size]


def _synonyms(
    kind: AttributeType, target: str, aliases: tuple[str, ...], asked: tuple[DraftQuestion, ...]
) -> Iterator[ClusterMember]:
    evaluation = {tuple(stems(question.text)) for question in asked}
    surface = (target, *aliases)
    for number, synonym in enumerate(kind.synonyms):
        question = kind.explicit[0].replace(kind.name, synonym)
        if tuple(stems(question)) in evaluation or any(contains_phrase(synonym, form) for form in surface):
            continue
        yield ClusterMember(attribute_type=synonym, question=question, target=surface[(number + 1) % len(surface)])
