"""The leaderboard as data: rows in order, and comparisons within a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editing.board.collect import Run
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import Counts, Difference, headline_difference
from editing.metrics.significance import holm
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError


class LeaderboardConfig(Section):
    """Section leaderboard of params.yaml."""

    judge: str
    """Judge whose headline orders the table."""
    samples: int
    """Sample answers shown of every run and class."""
    significance: float
    """A corrected p-value below it is called significant."""


def check_judged(runs: Sequence[Run], judge: str) -> None:
    """Pass where every scored run has scores of the ordering judge.

    Raises:
        ConfigError: one has none.
    """
    for run in runs:
        judges = (run.scores or {}).get("judges", {})
        if not run.failed and judge not in judges:
            raise ConfigError(f"leaderboard.judge: {run.key} has no judge '{judge}', only {', '.join(judges)}.")


def build(
    runs: Sequence[Run], shared: dict[str, Any], counts: Mapping[str, Counts], config: LeaderboardConfig, plan: Plan
) -> dict[str, Any]:
    """What leaderboard.json holds: rows by falling headline, dirty and failed runs apart, comparisons.

    Args:
        runs: all runs.
        shared: the hashes the scored ones have in common.
        counts: the ordering judge's verdicts on every scored run, by `Run.key`.
        config: settings of the leaderboard.
        plan: how intervals are made.
    """
    scored = [run for run in runs if not run.failed]
    clean = [run for run in scored if not run.dirty]
    return {
        **shared,
        "judge": config.judge,
        "confidence": plan.confidence,
        "significance": config.significance,
        "rows": _ordered(clean, config.judge),
        "dirty": _ordered([run for run in scored if run.dirty], config.judge),
        "failed": [
            {"model": r.model, "method": r.method, "error": str(r.record.get("error", r.record["status"]))}
            for r in runs
            if r.failed
        ],
        "extras": [
            {"id": extra.id, "title": extra.title, "about": extra.about, "percent": extra.percent}
            for extra in shown_extras(scored)
        ],
        "comparisons": compare(clean, counts, config.judge, plan),
    }


def _ordered(runs: Sequence[Run], judge: str) -> list[dict[str, Any]]:
    rows = [row_of(run) for run in runs]
    # Ties and rows without a headline stand in the order of their names, so that the table is the same every time.
    return sorted(rows, key=lambda row: (-_value(row["judges"][judge]["headline"]), row["model"], row["method"]))


def _value(estimate: dict[str, Any]) -> float:
    return -1.0 if estimate["value"] is None else float(estimate["value"])


@dataclass(frozen=True)
class Extra:
    """A column of which less is better, shown where a run has it."""

    id: str
    """Its name in leaderboard.json."""
    title: str
    """Its heading."""
    about: str
    """One sentence on what it is."""
    path: tuple[str, ...]
    """Where scores.json holds its estimate."""
    percent: bool
    """Whether it is a share; otherwise its own unit stands in `about`."""

    def of(self, scores: Mapping[str, Any]) -> dict[str, Any] | None:
        """Its estimate; None where the run has none."""
        found: Any = scores
        for name in self.path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return dict(found) if isinstance(found, Mapping) else None


EXTRAS = (
    Extra("run_on", "Run-on", "Share of answers that the budget ended.", ("run_on_rate",), True),
    Extra(
        "flips",
        "Control flips",
        "Share of control answers that differ from the unedited model's.",
        ("controls", "flip_rate", "overall"),
        True,
    ),
    Extra(
        "kl",
        "Control KL, nats",
        "Divergence of the next word from the unedited model on controls, in nats.",
        ("controls", "kl", "overall"),
        False,
    ),
    Extra(
        "of_another",
        "Of another user",
        "Share of explicit answers that give back what another user of the same model said, and not their own.",
        ("crossing", "of_another"),
        True,
    ),
    Extra(
        "controls_of_another",
        "Of another user, controls",
        "Share of answers to controls in which what another user of the same model said shows up.",
        ("crossing", "controls_of_another"),
        True,
    ),
    Extra(
        "perplexity",
        "Perplexity ratio",
        "Perplexity of held-out replies, as a ratio to the unedited model's.",
        ("ability", "perplexity", "ratio"),
        False,
    ),
)


def extras_of(scores: Mapping[str, Any]) -> tuple[Extra, ...]:
    """All optional columns a run can have: EXTRAS, and the drop on each general task that was run."""
    tasks = (scores.get("ability") or {}).get("tasks") or {}
    drops = (
        Extra(f"drop_{task}", f"Drop {task}", f"Points lost on {task}.", ("ability", "tasks", task, "drop"), True)
        for task in sorted(tasks)
    )
    return (*EXTRAS, *drops)


def shown_extras(runs: Sequence[Run]) -> list[Extra]:
    """The optional columns that at least one run has, in order."""
    scores = [run.scores or {} for run in runs]
    known = {extra.id: extra for own in scores for extra in extras_of(own)}
    return [extra for extra in known.values() if any(extra.of(own) is not None for own in scores)]


def by_turns(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores by the number of distractor turns, in order; empty where the run was asked no such questions."""
    found = (scores.get("multiturn") or {}).get("by_turns", {})
    return [{"turns": int(k), **found[k]} for k in sorted(found, key=int)]


def row_of(run: Run) -> dict[str, Any]:
    """One scored run as JSON values."""
    scores = run.scores or {}
    return {
        "model": run.model,
        "method": run.method,
        "scenario": run.scenario,
        "key": run.key,
        "judges": scores["judges"],
        "degenerate_rate": scores["degenerate_rate"],
        "fact_accuracy": scores["fact_accuracy"],
        "extras": {extra.id: found for extra in extras_of(scores) if (found := extra.of(scores)) is not None},
        "controls": scores.get("controls"),
        "multiturn": by_turns(scores),
        "crossing": scores.get("crossing"),
        "cost": run.record["cost"],
        "counts": run.record["counts"],
        "commit": run.record["code"].get("commit"),
        "machine": run.record.get("machine"),
        "started": run.record.get("started"),
        "dtype": run.record["model"].get("dtype"),
        "method_config": run.record.get("method_config"),
    }


def compare(runs: Sequence[Run], counts: Mapping[str, Counts], judge: str, plan: Plan) -> list[dict[str, Any]]:
    """Every method against the best of its model and scenario: difference of headlines, interval, p corrected.

    The best was read off the same answers, so the correction is for all pairs of methods there.
    """
    found = []
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.model, run.scenario or ""].append(run)
    for _, group in sorted(groups.items()):
        best = min(group, key=lambda run: (-_value((run.scores or {})["judges"][judge]["headline"]), run.method))
        differences: list[tuple[Run, Difference]] = []
        for run in sorted(group, key=lambda run: run.method):
            difference = headline_difference(counts[best.key], counts[run.key], plan) if run is not best else None
            if difference is not None:
                differences.append((run, difference))
        pairs = len(differences) * (len(differences) + 1) // 2
        corrected = holm([difference.p for _, difference in differences], pairs)
        found += [
            {
                "key": run.key,
                "model": run.model,
                "best": best.method,
                "method": run.method,
                "difference": round(d.value, 6),
                "low": round(d.low, 6),
                "high": round(d.high, 6),
                "p": round(d.p, 6),
                "p_holm": round(p_holm, 6),
                "users": d.users,
            }
            for (run, d), p_holm in zip(differences, corrected, strict=True)
        ]
    return found
