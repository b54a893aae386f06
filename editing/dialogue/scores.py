"""Scores of the questions asked after other turns, by number of turns; docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from editing.dialogue.answers import TurnAnswer
from editing.judges.base import Item, Judge, Ruling
from editing.judges.checks import local_checks
from editing.judges.embedding import EmbeddingJudge
from editing.judges.llm import LLMJudge
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import KINDS, count, kind_scores, share_estimates
from pipeline.core.records import QuestionKind
from pipeline.core.tables import read_parquet

Checked = Mapping[str, bool | None]
"""The four checks of one answer; None is unscored."""
OVERFLOW = Ruling("unscored", "context overflow")
"""The ruling on a question that was not asked."""
GOOD = frozenset({"acknowledged", "preference_following", "helpful"})
"""Shares of which more is better; of all others less is."""


def read_turn_answers(run: Path) -> list[TurnAnswer]:
    """The answers after other turns of a run; none where the stage was not run."""
    path = run / "multiturn.parquet"
    return list(read_parquet(path, TurnAnswer)) if path.is_file() else []


def asked(answers: Sequence[TurnAnswer], items: Sequence[Item]) -> list[Item]:
    """The items of the questions that were asked."""
    return [item for answer, item in zip(answers, items, strict=True) if not answer.overflow]


def checkable(answers: Sequence[TurnAnswer], items: Sequence[Item]) -> list[Item]:
    """Those of them whose answers are checked: to implicit questions."""
    return [item for item in asked(answers, items) if item.kind is QuestionKind.IMPLICIT]


def rule(judge: Judge, answers: Sequence[TurnAnswer], items: Sequence[Item], chunk: int) -> list[Ruling]:
    """One judge's rulings, in order; a question that was not asked is unscored."""
    left = asked(answers, items)
    found = iter([ruling for at in range(0, len(left), chunk) for ruling in judge.rule(left[at : at + chunk])])
    return [OVERFLOW if answer.overflow else next(found) for answer in answers]


def check(judge: Judge, answers: Sequence[TurnAnswer], items: Sequence[Item]) -> tuple[str, list[Checked]] | None:
    """The checker a judge brings with it, and its checks of the answers to implicit questions, in order; None without.

    Answers to other kinds are left out; a question that was not asked is unscored.
    """
    own = checkable(answers, items)
    if isinstance(judge, EmbeddingJudge):
        name, found = "local", iter(local_checks(own, judge))
    elif isinstance(judge, LLMJudge):
        name, found = "llm", iter(judge.check(own))
    else:
        return None
    nothing: Checked = dict.fromkeys(("acknowledge", "violate", "hallucinate", "helpful"))
    implicit = (answer for answer in answers if answer.kind is QuestionKind.IMPLICIT)
    return name, [nothing if answer.overflow else next(found) for answer in implicit]


def derived(checked: Checked) -> dict[str, bool | None]:
    """Everything that is scored of the four checks of one answer; None where a check it needs is unscored."""
    acknowledged, violated, made_up, helpful = (
        checked[name] for name in ("acknowledge", "violate", "hallucinate", "helpful")
    )
    following = None if helpful is None or violated is None else helpful and not violated
    aware = None if violated is None or acknowledged is None else violated and acknowledged
    return {
        "acknowledged": acknowledged,
        "violated": violated,
        "hallucinated": made_up,
        "helpful": helpful,
        "preference_following": following,
        "unaware_violation": None if aware is None or violated is None else violated and not acknowledged,
        "hallucinated_violation": None if aware is None or made_up is None else aware and made_up,
        "inconsistent_violation": None if aware is None or made_up is None else aware and not made_up,
    }


def score(
    answers: Sequence[TurnAnswer],
    rulings: Mapping[str, Sequence[Ruling]],
    checks: Mapping[str, Sequence[Checked]],
    plan: Plan,
) -> dict[str, Any]:
    """What scores.json holds under `multiturn`.

    Args:
        answers: all answers after other turns of one run.
        rulings: by judge, one for each answer.
        checks: by checker, one for each answer to an implicit question.
        plan: how intervals are made.
    """
    implicit = [answer for answer in answers if answer.kind is QuestionKind.IMPLICIT]
    by_turns = {}
    for turns in sorted({answer.turns for answer in answers}):
        own = [i for i, answer in enumerate(answers) if answer.turns == turns]
        own_implicit = [i for i, answer in enumerate(implicit) if answer.turns == turns]
        (overflow,) = share_estimates(
            count(((answers[i].user_id, "all", answers[i].overflow) for i in own), ("all",)),
            plan,
            higher_is_better=False,
        )
        by_turns[str(turns)] = {
            "overflow_rate": overflow.as_json(),
            "judges": {name: _judged([(answers[i], found[i]) for i in own], plan) for name, found in rulings.items()},
            "checks": {
                name: _checked([(implicit[i].user_id, found[i]) for i in own_implicit], plan)
                for name, found in checks.items()
            },
        }
    return {"turns": sorted({answer.turns for answer in answers}), "by_turns": by_turns}


def _judged(rows: Iterable[tuple[TurnAnswer, Ruling]], plan: Plan) -> dict[str, Any]:
    observed = (
        (answer.user_id, str(answer.kind), None if ruling.verdict == "unscored" else ruling.verdict == "correct")
        for answer, ruling in rows
    )
    found = kind_scores(count(observed, KINDS), plan)
    return {
        "by_kind": {kind: estimate.as_json() for kind, estimate in found.by_kind.items()},
        "recall": found.recall.as_json(),
        "specificity": found.specificity.as_json(),
        "headline": found.headline.as_json(),
    }


def _checked(rows: Iterable[tuple[str, Checked]], plan: Plan) -> dict[str, Any]:
    scored = [(user, derived(checked)) for user, checked in rows]
    return {
        name: share_estimates(
            count(((user, "all", values[name]) for user, values in scored), ("all",)),
            plan,
            higher_is_better=name in GOOD,
        )[0].as_json()
        for name in DERIVED
    }


DERIVED = tuple(derived(dict.fromkeys(("acknowledge", "violate", "hallucinate", "helpful"))))
"""Names of all that is scored of the checks."""
