"""All files of the leaderboard from all files of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editing.board.accuracy import read_accuracy
from editing.board.collect import check_comparable, read_runs
from editing.board.page import render
from editing.board.plots import write_plots
from editing.board.samples import read_texts, sample
from editing.board.table import LeaderboardConfig, build, markdown
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
    board = build(runs, check_comparable(runs), config, plan)
    judged = read_accuracy(accuracy, board)
    by_key = {(run.model, run.method): run for run in runs}
    texts = read_texts(dataset)
    samples = [
        sample(by_key[row["model"], row["method"]], config.judge, *texts, config.samples)
        for row in (*board["rows"], *board["dirty"])
    ]
    write_json(out / "leaderboard.json", board | {"judge_accuracy": judged})
    for name, text in (("leaderboard.md", markdown(board, judged)), ("index.html", render(board, judged, samples))):
        with atomic_write(out / name, "w") as file:
            file.write(text)
    write_plots(board["rows"] or board["dirty"], config.judge, out / "plots")
    return board
