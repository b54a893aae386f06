"""The leaderboard as data: rows in order, comparisons within a model, and the Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from editing.board.collect import Run
from editing.metrics.bootstrap import Plan, holm
from editing.metrics.scores import KINDS, Counts, Difference, count, headline_difference
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


def build(runs: Sequence[Run], shared: dict[str, Any], config: LeaderboardConfig, plan: Plan) -> dict[str, Any]:
    """What leaderboard.json holds: rows by falling headline, dirty and failed runs apart, comparisons.

    Raises:
        ConfigError: a run has no scores of the ordering judge.
    """
    scored = [run for run in runs if not run.failed]
    for run in scored:
        judges = (run.scores or {})["judges"]
        if config.judge not in judges:
            raise ConfigError(f"leaderboard.judge: {run.key} has no judge '{config.judge}', only {', '.join(judges)}.")
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
        "comparisons": compare(clean, config.judge, plan),
    }


def _ordered(runs: Sequence[Run], judge: str) -> list[dict[str, Any]]:
    rows = [row_of(run) for run in runs]
    # Ties and rows without a headline stand in the order of their names, so that the table is the same every time.
    return sorted(rows, key=lambda row: (-_value(row["judges"][judge]["headline"]), row["model"], row["method"]))


def _value(estimate: dict[str, Any]) -> float:
    return -1.0 if estimate["value"] is None else float(estimate["value"])


def row_of(run: Run) -> dict[str, Any]:
    """One scored run as JSON values."""
    scores = run.scores or {}
    return {
        "model": run.model,
        "method": run.method,
        "judges": scores["judges"],
        "degenerate_rate": scores["degenerate_rate"],
        "fact_accuracy": scores["fact_accuracy"],
        "cost": run.record["cost"],
        "counts": run.record["counts"],
        "commit": run.record["code"].get("commit"),
        "machine": run.record.get("machine"),
        "started": run.record.get("started"),
        "dtype": run.record["model"].get("dtype"),
        "method_config": run.record.get("method_config"),
    }


def counts_of(run: Run, judge: str) -> Counts:
    """One judge's verdicts on a run counted by user and kind."""
    table = run.table("verdicts.parquet", ("judge", "user_id", "kind", "verdict"))
    columns = (table.column(name).to_pylist() for name in ("judge", "user_id", "kind", "verdict"))
    seen = (
        (user, kind, None if verdict == "unscored" else verdict == "correct")
        for by, user, kind, verdict in zip(*columns, strict=True)
        if by == judge
    )
    return count(seen, KINDS)


def compare(runs: Sequence[Run], judge: str, plan: Plan) -> list[dict[str, Any]]:
    """Every method against the best of its model: difference of headlines, interval, p corrected within the model."""
    found = []
    for model in sorted({run.model for run in runs}):
        own = {run.method: counts_of(run, judge) for run in runs if run.model == model}
        headlines = {
            run.method: _value((run.scores or {})["judges"][judge]["headline"]) for run in runs if run.model == model
        }
        best = min(headlines, key=lambda method: (-headlines[method], method))
        differences: dict[str, Difference] = {}
        for method in sorted(set(own) - {best}):
            difference = headline_difference(own[best], own[method], plan)
            if difference is not None:
                differences[method] = difference
        corrected = holm([d.p for d in differences.values()])
        found += [
            {
                "model": model,
                "best": best,
                "method": method,
                "difference": round(d.value, 6),
                "low": round(d.low, 6),
                "high": round(d.high, 6),
                "p": round(d.p, 6),
                "p_holm": round(p_holm, 6),
                "users": d.users,
            }
            for (method, d), p_holm in zip(differences.items(), corrected, strict=True)
        ]
    return found


def markdown(board: dict[str, Any], accuracy: dict[str, Any]) -> str:
    """The leaderboard as a Markdown document."""
    lines = [
        "# UPQA leaderboard",
        "",
        f"Ordered by the headline under the judge `{board['judge']}`: the harmonic mean of recall and specificity, "
        f"in percent, with {board['confidence']:.0%} intervals clustered by user; see docs/protocol.md.",
        "",
    ]
    lines += (
        _markdown_table(board["rows"], board["judge"]) if board["rows"] else ["No run from committed code yet.", ""]
    )
    if board["dirty"]:
        lines += ["## Runs from code with uncommitted changes", "", *_markdown_table(board["dirty"], board["judge"])]
    if board["failed"]:
        lines += ["## Failed runs", ""]
        lines += [
            f"- {_plain(row['model'])} with {_plain(row['method'])}: {_plain(row['error'])}" for row in board["failed"]
        ]
        lines += [""]
    lines += ["## The judges, judged", ""]
    for name, figures in accuracy.items():
        shown = ", ".join(f"{label} {percent(figures[label])}" for label in figures if label in JUDGE_FIGURES)
        lines.append(f"- `{name}` on hand-labelled replies: {shown}")
    if not accuracy:
        lines.append("Not measured; run `python -m benchmarks.judges`.")
    return "\n".join(lines) + "\n"


JUDGE_FIGURES = ("accuracy", "false accept", "false reject")
"""Figures of a judge's own accuracy, in the order they are shown."""


def _markdown_table(rows: Sequence[dict[str, Any]], judge: str) -> list[str]:
    head = (
        "| # | model | method | headline | recall | specificity | explicit | rephrased | implicit | product | "
        "facts | degenerate | s/edit | bytes/user | n |"
    )
    lines = [head, "|--:|---|---|" + "--:|" * 12]
    for place, row in enumerate(rows, start=1):
        own = row["judges"][judge]
        cells = [
            str(place),
            _plain(row["model"]),
            _plain(row["method"]),
            f"**{percent(own['headline'])}**",
            percent(own["recall"]),
            percent(own["specificity"]),
            *(percent(own["by_kind"][kind], interval=False) for kind in KINDS[:4]),
            percent(row["fact_accuracy"], interval=False),
            percent(row["degenerate_rate"], interval=False),
            _number(row["cost"].get("seconds_per_edit")),
            _number(row["cost"].get("bytes_per_user")),
            str(own["headline"]["n"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def percent(estimate: dict[str, Any], *, interval: bool = True) -> str:
    """An estimate in percent, "72.4 (61.0 to 81.2)"; a dash where there is none."""
    if estimate["value"] is None:
        return "\u2013"
    shown = f"{100 * estimate['value']:.1f}"
    if not interval or estimate.get("low") is None:
        return shown
    return f"{shown} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _plain(text: str) -> str:
    """`text` for a Markdown cell: nothing in it can end the cell or become markup."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))
