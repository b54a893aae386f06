"""Plots of the leaderboard as SVG and PNG; the same bytes for the same results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter

from editing.metrics.scores import KINDS, N_TARGET
from pipeline.core.tables import atomic_write

COLOURS = ("#3b6fb6", "#d1702c", "#3f8f5f", "#b8475a", "#7a5ea8", "#8a6d4b", "#c05f9e", "#5f6b7a")
"""One for each method where they suffice; more methods share the first, and their names alone tell them apart."""
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "upqa",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
LABELLED = 30
"""More runs than this are faint points without intervals, and each method's median point is named instead."""
NAME_SIZE = 8
"""Font size of names, in points."""
PANELS = 5
"""Most panels side by side."""
CURVES = {"recall": (COLOURS[0], "-"), "specificity": (COLOURS[1], "--")}
"""Score -> colour and style of its line."""
SHORTEST_S = 1e-3
"""Methods that edit nothing stand here on the logarithmic axis of seconds."""


def write_plots(rows: list[dict[str, Any]], judge: str, folder: Path) -> list[Path]:
    """Draw all plots of `rows` into `folder`, each as SVG and PNG; returns the files."""
    methods = sorted({row["method"] for row in rows})
    colours = {m: COLOURS[i if len(methods) <= len(COLOURS) else 0] for i, m in enumerate(methods)}
    plots: dict[str, Callable[[], Figure]] = {
        "recall_specificity": lambda: recall_specificity(rows, judge, colours),
        "recall_by_kind": lambda: recall_by_kind(rows, judge),
        "recall_by_difficulty": lambda: recall_by_difficulty(rows, judge),
        "cost_headline": lambda: cost_headline(rows, judge, colours),
        # DVC names its plots before a run, so this one exists, and says so, when nothing was asked after other turns.
        "recall_by_turns": lambda: recall_by_turns(rows, judge),
    }
    written = []
    with matplotlib.rc_context(STYLE):
        for name, draw in plots.items():
            figure = draw()
            # The layout is found once, not again for every form.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for form in ("svg", "png"):
                path = folder / f"{name}.{form}"
                # Without a date the same results give the same bytes.
                metadata = {"Date": None} if form == "svg" else {"Software": None}
                with atomic_write(path) as file:
                    figure.savefig(file, format=form, dpi=144, metadata=metadata)
                written.append(path)
            plt.close(figure)
    return written


def plot_data(rows: list[dict[str, Any]], judge: str) -> list[dict[str, Any]]:
    """One record a run for DVC's own plots, shares in percent; a run without one of the scores is left out."""
    records = []
    for row in rows:
        own = row["judges"][judge]
        scores = {name: own[name]["value"] for name in ("headline", "recall", "specificity")}
        scores |= {f"recall_{kind}": own["by_kind"][kind]["value"] for kind in KINDS[:4]}
        if None in scores.values():
            continue
        records.append(
            {"run": row["key"], "method": row["method"]}
            | {name: round(100 * value, 2) for name, value in scores.items()}
            | {"seconds_per_edit": row["cost"].get("seconds_per_edit")}
        )
    return records


class Point(NamedTuple):
    """One run in a chart."""

    method: str
    x: float
    y: float
    size: float = 25


