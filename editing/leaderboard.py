"""Stage `leaderboard`: all judged runs as JSON, Markdown, plots and one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of runs: <model>/<method>.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder to write the leaderboard into.")] = Path("leaderboard"),
    dataset: Annotated[Path, typer.Option(help="The released data set, for the sample answers.")] = Path("build/hub"),
    accuracy: Annotated[
        Path, typer.Option(help="Measured accuracy of the judges (python -m benchmarks.judges --fresh).")
    ] = Path("benchmarks/results/judges_fresh.json"),
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
) -> None:
    """Put all judged runs into one leaderboard; refuses to mix data sets, judges, prompts or protocol versions.

    Example: upqa leaderboard --results results --out leaderboard, then open leaderboard/index.html
    """
    from editing.board.table import LeaderboardConfig
    from editing.board.write import write_board
    from editing.judges.config import JudgeConfig
    from editing.metrics.bootstrap import Plan
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    judging = load_section(params, "judge", JudgeConfig)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    board = write_board(results, out, dataset, accuracy, load_section(params, "leaderboard", LeaderboardConfig), plan)
    console.print(f"{out / 'index.html'}: {len(board['rows'])} runs", highlight=False)


if __name__ == "__main__":
    typer.run(leaderboard)
