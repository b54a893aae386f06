"""Labelled sentences with their context: the labels name places in the corpora, the text is read from there."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.records import Conversation, Turn
from pipeline.mine.candidates import Candidate, Kind, in_context, is_candidate, turn_filter
from pipeline.sources.base import SourceSettings
from pipeline.sources.registry import open_source

LABELS = Path(__file__).with_name("labels")
"""Folder of the committed labels."""
FILES: Mapping[Kind, str] = {"statement": "statements.csv", "query": "queries.csv"}
TEST_DIGITS = frozenset("0123456")
"""First hex digits of sha256(user key) of the users whose labels only measure; the others train."""


class Labelled(NamedTuple):
    """One labelled sentence."""

    candidate: Candidate
    """The sentence in its message."""
    positive: bool
    """The label; ambiguous sentences are left out."""
    group: str
    """Attribute family or topic the reader gave; empty for none."""
    stratum: str
    """Stratum it was drawn from."""
    population: int
    """Sentences of the stratum in the labelled half of the corpus."""
    user: str
    """The corpus's user key."""
    reachable: bool
    """Whether the lexical filters let the sentence through."""

    @property
    def for_testing(self) -> bool:
        """Whether its user's labels only measure."""
        return hashlib.sha256(self.user.encode()).hexdigest()[0] in TEST_DIGITS


class _Row(NamedTuple):
    turn: int
    start: int
    end: int
    sha256: str
    stratum: str
    population: int
    positive: bool
    group: str

    def stands_in(self, turns: Sequence[Turn]) -> bool:
        """Whether the labelled sentence stands at its place in `turns`."""
        if self.turn >= len(turns):
            return False
        sentence = turns[self.turn].text[self.start : self.end]
        return hashlib.sha256(sentence.encode()).hexdigest() == self.sha256


def labelled(kind: Kind, source: str = "sharegpt", path: str | None = None) -> list[Labelled]:
    """The labels of `kind` in the corpus `source`, with text and context read from it, in order of the corpus.

    Raises:
        InputError: a labelled conversation is not in the corpus, or the sentence there is another one.
    """
    wanted = _rows(kind, source)
    settings = SourceSettings(name=source, path=path, strict=False, license=None, max_conversations=None)
    found: list[Labelled] = []
    for conversation in open_source(settings, salt="labels").read():
        # A few keys occur twice in the corpus with different conversations; the sentence's hash tells which is meant.
        rows = [row for row in wanted.get(conversation.source_id, ()) if row.stands_in(conversation.turns)]
        for row in rows:
            wanted[conversation.source_id].remove(row)
            found.append(_resolved(kind, conversation, row))
    missing = sorted(key for key, rows in wanted.items() if rows)
    if missing:
        raise InputError(f"{LABELS / FILES[kind]}: labelled sentences are not in {source}: {', '.join(missing[:5])}.")
    return found


def _rows(kind: Kind, source: str) -> dict[str, list[_Row]]:
    rows: dict[str, list[_Row]] = defaultdict(list)
    with (LABELS / FILES[kind]).open(encoding="utf-8", newline="") as file:
        for raw in csv.DictReader(file):
            if raw["source"] == source and raw["label"] != "AMBIGUOUS":
                rows[raw["conversation"]].append(
                    _Row(
                        turn=int(raw["turn"]),
                        start=int(raw["start"]),
                        end=int(raw["end"]),
                        sha256=raw["sha256"],
                        stratum=raw["stratum"],
                        population=int(raw["population"]),
                        positive=raw["label"] == "POSITIVE",
                        group=raw["family" if kind == "statement" else "topic"],
                    )
                )
    return rows


def _resolved(kind: Kind, conversation: Conversation, row: _Row) -> Labelled:
    candidate = in_context(kind, conversation.turns, row.turn, row.start, row.end)
    return Labelled(
        candidate=candidate,
        positive=row.positive,
        group=row.group,
        stratum=row.stratum,
        population=row.population,
        user=conversation.source_id.rpartition("_")[0] or conversation.source_id,
        reachable=turn_filter(conversation.turns[row.turn].text) is None and is_candidate(kind, candidate.text),
    )
