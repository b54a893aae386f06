"""Runs of benchmarks, kept below .cache so that a stopped benchmark goes on where it was, and their claims."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from benchmarks.claims import ROOT, Claim, read
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.methods.base import config_sha256
from editing.runner import Cell, EditSettings, code_sha256, reads_texts, run_cell
from pipeline.core.config import load_section
from pipeline.core.provenance import code_revision, dataset_sha256, sha256_file
from pipeline.core.records import content_id

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
JUDGE = "exact"


class Measured(NamedTuple):
    """What one run shows."""

    cells: dict[str, list[float]]
    """[value, low, high] by measure."""
    counts: dict[str, float]
    """Preferences, answers, failed edits, seconds an edit."""


def edit_settings(preferences: int, exchanges: Path, users_per_fit: int) -> EditSettings:
    """The settings of params.yaml for up to `preferences` of the test split, in float32.

    `exchanges` is text for covariances; `users_per_fit` are fitted together, and are what a stopped run keeps.
    """
    changes = {
        "max_preferences": preferences,
        "split": "test",
        "users_per_fit": users_per_fit,
        "dtype": "float32",
        "exchanges": exchanges,
    }
    return load_section(PARAMS, "edit", EditSettings).model_copy(update=changes)


def kept_run(cell: Cell, dataset: Path, cache: Path, *use: Any) -> Path:
    """The folder below `cache` of the finished run of a cell on a data set, made where it is not there.

    It is found again while data, code of the engine, hyper-parameters and all settings are the same, and what it is
    for: `use`, whatever files are added to the folder depend on.
    """
    exchanges = cell.settings.exchanges
    texts = [sha256_file(exchanges)] if exchanges and reads_texts(cell.config) else []
    key = content_id(
        dataset_sha256(dataset),
        code_sha256(),
        cell.model,
        config_sha256(cell.config),
        cell.settings.model_dump(mode="json", exclude={"models", "methods", "workers", "exchanges"}),
        texts,
        use,
    )
    run = cache / cell.method / key[:16]
    if not _finished(run / "run.json"):
        run_cell(cell, dataset, run, cache)
    return run


def _finished(record: Path) -> bool:
    """Whether a run ended well; one that failed has a record too."""
    return record.is_file() and json.loads(record.read_text(encoding="utf-8"))["status"] == "ok"


def measures(cell: Cell, dataset: Path, judging: JudgeConfig, cache: Path) -> Measured:
    """Recall by kind, specificity, headline and collateral of a cell, by JUDGE."""
    run = kept_run(cell, dataset, cache)
    scores = judge_run(dataset, run, judging.model_copy(update={"judges": (JUDGE,)}), cache / "judge")
    own = scores["judges"][JUDGE]
    found = {**own["by_kind"], **{name: own[name] for name in ("recall", "specificity", "headline")}}
    if scores["crossing"]:
        found |= {name: scores["crossing"][name] for name in ("of_another", "controls_of_another")}
    cells = {name: [one[end] for end in ("value", "low", "high")] for name, one in found.items()}
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    counts = {**record["counts"], "seconds_per_edit": record["cost"]["seconds_per_edit"]}
    return Measured({name: cell for name, cell in cells.items() if None not in cell}, counts)


def claims(prefix: str, method: str, found: Mapping[str, Measured], order: Sequence[str]) -> list[Claim]:
    """A claim a measure, `<prefix>.<measure>.<method>`, with cells by the keys of `found`, in `order`.

    Cells that were measured before and are not in `found` are kept; each says its commit. The value is the last cell's.
    """
    made, note, now = [], f"judge {JUDGE}, {MODEL}", (code_revision()["commit"] or "")[:12]
    earlier = read()
    for measure in dict.fromkeys(name for one in found.values() for name in one.cells):
        name = f"{prefix}.{measure}.{method}"
        before = earlier.get(name, {}).get("extra", {"cells": {}, "runs": {}})
        cells, runs = dict(before["cells"]), dict(before["runs"])
        for key, one in found.items():
            if measure in one.cells:
                cells[key] = [round(number, 4) for number in one.cells[measure]]
                runs[key] = {**one.counts, "commit": now}
        extra = {
            what: {key: own[key] for key in order if key in own} for what, own in (("cells", cells), ("runs", runs))
        }
        last = list(extra["cells"])[-1]
        value, low, high = extra["cells"][last]
        n = int(extra["runs"][last]["preferences"])
        made.append(Claim(name, value, "share", low, high, n, note, extra))
        typer.echo(f"{name}: {extra['cells']}")
    return made
