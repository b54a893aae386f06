"""Sentences that may become rows: in the first person or asking for advice, in messages that speak for their writer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from pipeline.core.records import Turn
from pipeline.mine.clock import Clock
from pipeline.mine.sentences import Span, sentences
from pipeline.mine.structure import LONGEST_TURN, STRUCTURAL_FILTERS, TurnFilter, TurnShape, turn_shape

Kind = Literal["statement", "query"]
KINDS: tuple[Kind, Kind] = ("statement", "query")
LONGEST_SENTENCE = 400
"""Characters; longer "sentences" are lists and unpunctuated prose."""
SHORTEST_SENTENCE = 8
"""Characters."""
LEAD_CHARACTERS = 200
"""Characters of the user's first message that go with every candidate."""
HEAD_CHARACTERS = 120
"""Characters of its own message that go with every candidate."""
OWN_WORDS = 250
"""Characters at the beginning of a long message that are taken for the user's own words."""
# Matched against lower-case text, but for _CODE.
_MARKER = re.compile(
    r"\b(?:i|i['’]?m|i['’]ve|ive|my|we|our|me|mine)\b|\?|\bsuggest|\brecommend|\bideas?\b|\btips\b|\badvice",
)

_FIRST_PERSON = re.compile(r"\b(?:i|i['’]?(?:m|ve|d|ll)|my|me|mine|myself|we|our|us|im|ive)\b")
_CODE = re.compile(r"^\s*(?://|/\*|#include|<[a-z/!]|\{|\}|import\s|def\s|return\b|SELECT\b|\$\s)")
_NOT_REAL = re.compile(
    r"\W*(?:(?:and|so|now|ok|okay|please|then)\s+)*(?:assum(?:e|ing)|suppos(?:e|ing)|imagine|pretend|act\s+as"
    r"|let['’]?s\s+(?:say|assume|suppose|pretend)|say\s+(?:that\s+)?i\b|if\s+i\s+(?:was|were)\b)"
    r"|\W*i\s+(?:play|move|cast|attack|roll|open|pick\s+up|go)\s+(?:\d|to\b|the\b|north|south|east|west)",
)
"""A hypothesis, or a move in a game."""
_APPLICATION = re.compile(
    r"\b(?:proven\s+track\s+record|results[\s-]driven|high[\s-]quality\s+work|exceed\w*\s+expectations|impressive\s+results"
    r"|in\s+my\s+(?:previous|current|last|past)\s+(?:role|position|job)s?|effective\s+strategies|businesses\s+of\s+all\s+sizes"
    r"|excited\s+to\s+(?:apply|continue|bring)|my\s+skills\s+(?:and\s+experience\s+)?(?:align|to\s+ensure)|refining\s+my\s+skills"
    r"|achieve\s+their\s+(?:\w+\s+)?goals|i\s+have\s+experience\s+\w+ing\s+both|worked\s+with\s+a\s+variety\s+of"
    r"|familiar\s+with\s+the\s+regulations|hiring\s+manager|opportunity\s+to\s+work\s+(?:on|with)\s+a\s+variety)\b",
)
"""The prose of cover letters and profiles, mostly written for somebody by the assistant and pasted back."""
_QUERY = re.compile(
    r"\b(?:should\s+(?:i|we)\b|(?:can|could|would|will)\s+you\s+(?:please\s+)?(?:suggest|recommend|advise|plan"
    r"|give\s+(?:me|us)\s+(?:some\s+|an?\s+|a\s+few\s+)?(?:advice|tips|ideas|suggestions?|recommendations?|plan"
    r"|itinerary))"
    r"|(?:please\s+|do\s+you\s+)?(?:recommend|suggest)\s+(?:me|us|some|an?|any|the|few|\d+|other|good|more|which|what"
    r"|books?|movies?|places?|names?)\b|any\s+(?:advice|tips|suggestions|recommendations|ideas)"
    r"|give\s+(?:me|us)\s+(?:some\s+|a\s+few\s+|\d+\s+|more\s+|an?\s+|good\s+|the\s+best\s+)*(?:advice|tips"
    r"|suggestions|recommendations|ideas|recipes?|meal|workout|plan|itinerary)"
    r"|what(?:['’]?s|\s+is|\s+are|\s+would\s+be)\s+(?:a|an|the|some|your)?\s*(?:good|best|great|cheap|easy|fun|nice"
    r"|healthy|better|most\s+\w+|top)\b.{0,80}?\b(?:for\s+me|i\b|me\b|my\b|we\b|to\s+(?:buy|learn|get|visit|read"
    r"|watch|eat|cook|start|make\s+money|lose|live|travel|study|invest|sleep))"
    r"|which\s+(?:\w+\s+){0,4}(?:should|would|do\s+you|is\s+(?:better|best)|to\s+(?:buy|choose|learn))"
    r"|where\s+(?:should|can|could|do)\s+(?:i|we)|what\s+(?:\w+\s+){0,3}(?:should|could|can|do)\s+(?:i|we)\s+(?:do"
    r"|cook|eat|wear|buy|get|make|watch|read|play|say|learn|study|visit|give|name|call|write\s+about|focus|choose|use"
    r"|try|start|take|bring|pack|see|go)"
    r"|how\s+(?:can|could|do|should|would)\s+(?:i|we)\s+(?:\w+\s+)?(?:improve|become|learn|lose|gain|stop|deal|cope"
    r"|make\s+(?:money|friends|more)|get\s+(?:better|over|rid|in|into|more|a\s+job|started|my|along)|prepare|sleep"
    r"|save|find|start|grow|increase|handle|overcome|manage|invest|choose|decide|convince|tell|ask|plan|build"
    r"|be\s+(?:more|a\s+better|happy|less)|stay|quit|reduce|teach|help|motivate|approach|avoid|promote|market|earn"
    r"|monetize|balance|relax|meet|talk|know\s+if)"
    r"|is\s+it\s+(?:worth|a\s+good\s+idea|better|ok(?:ay)?|safe|normal|healthy|possible)\s+(?:for\s+(?:me|us)|to"
    r"|buying|learning|if\s+i)|worth\s+(?:it|buying|learning)|help\s+me\s+(?:to\s+)?(?:choose|decide|find|plan|pick"
    r"|figure\s+out|come\s+up|learn|prepare|become|lose|get)"
    r"|i\s+(?:need|want|would\s+like|['’]?d\s+like)\s+(?:some\s+|your\s+)?(?:advice|recommendations?|suggestions?"
    r"|tips|help\s+(?:choosing|deciding|planning|finding))|plan\s+(?:a|my|our|me)\s+(?:\w+\s+){0,4}(?:trip|vacation"
    r"|holiday|party|wedding|meal|week|day|date|itinerary|workout|diet)"
    r"|(?:i['’]?m|i\s+am|we\s+are)\s+looking\s+for\s+(?:an?|some|good|recommendations|suggestions|ideas))",
)
_NOT_QUERY = re.compile(
    r"\b(?:code|function|class|array|column|table|regex|query|sql|api|endpoint|json|script|method|variable|compile"
    r"|compiler|exception|stack\s?trace|css|html|div|npm|docker|kubernetes|git|repo|commit|sentence|paragraph|essay"
    r"|abstract|section|chapter|slide|above|following|below|previous|your\s+(?:answer|response)|customers?\s+ask"
    r"|character|protagonist|excel|spreadsheet|formula|dataframe|pandas|react|django|laravel|typescript|swift"
    r"|component|server|database)\b",
)


