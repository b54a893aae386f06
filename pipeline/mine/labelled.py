"""Labelled sentences with their context: the labels name places in the corpora, the text is read from there."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.records import Conversation, Turn
from pipeline.mine.candidates import Candidate, Kind, in_context, is_candidate, is_read, turn_filter
from pipeline.sources.base import SourceSettings
from pipeline.sources.registry import open_source

_GROUP: Mapping[Kind, str] = {"statement": "family", "query": "topic"}
LABELS = Path(__file__).with_name("labels")
"""Folder of the committed labels."""
FILES: Mapping[Kind, str] = {"statement": "statements.csv", "query": "queries.csv"}
"""Labels of sentences drawn at random within strata: they train and measure."""
CHOSEN: Mapping[Kind, str] = {"statement": "statements_chosen.csv"}
"""Labels of sentences chosen because an earlier detector ranked them high: they only train."""
FOLDS = 5
"""Parts of the users for cross-validation."""


class Labelled(NamedTuple):
    """One labelled sentence."""

    candidate: Candidate
    """The sentence in its message."""
    positive: bool
    """Whether the label is POSITIVE."""
    ambiguous: bool
    """Whether it is AMBIGUOUS."""
    group: str
    """Attribute family or topic the reader gave; empty for none."""
    stratum: str
    """Stratum it was drawn from, or "chosen"."""
    user: str
    """The corpus's user key."""
    reachable: bool
    """Whether the filters on messages and sentences let the sentence through to the prefilter."""
    weight: float
    """How many sentences of the labelled half it stands for; 0 where it was chosen rather than drawn."""

    @property
    def fold(self) -> int:
        """Part of the users it belongs to, 0 to FOLDS - 1."""
        return int(hashlib.sha256(self.user.encode()).hexdigest()[:8], 16) % FOLDS


class _Row(NamedTuple):
    turn: int
    start: int
    end: int
    sha256: str
    stratum: str
    weight: float
    label: str
    group: str

    def stands_in(self, turns: Sequence[Turn]) -> bool:
        """Whether the labelled sentence stands at its place in `turns`."""
        if self.turn >= len(turns):
            return False
        sentence = turns[self.turn].text[self.start : self.end]
        return hashlib.sha256(sentence.encode()).hexdigest() == self.sha256


def labelled(
    kind: Kind, source: str = "sharegpt", path: str | None = None, *, ambiguous: bool = False
) -> list[Labelled]:
    """The labels of `kind` in the corpus `source`, with text and context read from it, in order of the corpus.

    Sentences too unclear to call are left out unless `ambiguous` is set.

    Raises:
        InputError: a labelled conversation is not in the corpus, or the sentence there is another one.
    """
    wanted = _rows(kind, source, ambiguous)
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


def labels_by_place(kind: Kind, source: str) -> dict[tuple[str, int, int, int], str]:
    """Conversation, turn, start and end of every labelled sentence of `kind` in a corpus -> its label."""
    names = [files[kind] for files in (FILES, CHOSEN) if kind in files]
    return {
        (raw["conversation"], int(raw["turn"]), int(raw["start"]), int(raw["end"])): raw["label"]
        for name in names
        for raw in _read(name)
        if raw["source"] == source
    }


def _rows(kind: Kind, source: str, ambiguous: bool) -> dict[str, list[_Row]]:
    rows: dict[str, list[_Row]] = defaultdict(list)
    drawn = [raw for raw in _read(FILES[kind]) if raw["source"] == source]
    per_stratum = Counter(raw["stratum"] for raw in drawn)
    for raw in drawn:
        if ambiguous or raw["label"] != "AMBIGUOUS":
            weight = int(raw["population"]) / per_stratum[raw["stratum"]]
            rows[raw["conversation"]].append(_row(raw, raw["stratum"], weight, raw[_GROUP[kind]]))
    for raw in _read(CHOSEN[kind]) if kind in CHOSEN else ():
        if raw["source"] == source and raw["label"] != "AMBIGUOUS":
            rows[raw["conversation"]].append(_row(raw, "chosen", 0.0, ""))
    return rows


def _read(name: str) -> list[dict[str, str]]:
    with (LABELS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _row(raw: Mapping[str, str], stratum: str, weight: float, group: str) -> _Row:
    return _Row(
        turn=int(raw["turn"]),
        start=int(raw["start"]),
        end=int(raw["end"]),
        sha256=raw["sha256"],
        stratum=stratum,
        weight=weight,
        label=raw["label"],
        group=group,
    )


def _resolved(kind: Kind, conversation: Conversation, row: _Row) -> Labelled:
    candidate = in_context(kind, conversation.turns, row.turn, row.start, row.end)
    text = conversation.turns[row.turn].text
    return Labelled(
        candidate=candidate,
        positive=row.label == "POSITIVE",
        ambiguous=row.label == "AMBIGUOUS",
        group=row.group,
        stratum=row.stratum,
        weight=row.weight,
        user=conversation.source_id.rpartition("_")[0] or conversation.source_id,
        reachable=turn_filter(text) is None and is_read(kind, text, row.start) and is_candidate(kind, candidate.text),
    )
