"""The record of a run, read and checked for every stage that builds on its answers or patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from editing.metrics import PROTOCOL_VERSION
from pipeline.core.errors import InputError
from pipeline.core.records import Split


class _Code(BaseModel):
    commit: str | None
    dirty: bool | None


class _Named(BaseModel):
    name: str


class _Model(_Named):
    source: str


class _Scenario(_Named):
    edits: int


class _Counts(BaseModel):
    preferences: int


class _Run(BaseModel):
    """What any run.json holds, also that of a failed run; more is allowed."""

    status: str
    code: _Code
    model: _Named
    method: str


class _FinishedRun(_Run):
    """What the run.json of a run with answers holds."""

    status: Literal["ok"]
    model: _Model
    dataset_sha256: str
    prompt_sha256: str
    split: Split
    scenario: _Scenario
    seeds: list[int]
    counts: _Counts
    cost: dict[str, float | None]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it, or `dvc repro`.") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object.")
    return value


def read_record(run: Path) -> dict[str, Any]:
    """What run.json in the folder `run` holds, whether the run ended well or failed.

    Raises:
        InputError: the file is missing, is not JSON, or lacks what a run of its status has, or the run is of another
            protocol version.
    """
    path = run / "run.json"
    record = read_json(path)
    finished = record.get("status") == "ok"
    if finished and record.get("protocol") != PROTOCOL_VERSION:
        raise InputError(
            f"{path}: made under version {record.get('protocol', 1)} of docs/protocol.md, and this is version "
            f"{PROTOCOL_VERSION}; its answers lack what is scored now. Run `edit` again."
        )
    try:
        (_FinishedRun if finished else _Run).model_validate(record)
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])), fault["type"], fault["msg"]) for fault in error.errors()]
        missing = [place for place, kind, _ in faults if kind == "missing"]
        wrong = [f"{place}: {message}" for place, kind, message in faults if kind != "missing"]
        told = "; ".join([f"without {', '.join(missing)}"] * bool(missing) + wrong)
        raise InputError(f"{path}: {told}; not a run record of this version.") from error
    return record


def read_run(run: Path) -> dict[str, Any]:
    """What run.json in the folder `run` holds of a run that has answers.

    Raises:
        InputError: as `read_record`, or the run failed.
    """
    record = read_record(run)
    if record["status"] != "ok":
        raise InputError(
            f"{run / 'run.json'}: the run failed ({record.get('error', 'no reason given')}); run `edit` again."
        )
    return record