class Candidate(NamedTuple):
    """One sentence with what is known about its place."""

    kind: Kind
    """Which record it may become."""
    turn: int
    """Index of the message in the conversation."""
    span: Span
    """Characters of the message."""
    text: str
    """The sentence as written."""
    before: str
    """The sentence before it in the same message; empty for the first."""
    position: int
    """Number of sentences before it in the message."""
    shape: TurnShape
    """Shape of its message."""
    opening: TurnShape
    """Shape of the user's first message: role-play and writing orders colour the whole conversation."""
    lead: str
    """How the user's first message begins, LEAD_CHARACTERS at most, white space collapsed."""
    head: str
    """How its own message begins, HEAD_CHARACTERS at most, white space collapsed."""


def is_statement_candidate(sentence: str) -> bool:
    """Whether the sentence speaks in the first person, in earnest and in its own words.

    `pipeline.mine.prefilter` picks among these.
    """
    lower = sentence.lower()
    spoken = _FIRST_PERSON.search(lower) and not _CODE.match(sentence)
    return bool(spoken) and not (_NOT_REAL.match(lower) or _APPLICATION.search(lower))


def is_query_candidate(sentence: str) -> bool:
    """Whether the sentence may ask for advice."""
    lower = sentence.lower()
    return bool(_QUERY.search(lower)) and not _NOT_QUERY.search(lower)


