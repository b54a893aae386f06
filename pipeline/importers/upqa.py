"""The published UPQA (Huang et al., arXiv 2512.13676): plain records, and records with nine-fold clusters.

Its questions were written by a language model from persona sentences, so their origin is "generated". In the clustered
file the synonyms' questions ask the assistant about itself ("What's your favorite pastime?"); with `first_person` they
are turned to the user ("What's my favorite pastime?"), which is what a cluster is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import Field

from pipeline.core.errors import InputError
from pipeline.core.records import ClusterMember, QuestionKind
from pipeline.core.wording import words
from pipeline.importers.records import Imported, Published

SOURCE = "upqa_official"
FAMILIES: Mapping[str, str] = {
    "hobby": "hobby",
    "family": "family",
    "profession": "profession",
    "job": "profession",
    "career goal": "goal",
    "education": "studies",
    "food preference": "diet",
    "location": "location",
    "pet": "pet",
    "music preference": "taste",
    "entertainment preference": "taste",
}
"""Published attribute type -> attribute family; any other is "other"."""

_TURNS = (
    (r"\byou're\b", "I'm"),
    (r"\byou've\b", "I've"),
    (r"\byou'll\b", "I'll"),
    (r"\byou'd\b", "I'd"),
    (r"\byou are\b", "I am"),
    (r"\bare you\b", "am I"),
    (r"\byou were\b", "I was"),
    (r"\bwere you\b", "was I"),
    (r"\byourself\b", "myself"),
    (r"\byours\b", "mine"),
    (r"\byour\b", "my"),
    (
        r"\b(to|for|with|about|of|from|around|near|makes?|gives?|helps?|brings?|describes?) you\b",
        r"\1 me",
    ),
    (r"\byou\b", "I"),
)


class Record(Published):
    """One record of the plain or the clustered file; in the latter the original stands last in each list."""

    input_attribute: str = Field(min_length=1)
    """What the user says."""
    attribute_type: str | tuple[str, ...]
    """Attribute type, or its synonyms."""
    question: str | tuple[str, ...]
    """Direct question, or one for each synonym."""
    question_paraphrased: str
    """Direct question in other words."""
    implicit_question: str
    """Question whose good answer depends on it."""
    product_recommendation_question: str
    """Shopping question."""
    target: str | tuple[str, ...]
    """The value, or its synonyms."""


def imported(records: list[Record], *, first_person: bool) -> Iterator[Imported]:
    """The records in this project's terms.

    Args:
        records: as published.
        first_person: turn "your" into "my" in the synonyms' questions.

    Raises:
        InputError: the lists of a clustered record differ in length or are empty.
    """
    for number, record in enumerate(records):
        types, asked, targets = map(_listed, (record.attribute_type, record.question, record.target))
        if not len(types) == len(asked) == len(targets) > 0:
            raise InputError(f"record {number}: attribute_type, question and target must be lists of one length.")
        questions = (
            (QuestionKind.EXPLICIT, asked[0], "generated"),
            (QuestionKind.REPHRASED, record.question_paraphrased, "generated"),
            (QuestionKind.IMPLICIT, record.implicit_question, "generated"),
            (QuestionKind.PRODUCT, record.product_recommendation_question, "generated"),
        )
        synonyms = [to_first_person(q) for q in asked[1:]] if first_person else list(asked[1:])
        taken = {tuple(words(text)) for _, text, _ in questions}
        yield Imported(
            statement=record.input_attribute,
            attribute_type=types[0],
            family=FAMILIES.get(types[0].lower(), "other"),
            target=targets[0],
            aliases=tuple(dict.fromkeys(t for t in targets[1:] if t != targets[0])),
            cluster=(
                ClusterMember(attribute_type=types[0], question=asked[0], target=targets[0]),
                *(
                    ClusterMember(attribute_type=kind, question=question, target=target)
                    for kind, question, target in zip(types[1:], synonyms, targets[1:], strict=True)
                    if tuple(words(question)) not in taken
                ),
            ),
            questions=questions,
        )


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """The values with the original first."""
    return (value,) if isinstance(value, str) else (*value[-1:], *value[:-1])


def to_first_person(question: str) -> str:
    """`question`, asked by the user about themself instead of to the assistant about the assistant."""
    for pattern, replacement in _TURNS:
        question = re.sub(pattern, replacement, question, flags=re.IGNORECASE)
    return question
