"""Plots of the leaderboard as SVG and PNG; the same bytes for the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from editing.metrics.scores import KINDS
from pipeline.core.tables import atomic_write

COLOURS = ("#3b6fb6", "#d1702c", "#3f8f5f", "#b8475a", "#7a5ea8", "#8a6d4b", "#c05f9e", "#5f6b7a")
"""One for each method, in order of name; told apart by people with colour-blindness in the first four."""
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
CROWDED = 85
"""From this specificity on names stand to the left of their points."""
LABELLED = 30
"""More points than this get no names and intervals of their own."""
SHORTEST_S = 1e-3
"""Methods that edit nothing stand here on the logarithmic axis of seconds."""


def write_plots(rows: list[dict[str, Any]], judge: str, folder: Path) -> list[Path]:
    """Draw all plots of `rows` into `folder`, each as SVG and PNG; returns the files."""
    methods = sorted({row["method"] for row in rows})
    colours = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    plots: dict[str, Callable[[], Figure]] = {
        "recall_specificity": lambda: recall_specificity(rows, judge, colours),
        "recall_by_kind": lambda: recall_by_kind(rows, judge, colours),
        "recall_by_difficulty": lambda: recall_by_difficulty(rows, judge, colours),
        "cost_headline": lambda: cost_headline(rows, judge, colours),
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


def recall_specificity(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Recall against specificity with curves of equal headline; bars are the intervals."""
    figure, axes = plt.subplots(figsize=(5.6, 5))
    _contours(axes)
    for method, colour in colours.items():
        points = [row["judges"][judge] for row in rows if row["method"] == method]
        points = [p for p in points if p["specificity"]["value"] is not None and p["recall"]["value"] is not None]
        x, x_ends = _percent([p["specificity"] for p in points])
        y, y_ends = _percent([p["recall"] for p in points])
        axes.plot(x, y, "o", color=colour, ms=5, alpha=0.9)
        if len(rows) <= LABELLED:
            axes.errorbar(x, y, xerr=x_ends, yerr=y_ends, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6)
            for at in zip(x, y, strict=True):
                aside, side = ((-5, 5), "right") if at[0] > CROWDED else ((5, 5), "left")
                axes.annotate(method, at, aside, textcoords="offset points", color=colour, ha=side)
    axes.set(xlim=(0, 103), ylim=(-3, 103), xlabel="specificity, %", ylabel="recall, %")
    axes.set_title("Recall and specificity")
    return figure


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


def recall_by_kind(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Mean over models of each method's recall, by kind of question."""
    return _grouped(rows, colours, KINDS[:4], lambda row, kind: row["judges"][judge]["by_kind"][kind], "Recall by kind")


def recall_by_difficulty(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Mean over models of each method's recall, by difficulty of the question."""
    levels = ("easy", "medium", "hard")
    return _grouped(
        rows, colours, levels, lambda row, level: row["judges"][judge]["by_difficulty"][level], "Recall by difficulty"
    )


def _grouped(
    rows: list[dict[str, Any]],
    colours: dict[str, str],
    columns: tuple[str, ...],
    of: Callable[[dict[str, Any], str], dict[str, Any]],
    title: str,
) -> Figure:
    figure, axes = plt.subplots(figsize=(max(5.6, 0.18 * len(colours) * len(columns)), 3.6))
    width = 0.8 / max(1, len(colours))
    for i, (method, colour) in enumerate(colours.items()):
        for j, column in enumerate(columns):
            found = [of(row, column) for row in rows if row["method"] == method]
            values = [e["value"] for e in found if e["value"] is not None]
            if not values:
                continue
            x, value = j - 0.4 + (i + 0.5) * width, 100 * float(np.mean(values))
            axes.bar(x, value, width * 0.9, color=colour, label=method if j == 0 else None)
            if len(values) == 1:  # An interval belongs to one run; a mean over models has none here.
                (only,) = [e for e in found if e["value"] is not None]
                axes.plot([x, x], [100 * only["low"], 100 * only["high"]], color="#333333", lw=0.8)
    axes.set(xticks=range(len(columns)), ylim=(0, 103), ylabel="recall, %")
    axes.set_xticklabels([column.replace("_", " ") for column in columns])
    axes.set_title(title)
    axes.grid(axis="x", visible=False)
    if len(colours) <= len(COLOURS):
        axes.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1))
    return figure


def cost_headline(rows: list[dict[str, Any]], judge: str, colours: dict[str, str]) -> Figure:
    """Headline against seconds per edit; the size of a point grows with the bytes stored per user."""
    figure, axes = plt.subplots(figsize=(5.6, 3.8))
    for method, colour in colours.items():
        own = [(row["judges"][judge]["headline"]["value"], row["cost"]) for row in rows if row["method"] == method]
        shown = [(100 * h, c) for h, c in own if h is not None and c.get("seconds_per_edit") is not None]
        x = [max(cost["seconds_per_edit"], SHORTEST_S) for _, cost in shown]
        sizes = [18 + 9 * np.log10(1 + (cost.get("bytes_per_user") or 0)) for _, cost in shown]
        axes.scatter(x, [h for h, _ in shown], s=sizes, color=colour, alpha=0.9, linewidths=0)
        if len(rows) <= LABELLED:
            for at in zip(x, (h for h, _ in shown), strict=True):
                axes.annotate(method, at, (6, 4), textcoords="offset points", color=colour)
    axes.set(xscale="log", ylim=(-3, 103), xlabel="seconds per edit", ylabel="headline, %")
    axes.set_title("Cost and headline")
    return figure