def is_candidate(kind: Kind, sentence: str) -> bool:
    """Whether the lexical patterns let a sentence through as a candidate of `kind`."""
    accepts = is_statement_candidate if kind == "statement" else is_query_candidate
    return SHORTEST_SENTENCE <= len(sentence) <= LONGEST_SENTENCE and accepts(sentence)


def candidates(turns: Sequence[Turn], removed: Counter[str], clock: Clock) -> Iterator[Candidate]:
    """The candidates in a conversation; `removed` counts the user's messages that each filter takes out.

    `clock` has a lap for each filter, for "sentences" (split, and matched with the patterns) and for "shapes".
    """
    opening: _Opening | None = None
    for index, turn in enumerate(turns):
        if turn.role != "user":
            continue
        reason = turn_filter(turn.text, clock.lap)
        if reason is not None:
            removed[reason] += 1
            continue
        found = _in_turn(turn.text)
        clock.lap("sentences")
        if found:
            opening = opening or _opening(turns)
            shape = turn_shape(turn.text)
            clock.lap("shapes")
            for kind, number, before, span in found:
                yield _candidate(kind, index, turn.text, number, before, span, shape, opening)


def in_context(kind: Kind, turns: Sequence[Turn], turn: int, start: int, end: int) -> Candidate:
    """The sentence at `turn`, `start`..`end` as a candidate, whether the patterns let it through or not."""
    text = turns[turn].text
    earlier = [span for span in sentences(text) if span.end <= start]
    before = earlier[-1] if earlier else Span(0, 0)
    return _candidate(kind, turn, text, len(earlier), before, Span(start, end), turn_shape(text), _opening(turns))


_FILTERS: Mapping[TurnFilter, Callable[[str], bool]] = MappingProxyType(
    {
        TurnFilter.EMPTY: lambda text: not text.strip(),
        TurnFilter.TOO_LONG: lambda text: len(text) > LONGEST_TURN and not _has_marker(text),
        TurnFilter.NO_MARKER: lambda text: len(text) <= LONGEST_TURN and not _has_marker(text),
        **STRUCTURAL_FILTERS,
    }
)
"""What takes a message out, the cheapest and most frequent first."""


def turn_filter(text: str, tried: Callable[[TurnFilter], None] = lambda _: None) -> TurnFilter | None:
    """Why no sentence of the message is read; None when its sentences are. `tried` is called after each filter."""
    for reason, takes_out in _FILTERS.items():
        out = takes_out(text)
        tried(reason)
        if out:
            return reason
    return None


def is_read(kind: Kind, text: str, start: int) -> bool:
    """Whether sentences of `kind` that begin at character `start` of the message `text` are read.

    A document is mostly pasted below a few words of the user's own, so of a longer message than LONGEST_TURN only
    statements at its beginning are: there one first-person sentence in ten is about the user, further down one in 400.
    """
    return len(text) <= LONGEST_TURN or (kind == "statement" and start < OWN_WORDS)


def _has_marker(text: str) -> bool:
    return _MARKER.search(_read_part(text).lower()) is not None


def _read_part(text: str) -> str:
    """The message, or as much of a long one as the sentences read in it may reach."""
    return text if len(text) <= LONGEST_TURN else text[: OWN_WORDS + LONGEST_SENTENCE + 1]


class _Opening(NamedTuple):
    shape: TurnShape
    lead: str


def _opening(turns: Sequence[Turn]) -> _Opening:
    text = next(turn.text for turn in turns if turn.role == "user")
    return _Opening(turn_shape(text), " ".join(text[:LEAD_CHARACTERS].split()))


def _in_turn(text: str) -> list[tuple[Kind, int, Span, Span]]:
    """Kind, number of sentences before it, the sentence before it and the sentence, for each candidate in a message."""
    found: list[tuple[Kind, int, Span, Span]] = []
    before = Span(0, 0)
    for number, span in enumerate(sentences(_read_part(text))):
        sentence = text[span.start : span.end]
        read = (kind for kind in KINDS if is_read(kind, text, span.start))
        found += [(kind, number, before, span) for kind in read if is_candidate(kind, sentence)]
        before = span
    return found


def _candidate(
    kind: Kind, turn: int, text: str, number: int, before: Span, span: Span, shape: TurnShape, opening: _Opening
) -> Candidate:
    return Candidate(
        kind=kind,
        turn=turn,
        span=span,
        text=text[span.start : span.end],
        before=text[before.start : before.end],
        position=number,
        shape=shape,
        opening=opening.shape,
        lead=opening.lead,
        head=" ".join(text[:HEAD_CHARACTERS].split()),
    )
