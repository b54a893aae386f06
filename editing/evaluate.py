"""The command `upqa evaluate`: one new checkpoint edited, judged and put beside the results that are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.command import friendly
from pipeline.core.errors import ConfigError, InputError, unknown_name

if TYPE_CHECKING:
    from editing.judges.config import JudgeConfig
    from editing.runner import Cell, EditSettings
    from pipeline.llm.config import LLMConfig

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
    check_results(results, cells, dataset, expected_hashes(cells[0], dataset, judging, llm))
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


def expected_hashes(cell: Cell, dataset: Path, judging: JudgeConfig, llm: LLMConfig | None) -> dict[str, Any]:
    """What the scores of `cell` will say they can be compared by, as far as the model need not be loaded to know it.

    Raises:
        InputError: there is no data set, or it has too little for the scenario.
    """
    from editing.judges.registry import judge_sha256
    from editing.judging import shared_hashes
    from editing.users import read_cases

    if not (dataset / "data").is_dir():
        raise InputError(f"{dataset}: no released data set; pass --dataset, or build it with `dvc repro release`.")
    settings = cell.settings
    cases = read_cases(dataset, cell.scenario, settings.split, settings.max_preferences)
    asked = (question.id for case in cases for question in case.questions)
    identities = {name: judge_sha256(name, judging, llm) for name in judging.judges}
    return shared_hashes(settings.split, settings.scenario, asked, judging, identities)


def check_results(results: Path, cells: Sequence[Cell], dataset: Path, expected: Mapping[str, Any]) -> None:
    """Refuse results that those of `cells`, with the hashes `expected`, could not stand beside, or would overwrite.

    Raises:
        InputError: a run was not judged, or is of another checkpoint of the same name, or was made with another data
            set, protocol version, judge or scenario, or asked other questions.
    """
    from editing.board.collect import read_scored
    from editing.runs import read_json
    from pipeline.core.provenance import dataset_sha256

    rows_sha256 = dataset_sha256(dataset)
    name, source = cells[0].model, cells[0].source
    replaced = {results / name / cell.method for cell in cells}
    for folder in sorted(path.parent for path in results.glob("*/*/run.json")):
        record = read_json(folder / "run.json")
        model = record.get("model")
        found = model.get("source", source) if isinstance(model, dict) else source
        if folder.parent.name == name and found != source:
            raise InputError(f"{folder}: of the checkpoint {found}; give --name another name.")
        if folder in replaced:
            continue
        if record.get("dataset_sha256", rows_sha256) != rows_sha256:
            raise InputError(f"{folder}: made with another data set than {dataset}; give --results another folder.")
        run = read_scored(folder)
        other = [] if run.failed else [entry for entry, value in expected.items() if run.hash(entry) != value]
        if other:
            raise InputError(
                f"{folder}: its {', '.join(other)} would differ from the new results'; judge or run it again with "
                "these settings, or give --results another folder."
            )
