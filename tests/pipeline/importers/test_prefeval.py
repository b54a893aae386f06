"""PrefEval."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.records import QuestionKind
from pipeline.importers.prefeval import Record, imported
from pipeline.importers.records import read_records

FIXTURES = Path(__file__).with_name("fixtures")


def test_a_preference_has_its_published_implicit_question_and_a_direct_one_of_ours() -> None:
    first = next(imported(read_records(FIXTURES / "prefeval.json", Record)))
    assert first.questions == (
        (QuestionKind.EXPLICIT, "What is my hotel preference?", "template"),
        (QuestionKind.IMPLICIT, "Where should I stay in Ghent?", "generated"),
    )
    assert first.cluster[0].question == "What is my hotel preference?"


def test_a_topic_we_do_not_know_is_named_by_its_words() -> None:
    _, second = imported(read_records(FIXTURES / "prefeval.json", Record))
    assert (second.attribute_type, second.family) == ("garden tools preference", "other")
