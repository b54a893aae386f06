"""Stage `multiturn`: the questions of one run asked again after turns about other things."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def multiturn(
    run: Annotated[Path, typer.Option(help="Folder of one run, as `edit` wrote it.")],
    dataset: Annotated[Path, typer.Option(help="The released data set of the run.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings file; section `multiturn`.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Folder a stopped run goes on from.")] = Path(".cache"),
) -> None:
    """Ask the questions of a run after distractor turns; `judge` then scores them by number of turns.

    Example: upqa multiturn --run results/smollm2-135m-instruct/rome
    """
    from editing.dialogue.asking import MultiturnSettings, ask_run
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    answers = ask_run(load_section(params, "multiturn", MultiturnSettings), dataset, run, cache)
    overflow = sum(answer.overflow for answer in answers)
    console.print(f"{run}: {len(answers)} questions after other turns, {overflow} did not fit", highlight=False)


if __name__ == "__main__":
    typer.run(multiturn)
