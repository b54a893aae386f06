"""The validate stage: drafts.jsonl to preferences and questions, with every rejected row kept and its reasons."""

from __future__ import annotations

import contextlib
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import pyarrow as pa
import pydantic
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from pipeline.core.licenses import strictest
from pipeline.core.progress import progress
from pipeline.core.records import (
    TARGET_KINDS,
    Difficulty,
    Draft,
    DraftQuestion,
    Dropped,
    Preference,
    Question,
    QuestionKind,
    Split,
    content_id,
)
from pipeline.core.schemas import resolved
from pipeline.core.tables import parquet_sink, to_table
from pipeline.core.wording import stems
from pipeline.llm.client import Client
from pipeline.validate.config import ReferenceConfig, RulesConfig, SplitConfig, ValidateConfig
from pipeline.validate.difficulty import Asked, Encode, Yardstick, drawn, tag
from pipeline.validate.rules import Reason, Violation, check_draft, missing_kinds
from pipeline.validate.solving import Posed, Rates, solve_rates
from pipeline.validate.splits import SPLITS, Dealt, Member, assign, member, near_duplicates
from pipeline.validate.workers import InOrder

T = TypeVar("T")

EXPECTS: dict[QuestionKind, Literal["recall", "apply"]] = {
    QuestionKind.EXPLICIT: "recall",
    QuestionKind.REPHRASED: "recall",
    QuestionKind.IMPLICIT: "apply",
    QuestionKind.PRODUCT: "apply",
}
"""What the good answer does; every other kind expects the preference to stay out."""


_ORDER = {kind: i for i, kind in enumerate(QuestionKind)}

CHUNK = 512
"""Drafts read, or measured and written, together."""


class Kept(NamedTuple):
    """A valid draft, held as JSON so that a hundred thousand fit into memory."""

    draft: bytes
    """The Draft as JSON."""
    bad: frozenset[int]
    """Indices of its rejected questions."""
    member: Member
    """What decides its split."""
    statement: str
    """Its statement, self-contained."""
    asked: int
    """How many questions it has, rejected ones included."""
    rejected: tuple[Dropped, ...] = ()
    """Its rejected questions."""
    is_update: bool = False
    """Whether the statement is an update that we wrote."""
    superseded_by: str | None = None
    """The draft that replaces it."""
    rates: Mapping[int, Rates] = {}
    """Solve rates by index of the question."""


class Judged(NamedTuple):
    """A draft by itself: what the rules say of it."""

    kept: Kept | None
    """The draft, where it is valid."""
    rejected: Dropped | None
    """The draft or the unreadable line, where it is not."""
    id: str
    """Id of the draft; empty for a line that is none."""
    fact: tuple[str, ...]
    """User, attribute type and target: the same user has each once. Empty for a line that is no draft."""


class Checked(NamedTuple):
    """What the rules let pass and what they keep back."""

    kept: dict[str, Kept]
    """Valid drafts by id."""
    rejected_drafts: list[Dropped]
    """Rejected drafts, each with every reason."""
    drafts_in: int
    """Drafts read, unreadable ones included."""

    @property
    def rejected(self) -> list[Dropped]:
        """Rejected drafts, then the rejected questions of valid ones, each with every reason."""
        return [*self.rejected_drafts, *(row for item in self.kept.values() for row in item.rejected)]

    @property
    def counts(self) -> dict[str, Any]:
        """Rows, for which in == out + rejected: drafts and for the questions of kept drafts."""
        asked = sum(item.asked for item in self.kept.values())
        bad = sum(len(item.bad) for item in self.kept.values())
        out = len(self.kept)
        return {
            "drafts": {"in": self.drafts_in, "out": out, "rejected": self.drafts_in - out},
            "questions": {"in": asked, "out": asked - bad, "rejected": bad},
            "rejected_by_reason": dict(sorted(Counter(row.reason for row in self.rejected).items())),
        }


def parse_drafts(lines: Iterable[bytes], schema: Mapping[str, Any], first: int = 1) -> Iterator[Draft | Dropped]:
    """Each line as a Draft, or as a Dropped row whose detail names the line, the path in it and the broken rule.

    The schema is generated from the record, so a line that is a Draft as it stands (nothing converted) needs no second
    look; only the others are held against the schema, which words the fault. `first` is the number of the first line.
    """
    validator = Draft202012Validator(resolved(dict(schema)))
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            yield Draft.model_validate_json(line, strict=True)
        except pydantic.ValidationError:
            yield _by_schema(validator, number, line)


