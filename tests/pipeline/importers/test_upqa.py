"""The published UPQA."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.core.records import QuestionKind
from pipeline.importers.records import read_records
from pipeline.importers.upqa import Record, imported, to_first_person

FIXTURES = Path(__file__).with_name("fixtures")


def test_a_plain_record_gives_the_four_kinds_and_a_cluster_of_one() -> None:
    first = next(imported(read_records(FIXTURES / "upqa.json", Record), first_person=True))
    assert [kind for kind, _, _ in first.questions] == [
        *(QuestionKind.EXPLICIT, QuestionKind.REPHRASED, QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
    ]
    assert first.aliases == ()
    assert [(m.attribute_type, m.question, m.target) for m in first.cluster] == [
        ("hobby", "What's my hobby?", "Restoring clocks")
    ]


def test_the_last_member_of_a_published_cluster_is_the_original_and_comes_first() -> None:
    (record,) = imported(read_records(FIXTURES / "upqa_cluster.json", Record), first_person=True)
    assert (record.attribute_type, record.target) == ("hobby", "Restoring clocks")
    assert record.cluster[0].question == "What's my hobby?"
    assert record.aliases == ("Clock repair", "Mending clocks")


def test_a_synonyms_question_that_is_also_asked_in_the_evaluation_is_left_out_of_the_cluster() -> None:
    (record,) = imported(read_records(FIXTURES / "upqa_cluster.json", Record), first_person=True)
    assert [member.attribute_type for member in record.cluster] == ["hobby", "pastime"]


def test_synonyms_questions_can_be_kept_as_published() -> None:
    (record,) = imported(read_records(FIXTURES / "upqa_cluster.json", Record), first_person=False)
    assert record.cluster[1].question == "What's your favorite pastime when you're free?"


@pytest.mark.parametrize(
    ("published", "turned"),
    [
        ("What's your favorite pastime?", "What's my favorite pastime?"),
        ("What do you do when you're free?", "What do I do when I'm free?"),
        ("Where are you from?", "Where am I from?"),
        ("What matters to you?", "What matters to me?"),
        ("What's my hobby?", "What's my hobby?"),
        ("Your job?", "my job?"),
    ],
)
def test_questions_to_the_assistant_are_turned_to_the_user(published: str, turned: str) -> None:
    assert to_first_person(published) == turned


@given(st.text(alphabet="you r're'selfabc ?", max_size=60))
def test_turning_twice_is_turning_once(question: str) -> None:
    once = to_first_person(question)
    assert to_first_person(once) == once


def test_unknown_attribute_types_are_of_the_family_other() -> None:
    families = [r.family for r in imported(read_records(FIXTURES / "upqa.json", Record), first_person=True)]
    assert families == ["hobby", "profession", "profession", "other"]


def test_lists_of_different_length_are_an_error() -> None:
    record = read_records(FIXTURES / "upqa_cluster.json", Record)[0]
    with pytest.raises(InputError, match="record 0"):
        list(imported([record.model_copy(update={"target": ("one",)})], first_person=True))
