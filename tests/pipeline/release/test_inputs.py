from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import InputError
from pipeline.release.inputs import QUALITY, read_background, read_dataset, read_quality

ROOT = Path(__file__).resolve().parents[3]


def written(path: Path, value: Any) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return value


def test_rows_without_an_allowed_licence_are_refused_and_counted(validated: Path, histories: Path) -> None:
    dataset = read_dataset(validated, histories, ("CC-BY-4.0",))
    assert [p.id for p in dataset.preferences] == ["a", "b"]
    assert dataset.refused == {
        "histories: CC-BY-NC-4.0": 1,
        "histories: unknown": 1,
        "preferences: unknown": 1,
        "questions: CC-BY-NC-4.0": 1,
        "questions: unknown": 1,
    }


def test_a_history_lies_in_the_split_of_its_user_and_needs_a_preference(validated: Path, histories: Path) -> None:
    rows = read_dataset(validated, histories, ("CC-BY-4.0", "CC-BY-NC-4.0")).histories
    found = [(row.id, row.split) for row in rows]
    assert found == [("h-a", "train"), ("h-b", "test"), ("h-b2", "test"), ("h-nc", "test")]


def test_neither_a_question_nor_a_history_stays_without_its_preference(validated: Path, histories: Path) -> None:
    dataset = read_dataset(validated, histories, ("CC-BY-NC-4.0",))
    assert (dataset.preferences, dataset.questions, dataset.histories) == ([], [], [])


def test_the_background_is_what_has_been_made_so_far(tmp_path: Path) -> None:
    assert read_background(tmp_path, tmp_path) == ({}, [], None)
    mined = written(tmp_path / "mined" / "report.json", {"counts": {"statements": 2}})
    overlap = written(tmp_path / "contamination" / "report.json", {"dataset_sha256": "0"})
    assert read_background(tmp_path, tmp_path) == ({"mine": mined}, [], overlap)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("upqa/report.json", "{", r"report\.json: not a report .* run the stage `validate` again"),
        ("upqa/report.json", "{}", r"report\.json: not a stage report \(no counts\); run the stage `validate` again"),
        ("contamination/report.json", "{", r"run the command `upqa contamination` again"),
        ("pii.json", "{", r"pii\.json: not a report .* run the script `python -m benchmarks\.pii` again"),
        ("pii.json", '{"claim": 1}', r"pii\.json: not a list of claims"),
        ("pii.json", '[{"claim": "pii.precision"}]', r"pii\.json: not a list of claims \('value'\)"),
    ],
)
def test_a_damaged_file_is_named_with_what_writes_it(tmp_path: Path, name: str, text: str, told: str) -> None:
    written(tmp_path / name, text)
    with pytest.raises(InputError, match=told):
        read_background(tmp_path, tmp_path)


def test_every_figure_a_card_may_show_has_been_measured() -> None:
    assert len(read_quality(ROOT / "benchmarks" / "results")) == sum(map(len, QUALITY.values()))
