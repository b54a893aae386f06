from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.core.records import ClusterMember, Preference, Question, QuestionKind
from pipeline.release.export import FIELDS, upqa_rows

Make = Callable[..., Any]


@pytest.fixture
def asked(question: Make) -> Make:
    """Two questions of each kind for a preference."""

    def make(of: Preference, kinds: tuple[QuestionKind, ...] = tuple(FIELDS)) -> list[Question]:
        return [question(of, kind=kind, text=f"{kind} {number}?") for kind in kinds for number in (2, 1)]

    return make


def test_a_row_has_the_published_fields_and_the_first_question_of_each_kind(preference: Make, asked: Make) -> None:
    (row,) = upqa_rows([preference()], asked(preference()), clusters=False)
    assert row == {
        "input_attribute": "I play chess | every day.",
        "attribute_type": "hobby",
        "question": "explicit 1?",
        "question_paraphrased": "rephrased 1?",
        "implicit_question": "implicit 1?",
        "product_recommendation_question": "product 1?",
        "target": "chess",
    }


def test_a_preference_without_all_four_kinds_is_left_out(preference: Make, asked: Make) -> None:
    only_explicit = asked(preference("q"), (QuestionKind.EXPLICIT,))
    rows = upqa_rows([preference("p"), preference("q")], only_explicit, clusters=False)
    assert rows == []


def test_an_update_that_nobody_said_is_left_out(preference: Make, asked: Make) -> None:
    old = preference("old", superseded_by="new", statement="I play chess.")
    new = preference("new", origin="template", statement="I used to play chess, but now I play go.")
    said = preference("said", statement="I gave up chess for go.")
    rows = upqa_rows([old, new, said], [*asked(old), *asked(new), *asked(said)], clusters=False)
    assert [row["input_attribute"] for row in rows] == ["I play chess.", "I gave up chess for go."]


def test_a_clustered_row_has_the_original_last(preference: Make, asked: Make) -> None:
    cluster = (
        ClusterMember(attribute_type="hobby", question="What is my hobby?", target="chess"),
        ClusterMember(attribute_type="pastime", question="What is my pastime?", target="the game of chess"),
    )
    (row,) = upqa_rows([preference(cluster=cluster)], asked(preference()), clusters=True)
    assert row["attribute_type"] == ["pastime", "hobby"]
    assert row["question"][-1] == "What is my hobby?"
    assert row["target"] == ["the game of chess", "chess"]
