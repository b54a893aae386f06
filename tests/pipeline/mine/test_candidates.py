"""Which sentences become candidates, and what is known about their place."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.core.records import Turn
from pipeline.mine.candidates import (
    candidates,
    in_context,
    is_query_candidate,
    is_read,
    is_statement_candidate,
    turn_filter,
)
from pipeline.mine.clock import Clock
from pipeline.mine.structure import TurnFilter


def said(*texts: str) -> list[Turn]:
    return [turn for text in texts for turn in (Turn(role="user", text=text), Turn(role="assistant", text="I see."))]


@pytest.mark.parametrize("sentence", ["I keep bees.", "my wife sails", "We own a bakery.", "im a nurse"])
def test_a_sentence_in_the_first_person_may_be_a_statement(sentence: str) -> None:
    assert is_statement_candidate(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Bees are useful.",
        "Suppose I am a farmer.",
        "Let's say I own two shops.",
        "I play 4.Nd4",
        "// my own helper",
        "I have a proven track record of growth.",
    ],
)
def test_hypotheses_moves_code_and_application_prose_may_not(sentence: str) -> None:
    assert not is_statement_candidate(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["What should I cook tonight?", "Can you recommend a laptop for my studies?", "Any tips for a first marathon?"],
)
def test_a_question_for_advice_may_be_a_query(sentence: str) -> None:
    assert is_query_candidate(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["What is the capital of Peru?", "Can you suggest a better title for the paragraph?", "How do I sort an array?"],
)
def test_facts_and_questions_about_the_text_at_hand_may_not(sentence: str) -> None:
    assert not is_query_candidate(sentence)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n", TurnFilter.EMPTY),
        ("list the planets", TurnFilter.NO_MARKER),
        ("the planets. " * 200 + "I keep bees.", TurnFilter.TOO_LONG),
        ("I keep bees. " + "the planets. " * 200, None),
        ("I keep bees.", None),
    ],
)
def test_a_message_is_passed_over_for_a_reason(text: str, reason: TurnFilter | None) -> None:
    assert turn_filter(text) is reason


def test_only_what_the_user_says_is_read_and_removals_are_counted() -> None:
    removed: Counter[str] = Counter()
    clock = Clock()
    found = list(candidates(said("I keep bees. They are calm.", "list the planets"), removed, clock))
    assert [(one.turn, one.text, one.position) for one in found] == [(0, "I keep bees.", 0)]
    assert removed == {"no_marker": 1}
    assert list(clock.seconds())[:3] == ["empty", "too_long", "no_marker"]


def test_of_a_long_message_only_statements_at_its_beginning_are_read() -> None:
    text = "I keep bees. Any tips for a first marathon? " + "The planets turn. " * 100 + "I own a bakery."
    assert [(one.kind, one.text) for one in candidates(said(text), Counter(), Clock())] == [
        ("statement", "I keep bees.")
    ]
    assert not is_read("statement", text, len(text) - 15)
    assert not is_read("query", text, 0)


def test_a_candidate_knows_the_sentence_before_it_and_the_first_message() -> None:
    turns = said("Act as my doctor, and I describe my day.", "It rained. I fell off my bike.")
    *_, last = candidates(turns, Counter(), Clock())
    assert (last.before, last.position, last.opening.role_play, last.shape.role_play) == ("It rained.", 1, True, False)
    assert in_context("statement", turns, last.turn, last.span.start, last.span.end) == last
