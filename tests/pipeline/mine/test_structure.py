"""Messages that do not speak for their writer."""

from __future__ import annotations

import pytest

from pipeline.mine.structure import LONGEST_TURN, STRUCTURAL_FILTERS, TurnFilter, turn_shape

CODE = "import os\n\ndef main():\n    path = os.getcwd()\n    return path\n\nwhy does it fail for me?"
DIALOGUE = "Anna: I love dogs\nBert: I don't\nAnna: why?\nBert: I am allergic"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I am a nurse. " * 400, None),
        (DIALOGUE, TurnFilter.NAME_TAGGED),
        (CODE, TurnFilter.CODE),
        ("As an AI language model, I have no preferences, but my answer is yes.", TurnFilter.ASSISTANT_TEXT),
        ("I am a nurse and I work nights: how can I sleep better?", None),
        ("I have one line of code:\nx = 3\nI am a beginner, what does it do?", None),
    ],
)
def test_a_message_is_judged_by_its_form(text: str, reason: TurnFilter | None) -> None:
    assert next((name for name, takes_out in STRUCTURAL_FILTERS.items() if takes_out(text)), None) is reason


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("I want you to act as a pirate.", "role_play"),
        ("Please rewrite the following email for me.", "writing_order"),
        ("The protagonist says: I hate rain.", "fiction"),
        ("Dear hiring manager, I am writing to you.", "document"),
    ],
)
def test_the_shape_notices_whose_voice_it_may_be(text: str, field: str) -> None:
    assert getattr(turn_shape(text), field) is True
    assert getattr(turn_shape("I keep bees in Ghent."), field) is False


def test_the_shape_reads_only_the_beginning_of_a_long_message() -> None:
    assert turn_shape("x" * 10 * LONGEST_TURN).length == LONGEST_TURN
