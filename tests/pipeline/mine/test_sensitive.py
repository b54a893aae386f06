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
        *(
            (text, ("health",))
            for text in (
                "I'm a recovering addict.",
                "I am addicted to pills and fight my addictions.",
                "How can I lose weight?",
                "I am losing a lot of weight.",
                "I have lupus and hypertension.",
                "My dad has dementia.",
                "I use a wheelchair.",
                "I take Prozac.",
                "I see two doctors.",
                "I am hypertensive and anaemic.",
                "I had a leukemia as a child.",
                "I had a miscarriage.",
            )
        ),
        ("I had two abortions.", ("politics",)),
        ("I visit churches and know two rabbis.", ("religion",)),
        ("I sing with gays and lesbians.", ("sexuality",)),
        *(
            (text, ())
            for text in (
                "I keep bees and love opera.",
                "I play an addictive game.",
                "I tune the weights of my model and lift weights.",
                "I collect paperweights.",
                "I have a wheel of cheese and a chair.",
                "I live near Lupton and like Demeter.",
                "I am a prose writer.",
                "I hold a doctorate and I am patiently waiting.",
                "I work with lithium batteries.",
                "I am a hypertext author.",
            )
        ),
    ],
)
def test_categories_are_found_by_their_words(text: str, categories: tuple[str, ...]) -> None:
    assert sensitive_categories(text) == categories
