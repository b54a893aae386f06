"""Perplexity ratio and drops on tasks, with paired bootstrap intervals over items; docs/protocol.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from editing.general.measured import AbilityMeasured, ReplyMeasured, TaskMeasured
from editing.metrics.bootstrap import Floats, Plan, draws, interval
from editing.metrics.estimate import Estimate
from pipeline.core.errors import InputError


def read_ability(run: Path) -> AbilityMeasured | None:
    """What ability.json in the folder of a run holds; None where the stage was not run.

    Raises:
        InputError: the file is damaged.
    """
    path = run / "ability.json"
    if not path.is_file():
        return None
    try:
        return AbilityMeasured.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged or of another version; run `ability` again: {error}") from error


def score(measured: AbilityMeasured | None, plan: Plan) -> dict[str, Any]:
    """What scores.json holds under `ability`; empty where nothing was measured."""
    if measured is None:
        return {}
    found: dict[str, Any] = {
        "users": measured.users,
        "perplexity": perplexity(measured.replies, plan) if measured.replies else None,
        "tasks": {task.task: drop(task, plan) for task in measured.tasks},
    }
    return found


def perplexity(replies: Sequence[ReplyMeasured], plan: Plan) -> dict[str, Any]:
    """Perplexity before, after, and their ratio."""
    tokens = np.array([reply.tokens for reply in replies], dtype=float)
    before = np.array([reply.before for reply in replies])
    after = np.array([np.mean(reply.after) for reply in replies])
    weights = draws(len(replies), plan).astype(float)
    rates = [(weights @ values) / (weights @ tokens) for values in (before, after)]
    return {
        "tokens": int(tokens.sum()),
        "before": _estimate(np.exp(rates[0]), len(replies), plan, False),
        "after": _estimate(np.exp(rates[1]), len(replies), plan, False),
        "ratio": _estimate(np.exp(rates[1] - rates[0]), len(replies), plan, False),
    }


def drop(task: TaskMeasured, plan: Plan) -> dict[str, Any]:
    """Score before, after (averaged over users), and before minus after, of one task."""
    before = np.array([item.before for item in task.items])
    after = np.array([np.mean(item.after) for item in task.items])
    weights = draws(len(task.items), plan).astype(float)
    means = [(weights @ values) / len(task.items) for values in (before, after, before - after)]
    directions = (task.higher_is_better, task.higher_is_better, not task.higher_is_better)
    estimates = [
        _estimate(mean, len(task.items), plan, direction) for mean, direction in zip(means, directions, strict=True)
    ]
    return {"metric": task.metric, **dict(zip(("before", "after", "drop"), estimates, strict=True))}


def _estimate(drawn: Floats, n: int, plan: Plan, higher_is_better: bool) -> dict[str, Any]:
    value = float(drawn[0])
    found = interval(drawn[1:], plan.confidence) or (value, value)
    return Estimate(value, min(found[0], value), max(found[1], value), n, 0, higher_is_better).as_json()
