"""Runs read from a results folder; runs that may not stand in one table are refused by name."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from editing.metrics import PROTOCOL_VERSION
from editing.runs import read_json, read_record
from pipeline.core.errors import InputError

COMPARED = ("protocol", "dataset_sha256", "judge_sha256", "scenario", "questions_sha256")
"""Entries of scores.json's hashes that must be equal in one table."""
COMPARED_WITHIN_MODEL = ("prompt_sha256", "decoding_sha256")
"""Entries that must be equal among the runs of one model: chat template; number format, budget and decoding."""
PLAIN_SCENARIO = "single"
"""The scenario of the main table: one fact of one user."""
REMEDIES = {"questions_sha256": "Run them again with the edit.split and edit.max_preferences of the others"}
"""What brings a row into the table, by the entry it differs in; elsewhere running or judging it again."""


@dataclass(frozen=True)
class Run:
    """One model with one method."""

    folder: Path
    """Where its files are."""
    record: dict[str, Any]
    """run.json."""
    scores: dict[str, Any] | None
    """scores.json; None for a failed run."""

    @property
    def model(self) -> str:
        """Name of the checkpoint."""
        return str(self.record["model"]["name"])

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.record["method"])

    @property
    def scenario(self) -> str | None:
        """What the model was told before it was asked, where that is not one fact of one user."""
        found = self.record.get("config", {}).get("scenario")
        return None if found in (None, PLAIN_SCENARIO) else str(found)

    @property
    def key(self) -> str:
        """What the run is called in messages and addresses."""
        return f"{self.model}/{self.method}" + (f"@{self.scenario}" if self.scenario else "")

    @property
    def failed(self) -> bool:
        """Whether the run ended without answers to score."""
        return self.scores is None

    @property
    def dirty(self) -> bool:
        """Whether the code that made it had changes that were not committed, or stood in no Git checkout to tell."""
        return self.record["code"]["dirty"] is not False

    def hash(self, name: str) -> Any:
        """An entry of the scores' hashes, which say with what the run may be compared.

        Raises:
            InputError: the scores were made before there was such an entry.
        """
        hashes = (self.scores or {}).get("hashes", {})
        if name not in hashes:
            raise InputError(f"{self.folder / 'scores.json'}: without hashes.{name}; judge the run again.")
        return hashes[name]

    def table(self, name: str, columns: Sequence[str]) -> pa.Table:
        """Columns of one of the run's Parquet files, all of them strings, as dictionary-encoded columns.

        Raises:
            InputError: the file is missing or damaged, or lacks a column.
        """
        path = self.folder / name
        try:
            # Not pq.read_table: it loads pandas, and threads cost more than they save on files this small.
            with pq.ParquetFile(path, read_dictionary=list(columns)) as file:
                found = file.read(columns=list(columns), use_threads=False)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise InputError(f"{path}: missing or damaged; run `judge` on {self.folder} again ({error}).") from error
        missing = set(columns) - set(found.column_names)
        if missing:
            raise InputError(f"{path}: without {', '.join(sorted(missing))}; run `judge` on {self.folder} again.")
        return found


def read_runs(results: Path) -> list[Run]:
    """All runs below `results`, sorted by model and method.

    Raises:
        InputError: no run is there, a file is damaged, or a run was not judged yet.
    """
    runs = [read_scored(path.parent) for path in sorted(results.glob("*/*/run.json"))]
    if not runs:
        raise InputError(f"{results}: no runs (looked for */*/run.json); run `edit` and `judge` first.")
    return sorted(runs, key=lambda run: (run.model, run.method))


def read_scored(folder: Path) -> Run:
    """The run in `folder`, with its scores unless it failed.

    Raises:
        InputError: a file is damaged, or the run was not judged yet.
    """
    record = read_record(folder)
    if record["status"] != "ok":
        return Run(folder, record, None)
    path = folder / "scores.json"
    if not path.is_file():
        raise InputError(f"{folder}: not judged yet; run `python -m editing.judge --run {folder}`.")
    return Run(folder, record, read_json(path))


def check_comparable(runs: Iterable[Run]) -> dict[str, Any]:
    """The hashes all scored `runs` share; empty where nothing is scored.

    Raises:
        InputError: they are of another protocol version, or differ in data set, judges, scenario or questions, or
            runs of one model differ in prompts or decoding; names the rows.
    """
    scored = [run for run in runs if not run.failed]
    shared: dict[str, Any] = {}
    for name in COMPARED:
        found = defaultdict(list)
        for run in scored:
            found[run.hash(name)].append(run.key)
        if name == "protocol" and set(found) - {PROTOCOL_VERSION}:
            old = [key for version, keys in found.items() if version != PROTOCOL_VERSION for key in keys]
            raise InputError(
                f"Scored under another version of docs/protocol.md than {PROTOCOL_VERSION}: {', '.join(old)}. "
                "Judge them again."
            )
        if len(found) > 1:
            raise InputError(_mixed(name, found))
        shared[name] = next(iter(found), None)
    for model, name in itertools.product(sorted({run.model for run in scored}), COMPARED_WITHIN_MODEL):
        found = defaultdict(list)
        for run in scored:
            if run.model == model:
                found[run.hash(name)].append(run.key)
        if len(found) > 1:
            raise InputError(_mixed(name, found))
    return shared


def _mixed(name: str, found: dict[Any, list[str]]) -> str:
    common = Counter({value: len(keys) for value, keys in found.items()}).most_common(1)[0][0]
    odd = [f"{key} ({str(value)[:12]})" for value, keys in found.items() if value != common for key in keys]
    return (
        f"Results with different {name} do not stand in one table. Most rows have {str(common)[:12]}; these differ: "
        f"{', '.join(odd)}. {REMEDIES.get(name, 'Run or judge them again')}, or keep them in another results folder."
    )
