"""The leaderboard as a Markdown document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from editing.board.accuracy import FIGURES
from editing.metrics.scores import KINDS, N_TARGET


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
        _markdown_table(board["rows"], board["judge"], board["extras"])
        if board["rows"]
        else ["No run from committed code yet.", ""]
    )
    lines += _controls_table(board["rows"], board["judge"])
    lines += _turns_table(board["rows"], board["judge"])
    lines += _comparisons_table(board)
    if board["dirty"]:
        table = _markdown_table(board["dirty"], board["judge"], board["extras"])
        lines += ["## Runs from code with uncommitted changes or outside Git", "", *table]
    if board["failed"]:
        lines += ["## Failed runs", ""]
        lines += [
            f"- {_plain(row['model'])} with {_plain(row['method'])}: {_plain(row['error'])}" for row in board["failed"]
        ]
        lines += [""]
    lines += _judges_table(accuracy)
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_table(rows: Sequence[dict[str, Any]], judge: str, extras: Sequence[dict[str, Any]]) -> list[str]:
    titles = ["#", "model", "method", "headline", "recall", "specificity", *KINDS[:N_TARGET], "facts", "degenerate"]
    titles += [extra["title"].lower() for extra in extras] + ["s/edit", "bytes/user", "n"]
    lines = [_line(titles), "|--:|---|---|" + "--:|" * (len(titles) - 3)]
    for place, row in enumerate(rows, start=1):
        own = row["judges"][judge]
        cells = [
            str(place),
            *_names(row),
            f"**{percent(own['headline'])}**",
            percent(own["recall"]),
            percent(own["specificity"]),
            *(percent(own["by_kind"][kind], interval=False) for kind in KINDS[:N_TARGET]),
            percent(row["fact_accuracy"], interval=False),
            percent(row["degenerate_rate"], interval=False),
            *(_extra(row["extras"].get(extra["id"]), extra["percent"]) for extra in extras),
            _number(row["cost"].get("seconds_per_edit")),
            _number(row["cost"].get("bytes_per_user")),
            str(own["headline"]["n"]),
        ]
        lines.append(_line(cells))
    return [*lines, ""]


def _controls_table(rows: Sequence[dict[str, Any]], judge: str) -> list[str]:
    if not rows:
        return []
    kinds = KINDS[N_TARGET:]
    titles = [f"{title}{kind}" for title in ("", "flips, ", "kl, ") for kind in kinds]
    lines = [
        "## Controls",
        "",
        "By kind of control: specificity and share of answers that differ from the unedited model's, both in percent, "
        "and divergence of the next word from that model, in nats.",
        "",
        _line(["model", "method", *titles]),
        "|---|---|" + "--:|" * len(titles),
    ]
    for row in rows:
        drift = row["controls"] or {}
        flips, kl = (drift.get(name, {}).get("by_kind", {}) for name in ("flip_rate", "kl"))
        cells = [
            *_names(row),
            *(percent(row["judges"][judge]["by_kind"][kind]) for kind in kinds),
            *(_extra(flips.get(kind), True) for kind in kinds),
            *(_extra(kl.get(kind), False) for kind in kinds),
        ]
        lines.append(_line(cells))
    return [*lines, ""]


def _turns_table(rows: Sequence[dict[str, Any]], judge: str) -> list[str]:
    points = [(row, point) for row in rows for point in row["multiturn"]]
    if not points:
        return []
    scores = ("headline", "recall", "specificity")
    checkers = dict.fromkeys(name for _, point in points for name in point["checks"])
    titles = ["turns", *scores, *(f"{check}, {name}" for name in checkers for check in CHECKS), "not asked"]
    lines = [
        "## After other turns",
        "",
        "Scores by the number of turns about other things between the statement and the question, in percent; `not "
        "asked` are prompts longer than the model's context.",
        "",
        _line(["model", "method", *titles]),
        "|---|---|" + "--:|" * len(titles),
    ]
    for row, point in points:
        found = point["judges"][judge]
        checked = (point["checks"].get(name, {}).get(check) for name in checkers for check in CHECKS)
        cells = [
            *_names(row),
            str(point["turns"]),
            *(percent(found[score]) for score in scores),
            *("\u2013" if one is None else percent(one) for one in checked),
            percent(point["overflow_rate"], interval=False),
        ]
        lines.append(_line(cells))
    return [*lines, ""]


CHECKS = ("acknowledged", "preference_following")
"""What the Markdown shows of the checks on implicit questions; the page shows all."""


def _comparisons_table(board: dict[str, Any]) -> list[str]:
    if not board["comparisons"]:
        return []
    lines = [
        "## Differences",
        "",
        "How far a headline lies below the best of its model, in points, on the users both have; p is corrected for "
        "the comparisons within the model.",
        "",
        "| model | method | below | difference | users | p | significant |",
        "|---|---|---|--:|--:|--:|---|",
    ]
    for found in board["comparisons"]:
        cells = [
            *(_plain(found[name]) for name in ("model", "method", "best")),
            percent(found | {"value": found["difference"]}),
            str(found["users"]),
            f"{found['p_holm']:.2g}",
            "yes" if found["p_holm"] < board["significance"] else "no",
        ]
        lines.append(_line(cells))
    return [*lines, ""]


PARTS = {"targets": "questions that need the fact", "controls": "controls"}
"""Parts of the labelled replies, as they are called."""


def _judges_table(accuracy: dict[str, Any]) -> list[str]:
    lines = ["## The judges, judged", ""]
    if not accuracy:
        return [*lines, "Not measured; run `python -m benchmarks.judges --fresh`."]
    lines += ["In percent, on hand-labelled replies held apart, on which nothing was chosen; see docs/protocol.md.", ""]
    lines += [
        f"`{name}` was measured with other code or settings than these verdicts are from.\n"
        for name, found in accuracy.items()
        if found.get("stale")
    ]
    lines += [f"`{name}` is not measured.\n" for name, found in accuracy.items() if not found]
    kinds, classes = [], []
    for part, title in PARTS.items():
        own = {name: found[part] for name, found in accuracy.items() if part in found}
        kinds.append(_accuracy_row(f"**{title}**", {name: found["overall"] for name, found in own.items()}, accuracy))
        kinds += _accuracy_rows("by_kind", own, accuracy)
        classes += _accuracy_rows("by_class", own, accuracy, title)
    columns = [f"`{name}` {label}" for name in accuracy for label in FIGURES.values()]
    head = [_line(["replies", *columns]), "|---|" + "--:|" * len(columns)]
    return [
        *lines,
        *head,
        *kinds,
        "",
        "<details><summary>By class of reply</summary>",
        "",
        *head,
        *classes,
        "",
        "</details>",
    ]


def _accuracy_rows(group: str, own: dict[str, Any], judges: Iterable[str], of: str = "") -> list[str]:
    parts = dict.fromkeys(part for found in own.values() for part in found[group])
    return [
        _accuracy_row(
            _plain(part) + (f", {of}" if of else ""),
            {name: found[group].get(part, {}) for name, found in own.items()},
            judges,
        )
        for part in parts
    ]


def _accuracy_row(title: str, by_judge: dict[str, Any], judges: Iterable[str]) -> str:
    found = (by_judge.get(name, {}).get(label) for name in judges for label in FIGURES.values())
    return _line([title, *("\u2013" if one is None else percent(one) for one in found)])


def _names(row: dict[str, Any]) -> list[str]:
    model = f"{row['model']} ({row['scenario']})" if row["scenario"] else row["model"]
    return [_plain(model), _plain(row["method"])]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _extra(estimate: dict[str, Any] | None, in_percent: bool) -> str:
    if estimate is None:
        return "\u2013"
    return percent(estimate, interval=False) if in_percent else _number(estimate["value"])


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
