"""A release as a task folder of lm-evaluation-harness, scored there by the verdicts of the judge `exact`.

The judge is not this package's business: the folder holds a Python file, written from a template, that imports it where
the tasks run, and the judge's settings as they were when the folder was written.

Source: Gao et al., A framework for few-shot language model evaluation (lm-evaluation-harness), version 0.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.core.config import read_yaml
from pipeline.core.errors import ConfigError
from pipeline.core.records import TARGET_KINDS, Preference, Question
from pipeline.core.tables import atomic_write, write_json

GROUPS: Mapping[str, str] = {"upqa": "question", "upqa_in_context": "!function upqa_tasks.in_context"}
"""Group of tasks -> its prompt: the bare question, or the question with the user's statement."""


class TaskSettings(NamedTuple):
    """What the tasks must share with an evaluation for equal scores."""

    judge: dict[str, Any]
    """Section judge.exact of params.yaml."""
    max_new_tokens: int
    """Answer budget, edit.max_new_tokens."""


def task_settings(params: Path) -> TaskSettings:
    """The settings of an evaluation that reads `params`.

    Raises:
        ConfigError: the file is missing or lacks one of the keys.
    """
    document = read_yaml(params)
    try:
        return TaskSettings(dict(document["judge"]["exact"]), int(document["edit"]["max_new_tokens"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{params}: judge.exact and edit.max_new_tokens are needed ({error}).") from error


def task_rows(preferences: Iterable[Preference], questions: Iterable[Question]) -> dict[str, list[dict[str, Any]]]:
    """Kind -> everything the judge reads of each question but the answer, by preference id.

    A preference that replaces another is left out, as an evaluation leaves it out.
    """
    released = sorted(preferences, key=lambda p: p.id)
    updates = {preference.superseded_by for preference in released}
    asked: dict[str, list[Question]] = {p.id: [] for p in released if p.id not in updates}
    for question in questions:
        if question.preference_id in asked:
            asked[question.preference_id].append(question)
    rows: dict[str, list[dict[str, Any]]] = {kind.value: [] for kind in TARGET_KINDS}
    for preference in released:
        for question in asked.get(preference.id, ()):
            if question.kind in TARGET_KINDS:
                rows[question.kind.value].append(_row(preference, question))
    return rows


def _row(preference: Preference, question: Question) -> dict[str, Any]:
    return {
        "id": question.id,
        "preference_id": preference.id,
        "kind": question.kind.value,
        "question": question.text,
        "statement": preference.statement,
        "attribute_type": preference.attribute_type,
        "target": preference.target,
        "aliases": list(preference.aliases),
        "accepted": list(question.accepted),
        "license": question.license,
    }


def write_tasks(
    rows: Mapping[str, list[dict[str, Any]]], settings: TaskSettings, out: Path, *, split: str, dataset_sha256: str
) -> None:
    """Write the folder: a task for each kind in both groups, data/<kind>.jsonl, judge.json, upqa_tasks.py, README.md.

    The folder is deterministic. `split` and `dataset_sha256` say in its README where the rows come from.
    """
    for kind, own in rows.items():
        with atomic_write(out / "data" / f"{kind}.jsonl", "w") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in own)
    write_json(out / "judge.json", settings.judge)
    _fill("upqa_tasks.py", out / "upqa_tasks.py")
    for group, doc_to_text in GROUPS.items():
        _fill("group.yaml", out / f"{group}.yaml", group=group, kinds=list(rows))
        for kind in rows:
            _fill(
                "task.yaml",
                out / f"{group}_{kind}.yaml",
                group=group,
                kind=kind,
                doc_to_text=doc_to_text,
                max_new_tokens=settings.max_new_tokens,
            )
    every = [row for own in rows.values() for row in own]
    _fill(
        "README.md",
        out / "README.md",
        preferences=len({row["preference_id"] for row in every}),
        counts={kind: len(own) for kind, own in rows.items()},
        licenses=sorted({row["license"] for row in every}),
        max_new_tokens=settings.max_new_tokens,
        split=split,
        dataset_sha256=dataset_sha256,
    )


def _fill(template: str, path: Path, **values: Any) -> None:
    environment = Environment(
        loader=PackageLoader("pipeline.release", "templates/lm_eval"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    with atomic_write(path, "w") as file:
        file.write(environment.get_template(f"{template}.jinja").render(**values))
