from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.core.records import Query
from pipeline.core.wording import words
from pipeline.generate.attributes import AttributeType, taxonomy
from pipeline.generate.controls import (
    RELATIVES,
    irrelevant_order,
    neutral_order,
    other_person,
    unstated_order,
    world_facts,
)

KINDS = {kind.name: kind for kind in taxonomy()}
PROFESSION = "What is my profession?"


def test_other_person_asks_about_a_relative_and_about_the_assistant() -> None:
    relative, assistant = other_person("seed", PROFESSION, ["I am a nurse."])
    assert any(relative.text == f"What is my {person}'s profession?" for person in RELATIVES)
    assert assistant.text == "What is your profession?"


@pytest.mark.parametrize("kind", [kind for kind in taxonomy() if not kind.dynamic], ids=lambda kind: kind.name)
def test_other_person_questions_never_ask_about_the_user(kind: AttributeType) -> None:
    for question in other_person("seed", kind.explicit[0], []):
        assert "i" not in words(question.text)


def test_a_relative_the_user_speaks_of_is_not_asked_about() -> None:
    told = [f"My {person} is a nurse." for person in RELATIVES if person != "uncle"]
    assert other_person("any", PROFESSION, told)[0].text == "What is my uncle's profession?"


@pytest.mark.parametrize("name", ["mom", "Mum", "parents"])
def test_a_relative_is_known_by_other_names_too(name: str) -> None:
    asked = {other_person(str(seed), PROFESSION, [f"My {name} taught me."])[0].text for seed in range(200)}
    assert "What is my mother's profession?" not in asked
    assert "What is my uncle's profession?" in asked


def test_who_speaks_of_every_relative_is_asked_about_the_assistant_alone() -> None:
    told = [f"My {person} is a nurse." for person in RELATIVES]
    assert [q.text for q in other_person("any", PROFESSION, told)] == ["What is your profession?"]


def test_neutral_questions_have_answers_and_vary_between_preferences() -> None:
    assert all(question.accepted for question in neutral_order("a"))
    assert len({neutral_order(str(seed))[0].text for seed in range(40)}) > 15
    assert len({fact.question for fact in world_facts()}) == len(world_facts())


def test_unstated_leaves_out_what_the_user_said_and_what_is_close_to_it() -> None:
    kinds = [KINDS["profession"], KINDS["pet"], KINDS["diet"], KINDS["favourite"]]
    asked = unstated_order("seed", kinds, {"profession"}, [0.0, 0.0, 0.9, 0.0], 0.3)
    assert [question.text for question in asked] == ["What is my pet?"]


def test_without_a_free_attribute_type_there_is_no_unstated_question() -> None:
    assert unstated_order("seed", [KINDS["pet"]], {"pet"}, [0.0], 0.3) == []


def test_irrelevant_queries_are_the_dissimilar_ones(make_query: Callable[..., Query]) -> None:
    near, far = make_query("What should I cook?"), make_query("Where should I travel?")
    cosines = np.array([[0.9, 0.1], [0.1, 0.05]], dtype=np.float32)
    asked = irrelevant_order("seed", [near, far], cosines, 0.25)
    assert [(question.text, question.origin, question.query_id) for question in asked] == [
        ("Where should I travel?", "mined", far.id)
    ]


def test_without_queries_there_is_no_irrelevant_question() -> None:
    assert irrelevant_order("seed", [], np.zeros((0, 2), dtype=np.float32), 0.25) == []
