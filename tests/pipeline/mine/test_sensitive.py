"""Sensitive categories."""

from __future__ import annotations

import pytest

from pipeline.mine.sensitive import sensitive_categories


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("I was diagnosed with ADHD.", ("health",)),
        ("I'm a practising Catholic and I vote for the greens.", ("politics", "religion")),
        ("I am a gay man.", ("sexuality",)),
        ("I keep bees and love opera.", ()),
    ],
)
def test_categories_are_found_by_their_words(text: str, categories: tuple[str, ...]) -> None:
    assert sensitive_categories(text) == categories
