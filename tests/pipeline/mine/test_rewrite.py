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


@pytest.mark.parametrize(
    ("sentence", "alone"),
    [
        ("What kind of mulch is best for our oaks and what is the proper amount?", "We have oaks."),
        ("send my fiancee [PERSON] a love letter.", "I have a fiancee."),
        ("Take into account that I am already running 60 miles per week", "I am already running 60 miles per week."),
        ("How to sell on tiktok, we sell flags for couples aged 20 to 40", "We sell flags for couples aged 20 to 40."),
        ("Use Expedia to plan my trip to Oslo", None),
        ("Update my education details with the following degree", None),
        ("Can I import my calendar to a bot", None),
    ],
)
def test_a_reading_that_asks_gives_way_to_one_that_tells(sentence: str, alone: str | None) -> None:
    assert self_contained(sentence) == alone


@pytest.mark.parametrize("sentence", ["I run a bar and I wonder how.", "I want to become an editor, which steps"])
def test_what_is_left_of_a_question_at_the_end_is_refused(sentence: str) -> None:
    alone = self_contained(sentence)
    assert alone is None or not alone.endswith(("how.", "steps."))


def test_a_question_about_steps_is_cut_off_whole() -> None:
    sentence = "I want to become a TV editor, what steps should I take?"
    assert self_contained(sentence) == "I want to become a TV editor."


@pytest.mark.parametrize(
    "sentence",
    [
        "Hi, my name is [PERSON], how are you?",
        "write a pitch for my company",
        "I have my own business.",
        "write terms of service for our website",
    ],
)
def test_a_reading_that_says_next_to_nothing_is_refused(sentence: str) -> None:
    assert self_contained(sentence) is None


def test_a_business_that_is_described_is_something_to_say() -> None:
    assert self_contained("write a pitch for my family business") == "I have a family business."
    assert self_contained("My colleague [PERSON] and I breed goats.") == "My colleague [PERSON] and I breed goats."


@pytest.mark.parametrize(
    ("sentence", "alone"),
    [
        ("'RB', short for 'ReBoot', is my server.", "'RB', short for 'ReBoot', is my server."),
        ('"I keep bees."', "I keep bees."),
        ("\"I'm a nurse", "I'm a nurse."),
    ],
)
def test_a_quoted_word_at_the_beginning_keeps_both_its_marks(sentence: str, alone: str) -> None:
    assert self_contained(sentence) == alone


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
