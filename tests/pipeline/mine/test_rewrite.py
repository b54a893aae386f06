"""`self_contained`: what a statement looks like on its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mine.rewrite import asks_alone, self_contained, stands_alone


@pytest.mark.parametrize(
    ("sentence", "alone"),
    [
        ("- I'm a beekeeper", "I'm a beekeeper."),
        ("and i live on a houseboat", "I live on a houseboat."),
        ("Hi, im a nurse and i love opera!", "I'm a nurse and I love opera!"),
        ("I am vegan, can you suggest a dinner?", "I am vegan."),
        ("Suggest a dinner because I don't eat pork", "I don't eat pork."),
        ("Can you help, I am a 30 year old plumber from Leeds?", "I am a 30 year old plumber from Leeds."),
        ("As a night nurse, how can I sleep better?", "I am a night nurse."),
        ("What should I read, even though I have only an hour a day?", "I have only an hour a day."),
        ("My sister has a parrot and she spoils it.", "My sister has a parrot and she spoils it."),
        ("I moved house this year.", "I moved house this year."),
        ("I am building an app that can generate reports", "I am building an app that can generate reports."),
        ("I'm looking to write a book", "I'm looking to write a book."),
        ("i like beaches, which place should i stay at", "I like beaches."),
        ("Ok now know that we are based in Ghent", "We are based in Ghent."),
    ],
)
def test_the_fact_is_left_and_the_rest_is_cut(sentence: str, alone: str) -> None:
    assert self_contained(sentence) == alone


@pytest.mark.parametrize(
    "sentence",
    [
        "I love it!",
        "I prefer the second one.",
        "I work there.",
        "I am a stranger here.",
        "I agree with that.",
        "They are my favourite.",
        "I like your suggestion.",
        "I do too",
        "Which one is cheaper?",
    ],
)
def test_an_open_reference_is_refused(sentence: str) -> None:
    assert self_contained(sentence) is None


@given(st.text(max_size=120))
def test_any_text_gives_none_or_a_finished_sentence(text: str) -> None:
    alone = self_contained(text)
    assert alone is None or (alone == alone.strip() and alone[-1] in ".!?…")


@pytest.mark.parametrize(
    "question", ["What should I cook with turnips tonight?", "Which laptop should I buy for my studies?"]
)
def test_a_question_that_names_its_subject_asks_alone(question: str) -> None:
    assert asks_alone(question)


@pytest.mark.parametrize(
    "question", ["Where should I go?", "Any tips?", "What else should I know about classes?", "Should I buy that one?"]
)
def test_a_question_whose_subject_was_named_earlier_does_not(question: str) -> None:
    assert not asks_alone(question)


@pytest.mark.parametrize(
    ("sentence", "statement"),
    [
        ("I'm 41 years old and I wanted more from this.", "I'm 41 years old."),
        ("Include this information about me: I am a carpenter in Ghent.", "I am a carpenter in Ghent."),
        ("Write a slogan for my organic bakery", "I have an organic bakery."),
        ("Explain it to my twin daughters", "I have twin daughters."),
        (
            "Give me an outline for our new startup focused on bike repair",
            "We have a new startup focused on bike repair.",
        ),
    ],
)
def test_a_clause_or_a_belonging_is_kept_where_the_sentence_does_not_stand_alone(sentence: str, statement: str) -> None:
    assert self_contained(sentence) == statement


def test_plural_they_may_mean_a_plural_noun_before_it() -> None:
    assert stands_alone("I advise builders about their rights.")
    assert not stands_alone("I advise them about their rights.")
