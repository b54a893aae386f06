"""Whether a message speaks for its writer: pasted documents, code, dialogues, role-play and writing orders do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

LONGEST_TURN = 1500
"""Characters; longer messages are mostly pasted documents."""
MANY_TAGGED_LINES = 3
"""This many lines that begin with a speaker's name make a message a dialogue or transcript."""
CODE_SHARE = 0.3
"""Share of lines that look like code from which on a message counts as code."""


class TurnFilter(StrEnum):
    """Why a message is passed over before any sentence is read; counted in the report, in this order."""

    EMPTY = "empty"
    """No text."""
    NO_MARKER = "no_marker"
    """Neither a first-person word nor a question for advice."""
    TOO_LONG = "too_long"
    """Longer than LONGEST_TURN, and nothing like that at its beginning: a pasted document."""
    NAME_TAGGED = "name_tagged"
    """A dialogue, chat log or transcript with speaker names."""
    CODE = "code"
    """Mostly code, markup or a log."""
    ASSISTANT_TEXT = "assistant_text"
    """An answer of the assistant, pasted back."""


_TAGGED = re.compile(r"^[ \t>*_-]{0,4}(?:\[[\d:., APMapm]+\]\s*)?[A-Z][\w .'()-]{0,24}[*_]{0,2}:(?!//)", re.MULTILINE)
_CODE_LINE = re.compile(
    r"^\s*(?:[{}\[\]();<>]|//|/\*|\*/|#include\b|#!|import\s+[\w{*]|from\s+[\w.]+\s+import\b|def\s+\w+\("
    r"|class\s+\w+[:({]|return\b.*;?$"
    r"|(?:public|private|protected|static|const|let|var|function|async|export|package|using)\s+[\w<{(]"
    r"|(?:if|for|while|switch)\s*\(|\w[\w.]*\s*[-+]?=\s*\S.*;?$|\w[\w.]*\(.*\)\s*[;{]?\s*$|\$\s|SELECT\s|</?\w+[^>]*>"
    r"|at\s+[\w.$]+\("
    r"|.*[;{}]\s*$|\d{4}-\d\d-\d\d[T ]\d\d:\d\d)"
)
# The patterns below are matched against lower-case text: half the time of re.IGNORECASE.
_ASSISTANT = re.compile(
    r"\bas an? (?:ai|artificial intelligence)?\s*(?:language )?model\b|\bi(?:'m| am) an ai\b|chatgpt\s*(?:\n|said:)"
    r"|^(?:sure|certainly|of course)[!,] here",
)
ROLE_PLAY = re.compile(
    r"\b(?:(?:i\s+want|i(?:['’]d|\s+would)\s+like|i\s+need)\s+you\s+to\s+(?:act|be|play|pretend|imagine|behave"
    r"|respond|assume)"
    r"|act\s+(?:like|as)\b|pretend|role[\s-]?play|you\s+(?:are|will\s+be)\s+(?:now\s+)?(?:an?|the|my)\s"
    r"|you['’]re\s+(?:an?|the|my)\s"
    r"|imagine\s+(?:you|that|i|we)|let['’]?s\s+(?:say|play|pretend)|suppose|in\s+character|dungeon\s+master"
    r"|text\s+adventure|simulate"
    r"|assume\s+(?:the\s+role|that\s+(?:i|you)|you)|take\s+on\s+the\s+role|from\s+now\s+on|stay\s+in\s+character"
    r"|ignore\s+(?:all\s+)?previous)",
)
WRITING_ORDER = re.compile(
    r"\b(?:(?:re-?)?write|re-?phrase|paraphrase|proof-?read|translate|summari[sz]e|edit|improve|revise|correct"
    r"|shorten|expand|draft|compose"
    r"|rewrite|polish|grammar|make\s+(?:it|this|the\s+following)|in\s+the\s+style\s+of|grade|mark)\b.{0,60}?"
    r"\b(?:essay|letter|e-?mail|message|paragraph|story|poem|song|lyrics|speech|script|article|post|bio|cv|resume"
    r"|résumé|statement|text|sentence|following|this|it|review|profile"
    r"|report|scene|chapter|novel|tweet|caption|headline|ad|copy|description|pitch|transcript|introduction|summary)\b",
    re.DOTALL,
)
FICTION = re.compile(
    r"\b(?:character|protagonist|story|novel|fan\s?fic|scene|screenplay|plot|episode|chapter|sitcom|rap\s+battle|poem"
    r"|lyrics)\b",
)
DOCUMENT = re.compile(
    r"\b(?:dear\s+(?:hiring|sir|mr|ms|dr|team|recruiter|professor)|curriculum\s+vitae|cover\s+letter|resume"
    r"|work\s+experience|sincerely|kind\s+regards|best\s+regards"
    r"|to\s+whom\s+it\s+may|abstract\b|interview(?:er|ee)?|transcript|testimonial|case\s+study|survey|respondent"
    r"|patient|client\s+says|the\s+following\s+(?:text|article|essay|story))",
)


class TurnShape(NamedTuple):
    """What the detector knows about the message around a sentence."""

    length: int
    """Characters."""
    lines: int
    """Lines that are not blank."""
    role_play: bool
    """Asks the assistant to play a part, or sets a scene."""
    writing_order: bool
    """Orders a text to be written or rewritten: "I" may be somebody else."""
    fiction: bool
    """Speaks of characters, stories, scenes."""
    document: bool
    """Looks like a letter, CV, interview or survey."""
    tagged_lines: int
    """Lines that begin with a name and a colon."""
    quotes: int
    """Quotation marks."""


def turn_shape(text: str) -> TurnShape:
    """The shape of a message; reads at most LONGEST_TURN characters."""
    text = text[:LONGEST_TURN]
    lower = text.lower()
    return TurnShape(
        length=len(text),
        lines=sum(1 for line in text.splitlines() if line.strip()),
        role_play=bool(ROLE_PLAY.search(lower)),
        writing_order=bool(WRITING_ORDER.search(lower)),
        fiction=bool(FICTION.search(lower)),
        document=bool(DOCUMENT.search(lower)),
        tagged_lines=len(_TAGGED.findall(text)),
        quotes=sum(text.count(mark) for mark in '"“”'),
    )


def is_name_tagged(text: str) -> bool:
    """Whether the message is a dialogue, chat log or transcript with speaker names."""
    return len(_TAGGED.findall(text[:LONGEST_TURN])) >= MANY_TAGGED_LINES


def is_code(text: str) -> bool:
    """Whether the message is mostly code, markup or a log."""
    lines = [line for line in text[:LONGEST_TURN].splitlines() if line.strip()]
    code = sum(1 for line in lines if _CODE_LINE.match(line))
    return code >= 3 and code / len(lines) >= CODE_SHARE


def is_assistant_text(text: str) -> bool:
    """Whether the message is an answer of the assistant, pasted back."""
    return bool(_ASSISTANT.search(text[:LONGEST_TURN].lower()))


STRUCTURAL_FILTERS: Mapping[TurnFilter, Callable[[str], bool]] = MappingProxyType(
    {
        TurnFilter.NAME_TAGGED: is_name_tagged,
        TurnFilter.CODE: is_code,
        TurnFilter.ASSISTANT_TEXT: is_assistant_text,
    }
)
"""Why a message does not speak for its writer, in the order tried; each reads at most LONGEST_TURN characters."""
