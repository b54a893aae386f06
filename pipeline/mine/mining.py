"""From conversations to statements, queries and dropped candidates: the part of the stage that looks at one shard."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.core.records import Conversation, Dropped, Evidence, Query, Statement, content_id
from pipeline.embedding import DIMENSION, Vectors, encoder, fastest, read
from pipeline.mine.candidates import Candidate, Kind, candidates
from pipeline.mine.clock import Clock
from pipeline.mine.config import MineSettings
from pipeline.mine.detector import load_machines, prototypes
from pipeline.mine.features import LAYERS_READ, Features, features_of
from pipeline.mine.language import user_language
from pipeline.mine.pii import Redacted, redact
from pipeline.mine.prefilter import Prefilter, load_prefilters
from pipeline.mine.reasons import DropReason
from pipeline.mine.rewrite import asks_alone, mostly_redacted, self_contained
from pipeline.mine.sensitive import sensitive_categories

STAGE = "mine"
MOST_PER_TURN = 8
"""Candidates of a kind taken from one message: more is a questionnaire or a pasted text."""


Row = Statement | Query
"""A mined row."""
Waiting = Callable[[str], Row]
"""A row that only lacks its family or topic."""


@dataclass
class ShardResult:
    """What one shard gave."""

    kept: list[Row] = field(default_factory=list)
    """Rows that passed every rule that looks at one row alone, in order of appearance; without history."""
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, DIMENSION), dtype=np.float32))
    """Embeddings of `kept`, one row each."""
    dropped: list[Dropped] = field(default_factory=list)
    """Dropped candidates, in order of appearance."""
    counts: Counter[str] = field(default_factory=Counter)
    """Conversations, user turns, turns removed by filter ("turns_removed.<filter>"), candidates by kind."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor seconds by step; the steps are in `docs/mining.md`."""


class Origin(NamedTuple):
    """What a row needs to know of the conversation it comes from."""

    source: str
    """Name of the source."""
    conversation: str
    """The source's key of the conversation."""
    user_id: str
    """Salted hash of the user."""
    license: str
    """SPDX id, or "unknown"."""
    language: str
    """BCP-47 language of what the user wrote."""


class Sighting(NamedTuple):
    """A candidate with where it comes from."""

    candidate: Candidate
    """The sentence and what is known about its place."""
    origin: Origin
    """Its conversation."""


class Found(NamedTuple):
    """The candidates of a shard before anything is embedded: small, whatever the conversations hold."""

    candidates: Sequence[Sighting]
    """In order of appearance."""
    counts: Counter[str]
    """See `ShardResult.counts`."""
    seconds: dict[str, float]
    """See `ShardResult.seconds`."""


def find(conversations: Iterable[Conversation]) -> Found:
    """The candidates in `conversations`: filters and prefilters, no embedding."""
    counts: Counter[str] = Counter()
    found: list[Sighting] = []
    prefilters = load_prefilters()
    clock = Clock()
    for conversation in conversations:
        clock.lap("read")
        counts["conversations"] += 1
        user_turns = [turn for turn in conversation.turns if turn.role == "user"]
        counts["user_turns"] += len(user_turns)
        counts["user_characters"] += sum(len(turn.text) for turn in user_turns)
        removed: Counter[str] = Counter()
        here = _worth_embedding(candidates(conversation.turns, removed, clock), prefilters, counts, clock)
        counts.update({f"turns_removed.{name}": number for name, number in removed.items()})
        counts["turns_with_candidates"] += len({candidate.turn for candidate in here})
        counts["conversations_with_candidates"] += bool(here)
        if here:
            origin = _origin(conversation)
            clock.lap("language")
            found += [Sighting(candidate, origin) for candidate in here]
    counts.update(f"candidates.{one.candidate.kind}" for one in found)
    return Found(found, counts, clock.seconds())


def warm_up(settings: MineSettings) -> None:
    """Load the models once, before several threads judge with them."""
    encoder(fastest(settings.dtype))
    prototypes("families")
    prototypes("topics")
    _machines()


def judge(shard: Found, settings: MineSettings) -> ShardResult:
    """Every candidate of `shard` as a kept or a dropped row.

    The detector judges by the first layers of the encoder; only what becomes a row goes through the others.
    """
    clock = Clock()
    found = shard.candidates
    number_of = {text: number for number, text in enumerate(dict.fromkeys(one.candidate.text for one in found))}
    texts = [number_of[one.candidate.text] for one in found]
    reading = read(list(number_of), layers=LAYERS_READ, dtype=fastest(settings.dtype))
    clock.lap("embedding")
    probabilities = _probabilities(found, features_of([one.candidate for one in found], reading.vectors[texts]))
    clock.lap("detector")
    outcomes = [_judge(one, probability, settings) for one, probability in zip(found, probabilities, strict=True)]
    clock.lap("rows")
    passed = {number: outcome for number, outcome in enumerate(outcomes) if not isinstance(outcome, Dropped)}
    distinct = sorted({texts[number] for number in passed})
    vectors = reading.finished(distinct)[np.searchsorted(distinct, [texts[number] for number in passed])]
    clock.lap("embedding_of_rows")
    groups = _groups([found[number] for number in passed], vectors)
    clock.lap("family")
    return ShardResult(
        kept=[finish(group) for finish, group in zip(passed.values(), groups, strict=True)],
        vectors=vectors,
        dropped=[outcome for outcome in outcomes if isinstance(outcome, Dropped)],
        counts=shard.counts,
        seconds=shard.seconds | clock.seconds(),
    )


