"""How accurate the judges themselves are, as measured on the calibration set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError

FIGURES = {"accuracy": "accuracy", "false_accept": "false accept", "false_reject": "false reject"}
"""Last part of a claim's name -> what the figure is called on the page."""


def read_accuracy(path: Path, board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of every judge in the table, from the claims `judge.<name>.<figure>`; empty where not measured.

    A judge whose settings or code have changed since is marked `stale`.

    Raises:
        InputError: the file is not a list of claims.
    """
    if not path.is_file():
        return {}
    try:
        claims = {claim["claim"]: claim for claim in json.loads(path.read_text(encoding="utf-8"))}
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a list of claims; run `python -m benchmarks.judges` again ({error}).") from error
    rows = board["rows"] or board["dirty"]
    found: dict[str, dict[str, Any]] = {}
    for name, scores in rows[0]["judges"].items() if rows else ():
        own = {label: claims.get(f"judge.{name}.{figure}") for figure, label in FIGURES.items()}
        if None in own.values():
            continue
        found[name] = {
            label: {key: claim[key] for key in ("value", "low", "high", "n")} | {"n_unscored": 0}
            for label, claim in own.items()
            if claim is not None
        }
        found[name]["stale"] = any(
            claim and claim.get("extra", {}).get("judge_sha256") != scores["sha256"] for claim in own.values()
        )
    return found
