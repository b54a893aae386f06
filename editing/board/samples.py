"""Sample answers of a run: right ones, wrong ones, and controls where the target showed up."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from editing.board.collect import Run
from editing.metrics.scores import KINDS
from pipeline.core.errors import InputError
from pipeline.core.records import TARGET_KINDS

_TARGET_KINDS = frozenset(map(str, TARGET_KINDS))


def read_texts(dataset: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Question texts by question id, and statement and target by preference id, of all splits.

    Raises:
        InputError: the data set is not there.
    """
    questions: dict[str, str] = {}
    preferences: dict[str, dict[str, str]] = {}
    for split in ("train", "validation", "test"):
        try:
            asked = pq.read_table(dataset / "data" / f"questions-{split}.parquet", columns=["id", "text"])
            told = pq.read_table(
                dataset / "data" / f"preferences-{split}.parquet", columns=["id", "statement", "target"]
            )
        except FileNotFoundError as error:
            raise InputError(f"{dataset}: no data set there ({error}); run `release` first.") from error
        questions |= {row["id"]: row["text"] for row in asked.to_pylist()}
        preferences |= {row["id"]: {"statement": row["statement"], "target": row["target"]} for row in told.to_pylist()}
    return questions, preferences


def sample(
    run: Run, judge: str, questions: dict[str, str], preferences: dict[str, dict[str, str]], count: int
) -> dict[str, list[dict[str, Any]]]:
    """At most `count` answers of each class ("right", "wrong", "shows up"), spread over kinds, the same every time."""
    answers = run.table("answers.parquet", ("question_id", "preference_id", "text", "kind")).to_pylist()
    texts = {(row["question_id"], row["preference_id"]): row["text"] for row in answers}
    columns = ("question_id", "preference_id", "kind", "judge", "verdict", "reason")
    classes: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in run.table("verdicts.parquet", columns).to_pylist():
        name = _class_of(row)
        if row["judge"] == judge and name is not None:
            classes[name][row["kind"]].append(row)
    return {
        name: [_shown(row, texts, questions, preferences) for row in _spread(classes[name], count)]
        for name in ("right", "wrong", "shows up")
    }


def _class_of(row: dict[str, Any]) -> str | None:
    if row["kind"] in _TARGET_KINDS:
        return {"correct": "right", "incorrect": "wrong"}.get(row["verdict"])
    return "shows up" if row["verdict"] == "incorrect" else None


def _spread(by_kind: dict[str, list[dict[str, Any]]], count: int) -> list[dict[str, Any]]:
    """One row of every kind in turn until there are `count`; question ids are hashes, so their order is a draw."""
    queues = [sorted(by_kind.get(kind, []), key=lambda row: str(row["question_id"])) for kind in KINDS]
    longest = max(map(len, queues), default=0)
    return [queue[i] for i in range(longest) for queue in queues if i < len(queue)][:count]


def _shown(
    row: dict[str, Any],
    texts: dict[tuple[str, str], str],
    questions: dict[str, str],
    preferences: dict[str, dict[str, str]],
) -> dict[str, Any]:
    return {
        "kind": row["kind"],
        **preferences.get(row["preference_id"], {"statement": "", "target": ""}),
        "question": questions.get(row["question_id"], ""),
        "answer": texts.get((row["question_id"], row["preference_id"]), ""),
        "reason": row["reason"],
    }
