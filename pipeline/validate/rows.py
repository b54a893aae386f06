"""From valid drafts to the released rows: splits, difficulty, tables."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from pipeline.core.licenses import strictest
from pipeline.core.progress import progress
from pipeline.core.records import (
    Difficulty,
    Draft,
    DraftQuestion,
    Preference,
    Question,
    QuestionKind,
    Split,
    content_id,
)
from pipeline.core.tables import parquet_sink, to_table
from pipeline.validate.config import SplitConfig, ValidateConfig
from pipeline.validate.difficulty import Asked, Encode, Yardstick, drawn, tag
from pipeline.validate.solving import Rates
from pipeline.validate.splits import SPLITS, Dealt, assign, near_duplicates
from pipeline.validate.stage import Kept, chunks
from pipeline.validate.workers import InOrder

EXPECTS: dict[QuestionKind, Literal["recall", "apply"]] = {
    QuestionKind.EXPLICIT: "recall",
    QuestionKind.REPHRASED: "recall",
    QuestionKind.IMPLICIT: "apply",
    QuestionKind.PRODUCT: "apply",
}
"""What the good answer does; every other kind expects the preference to stay out."""


_ORDER = {kind: i for i, kind in enumerate(QuestionKind)}


def deal(kept: Mapping[str, Kept], encode: Encode, config: SplitConfig) -> Dealt:
    """The split of every user."""
    return assign([item.member for item in kept.values()], config, _near(kept, encode, config))


def _near(kept: Mapping[str, Kept], encode: Encode, config: SplitConfig) -> list[tuple[str, str]]:
    """Users with nearly the same statement."""
    if config.near_duplicate is None:
        return []
    users: dict[str, str] = {}
    for item in kept.values():
        users.setdefault(item.statement, item.member.user_id)
    return near_duplicates(list(users.values()), encode(list(users)), config.near_duplicate) if users else []


class Ready(NamedTuple):
    """A valid draft with all that its rows rest on but what its texts say."""

    draft: bytes
    """The Draft as JSON."""
    bad: frozenset[int]
    """Indices of its rejected questions."""
    rates: Mapping[int, Rates]
    """Solve rates by index of the question."""
    split: Split
    """Split of its user."""
    superseded_by: str | None
    """The valid draft that replaces it."""


@dataclass(frozen=True)
class Releaser:
    """Turns drafts into rows; the same for all chunks."""

    pool: tuple[str, ...]
    """Statements among which ranks are counted; see `Yardstick`."""
    query_licenses: Mapping[str, str]
    """Licences of the mined queries by id."""
    encode: Encode
    """Sentence encoder."""
    config: ValidateConfig
    """The validate section."""

    @functools.cached_property
    def _yardstick(self) -> Yardstick:
        return Yardstick(self.pool, self.encode)

    def rows(self, chunk: Sequence[Ready]) -> list[tuple[Preference, list[Question]]]:
        """Each preference with its questions by kind and text, difficulty measured."""
        drafts = [Draft.model_validate_json(item.draft) for item in chunk]
        places = [
            (draft, index, item)
            for draft, item in zip(drafts, chunk, strict=True)
            for index in range(len(draft.questions))
            if index not in item.bad
        ]
        asked = [Asked(d.questions[i].text, d.statement.self_contained, d.attribute_type) for d, i, _ in places]
        released: dict[str, list[Question]] = defaultdict(list)
        for (draft, index, item), numbers in zip(places, self._yardstick.measure(asked), strict=True):
            measured = _with_rates(numbers, item.rates.get(index))
            question = _question(draft, draft.questions[index], measured, item.split, self.query_licenses, self.config)
            released[draft.id].append(question)
        return [
            (
                _preference(draft, item.split, item.superseded_by),
                sorted(released[draft.id], key=lambda q: (_ORDER[q.kind], q.text)),
            )
            for draft, item in zip(drafts, chunk, strict=True)
        ]

    def tables(self, chunk: Sequence[Ready]) -> Tables:
        """The rows by split, as Arrow tables, counted."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in ("split", "kind", "difficulty", "origin")}
        rows = self.rows(chunk)
        preferences: dict[Split, list[Preference]] = {split: [] for split in SPLITS}
        questions: dict[Split, list[Question]] = {split: [] for split in SPLITS}
        for preference, asked in rows:
            preferences[preference.split].append(preference)
            questions[preference.split] += asked
            counts["split"][preference.split] += 1
            for question in asked:
                counts["kind"][question.kind.value] += 1
                counts["difficulty"][question.difficulty] += 1
                counts["origin"][f"{question.kind.value}:{question.origin}"] += 1
        return Tables(
            len(chunk),
            {split: to_table(preferences[split], Preference) for split in SPLITS},
            {split: to_table(questions[split], Question) for split in SPLITS},
            counts,
        )


