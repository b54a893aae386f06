"""All files of the leaderboard from all files of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editing.board.accuracy import read_accuracy
from editing.board.collect import check_comparable, read_runs
from editing.board.markdown import markdown
from editing.board.page import render
from editing.board.plots import plot_data, write_plots
from editing.board.table import LeaderboardConfig, build, check_judged
from editing.board.texts import read_texts
from editing.board.verdicts import read_verdicts, samples
from editing.metrics.bootstrap import Plan
from pipeline.core.tables import atomic_write, write_json


def write_board(
    results: Path, out: Path, dataset: Path, accuracy: Path, config: LeaderboardConfig, plan: Plan
) -> dict[str, Any]:
    """Write leaderboard.json, leaderboard.md, index.html and plots/ into `out`; returns what leaderboard.json holds.

    The files depend on the results alone: the same results give the same bytes.

    Raises:
        InputError: results are missing, damaged, or may not stand in one table.
    """
    runs = read_runs(results)
    shared = check_comparable(runs)
    check_judged(runs, config.judge)
    scored = {run.key: run for run in runs if not run.failed}
    verdicts = {key: read_verdicts(run, config.judge) for key, run in scored.items()}
    board = build(runs, shared, {key: found.counts() for key, found in verdicts.items()}, config, plan)
    judged = read_accuracy(accuracy, board)
    texts = read_texts(dataset)
    keys = [row["key"] for row in (*board["rows"], *board["dirty"])]
    shown = [samples(scored[key], verdicts[key], *texts, config.samples) for key in keys]
    write_json(out / "leaderboard.json", board | {"judge_accuracy": judged})
    for name, text in (("leaderboard.md", markdown(board, judged)), ("index.html", render(board, judged, shown))):
        with atomic_write(out / name, "w") as file:
            file.write(text)
    plotted = board["rows"] or board["dirty"]
    write_plots(plotted, config.judge, out / "plots")
    write_json(out / "plots" / "runs.json", plot_data(plotted, config.judge))
    return board
