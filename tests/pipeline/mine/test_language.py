"""Language of what the user wrote."""

from __future__ import annotations

import pytest

from pipeline.core.records import Turn
from pipeline.mine.language import user_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I live in a small village and keep bees.", "en"),
        ("Ich wohne in einem kleinen Dorf und halte Bienen.", "de"),
        ("Vivo en un pueblo pequeño y tengo abejas.", "es"),
        ("我住在一个小村庄，养蜜蜂。", "zh"),
        ("ok", "en"),
        ("  \n", "und"),
    ],
)
def test_the_language_of_the_users_words_is_named(text: str, language: str) -> None:
    assert user_language([Turn(role="assistant", text="Hola, ¿qué tal?"), Turn(role="user", text=text)]) == language


def test_code_and_addresses_do_not_count() -> None:
    turn = Turn(
        role="user", text="Warum geht das nicht: `for item in list: print(item)` https://example.com/the/a/of ?"
    )
    assert user_language([turn]) == "de"