def recall_specificity(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Recall against specificity with curves of equal headline; bars are the intervals."""
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    axes.set(xlim=(-3, 103), ylim=(-3, 103), xlabel="specificity, %", ylabel="recall, %")
    axes.set_title("Recall and specificity")
    _contours(axes)
    points = []
    for row in rows:
        own = row["judges"][judge]
        if own["specificity"]["value"] is None or own["recall"]["value"] is None:
            continue
        (x,), x_ends = _percent([own["specificity"]])
        (y,), y_ends = _percent([own["recall"]])
        points.append(Point(row["method"], x, y))
        if len(rows) <= LABELLED:
            colour = colours[row["method"]]
            axes.errorbar(x, y, xerr=x_ends, yerr=y_ends, fmt="none", ecolor=colour, elinewidth=0.7, alpha=0.35)
    _draw(axes, points, colours)
    return figure


def _draw(axes: Axes, points: list[Point], colours: dict[str, str]) -> None:
    """Draw the points with the names of their methods."""
    if len(points) > LABELLED:
        _scatter(axes, [point._replace(size=10) for point in points], colours, alpha=0.25)
        by_method = {m: np.array([p[1:] for p in points if p.method == m]) for m in colours}
        points = [Point(m, *map(float, np.median(own, axis=0))) for m, own in by_method.items() if len(own)]
    _scatter(axes, points, colours, alpha=0.9)
    _name(axes, points, colours)


def _scatter(axes: Axes, points: list[Point], colours: dict[str, str], alpha: float) -> None:
    inks = [colours[p.method] for p in points]
    sizes = [p.size for p in points]
    axes.scatter([p.x for p in points], [p.y for p in points], sizes, inks, alpha=alpha, linewidths=0)


def _name(axes: Axes, points: list[Point], colours: dict[str, str]) -> None:
    """Write every point's name at the nearest place where it covers no point and no other name."""
    in_points = 72 / axes.figure.dpi
    left, bottom, right, top = np.array(axes.bbox.extents) * in_points
    places = axes.transData.transform([(p.x, p.y) for p in points]).reshape(-1, 2) * in_points
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    for point, (x, y) in zip(points, places, strict=True):
        width = 0.62 * NAME_SIZE * len(point.method)
        for radius, angle in itertools.product(range(8, 200, 8), np.linspace(0, 2 * np.pi, 16, endpoint=False)):
            aside, up = radius * np.cos(angle), radius * np.sin(angle)
            start = x + aside - (width if aside < -1e-9 else 0)
            box = (start, y + up - NAME_SIZE / 2, start + width, y + up + NAME_SIZE / 2)
            inside = left < box[0] and box[2] < right and bottom < box[1] and box[3] < top
            if inside and all(box[0] > t[2] or t[0] > box[2] or box[1] > t[3] or t[1] > box[3] for t in taken):
                taken.append(box)
                axes.annotate(
                    point.method,
                    (point.x, point.y),
                    (aside, up),
                    textcoords="offset points",
                    color=colours[point.method],
                    fontsize=NAME_SIZE,
                    ha="right" if aside < -1e-9 else "left",
                    va="center",
                    path_effects=[withStroke(linewidth=2, foreground="white")],
                    arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "lw": 0.5} if radius > 8 else None,
                )
                break


