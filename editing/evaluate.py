"""The command `upqa evaluate`: one new checkpoint edited, judged and put beside the results that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.core.command import friendly
from pipeline.core.errors import ConfigError, InputError, unknown_name

if TYPE_CHECKING:
    from editing.runner import EditSettings

FOLLOWS = ("verdicts.parquet", "scores.json", "multiturn.parquet", "ability.json")
"""Files of a run that follow from its answers or patches, and are void when it is run again."""


@friendly
def evaluate(
    model: Annotated[
        str,
        typer.Option(help="Hub id, folder with safetensors, GGUF file, package:<name>, or name in edit.checkpoints."),
    ],
    name: Annotated[str | None, typer.Option(help="What the leaderboard calls it; else the end of --model.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A method; may be given several times. Else those of edit.methods.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of runs to add to: <model>/<method>.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder to write the leaderboard into.")] = Path("leaderboard"),
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    accuracy: Annotated[
        Path, typer.Option(help="Measured accuracy of the judges (python -m benchmarks.judges --fresh).")
    ] = Path("benchmarks/results/judges_fresh.json"),
    params: Annotated[Path, typer.Option(help="Settings file.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Folder a stopped run goes on from.")] = Path(".cache"),
) -> None:
    """Edit, judge and rank one checkpoint: `edit` and `judge` with every method, then `leaderboard`.

    Example: upqa evaluate --model you/checkpoint --method none --method in_context --method rome
    """
    from editing.board.table import LeaderboardConfig
    from editing.board.write import write_board
    from editing.judges.config import JudgeConfig
    from editing.judging import judge_run
    from editing.lm.source import resolve
    from editing.metrics.bootstrap import Plan
    from editing.runner import Cell, EditSettings, run_cell
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.llm.config import load_llm

    judging, board = load_section(params, "judge", JudgeConfig), load_section(params, "leaderboard", LeaderboardConfig)
    llm = load_llm(params) if "llm" in judging.judges else None
    if board.judge not in judging.judges:
        raise unknown_name("judge", board.judge, judging.judges)
    settings, name = with_checkpoint(load_section(params, "edit", EditSettings), model, name)
    # All that can be wrong is found before the first of many minutes.
    cells = [Cell(settings, name, wanted) for wanted in method or settings.methods]
    resolve(settings.checkpoints[name])
    check_results(results, dataset, name, settings.checkpoints[name])
    for cell in cells:
        run = results / name / cell.method
        for follower in FOLLOWS:
            (run / follower).unlink(missing_ok=True)
        run_cell(cell, dataset, run, cache)
        scores = judge_run(dataset, run, judging, cache / "judge", llm)
        headline = scores["judges"][board.judge]["headline"]["value"]
        shown = "no headline" if headline is None else f"headline {headline:.3f}"
        console.print(f"{cell.method} on {name}: {shown} ({board.judge})", highlight=False)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    table = write_board(results, out, dataset, accuracy, board, plan)
    console.print(f"{out / 'index.html'}: {len(table['rows'])} runs", highlight=False)


def with_checkpoint(settings: EditSettings, model: str, name: str | None) -> tuple[EditSettings, str]:
    """The settings with the checkpoint `model` registered, and its name.

    Raises:
        ConfigError: the name cannot be the name of a folder, or is another checkpoint's in the settings.
    """
    source = settings.checkpoints.get(model, model)
    if name is None:
        name = model if model in settings.checkpoints else Path(model.partition(":")[2] or model).name
        name = name.partition("@")[0].removesuffix(".gguf")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(
            f"'{name}' cannot be a checkpoint's name; give --name with letters, digits, '.', '-' and '_'."
        )
    if settings.checkpoints.get(name, source) != source:
        raise ConfigError(f"edit.checkpoints: '{name}' is {settings.checkpoints[name]}; give --name another name.")
    checkpoints = {**settings.checkpoints, name: source}
    return settings.model_copy(update={"models": (name,), "checkpoints": checkpoints}), name


def check_results(results: Path, dataset: Path, name: str, source: str) -> None:
    """Refuse results that the new ones could not stand beside, or would overwrite.

    Raises:
        InputError: there is no data set, or a run is of another one, or of another checkpoint of the same name.
    """
    from pipeline.core.provenance import dataset_sha256

    if not (dataset / "data").is_dir():
        raise InputError(f"{dataset}: no released data set; pass --dataset, or build it with `dvc repro release`.")
    rows_sha256 = dataset_sha256(dataset)
    for path in sorted(results.glob("*/*/run.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON: {error}") from error
        if record.get("dataset_sha256", rows_sha256) != rows_sha256:
            raise InputError(f"{path}: made with another data set than {dataset}; give --results another folder.")
        if path.parent.parent.name == name and record["model"].get("source", source) != source:
            raise InputError(f"{path}: of the checkpoint {record['model']['source']}; give --name another name.")
