"""What is left of old edits as more users share one model, and whether a changed preference replaces the old one.

`python -m benchmarks.scenarios --dataset FOLDER [--preferences 100] [--method rome ...]`. Every method is edited, asked
and judged (`exact`) as the stages do it, in each scenario of params.yaml that is named. FOLDER is a release with enough
preferences in its test split, or a published benchmark as `upqa import` writes it.

- `scenario.<measure>.<method>`: the measure by scenario in `cells`, with intervals over users; `value` is that of the
  last scenario. Measures are the question kind `explicit`, `recall`, `specificity`, `headline`, `of_another` (share of
  explicit answers with another told user's value and not the own one), and `stale` (share of explicit answers with the
  value that was replaced).

Runs are kept below .cache/scenarios; methods measured before keep their rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.kept_runs import kept_run
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge
from editing.judging import item_of, judge_run
from editing.metrics.bootstrap import wilson
from editing.runner import Cell, EditSettings
from editing.users import read_cases
from pipeline.core.config import load_section
from pipeline.core.records import Answer, QuestionKind
from pipeline.core.tables import read_parquet

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
CACHE = Path(".cache/scenarios")
METHODS = ("in_context", "ft_m", "lora", "rome", "preference_edit")
SCENARIOS = ("single", "lifelong-10", "lifelong-100", "update")
JUDGE = "exact"
USERS_PER_FIT = 10
"""First edits that are fitted together; what a stopped run keeps."""


def measured(cell: Cell, dataset: Path, judging: JudgeConfig, cache: Path) -> dict[str, list[float]]:
    """The measures of one method in one scenario."""
    run = kept_run(cell, dataset, cache)
    scores = judge_run(dataset, run, judging.model_copy(update={"judges": (JUDGE,)}), cache / "judge")
    own = scores["judges"][JUDGE]
    found = {"explicit": own["by_kind"]["explicit"], **{m: own[m] for m in ("recall", "specificity", "headline")}}
    if scores["crossing"]:
        found["of_another"] = scores["crossing"]["of_another"]
    cells = {name: [found[name][end] for end in ("value", "low", "high")] for name in found}
    old = list(stale(cell, dataset, run, judging))
    if old:
        cells["stale"] = [sum(old) / len(old), *wilson(sum(old), len(old), judging.confidence)]
    return {name: [round(number, 4) for number in cell] for name, cell in cells.items() if None not in cell}


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


def claims_of(
    method: str, by_scenario: Mapping[str, Mapping[str, list[float]]], runs: Mapping[str, Mapping[str, Any]]
) -> list[Claim]:
    """A claim a measure; `runs` holds what was counted in each scenario."""
    claims = []
    for measure in dict.fromkeys(name for cells in by_scenario.values() for name in cells):
        cells = {scenario: own[measure] for scenario, own in by_scenario.items() if measure in own}
        value, low, high = list(cells.values())[-1]
        claims.append(
            Claim(
                f"scenario.{measure}.{method}",
                value,
                "share",
                low,
                high,
                runs[list(cells)[-1]]["preferences"],
                f"judge {JUDGE}, {MODEL}",
                {"cells": cells, "runs": runs},
            )
        )
    return claims


def main(
    dataset: Annotated[Path, typer.Option(help="A release folder.")] = Path("build/hub"),
    exchanges: Annotated[Path, typer.Option(help="Text for covariances.")] = Path("data/exchanges/exchanges.parquet"),
    preferences: Annotated[int, typer.Option(help="Preferences of the test split, by the order of their ids.")] = 100,
    method: Annotated[list[str], typer.Option(help="Methods.")] = list(METHODS),  # noqa: B006
    scenario: Annotated[list[str], typer.Option(help="Scenarios of params.yaml.")] = list(SCENARIOS),  # noqa: B006
) -> None:
    """Write benchmarks/results/scenarios.json."""
    judging = load_section(PARAMS, "judge", JudgeConfig)
    edit = load_section(PARAMS, "edit", EditSettings).model_copy(
        update={
            "max_preferences": preferences,
            "split": "test",
            "users_per_fit": USERS_PER_FIT,
            "dtype": "float32",
            "exchanges": exchanges,
        }
    )
    for name in method:
        cells, runs = {}, {}
        for told in scenario:
            cell = Cell(edit.model_copy(update={"scenario": told}), MODEL, name)
            cells[told] = measured(cell, dataset, judging, CACHE)
            record = json.loads((kept_run(cell, dataset, CACHE) / "run.json").read_text(encoding="utf-8"))
            runs[told] = {**record["counts"], "seconds_per_edit": record["cost"]["seconds_per_edit"]}
            typer.echo(json.dumps({name: {told: {**cells[told], **runs[told]}}}))
        command = f"python -m benchmarks.scenarios --dataset FOLDER --preferences {preferences}"
        write("scenarios", command, claims_of(name, cells, runs), keep_others=True)


if __name__ == "__main__":
    typer.run(main)
