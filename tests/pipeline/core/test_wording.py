from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.wording import contains_phrase, content_stems, stems, words


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("What is my hobby?", "hobby"),
        ("What are my hobbies?", "hobby"),
        ("I love Italian food.", "italian foods"),
        ("my sister's name", "sister"),
        ("Ich mag Käse", "käse"),
        ("It’s my dog’s", "dog"),
    ],
)
def test_a_phrase_is_found_in_any_case_and_number(text: str, phrase: str) -> None:
    assert contains_phrase(text, phrase)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("the nursery is closed", "nurse"),
        ("a concatenation", "cat"),
        ("food that is Italian", "italian food"),
        ("anything", ""),
        ("", "hobby"),
        ("anything", "?!"),
    ],
)
def test_a_part_of_a_word_or_a_scattered_phrase_is_not_found(text: str, phrase: str) -> None:
    assert not contains_phrase(text, phrase)


@given(st.text(max_size=60))
def test_a_text_with_words_contains_itself(text: str) -> None:
    assert contains_phrase(text, text) == bool(words(text))


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_added_around_a_phrase_does_not_hide_it(before: str, phrase: str) -> None:
    assert not words(phrase) or contains_phrase(f"{before} | {phrase} | end", phrase)


@given(st.text(max_size=80))
def test_content_stems_are_some_of_the_stems(text: str) -> None:
    assert content_stems(text) <= set(stems(text))


def test_function_words_carry_no_content() -> None:
    assert content_stems("What is my favourite dish?") == {"favourite", "dish"}
