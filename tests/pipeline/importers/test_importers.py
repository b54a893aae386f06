"""From a published file to a data set folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.core.errors import InputError
from pipeline.core.provenance import sha256_file, sha256_tree
from pipeline.core.records import TARGET_KINDS, Preference, Question
from pipeline.core.tables import read_parquet
from pipeline.importers.stage import Dataset, Format, dataset, read, write
from pipeline.validate.config import DifficultyConfig, RulesConfig
from pipeline.validate.difficulty import hashed

ROOT = Path(__file__).parents[3]
FIXTURES = Path(__file__).with_name("fixtures")
PUBLISHED = os.environ.get("UPQA_PUBLISHED_DATA")
"""Folder with the published files, which are not part of the project."""
RULES = RulesConfig(require_kinds=(), max_target_words=6, max_question_words=40, min_question_words=1)
DIFFICULTY = DifficultyConfig(encoder="hashed", max_rank=10, min_overlap=0.3, pool_size=1000)


def rows(benchmark: Format, path: Path) -> Dataset:
    return dataset(read(benchmark, path, first_person=True).drafts, hashed, RULES, DIFFICULTY)


def test_every_row_is_a_test_row_under_the_published_licence() -> None:
    found = rows("upqa", FIXTURES / "upqa.json")
    assert {(r.split, r.license) for r in [*found.preferences, *found.questions]} == {("test", "CC-BY-NC-4.0")}


def test_equal_records_become_one_and_the_count_says_so() -> None:
    found = read("upqa", FIXTURES / "upqa.json", first_person=True)
    assert found.records == 4
    assert len(found.drafts) == 3


def test_questions_belong_to_preferences_and_accept_target_and_synonyms() -> None:
    found = rows("upqa", FIXTURES / "upqa_cluster.json")
    (preference,) = found.preferences
    assert {question.preference_id for question in found.questions} == {preference.id}
    assert {question.accepted for question in found.questions} == {
        ("Restoring clocks", "Clock repair", "Mending clocks")
    }
    assert {(q.kind.value, q.expects) for q in found.questions} == {
        *(("explicit", "recall"), ("rephrased", "recall"), ("implicit", "apply"), ("product", "apply"))
    }


def test_the_folder_is_read_back_as_written_and_its_manifest_holds_every_file(tmp_path: Path) -> None:
    found = rows("prefeval", FIXTURES / "prefeval.json")
    manifest = write("prefeval", found, FIXTURES / "prefeval.json", tmp_path)
    assert list(read_parquet(tmp_path / "data/preferences-test.parquet", Preference)) == found.preferences
    assert list(read_parquet(tmp_path / "data/questions-test.parquet", Question)) == found.questions
    assert list(read_parquet(tmp_path / "data/questions-train.parquet", Question)) == []
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        path.relative_to(tmp_path).as_posix(): sha256_file(path)
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_the_same_file_gives_the_same_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write("upqa", rows("upqa", FIXTURES / "upqa.json"), FIXTURES / "upqa.json", tmp_path / name)
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")


@pytest.mark.parametrize("benchmark", ["upqa", "prefeval"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "not valid JSON"), ("{}", "expected a JSON array"), ('[{"a": 1}]', "record 0")],
)
def test_another_file_is_refused_with_the_place(benchmark: Format, text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read(benchmark, path, first_person=True)


def test_a_file_of_the_other_benchmark_is_refused() -> None:
    with pytest.raises(InputError, match="not a record of this benchmark"):
        read("upqa", FIXTURES / "prefeval.json", first_person=True)


def test_the_command_writes_the_folder(tmp_path: Path) -> None:
    import typer
    import yaml

    from pipeline.importers.__main__ import import_benchmark

    params = tmp_path / "params.yaml"
    params.write_text(
        yaml.safe_dump(
            {
                "validate": {
                    "rules": RULES.model_dump(mode="json"),
                    "difficulty": DIFFICULTY.model_dump(mode="json"),
                    "reference": None,
                    "split": {
                        "seed": 1,
                        "train": 0.5,
                        "validation": 0.25,
                        "test": 0.25,
                        "max_group": 0.1,
                        "near_duplicate": None,
                    },
                },
                "generate": yaml.safe_load((ROOT / "params.yaml").read_text())["generate"],
            }
        )
    )
    app = typer.Typer()
    app.command()(import_benchmark)
    options = ["--in", str(FIXTURES / "upqa.json"), "--out", str(tmp_path / "hub"), "--params", str(params)]
    done = CliRunner().invoke(app, ["--format", "upqa", *options])
    assert done.exit_code == 0, done.output
    kinds = {q.kind for q in read_parquet(tmp_path / "hub/data/questions-test.parquet", Question)}
    assert {*TARGET_KINDS} < kinds


@pytest.mark.skipif(PUBLISHED is None, reason="set UPQA_PUBLISHED_DATA to a folder with the published files")
@pytest.mark.parametrize(
    ("benchmark", "file", "questions"),
    [
        ("upqa", "upqa_official/balanced_subset.json", 400),
        ("upqa", "upqa_official/balanced_subset_cluster9.json", 400),
        ("prefeval", "prefeval/prefeval_pro_balanced.json", 200),
    ],
)
def test_the_published_files_are_imported_whole(benchmark: Format, file: str, questions: int) -> None:
    found = rows(benchmark, Path(str(PUBLISHED)) / file)
    assert len(found.preferences) == 100
    assert len(found.questions) == questions
