"""The files of the exported task folder; tests/editing/general/test_exported_tasks.py runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.provenance import sha256_tree
from pipeline.core.records import TARGET_KINDS, QuestionKind
from pipeline.release.harness_tasks import TaskSettings, task_rows, task_settings, write_tasks

Make = Callable[..., Any]
SETTINGS = TaskSettings({"list_items_recall": 3, "list_items_apply": 7}, 24)


def test_rows_are_the_target_kinds_by_preference_without_those_that_replace_another(
    preference: Make, question: Make
) -> None:
    new = preference("new", origin="template")
    old = preference("old", superseded_by="new")
    asked = [question(p, kind=kind) for p in (old, new) for kind in (QuestionKind.PRODUCT, QuestionKind.UNSTATED)]
    rows = task_rows([old, new, preference("first")], [question(preference("first")), *asked])
    assert list(rows) == [kind.value for kind in TARGET_KINDS]
    assert [row["preference_id"] for row in rows["product"]] == ["old"]
    assert [row["preference_id"] for row in rows["explicit"]] == ["first"]


def test_a_text_that_looks_like_a_template_stays_as_it_is(preference: Make, question: Make, tmp_path: Path) -> None:
    odd = preference("a", statement="I like {{ braces }} and !function x.y {% raw %}.\u2028")
    write_tasks(task_rows([odd], [question(odd)]), SETTINGS, tmp_path, split="test", dataset_sha256="0")
    (line,) = (tmp_path / "data" / "explicit.jsonl").read_text().split("\n")[:-1]
    assert json.loads(line)["statement"] == odd.statement


def test_the_folder_holds_the_settings_and_is_the_same_twice(preference: Make, question: Make, tmp_path: Path) -> None:
    rows = task_rows([preference("a")], [question(preference("a"))])
    for name in ("one", "two"):
        write_tasks(rows, SETTINGS, tmp_path / name, split="test", dataset_sha256="0")
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert json.loads((tmp_path / "one" / "judge.json").read_text()) == SETTINGS.judge
    assert "max_gen_toks: 24" in (tmp_path / "one" / "upqa_implicit.yaml").read_text()


def test_settings_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("edit: {max_new_tokens: 32}\n")
    with pytest.raises(ConfigError, match=r"params\.yaml: judge\.exact and edit\.max_new_tokens are needed"):
        task_settings(tmp_path / "params.yaml")
