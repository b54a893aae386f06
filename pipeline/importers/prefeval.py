"""PrefEval (Zhao et al., ICLR 2025) with the subject and target that the preference-editing work added to it.

PrefEval asks one question a preference, an implicit one. The direct question that single-fact editors need is a
template over our name of the topic; it is kept as an explicit question of origin "template".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import Field

from pipeline.core.records import ClusterMember, QuestionKind
from pipeline.importers.records import Imported, Published

SOURCE = "prefeval"


class Topic(NamedTuple):
    """What a PrefEval topic is in this project's terms."""

    attribute_type: str
    """Noun phrase of the direct question."""
    family: str
    """Attribute family."""


TOPICS: Mapping[str, Topic] = {
    "education-learning-styles": Topic("learning style", "studies"),
    "education-resources": Topic("learning resource preference", "studies"),
    "entertain-games": Topic("game preference", "taste"),
    "entertain-music-book": Topic("music and book preference", "taste"),
    "entertain-shows": Topic("film and series preference", "taste"),
    "entertain-sports": Topic("sport preference", "hobby"),
    "lifestyle-beauty": Topic("beauty preference", "habit"),
    "lifestyle-dietary": Topic("food preference", "diet"),
    "lifestyle-fit": Topic("workout preference", "habit"),
    "lifestyle-health": Topic("health preference", "health"),
    "pet-ownership": Topic("pet preference", "pet"),
    "professional-work-location-style": Topic("work preference", "profession"),
    "shop-fashion": Topic("fashion preference", "taste"),
    "shop-home": Topic("home preference", "possession"),
    "shop-motors": Topic("vehicle preference", "possession"),
    "shop-technology": Topic("technology preference", "possession"),
    "travel-activities": Topic("travel activity preference", "taste"),
    "travel-hotel": Topic("hotel preference", "taste"),
    "travel-restaurant": Topic("restaurant preference", "diet"),
    "travel-transportation": Topic("transport preference", "taste"),
}
"""Published topic -> our name; any other is "<topic> preference" in family "other"."""


class Record(Published):
    """One record of the file."""

    topic: str = Field(min_length=1)
    """Topic, e.g. "travel-hotel"."""
    preference: str = Field(min_length=1)
    """What the user says."""
    question: str
    """A question whose good answer respects the preference."""
    explanation: str
    """Why a careless answer breaks the preference; not imported."""
    subject: str
    """What the question asks for; not imported, it is often only a verb."""
    target: str = Field(min_length=1)
    """The property that a good answer has."""


def imported(records: list[Record]) -> Iterator[Imported]:
    """The records in this project's terms."""
    for record in records:
        topic = TOPICS.get(record.topic, Topic(f"{record.topic.replace('-', ' ')} preference", "other"))
        direct = f"What is my {topic.attribute_type}?"
        yield Imported(
            statement=record.preference,
            attribute_type=topic.attribute_type,
            family=topic.family,
            target=record.target,
            aliases=(),
            cluster=(ClusterMember(attribute_type=topic.attribute_type, question=direct, target=record.target),),
            questions=(
                (QuestionKind.EXPLICIT, direct, "template"),
                (QuestionKind.IMPLICIT, record.question, "generated"),
            ),
        )
