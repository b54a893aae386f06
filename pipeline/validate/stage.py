"""The first half of the validate stage: which drafts and questions are valid; rejected ones are kept with reasons."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import pydantic
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from pipeline.core.records import (
    TARGET_KINDS,
    Draft,
    DraftQuestion,
    Dropped,
    content_id,
)
from pipeline.core.schemas import resolved
from pipeline.core.wording import stems
from pipeline.llm.client import Client
from pipeline.validate.config import ReferenceConfig, RulesConfig, ValidateConfig
from pipeline.validate.rules import Reason, Violation, check_draft, missing_kinds
from pipeline.validate.solving import Posed, Rates, solve_rates
from pipeline.validate.splits import Member, member
from pipeline.validate.workers import InOrder

T = TypeVar("T")

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
    judged = in_order(partial(_judge_lines, schema=schema, rules=config.rules), chunks(enumerate(lines, start=1)))
    return _collected(chain.from_iterable(judged), config.rules)


def check(drafts: Iterable[Draft | Dropped], config: ValidateConfig) -> Checked:
    """Apply the rules to every draft."""
    return _collected((_judge(draft, config.rules) for draft in drafts), config.rules)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """`items`, CHUNK at a time."""
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
