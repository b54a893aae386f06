"""Sentence spans."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mine.sentences import Span, sentences

PIECES = st.sampled_from(
    [
        *("I", "am", "a", "nurse", ".", "!", "?", "...", "。", "！", " ", "\n", "\r\n", "\t", "\u2028", "- ", "1. "),
        *(
            "e.g.",
            "3.14",
            "http://a.example/x?Q=1.Y",
            "😀",
            "Dr.",
            "\u3000",
            "'",
            '"',
            "U.S.",
            "\x85",
            "\x1c",
            "\x00",
            "é",
        ),
    ]
)


def texts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_spans_are_ordered_disjoint_inside_stripped_and_cover_all_but_white_space(text: str) -> None:
    spans = sentences(text)
    covered = [False] * len(text)
    previous = 0
    for start, end in spans:
        assert previous <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered[start:end] = [True] * (end - start)
        previous = end
    assert all(done or character.isspace() for done, character in zip(covered, text, strict=True))


@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_sentence_crosses_a_line_break(text: str) -> None:
    assert all(len(sentence.splitlines()) == 1 for sentence in texts(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I live in Oslo. I have two cats.", ["I live in Oslo.", "I have two cats."]),
        ("i live in oslo. i have two cats", ["i live in oslo.", "i have two cats"]),
        ("My doctor is Dr. Lind, e.g. on Mondays.", ["My doctor is Dr. Lind, e.g. on Mondays."]),
        ("I paid 3.50 for v2.1 of it.", ["I paid 3.50 for v2.1 of it."]),
        ("See https://a.example/b.html?Q=1. It helps!", ["See https://a.example/b.html?Q=1.", "It helps!"]),
        ("Great!!! Now what?!", ["Great!!!", "Now what?!"]),
        ("I have a dog.My wife has none.", ["I have a dog.", "My wife has none."]),
        ("I like it.I'm happy", ["I like it.", "I'm happy"]),
        ("Call System.out.println or Foo.Bar.", ["Call System.out.println or Foo.Bar."]),
        ("I use Node.js and ASP.NET daily.", ["I use Node.js and ASP.NET daily."]),
        ("Well... i guess so. Yes", ["Well... i guess so.", "Yes"]),
        ("I love hiking 🏔️ My sister does not.", ["I love hiking 🏔️", "My sister does not."]),
        ("I love hiking! 🏔️ My sister does not.", ["I love hiking! 🏔️", "My sister does not."]),
        ("我住在上海。我喜欢茶！", ["我住在上海。", "我喜欢茶！"]),
        ("1. I am a nurse.\n2. I ski.\n- I bake", ["1. I am a nurse.", "2. I ski.", "- I bake"]),
        ("Hi\r\n\r\n  I ski  ", ["Hi", "I ski"]),
        ("J. Lind told me so. I agree.", ["J. Lind told me so.", "I agree."]),
        ("I moved to the U.S. in May. It rains.", ["I moved to the U.S. in May.", "It rains."]),
        ('He said "I ski." I do too.', ['He said "I ski."', "I do too."]),
        ("I am 25. I bake.", ["I am 25.", "I bake."]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_careless_chat_text_is_split_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_span_is_a_pair_of_offsets() -> None:
    assert sentences("  I ski.  ") == [Span(2, 8)]


@pytest.mark.parametrize("unit", ["a", ".", "a. ", "1. ", "- ", "😀 ", "!)", " ", "a.A", '."'])
def test_time_is_linear_on_long_lines(unit: str) -> None:
    def seconds(repeats: int) -> float:
        text = unit * repeats
        start = time.process_time()
        sentences(text)
        return time.process_time() - start

    small, large = min(seconds(20_000) for _ in range(4)), min(seconds(80_000) for _ in range(4))
    assert large < 12 * small + 0.2  # quadratic time would be 16 times