def _by_schema(validator: Draft202012Validator, number: int, line: bytes) -> Draft | Dropped:
    text = line.decode("utf-8", "replace").rstrip("\n")
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return _unreadable(text, f"line {number}: not valid JSON: {error}")
    fault = best_match(validator.iter_errors(value))
    return _unreadable(text, _said(number, fault)) if fault else Draft.model_validate(value)


def _said(number: int, error: ValidationError) -> str:
    return f"line {number}: at {error.json_path}: {error.message[:200]} (rule {error.validator!r})"


def _unreadable(text: str, detail: str) -> Dropped:
    return Dropped(id=content_id(text), stage="validate", reason=Reason.SCHEMA, detail=detail, row=text)


def check_lines(
    lines: Iterable[bytes], schema: Mapping[str, Any], config: ValidateConfig, in_order: InOrder = map
) -> Checked:
    """Apply the rules to every draft of a drafts.jsonl, a chunk at a time."""
    judged = in_order(partial(_judge_lines, schema=schema, rules=config.rules), _chunks(enumerate(lines, start=1)))
    return _collected(chain.from_iterable(judged), config.rules)


def check(drafts: Iterable[Draft | Dropped], config: ValidateConfig) -> Checked:
    """Apply the rules to every draft."""
    return _collected((_judge(draft, config.rules) for draft in drafts), config.rules)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _judge_lines(lines: Sequence[tuple[int, bytes]], schema: Mapping[str, Any], rules: RulesConfig) -> list[Judged]:
    drafts = parse_drafts((line for _, line in lines), schema, first=lines[0][0])
    return [_judge(draft, rules) for draft in drafts]


def _judge(draft: Draft | Dropped, rules: RulesConfig) -> Judged:
    if isinstance(draft, Dropped):
        return Judged(None, draft, "", ())
    fact = (draft.statement.user_id, *stems(draft.attribute_type), "=", *stems(draft.target))
    violations = check_draft(draft, rules)
    if any(violation.question is None for violation in violations):
        return Judged(None, _rejected_draft(draft, violations), draft.id, fact)
    return Judged(_keep(draft, _by_question(violations)), None, draft.id, fact)


def _collected(judged: Iterable[Judged], rules: RulesConfig) -> Checked:
    rejected: list[Dropped] = []
    kept: dict[str, Kept] = {}
    seen: set[tuple[str, ...]] = set()
    drafts_in = 0
    for item in judged:
        drafts_in += 1
        if item.fact and item.fact in seen:
            rejected.append(_repeated(item, rules))
        elif item.kept is not None:
            kept[item.id] = item.kept
        elif item.rejected is not None:
            rejected.append(item.rejected)
        seen.add(item.fact)
    return _without_lone_updates(Checked(kept, rejected, drafts_in))


def _repeated(item: Judged, rules: RulesConfig) -> Dropped:
    """A draft whose user has its fact already, rejected for that before anything else."""
    draft = Draft.model_validate_json(item.kept.draft if item.kept else item.rejected.row if item.rejected else "")
    again = Violation(Reason.DUPLICATE, f"user already has {draft.attribute_type!r} = {draft.target!r}", None)
    return _rejected_draft(draft, [again, *check_draft(draft, rules)])


