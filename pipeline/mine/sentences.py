"""Sentence spans of chat text: messages with lists, URLs, emoji and careless punctuation, in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    """First character."""
    end: int
    """One past the last character."""


LOOK_BACK = 40
"""Characters read before a terminator to find the word it belongs to: bounds the work per terminator."""

_LINE = re.compile(r"[^\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+")
_LIST_MARKER = re.compile(r"\s*(?:[-*+•·‣◦▪–—>#]+\s+|\(?\d{1,3}[.)]\s+|\(?[a-zA-Z][.)]\s+)+")
_EMOJI = "\u2600-\u27bf\u2b50\ufe0f\u200d\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff"
_CLOSERS = "\"'”’»)\\]*_"
_TERMINATOR = re.compile(
    rf"(?P<cjk>[。！？｡]+[」』）”’]*)"
    rf"|(?P<mark>[.!?…]+)[{_CLOSERS}]*(?:[ \t]*[{_EMOJI}]+)*(?=(?P<gap>\s)|(?P<end>\Z)|(?P<glued>[A-Z]))"
    rf"|(?P<emoji>[{_EMOJI}]+)(?=\s+[A-Z])"
)
_NEXT_WORD = re.compile(r"\s*([^\s]{0,40})")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘]*\Z")
_GLUED_NEXT = re.compile(r"[A-Z](?:[a-z]+|'[a-z]+)?(?=[\s,!?']|\Z)")

_NEVER_LAST = frozenset(
    {
        *("mr", "mrs", "ms", "dr", "prof", "st", "mt", "rev", "gen", "sen", "rep", "gov", "capt", "lt", "col", "sgt"),
        *("hon", "e.g", "i.e", "eg", "ie", "cf", "viz", "vs", "approx", "fig", "figs", "eq", "al"),
    }
)
"""Abbreviations that do not end a sentence, lower case, without the last period."""
_RARELY_LAST = frozenset(
    {
        *("etc", "inc", "ltd", "co", "corp", "a.m", "p.m", "u.s", "u.k", "u.s.a", "e.u", "ph.d", "m.sc", "b.sc"),
        *("m.a", "b.a", "jr", "sr", "dept", "univ"),
    }
)
"""Abbreviations that end a sentence only when a capital letter follows."""
_BEFORE_NUMBER = frozenset(
    {
        *("no", "nos", "nr", "p", "pp", "vol", "ch", "sec", "art", "jan", "feb", "mar", "apr", "jun", "jul", "aug"),
        *("sep", "sept", "oct", "nov", "dec"),
    }
)
"""Abbreviations that do not end a sentence when a digit follows."""


def sentences(text: str) -> list[Span]:
    """The sentences of `text`, in order, disjoint, without surrounding white space, covering every other character.

    A line break always ends a sentence; a list marker belongs to its item. Periods inside decimals, URLs, file names,
    initials and known abbreviations do not end one; "!!!", an emoji before a capital and CJK full stops do, and so does
    a period whose following space was forgotten ("... a dog.My wife ..."). Time is linear in the length of `text`.
    """
    found = []
    for line in _LINE.finditer(text):
        begin = line.start()
        for end in _boundaries(line.group(), line.start()):
            found += _stripped(text, begin, end)
            begin = end
        found += _stripped(text, begin, line.end())
    return found


def _stripped(text: str, start: int, end: int) -> list[Span]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    kept = piece.strip()
    return [Span(start + left, start + left + len(kept))] if kept else []


def _boundaries(line: str, offset: int) -> Iterator[int]:
    """Ends of the sentences inside one line but the last, as offsets of the whole text."""
    marker = _LIST_MARKER.match(line)
    for hit in _TERMINATOR.finditer(line, marker.end() if marker else 0):
        if _ends_sentence(line, hit):
            yield offset + hit.end()


def _ends_sentence(line: str, hit: re.Match[str]) -> bool:
    mark = hit["mark"]
    if not mark:
        return True
    if hit["end"] is not None:
        return False
    last = _last_word(line, hit.start())
    if hit["glued"] is not None:
        return _is_forgotten_space(line, hit, last)
    following = _next_word(line, hit.end())
    if mark == ".":
        return _is_full_stop(last, following)
    if set(mark) <= {".", "…"}:
        return not following[:1].islower()
    return True


def _last_word(line: str, end: int) -> str:
    found = _LAST_WORD.search(line[max(0, end - LOOK_BACK) : end])
    return found.group() if found else ""


def _next_word(line: str, start: int) -> str:
    found = _NEXT_WORD.match(line, start)
    return found[1] if found else ""


def _is_full_stop(last: str, following: str) -> bool:
    word = last.lower()
    if word in _NEVER_LAST or (len(last) == 1 and last.isupper() and last != "I"):
        return False
    if word in _BEFORE_NUMBER and following[:1].isdigit():
        return False
    return word not in _RARELY_LAST or following[:1].isupper()


def _is_forgotten_space(line: str, hit: re.Match[str], last: str) -> bool:
    """Whether a capital right after the terminator starts a sentence, rather than a name such as "System.Out"."""
    if not (len(last) > 1 and last[1:].replace("'", "").replace("’", "").isalpha() and last[1:].islower()):
        return False
    return hit["mark"] != "." or _GLUED_NEXT.match(line, hit.end()) is not None
