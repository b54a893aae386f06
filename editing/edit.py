"""The command of stage edit: personalise one checkpoint with one method and ask all questions."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def edit(
    model: Annotated[str, typer.Option(help="Name of a checkpoint in params.yaml, edit.checkpoints.")],
    method: Annotated[str, typer.Option(help="Name of a method, e.g. rome.")],
    out: Annotated[Path, typer.Option(help="Folder for answers.parquet, run.json and patches/.")],
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings file.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Folder a stopped run goes on from.")] = Path(".cache"),
) -> None:
    """Fit a patch for every preference of the evaluated split and answer its questions.

    Example: upqa edit --model smollm2-135m-instruct --method rome --out results/smollm2-135m-instruct/rome
    """
    from editing.runner import Cell, EditSettings, run_cell
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    record = run_cell(Cell(load_section(params, "edit", EditSettings), model, method), dataset, out, cache)
    counts, cost = record["counts"], record["cost"]
    console.print(
        f"{method} on {model}: {counts['answers']} answers for {counts['preferences']} preferences, "
        f"{counts['failed_edits']} failed edits, {cost['seconds_per_edit']:.2f} s an edit -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(edit)