def without_guessable(checked: Checked, client: Client, config: ReferenceConfig, rules: RulesConfig) -> Checked:
    """`checked` with the solve rates of a reference model; what it can guess without the statement is rejected.

    Raises:
        LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
    """
    drafts = {id_: Draft.model_validate_json(item.draft) for id_, item in checked.kept.items()}
    places = [
        (id_, index)
        for id_, draft in drafts.items()
        for index, question in enumerate(draft.questions)
        if question.kind in TARGET_KINDS and index not in checked.kept[id_].bad
    ]
    posed = [
        Posed(question.text, draft.statement.self_contained, question.accepted)
        for draft, question in ((drafts[id_], drafts[id_].questions[index]) for id_, index in places)
    ]
    rates: dict[str, dict[int, Rates]] = defaultdict(dict)
    for (id_, index), found in zip(places, solve_rates(client, posed, config), strict=True):
        rates[id_][index] = found
    kept: dict[str, Kept] = {}
    rejected = list(checked.rejected_drafts)
    for id_, item in checked.kept.items():
        guessed = {
            index: [Violation(Reason.GUESSABLE, f"{found.without:.2f} solved without the statement", index)]
            for index, found in rates[id_].items()
            if found.without is not None and found.without > config.max_guess_rate
        }
        bad = item.bad | guessed.keys()
        missing = missing_kinds(drafts[id_], bad, rules)
        if missing:
            faults = [*missing, *(violation for found in guessed.values() for violation in found)]
            rejected.append(_rejected_draft(drafts[id_], faults))
            continue
        also = [_rejected_question(drafts[id_], drafts[id_].questions[i], found) for i, found in guessed.items()]
        kept[id_] = item._replace(bad=frozenset(bad), rejected=(*item.rejected, *also), rates=rates[id_])
    return _without_lone_updates(Checked(kept, rejected, checked.drafts_in))


def _without_lone_updates(checked: Checked) -> Checked:
    """Reject the updates of preferences that are not kept: nothing is left for them to replace."""
    replacing = {item.superseded_by for item in checked.kept.values()}
    lone = {id_ for id_, item in checked.kept.items() if item.is_update and id_ not in replacing}
    nothing = [Violation(Reason.NOTHING_TO_REPLACE, "its earlier preference was rejected", None)]
    gone = [_rejected_draft(Draft.model_validate_json(checked.kept[id_].draft), nothing) for id_ in sorted(lone)]
    kept = {id_: item for id_, item in checked.kept.items() if id_ not in lone}
    return checked._replace(kept=kept, rejected_drafts=[*checked.rejected_drafts, *gone])


def deal(kept: Mapping[str, Kept], encode: Encode, config: SplitConfig) -> Dealt:
    """The split of every user."""
    return assign([item.member for item in kept.values()], config, _near(kept, encode, config))


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
    for ids in _chunks(sorted(kept)):
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


def _near(kept: Mapping[str, Kept], encode: Encode, config: SplitConfig) -> list[tuple[str, str]]:
    """Users with nearly the same statement."""
    if config.near_duplicate is None:
        return []
    users: dict[str, str] = {}
    for item in kept.values():
        users.setdefault(item.statement, item.member.user_id)
    return near_duplicates(list(users.values()), encode(list(users)), config.near_duplicate) if users else []


def _with_rates(numbers: Difficulty, rates: Rates | None) -> Difficulty:
    if rates is None:
        return numbers
    known = {"solve_rate_with": rates.with_statement, "solve_rate_without": rates.without}
    return numbers.model_copy(update=known)


def _keep(draft: Draft, faults: Mapping[int, list[Violation]]) -> Kept:
    return Kept(
        draft=draft.model_dump_json().encode(),
        bad=frozenset(faults),
        member=member(draft),
        statement=draft.statement.self_contained,
        asked=len(draft.questions),
        rejected=tuple(_rejected_question(draft, draft.questions[i], found) for i, found in faults.items()),
        is_update=draft.origin == "template",
        superseded_by=draft.superseded_by,
    )


def _by_question(violations: Iterable[Violation]) -> dict[int, list[Violation]]:
    bad: dict[int, list[Violation]] = {}
    for violation in violations:
        if violation.question is not None:
            bad.setdefault(violation.question, []).append(violation)
    return bad


def _why(violations: Iterable[Violation]) -> str:
    return "; ".join(f"{violation.reason}: {violation.detail}" for violation in violations)


def _rejected_draft(draft: Draft, violations: list[Violation]) -> Dropped:
    # The draft's own fault is the reason; faults of its questions (which may have caused it) stand in the detail.
    first = next(violation for violation in violations if violation.question is None)
    return Dropped(
        id=draft.id, stage="validate", reason=first.reason, detail=_why(violations), row=draft.model_dump_json()
    )


def _rejected_question(draft: Draft, question: DraftQuestion, violations: list[Violation]) -> Dropped:
    return Dropped(
        id=content_id(draft.id, question.kind, question.text),
        stage="validate",
        reason=violations[0].reason,
        detail=f"of draft {draft.id}: {_why(violations)}",
        row=question.model_dump_json(),
    )


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
