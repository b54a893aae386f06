"""The record of a run, read and checked for every stage that builds on its answers or patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from editing.metrics import PROTOCOL_VERSION
from pipeline.core.errors import InputError


def read_run(run: Path) -> dict[str, Any]:
    """What run.json in the folder `run` holds.

    Raises:
        InputError: the file is missing, is not JSON, or lacks what judging needs.
    """
    path = _existing(run / "run.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    missing = {"status", "dataset_sha256", "prompt_sha256"} - set(record)
    if missing:
        raise InputError(f"{path}: without {', '.join(sorted(missing))}; not a run record of this version.")
    if record.get("protocol") != PROTOCOL_VERSION:
        raise InputError(
            f"{path}: made under version {record.get('protocol', 1)} of docs/protocol.md, and this is version "
            f"{PROTOCOL_VERSION}; its answers lack what is scored now. Run `edit` again."
        )
    return dict(record)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that writes it, or `dvc repro`.")
    return path
