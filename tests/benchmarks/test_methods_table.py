from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import methods_table
from benchmarks.methods_table import OURS, Bench, claims, splits
from editing.judges.config import JudgeConfig
from pipeline.core.config import load_section

JUDGING = load_section(methods_table.PARAMS, "judge", JudgeConfig)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(Bench, "key", lambda self, method: f"key of {method}")
    monkeypatch.setattr(methods_table, "row_of", lambda run, dataset: row(run.name, int(run.parent.name)))
    monkeypatch.setattr(methods_table, "margins", lambda runs, judge: {m: margin(0.2) for m in runs if m != OURS})
    return Bench("smollm2-135m-instruct", "test", 40, tmp_path, tmp_path / "exchanges.parquet")


def row(method: str, n: int, headline: float = 0.5, key: str | None = None) -> dict[str, Any]:
    return {"key": key or f"key of {method}", "n": n, "exact": {"headline": headline}}


def margin(low: float) -> dict[str, Any]:
    return {"exact": {"value": low + 0.1, "low": low, "high": low + 0.2}}


def run(bench: Bench, method: str, n: int, key: str | None = None) -> Path:
    folder = bench.runs / str(n) / method
    folder.mkdir(parents=True)
    score = {"value": 0.9, "low": 0.8, "high": 1.0}
    scores = {"judges": {"exact": {name: score for name in ("headline", "specificity", "recall")}}}
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "key.json").write_text(json.dumps(key or f"key of {method}"))
    return folder


def test_the_run_on_the_most_preferences_stands_for_a_method(bench: Bench) -> None:
    run(bench, "rome", 6)
    largest = run(bench, "rome", 12)
    assert bench.largest("rome") == largest


def test_a_run_on_other_data_or_settings_stands_for_nothing(bench: Bench) -> None:
    run(bench, "rome", 40, key="another")
    smaller = run(bench, "rome", 6)
    assert bench.largest("rome") == smaller
    assert bench.largest("memit") is None


def table_of(bench: Bench, former: dict[str, Any], *methods: str) -> tuple[dict[str, Any], dict[str, Any]]:
    runs = {method: run(bench, method, 40) for method in (OURS, *methods)}
    *_, last = claims(bench, runs, JUDGING, former)
    return last.extra["table"], last.extra["margins"]


def test_a_row_of_the_result_file_stays_where_nothing_replaces_it(bench: Bench) -> None:
    former = {"table": {"rome": row("rome", 12), "ft_m": row("ft_m", 12)}, "margins": {"rome": margin(0.3)}}
    table, margins = table_of(bench, former, "ft_m")
    assert table["rome"]["n"] == 12
    assert margins["rome"] == margin(0.3)
    assert table["ft_m"]["n"] == 40
    assert margins["ft_m"] == margin(0.2)


def test_a_row_of_the_result_file_made_on_other_data_is_left_out(bench: Bench) -> None:
    former = {"table": {"rome": row("rome", 12, key="another")}, "margins": {"rome": margin(0.3)}}
    table, margins = table_of(bench, former, "ft_m")
    assert "rome" not in table
    assert "rome" not in margins


def test_the_margin_is_taken_to_the_best_baseline_wherever_its_row_comes_from(bench: Bench) -> None:
    former = {"table": {"rome": row("rome", 12, headline=0.8)}, "margins": {"rome": margin(-0.1)}}
    runs = {method: run(bench, method, 40) for method in (OURS, "ft_m")}
    *_, last = claims(bench, runs, JUDGING, former)
    assert last.value == pytest.approx(-0.1)
    assert last.n == 12


def test_four_of_ten_records_of_every_attribute_type_are_validation() -> None:
    types = {f"{kind}{number}": kind for kind in ("job", "hobby") for number in range(10)}
    found = splits(types)
    assert Counter((types[p], split) for p, split in found.items()) == {
        ("job", "validation"): 4,
        ("job", "test"): 6,
        ("hobby", "validation"): 4,
        ("hobby", "test"): 6,
    }
    assert splits(dict(reversed(types.items()))) == found
