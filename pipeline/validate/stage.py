"""The validate stage: drafts.jsonl to preferences and questions, with every rejected row kept and its reasons."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from pipeline.core.licenses import strictest
from pipeline.core.progress import progress
from pipeline.core.records import (
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
from pipeline.core.tables import parquet_sink
from pipeline.core.wording import stems
from pipeline.validate.config import ValidateConfig
from pipeline.validate.difficulty import Asked, Encode, Yardstick, tag
from pipeline.validate.rules import Reason, Violation, check_draft
from pipeline.validate.splits import SPLITS, Member, assign

EXPECTS: dict[QuestionKind, Literal["recall", "apply"]] = {
    QuestionKind.EXPLICIT: "recall",
    QuestionKind.REPHRASED: "recall",
    QuestionKind.IMPLICIT: "apply",
    QuestionKind.PRODUCT: "apply",
}
"""What the good answer does; every other kind expects the preference to stay out."""


_ORDER = {kind: i for i, kind in enumerate(QuestionKind)}

CHUNK = 1024
"""Drafts measured and written together."""


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


class Checked(NamedTuple):
    """What the rules let pass and what they keep back."""

    kept: dict[str, Kept]
    """Valid drafts by id."""
    rejected: list[Dropped]
    """Rejected drafts and questions, each with every reason."""
    counts: dict[str, Any]
    """in == out + rejected, for drafts and for the questions of kept drafts."""


def parse_drafts(lines: Iterable[bytes], schema: Mapping[str, Any]) -> Iterator[Draft | Dropped]:
    """Each line as a Draft, or as a Dropped row whose detail names the line, the path in it and the broken rule."""
    validator = Draft202012Validator(resolved(dict(schema)))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        text = line.decode("utf-8", "replace").rstrip("\n")
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            yield _unreadable(text, f"line {number}: not valid JSON: {error}")
            continue
        fault = best_match(validator.iter_errors(value))
        yield _unreadable(text, _said(number, fault)) if fault else Draft.model_validate(value)


def _said(number: int, error: ValidationError) -> str:
    return f"line {number}: at {error.json_path}: {error.message[:200]} (rule {error.validator!r})"


def _unreadable(text: str, detail: str) -> Dropped:
    return Dropped(id=content_id(text), stage="validate", reason=Reason.SCHEMA, detail=detail, row=text)


def check(drafts: Iterable[Draft | Dropped], config: ValidateConfig) -> Checked:
    """Apply the rules to every draft."""
    rejected: list[Dropped] = []
    kept: dict[str, Kept] = {}
    seen: set[tuple[str, ...]] = set()
    drafts_in = questions_in = questions_bad = 0
    for draft in drafts:
        drafts_in += 1
        if isinstance(draft, Dropped):
            rejected.append(draft)
            continue
        violations = [*_duplicate(draft, seen), *check_draft(draft, config.rules)]
        if any(violation.question is None for violation in violations):
            rejected.append(_rejected_draft(draft, violations))
            continue
        bad = _by_question(violations)
        rejected += [_rejected_question(draft, draft.questions[i], found) for i, found in bad.items()]
        questions_in += len(draft.questions)
        questions_bad += len(bad)
        kept[draft.id] = _keep(draft, frozenset(bad))
    counts = {
        "drafts": {"in": drafts_in, "out": len(kept), "rejected": drafts_in - len(kept)},
        "questions": {"in": questions_in, "out": questions_in - questions_bad, "rejected": questions_bad},
        "rejected_by_reason": dict(sorted(Counter(row.reason for row in rejected).items())),
    }
    return Checked(kept, rejected, counts)


def release(
    kept: Mapping[str, Kept], query_licenses: Mapping[str, str], encode: Encode, config: ValidateConfig
) -> Iterator[tuple[Preference, list[Question]]]:
    """The preferences by id, each with its questions by kind and text: difficulty measured, split assigned."""
    splits = assign([item.member for item in kept.values()], config.split)
    yardstick = Yardstick((item.statement for item in kept.values()), encode, config.difficulty)
    ids = sorted(kept)
    for start in range(0, len(ids), CHUNK):
        rows = [kept[id_] for id_ in ids[start : start + CHUNK]]
        drafts = [(Draft.model_validate_json(item.draft), item.bad) for item in rows]
        pairs = [(d, q) for d, bad in drafts for i, q in enumerate(d.questions) if i not in bad]
        asked = [Asked(q.text, d.statement.self_contained, d.attribute_type) for d, q in pairs]
        released: dict[str, list[Question]] = defaultdict(list)
        for (draft, question), numbers in zip(pairs, yardstick.measure(asked), strict=True):
            split = splits[draft.statement.user_id]
            released[draft.id].append(_question(draft, question, numbers, split, query_licenses, config))
        for draft, _ in drafts:
            questions = sorted(released[draft.id], key=lambda q: (_ORDER[q.kind], q.text))
            yield _preference(draft, splits[draft.statement.user_id]), questions


def _keep(draft: Draft, bad: frozenset[int]) -> Kept:
    statement = draft.statement
    repeated = stems(statement.self_contained)
    member = Member(statement.user_id, repeated, statement.family)
    return Kept(draft.model_dump_json().encode(), bad, member, statement.self_contained)


def _duplicate(draft: Draft, seen: set[tuple[str, ...]]) -> Iterator[Violation]:
    key = (draft.statement.user_id, *stems(draft.attribute_type), "=", *stems(draft.target))
    if key in seen:
        yield Violation(Reason.DUPLICATE, f"user already has {draft.attribute_type!r} = {draft.target!r}", None)
    seen.add(key)


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
        detail=_why(violations),
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
        difficulty=tag(numbers, config.difficulty),
        measured=numbers,
        license=_license(draft, question, query_licenses),
        split=split,
    )


def _license(draft: Draft, question: DraftQuestion, query_licenses: Mapping[str, str]) -> str:
    texts = [draft.statement.license]
    if question.query_id is not None:
        texts.append(query_licenses.get(question.query_id, "unknown"))
    return strictest(texts)


def _preference(draft: Draft, split: Split) -> Preference:
    statement = draft.statement
    return Preference(
        id=draft.id,
        user_id=draft.statement.user_id,
        statement=statement.self_contained,
        attribute_type=draft.attribute_type,
        family=statement.family,
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
        superseded_by=draft.superseded_by,
    )


def write_dataset(out: Path, rows: Iterable[tuple[Preference, list[Question]]], total: int) -> dict[str, Any]:
    """Write {preferences,questions}/<split>.parquet below `out`; returns what was written, counted."""
    users: set[str] = set()
    by: dict[str, Counter[str]] = {name: Counter() for name in ("split", "kind", "difficulty", "origin")}
    with contextlib.ExitStack() as stack, progress("validate", total, "preferences") as advance:
        sinks = {
            split: (
                stack.enter_context(parquet_sink(out / "preferences" / f"{split}.parquet", Preference)),
                stack.enter_context(parquet_sink(out / "questions" / f"{split}.parquet", Question)),
            )
            for split in SPLITS
        }
        for preference, questions in rows:
            preferences_sink, questions_sink = sinks[preference.split]
            preferences_sink.write(preference)
            users.add(preference.user_id)
            by["split"][preference.split] += 1
            for question in questions:
                questions_sink.write(question)
                by["kind"][question.kind.value] += 1
                by["difficulty"][question.difficulty] += 1
                by["origin"][f"{question.kind.value}:{question.origin}"] += 1
            advance(1)
    return {"users": len(users), **{f"by_{name}": dict(sorted(counter.items())) for name, counter in by.items()}}