def _origin(conversation: Conversation) -> Origin:
    return Origin(
        source=conversation.source,
        conversation=conversation.source_id,
        user_id=conversation.user_id,
        license=conversation.license,
        language=conversation.language or user_language(conversation.turns),
    )


def _worth_embedding(
    sentences: Iterable[Candidate], prefilters: dict[Kind, Prefilter], counts: Counter[str], clock: Clock
) -> list[Candidate]:
    """The sentences that become candidates: those that their kind's prefilter keeps."""
    kept: list[Candidate] = []
    per_turn: Counter[tuple[str, int]] = Counter()
    for sentence in sentences:
        counts[f"sentences.{sentence.kind}"] += 1
        keeps = prefilters[sentence.kind].keeps(sentence)
        clock.lap("prefilter")
        if not keeps:
            counts[f"sentences_removed.prefilter.{sentence.kind}"] += 1
            continue
        per_turn[sentence.kind, sentence.turn] += 1
        if per_turn[sentence.kind, sentence.turn] > MOST_PER_TURN:
            counts["sentences_removed.crowded_turn"] += 1
            continue
        kept.append(sentence)
    return kept


def _probabilities(found: Sequence[Sighting], features: Features) -> list[float]:
    probabilities = np.zeros(len(found))
    for kind, machine in _machines().items():
        rows = [number for number, one in enumerate(found) if one.candidate.kind == kind]
        if rows:
            probabilities[rows] = machine.probability(features.take(rows))
    return [float(probability) for probability in probabilities]


_machines = lru_cache(load_machines)
"""The committed machines, loaded once."""


def _groups(found: Sequence[Sighting], vectors: Vectors) -> list[str]:
    """Family of each statement, topic of each query; `vectors` are their embeddings."""
    if not found:
        return []
    families = prototypes("families").nearest(vectors)
    topics = prototypes("topics").nearest(vectors)
    pairs = zip(found, families, topics, strict=True)
    return [family if one.candidate.kind == "statement" else topic for one, family, topic in pairs]


def _judge(one: Sighting, probability: float, settings: MineSettings) -> Waiting | Dropped:
    redacted = redact(one.candidate.text)
    threshold = settings.statement_threshold if one.candidate.kind == "statement" else settings.query_threshold
    if one.origin.language not in settings.languages:
        return _drop(one, redacted, DropReason.LANGUAGE, one.origin.language)
    if probability < threshold:
        return _drop(one, redacted, DropReason.UNLIKELY, f"{probability:.4f} < {threshold}")
    if mostly_redacted(redacted.text):
        return _drop(one, redacted, DropReason.MOSTLY_REDACTED, redacted.text)
    sensitive = sensitive_categories(redacted.text)
    is_query = one.candidate.kind == "query"
    # A query bears no tag and is asked in the name of other users as well, so `tag` does not let it through either.
    if sensitive and (settings.sensitive == "drop" or (is_query and settings.sensitive == "tag")):
        return _drop(one, redacted, DropReason.SENSITIVE, ", ".join(sensitive))
    if is_query:
        if not asks_alone(redacted.text):
            return _drop(one, redacted, DropReason.UNRESOLVED_REFERENCE, redacted.text)
        return lambda topic: _query(one, redacted, probability, topic)
    return _statement(one, redacted, probability, sensitive if settings.sensitive == "tag" else ())


def _statement(one: Sighting, redacted: Redacted, probability: float, sensitive: tuple[str, ...]) -> Waiting | Dropped:
    alone = self_contained(redacted.text)
    if alone is None:
        return _drop(one, redacted, DropReason.UNRESOLVED_REFERENCE, redacted.text)
    return lambda family: Statement(
        id=_row_id(one, redacted.text),
        user_id=one.origin.user_id,
        evidence=_evidence(one),
        text=redacted.text,
        self_contained=alone,
        family=family,
        confidence=probability,
        sensitive=sensitive,
        language=one.origin.language,
        license=one.origin.license,
        redactions=redacted.log,
        history=(),
    )


def _query(one: Sighting, redacted: Redacted, probability: float, topic: str) -> Query:
    return Query(
        id=_row_id(one, redacted.text),
        user_id=one.origin.user_id,
        evidence=_evidence(one),
        text=redacted.text,
        topic=topic,
        confidence=probability,
        language=one.origin.language,
        license=one.origin.license,
        redactions=redacted.log,
    )


def _evidence(one: Sighting) -> Evidence:
    return Evidence(
        source=one.origin.source,
        conversation=one.origin.conversation,
        turn=one.candidate.turn,
        start=one.candidate.span.start,
        end=one.candidate.span.end,
    )


def _row_id(one: Sighting, text: str) -> str:
    return content_id(one.candidate.kind, _evidence(one).model_dump(), text)


def _drop(one: Sighting, redacted: Redacted, reason: DropReason, detail: str) -> Dropped:
    row = {
        "kind": one.candidate.kind,
        "user_id": one.origin.user_id,
        "evidence": _evidence(one).model_dump(),
        "text": redacted.text,
        "redactions": [entry.model_dump() for entry in redacted.log],
        "license": one.origin.license,
    }
    return Dropped(
        id=_row_id(one, redacted.text),
        stage=STAGE,
        reason=reason.value,
        detail=detail,
        row=json.dumps(row, ensure_ascii=False),
    )
