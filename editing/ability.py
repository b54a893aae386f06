"""Stage `ability`: what personalization costs elsewhere, measured before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def ability(
    run: Annotated[Path, typer.Option(help="Folder of one run, as `edit` wrote it.")],
    dataset: Annotated[Path, typer.Option(help="The released data set of the run.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings file; section `ability`.")] = Path("params.yaml"),
) -> None:
    """Measure perplexity on other people's conversations, and tasks of lm-evaluation-harness, before and after.

    Example: upqa ability --run results/smollm2-135m-instruct/rome
    """
    from editing.general.measure import AbilitySettings, measure_run
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    measured = measure_run(load_section(params, "ability", AbilitySettings), dataset, run)
    console.print(
        f"{run}: {len(measured.replies)} replies and {len(measured.tasks)} tasks under {measured.users} users' models",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(ability)
