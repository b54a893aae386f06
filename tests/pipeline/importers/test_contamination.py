"""Overlap with published benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import InputError
from pipeline.core.records import Preference, Question, QuestionKind
from pipeline.core.tables import write_parquet
from pipeline.importers.contamination import report
from pipeline.validate.difficulty import hashed
from pipeline.validate.splits import SPLITS
from tests.pipeline.release.conftest import made_preference, made_question

FIXTURES = Path(__file__).with_name("fixtures")
UPQA, PREFEVAL = ("upqa", FIXTURES / "upqa.json"), ("prefeval", FIXTURES / "prefeval.json")


def released(folder: Path, preferences: Iterable[Preference], questions: Iterable[Question]) -> Path:
    rows, asked = list(preferences), list(questions)
    for split in SPLITS:
        own = [row for row in rows if row.split == split]
        write_parquet(folder / "data" / f"preferences-{split}.parquet", own, Preference)
        write_parquet(folder / "data" / f"questions-{split}.parquet", [q for q in asked if q.split == split], Question)
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Record 1's statement in other spelling, one of record 3's with a word more, one of nobody's, and questions."""
    same = made_preference("same", statement="I drive a TRAM", split="train")
    close = made_preference("close", statement="I always speak Welsh at home.")
    own = made_preference("own")
    asked = [
        made_question(own, id="q-same", kind=QuestionKind.IMPLICIT, text="Which radio station suits me"),
        made_question(own, id="q-statement", kind=QuestionKind.REPHRASED, text="I drive a tram."),
        made_question(own, id="q-ours", text="What is my hotel preference?"),
    ]
    return released(tmp_path / "hub", [same, close, own], asked)


def found(hub: Path, *files: Any, near_duplicate: float = 0.75) -> dict[str, Any]:
    return report(hub, files, hashed, near_duplicate)


def test_equal_words_and_near_duplicates_are_told_apart_and_point_at_the_record(hub: Path) -> None:
    (file,) = found(hub, UPQA)["files"]
    rows = {row["id"]: (row["what"], row["split"], row["match"], row["record"]) for row in file["rows"]}
    assert rows == {
        "same": ("statement", "train", "equal", 1),
        "close": ("statement", "test", "near", 3),
        "q-same": ("implicit", "test", "equal", 3),
    }
    counts = {what: (n["rows"], n["equal"], n["near"]) for what, n in file["overlap"].items()}
    assert counts == {"statement": (3, 1, 1), "implicit": (1, 1, 0), "rephrased": (1, 0, 0), "explicit": (1, 0, 0)}
    assert file["overlap"]["implicit"]["closest"] == pytest.approx(1)
    assert file["overlap"]["rephrased"]["closest"] < 1


def test_a_higher_threshold_leaves_the_equal_ones(hub: Path) -> None:
    (file,) = found(hub, UPQA, near_duplicate=1.0)["files"]
    assert {row["match"] for row in file["rows"]} == {"equal"}


def test_a_question_that_the_import_adds_is_not_the_benchmarks(hub: Path) -> None:
    (file,) = found(hub, PREFEVAL)["files"]
    assert file["rows"] == []


def test_the_report_is_the_same_whatever_the_block(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(hub, UPQA, PREFEVAL)
    monkeypatch.setattr("pipeline.importers.contamination.BLOCK", 1)
    assert found(hub, UPQA, PREFEVAL) == whole
    assert [file["records"] for file in whole["files"]] == [4, 2]


def test_a_release_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the release holds no row"):
        found(released(tmp_path / "hub", [], []), UPQA)


def test_the_command_writes_the_report(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.embedding.embed", lambda texts: np.asarray(hashed(texts)))
    out = tmp_path / "report.json"
    arguments = ["contamination", "--dataset", str(hub), "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--upqa", str(UPQA[1]), "--prefeval", str(PREFEVAL[1])])
    assert done.exit_code == 0, done.output
    assert [file["benchmark"] for file in json.loads(out.read_text())["files"]] == ["upqa", "prefeval"]
    assert CliRunner().invoke(app, arguments).exit_code == 1