def _percent(estimates: list[dict[str, Any]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values in percent, shape (n,), and how far their intervals reach down and up, shape (2, n)."""
    ends = np.array([[e["low"], e["value"], e["high"]] for e in estimates], dtype=np.float64).reshape(-1, 3).T * 100
    return ends[1], np.array([ends[1] - ends[0], ends[2] - ends[1]])


def _contours(axes: Axes) -> None:
    specificity = np.linspace(1, 100, 200)
    for headline in (20, 40, 60, 80):
        recall = headline * specificity / (2 * specificity - headline)
        shown = (recall > 0) & (recall <= 103)
        axes.plot(specificity[shown], recall[shown], color="#bbbbbb", lw=0.7, ls=(0, (4, 3)), zorder=0)
        axes.text(100.6, headline * 100 / (200 - headline), f"{headline}", color="#999999", fontsize=7, va="center")


def recall_by_kind(rows: list[dict[str, Any]], judge: str) -> Figure:
    """Mean over models of each method's recall, by kind of question."""
    return _bars(rows, judge, KINDS[:N_TARGET], "by_kind", "Recall by kind")


def recall_by_difficulty(rows: list[dict[str, Any]], judge: str) -> Figure:
    """Mean over models of each method's recall, by difficulty of the question."""
    return _bars(rows, judge, ("easy", "medium", "hard"), "by_difficulty", "Recall by difficulty")


def _bars(rows: list[dict[str, Any]], judge: str, columns: tuple[str, ...], group: str, title: str) -> Figure:
    """A panel a column, a bar a method, in the order of the table."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    size = (1.4 + 1.5 * len(columns), 1.1 + 0.22 * len(methods))
    figure, panels = plt.subplots(1, len(columns), figsize=size, sharey=True)
    for axes, column in zip(panels, columns, strict=True):
        for place, method in enumerate(methods):
            found = [row["judges"][judge][group][column] for row in rows if row["method"] == method]
            found = [estimate for estimate in found if estimate["value"] is not None]
            if not found:
                continue
            axes.barh(place, 100 * float(np.mean([e["value"] for e in found])), 0.7, color=COLOURS[0])
            if len(found) == 1:  # An interval belongs to one run; a mean over models has none here.
                axes.plot([100 * found[0]["low"], 100 * found[0]["high"]], [place, place], color="#333333", lw=0.8)
        axes.set(xlim=(0, 103), yticks=range(len(methods)), ylim=(len(methods) - 0.4, -0.6))
        axes.set_yticklabels(methods)
        axes.set_title(column.replace("_", " "), fontsize=9, fontweight="normal")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.supxlabel("recall, %", fontsize=9)
    return figure


def cost_headline(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Headline against seconds per edit; the size of a point grows with the bytes stored per user."""
    figure, axes = plt.subplots(figsize=(6.4, 5))
    points = [
        Point(
            row["method"],
            max(row["cost"]["seconds_per_edit"], SHORTEST_S),
            100 * row["judges"][judge]["headline"]["value"],
            18 + 9 * np.log10(1 + (row["cost"].get("bytes_per_user") or 0)),
        )
        for row in rows
        if row["judges"][judge]["headline"]["value"] is not None and row["cost"].get("seconds_per_edit") is not None
    ]
    ends = [p.x for p in points] or [SHORTEST_S]
    axes.set(xscale="log", xlim=(min(ends) / 2, max(ends) * 4), ylim=(-3, 103))
    axes.set(xlabel="seconds per edit", ylabel="headline, %")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Cost and headline")
    _draw(axes, points, colours)
    return figure


def recall_by_turns(rows: list[dict[str, Any]], judge: str) -> Figure:
    """Recall and specificity by the number of distractor turns: a panel a method, a pair of lines a run."""
    methods = list(dict.fromkeys(row["method"] for row in rows if row["multiturn"]))
    across = max(1, min(PANELS, len(methods)))
    down = max(1, -(-len(methods) // across))
    figure, panels = plt.subplots(
        down, across, figsize=(max(5.6, 1.2 + 1.7 * across), 1.4 + 1.5 * down), sharex=True, sharey=True, squeeze=False
    )
    for axes, method in itertools.zip_longest(panels.flat, methods):
        axes.set_axis_off() if methods and method is None else axes.set(ylim=(-3, 103))
        axes.set_title(method or "", fontsize=9, fontweight="normal")
        own = [row["multiturn"] for row in rows if row["method"] == method]
        for by_turns in own:
            # As with the bars, an interval stands where a method has one run.
            _curves(axes, by_turns, judge, intervals=len(own) == 1)
    if not methods:
        panels[0, 0].text(0.5, 0.5, "not asked", transform=panels[0, 0].transAxes, ha="center", color="#888888")
    lines = [Line2D([], [], color=colour, ls=style, label=score) for score, (colour, style) in CURVES.items()]
    figure.legend(handles=lines, loc="outside upper right", ncols=2)
    figure.suptitle("Recall and specificity after other turns", x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.supxlabel("distractor turns", fontsize=9)
    figure.supylabel("%", fontsize=9)
    return figure


def _curves(axes: Axes, by_turns: list[dict[str, Any]], judge: str, *, intervals: bool) -> None:
    for score, (colour, style) in CURVES.items():
        points = [(p["turns"], p["judges"][judge][score]) for p in by_turns]
        points = [(turns, found) for turns, found in points if found["value"] is not None]
        if points:
            turns, estimates = zip(*points, strict=True)
            values, ends = _percent(list(estimates))
            axes.plot(turns, values, "o", ls=style, color=colour, ms=3, lw=1.2, alpha=0.9)
            if intervals:
                axes.errorbar(turns, values, yerr=ends, fmt="none", ecolor=colour, elinewidth=0.7, alpha=0.4)
