"""Stage `judge`: verdicts of every judge on the answers of one run, and the scores that follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def judge(
    dataset: Annotated[Path, typer.Option(help="The released data set the answers belong to.")] = Path("build/hub"),
    run: Annotated[Path, typer.Option(help="Folder of one run, as `edit` wrote it.")] = Path("results/model/method"),
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Where a killed run keeps its progress.")] = Path(".cache/judge"),
) -> None:
    """Judge the answers of one run; needs neither a GPU nor the model that answered.

    Example: upqa judge --dataset build/hub --run results/smollm2-135m/rome
    """
    from editing.judges.config import JudgeConfig
    from editing.judging import judge_run
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.llm.config import load_llm

    config = load_section(params, "judge", JudgeConfig)
    llm = load_llm(params) if "llm" in config.judges else None
    scores = judge_run(dataset, run, config, cache, llm)
    if not scores["judges"]:
        console.print(f"{run}: the run failed, there is nothing to judge", highlight=False)
    for name, found in scores["judges"].items():
        headline = found["headline"]["value"]
        shown = "no headline (a kind has no scored answer)" if headline is None else f"headline {headline:.3f}"
        console.print(f"{run}: {name}: {shown}", highlight=False)


if __name__ == "__main__":
    typer.run(judge)
