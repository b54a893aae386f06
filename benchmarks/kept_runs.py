"""Runs of benchmarks, kept below .cache, so that a stopped benchmark goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from editing.methods.base import config_sha256
from editing.runner import Cell, code_sha256, reads_texts, run_cell
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import content_id


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
        cell.settings.model_dump(mode="json", exclude={"models", "methods", "workers"}),
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
