"""The validate stage: drafts.jsonl to preferences and questions, with every rejected row kept and its reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from pipeline.core.licenses import strictest
from pipeline.core.records import (
    Draft,
    DraftQuestion,
    Dropped,
    Preference,
    Question,
    QuestionKind,
    Split,
    content_id,
)
from pipeline.core.wording import stems
from pipeline.validate.config import ValidateConfig
from pipeline.validate.difficulty import Asked, Encode, measure, tag
from pipeline.validate.rules import Reason, Violation, check_draft
from pipeline.validate.splits import SPLITS, Member, assign

EXPECTS: dict[QuestionKind, Literal["recall", "apply"]] = {
    QuestionKind.EXPLICIT: "recall",
    QuestionKind.REPHRASED: "recall",
    QuestionKind.IMPLICIT: "apply",
    QuestionKind.PRODUCT: "apply",
}
"""What the good answer does; every other kind expects the preference to stay out."""


class Validated(NamedTuple):
    """What the stage passes on and what it keeps back."""

    preferences: list[Preference]
    """Valid preferences, by id."""
    questions: list[Question]
    """Their valid questions, by preference, kind and text."""
    rejected: list[Dropped]
    """Rejected drafts and questions."""
    counts: dict[str, Any]
    """Rows in and out, rejections by reason; in == out + rejected for drafts and for questions of kept drafts."""


def parse_drafts(lines: Iterable[bytes], schema: Mapping[str, Any]) -> Iterator[Draft | Dropped]:
    """Each line as a Draft, or as a Dropped row whose detail names the line, the path in it and the broken rule."""
    validator = Draft202012Validator(schema)
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


def validate_drafts(
    drafts: Iterable[Draft | Dropped], query_licenses: Mapping[str, str], encode: Encode, config: ValidateConfig
) -> Validated:
    """Apply all rules, measure difficulty and assign splits."""
    rejected: list[Dropped] = []
    kept: dict[str, tuple[Draft, tuple[DraftQuestion, ...]]] = {}
    seen: set[tuple[str, ...]] = set()
    drafts_in = questions_in = 0
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
        questions_in += len(draft.questions)
        rejected += [_rejected_question(draft, draft.questions[i], found) for i, found in bad.items()]
        kept[draft.id] = draft, tuple(q for i, q in enumerate(draft.questions) if i not in bad)
    preferences, questions = _release(kept, query_licenses, encode, config)
    counts = {
        "drafts": {"in": drafts_in, "out": len(preferences), "rejected": drafts_in - len(preferences)},
        "questions": {"in": questions_in, "out": len(questions), "rejected": questions_in - len(questions)},
        "rejected_by_reason": dict(sorted(Counter(row.reason for row in rejected).items())),
        "users": len({p.user_id for p in preferences}),
        "by_split": {s: sum(p.split == s for p in preferences) for s in SPLITS},
        "by_kind": dict(sorted(Counter(q.kind.value for q in questions).items())),
        "by_difficulty": dict(sorted(Counter(q.difficulty for q in questions).items())),
        "by_origin": dict(sorted(Counter(f"{q.kind.value}:{q.origin}" for q in questions).items())),
    }
    return Validated(preferences, questions, rejected, counts)


def _duplicate(draft: Draft, seen: set[tuple[str, ...]]) -> Iterator[Violation]:
    key = (draft.statement.user_id, " ".join(stems(draft.attribute_type)), " ".join(stems(draft.target)))
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


def _release(
    kept: Mapping[str, tuple[Draft, tuple[DraftQuestion, ...]]],
    query_licenses: Mapping[str, str],
    encode: Encode,
    config: ValidateConfig,
) -> tuple[list[Preference], list[Question]]:
    members = [
        Member(draft.statement.user_id, tuple(stems(draft.statement.self_contained)), draft.statement.family)
        for draft, _ in kept.values()
    ]
    split = assign(members, config.split)
    preferences = [_preference(draft, split[draft.statement.user_id]) for draft, _ in kept.values()]
    pairs = [(draft, question) for draft, questions in kept.values() for question in questions]
    asked = [Asked(q.text, draft.statement.self_contained, draft.attribute_type) for draft, q in pairs]
    released = [
        Question(
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
            split=split[draft.statement.user_id],
        )
        for (draft, question), numbers in zip(pairs, measure(asked, encode, config.difficulty), strict=True)
    ]
    preferences.sort(key=lambda p: p.id)
    released.sort(key=lambda q: (q.preference_id, list(QuestionKind).index(q.kind), q.text))
    return preferences, released


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
    )
