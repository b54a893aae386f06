"""What is left of old edits as more users share one model, and whether a changed preference replaces the old one.

`python -m benchmarks.scenarios --dataset FOLDER [--preferences 30] [--method rome ...]`. Every method is edited, asked
and judged (`exact`) as the stages do it, in each scenario of params.yaml that is named. FOLDER is a release with enough
preferences in its test split, or a published benchmark as `upqa import` writes it.

- `scenario.<measure>.<method>`: the measure by scenario in `cells`, with intervals over users; `value` is that of the
  last scenario. Measures are the question kind `explicit`, `recall`, `specificity`, `headline`, `of_another` (share of
  explicit answers with another told user's value and not the own one), `controls_of_another` (share of answers to
  controls in which another's value shows up), and `stale` (share of explicit answers with the value that was replaced).

Runs are kept below .cache/scenarios; methods and scenarios measured before keep their cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.claims import write
from benchmarks.kept_runs import MODEL, PARAMS, Measured, claims, edit_settings, kept_run, measures
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge
from editing.judging import item_of
from editing.metrics.bootstrap import wilson
from editing.runner import Cell
from editing.users import read_cases
from pipeline.core.config import load_section
from pipeline.core.records import Answer, QuestionKind
from pipeline.core.tables import read_parquet

CACHE = Path(".cache/scenarios")
METHODS = ("ft_m", "lora", "rome", "preference_edit")
SCENARIOS = ("single", "lifelong-10", "lifelong-100", "update")
USERS_PER_FIT = 10
"""First edits that are fitted together; what a stopped run keeps."""


def measured(cell: Cell, dataset: Path, judging: JudgeConfig, cache: Path) -> Measured:
    """The measures of one method in one scenario."""
    found = measures(cell, dataset, judging, cache)
    old = list(stale(cell, dataset, kept_run(cell, dataset, cache), judging))
    if old:
        found.cells["stale"] = [sum(old) / len(old), *wilson(sum(old), len(old), judging.confidence)]
    return found


def stale(cell: Cell, dataset: Path, run: Path, judging: JudgeConfig) -> Iterator[bool]:
    """For each explicit answer about a changed preference, whether it gives the old value."""
    if cell.scenario.told != "change":
        return
    judge, settings = ExactJudge(judging.exact), cell.settings
    texts = {answer.question_id: answer.text for answer in read_parquet(run / "answers.parquet", Answer)}
    for case in read_cases(dataset, cell.scenario, settings.split, settings.max_preferences):
        ((old,), _) = case.told
        asked = [question for question in case.questions if question.kind is QuestionKind.EXPLICIT]
        items = [item_of(old, question, texts[question.id]) for question in asked]
        rulings = judge.rule([replace(item, accepted=(old.target,)) for item in items])
        yield from (ruling.verdict == "correct" for ruling in rulings)


def main(
    dataset: Annotated[Path, typer.Option(help="A release folder.")] = Path("build/hub"),
    exchanges: Annotated[Path, typer.Option(help="Text for covariances.")] = Path("data/exchanges/exchanges.parquet"),
    preferences: Annotated[
        int, typer.Option(help="Preferences of the test split, or more where a model holds more.")
    ] = 30,
    method: Annotated[list[str], typer.Option(help="Methods.")] = list(METHODS),  # noqa: B006
    scenario: Annotated[list[str], typer.Option(help="Scenarios of params.yaml.")] = list(SCENARIOS),  # noqa: B006
) -> None:
    """Write benchmarks/results/scenarios.json."""
    judging = load_section(PARAMS, "judge", JudgeConfig)
    edit = edit_settings(preferences, exchanges, USERS_PER_FIT)
    for name in method:
        cells = {
            told: edit.model_copy(
                update={"scenario": told, "max_preferences": max(preferences, edit.scenarios[told].edits)}
            )
            for told in scenario
        }
        found = {told: measured(Cell(own, MODEL, name), dataset, judging, CACHE) for told, own in cells.items()}
        command = f"python -m benchmarks.scenarios --dataset FOLDER --preferences {preferences}"
        write("scenarios", command, claims("scenario", name, found, SCENARIOS), keep_others=True)


if __name__ == "__main__":
    typer.run(main)
