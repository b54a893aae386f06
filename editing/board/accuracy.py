"""How accurate the judges themselves are, as measured on hand-labelled replies held apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editing.metrics.scores import KINDS
from pipeline.core.errors import InputError

FIGURES = {"accuracy": "accuracy", "false_accept": "false accept", "false_reject": "false reject"}
"""Figure in a claim's name -> what it is called on the page."""
PARTS = {"targets": "judge.fresh", "controls": "judge.fresh.controls"}
"""Replies to questions that need the fact, and to controls -> how the names of claims about them begin."""


def read_accuracy(path: Path, board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of every judge in the table, from the claims `judge.fresh.*`; a judge not measured has none.

    By judge, for each of PARTS that was measured: `overall`, `by_kind` and `by_class` (what makes a reply right or
    wrong), each with all FIGURES; one that does not exist, as false rejects of wrong replies, is None. A judge whose
    settings or code have changed since is marked `stale`.

    Raises:
        InputError: the file is not a list of claims.
    """
    if not path.is_file():
        return {}
    try:
        claims = {claim["claim"]: claim for claim in json.loads(path.read_text(encoding="utf-8"))}
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: not a list of claims; run `python -m benchmarks.judges --fresh` again ({error})."
        ) from error
    rows = board["rows"] or board["dirty"]
    found: dict[str, dict[str, Any]] = {}
    for name, scores in rows[0]["judges"].items() if rows else ():
        own = {part: _under(claims, f"{prefix}.{name}.") for part, prefix in PARTS.items()}
        if not own["targets"]:
            found[name] = {}
            continue
        measured = {claim.get("extra", {}).get("judge_sha256") for part in own.values() for claim in part.values()}
        found[name] = {part: _figures(of_part) for part, of_part in own.items() if of_part}
        found[name]["stale"] = measured != {scores["sha256"]}
    return found


def _under(claims: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The claims about one judge, by what stands after `prefix`: a figure, or a figure and a kind or class."""
    own = {name.removeprefix(prefix): claim for name, claim in claims.items() if name.startswith(prefix)}
    return {name: claim for name, claim in own.items() if name.split(".")[0] in FIGURES}


def _figures(claims: Mapping[str, Any]) -> dict[str, Any]:
    of = dict.fromkeys(name.partition(".")[2] for name in claims)
    by_part = {
        part: {label: _estimate(claims.get(f"{name}.{part}".rstrip("."))) for name, label in FIGURES.items()}
        for part in of
    }
    return {
        "overall": by_part.get("", dict.fromkeys(FIGURES.values())),
        "by_kind": {kind: by_part[kind] for kind in KINDS if kind in by_part},
        "by_class": {part: by_part[part] for part in sorted(by_part) if part and part not in KINDS},
    }


def _estimate(claim: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if claim is None:
        return None
    unscored = claim.get("extra", {}).get("n_unscored", 0)
    return {key: claim[key] for key in ("value", "low", "high", "n")} | {"n_unscored": unscored}