class Tables(NamedTuple):
    """The rows of a chunk."""

    drafts: int
    """How many drafts they come from."""
    preferences: dict[Split, pa.Table]
    """Preferences by split."""
    questions: dict[Split, pa.Table]
    """Questions by split."""
    counts: dict[str, Counter[str]]
    """Preferences by split, questions by kind, difficulty and origin."""


def releaser(
    kept: Mapping[str, Kept], query_licenses: Mapping[str, str], encode: Encode, config: ValidateConfig
) -> Releaser:
    """What turns `kept` into rows."""
    # An update names the value it replaces, so it would take the first rank from the very statement it is about.
    pool = drawn((item.statement for item in kept.values() if not item.is_update), config.difficulty)
    return Releaser(pool, query_licenses, encode, config)


def _ready(kept: Mapping[str, Kept], splits: Mapping[str, Split]) -> Iterator[list[Ready]]:
    """All drafts by id, in chunks."""
    for ids in chunks(sorted(kept)):
        rows = [kept[id_] for id_ in ids]
        yield [
            Ready(
                item.draft,
                item.bad,
                dict(item.rates),
                splits[item.member.user_id],
                item.superseded_by if item.superseded_by in kept else None,
            )
            for item in rows
        ]


def release(
    kept: Mapping[str, Kept], splits: Mapping[str, Split], make: Releaser
) -> Iterator[tuple[Preference, list[Question]]]:
    """The preferences by id, each with its questions by kind and text, difficulty measured."""
    for chunk in _ready(kept, splits):
        yield from make.rows(chunk)


def _with_rates(numbers: Difficulty, rates: Rates | None) -> Difficulty:
    if rates is None:
        return numbers
    known = {"solve_rate_with": rates.with_statement, "solve_rate_without": rates.without}
    return numbers.model_copy(update=known)


def _question(
    draft: Draft,
    question: DraftQuestion,
    numbers: Difficulty,
    split: Split,
    query_licenses: Mapping[str, str],
    config: ValidateConfig,
) -> Question:
    return Question(
        id=content_id(draft.id, question.kind, question.text),
        preference_id=draft.id,
        user_id=draft.statement.user_id,
        kind=question.kind,
        text=question.text,
        origin=question.origin,
        query_id=question.query_id,
        expects=EXPECTS.get(question.kind, "abstain"),
        accepted=question.accepted,
        difficulty=tag(numbers, config.difficulty, config.reference),
        measured=numbers,
        license=_license(draft, question, query_licenses),
        split=split,
    )


def _license(draft: Draft, question: DraftQuestion, query_licenses: Mapping[str, str]) -> str:
    texts = [draft.statement.license]
    if question.query_id is not None:
        texts.append(query_licenses.get(question.query_id, "unknown"))
    return strictest(texts)


def _preference(draft: Draft, split: Split, superseded_by: str | None) -> Preference:
    statement = draft.statement
    return Preference(
        id=draft.id,
        user_id=draft.statement.user_id,
        statement=statement.self_contained,
        attribute_type=draft.attribute_type,
        family=draft.family,
        target=draft.target,
        aliases=draft.aliases,
        cluster=draft.cluster,
        sensitive=statement.sensitive,
        evidence=statement.evidence,
        source=statement.evidence.source,
        license=statement.license,
        split=split,
        provenance=draft.provenance,
        origin=draft.origin,
        superseded_by=superseded_by,
    )


def write_dataset(
    out: Path, kept: Mapping[str, Kept], splits: Mapping[str, Split], make: Releaser, in_order: InOrder = map
) -> dict[str, Any]:
    """Write {preferences,questions}/<split>.parquet below `out`; returns what was written, counted."""
    by: dict[str, Counter[str]] = defaultdict(Counter)
    with contextlib.ExitStack() as stack, progress("validate", len(kept), "preferences") as advance:
        sinks = {
            split: (
                stack.enter_context(parquet_sink(out / "preferences" / f"{split}.parquet", Preference)),
                stack.enter_context(parquet_sink(out / "questions" / f"{split}.parquet", Question)),
            )
            for split in SPLITS
        }
        for tables in in_order(make.tables, _ready(kept, splits)):
            for split, (preferences, questions) in sinks.items():
                preferences.write_table(tables.preferences[split])
                questions.write_table(tables.questions[split])
            for name, counter in tables.counts.items():
                by[name] += counter
            advance(tables.drafts)
    users = {item.member.user_id for item in kept.values()}
    return {"users": len(users), **{f"by_{name}": dict(sorted(counter.items())) for name, counter in by.items()}}
