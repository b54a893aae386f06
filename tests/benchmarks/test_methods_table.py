from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import methods_table
from benchmarks.methods_table import OURS, Bench, build_dataset, claims, splits
from editing.judges.config import JudgeConfig
from pipeline.core.config import load_section
from pipeline.core.records import Evidence, Query, Question, QuestionKind
from pipeline.core.tables import read_parquet, write_parquet

PUBLISHED = Path(__file__).parents[1] / "pipeline" / "importers" / "fixtures" / "upqa_cluster.json"
JUDGING = load_section(methods_table.PARAMS, "judge", JudgeConfig)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(Bench, "key", lambda self, method: f"key of {method}")
    monkeypatch.setattr(methods_table, "row_of", lambda run, dataset: row(run.name, int(run.parent.name)))
    monkeypatch.setattr(methods_table, "margins", lambda runs, judge: {m: margin(0.2) for m in runs if m != OURS})
    return Bench("smollm2-135m-instruct", "test", 40, tmp_path, tmp_path / "exchanges.parquet")


def row(method: str, n: int, headline: float = 0.5, key: str | None = None) -> dict[str, Any]:
    return {"method": method, "key": key or f"key of {method}", "n": n, "exact": {"headline": headline}}


def earlier(*rows: dict[str, Any], ours: str | None = None, difference: float = 0.3) -> dict[str, Any]:
    """What an earlier result file held of some methods beside preference_edit, whose key was `ours`."""
    table = {own["method"]: own for own in (row(OURS, 60, key=ours), *rows)}
    return {"table": table, "margins": {own["method"]: margin(difference) for own in rows}}


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
    former = earlier(row("rome", 12), row("ft_m", 12))
    table, margins = table_of(bench, former, "ft_m")
    assert table["rome"]["n"] == 12
    assert margins["rome"] == margin(0.3)
    assert table["ft_m"]["n"] == 40
    assert margins["ft_m"] == margin(0.2)


def test_a_row_of_the_result_file_made_on_other_data_is_left_out(bench: Bench) -> None:
    former = earlier(row("rome", 12, key="another"))
    table, margins = table_of(bench, former, "ft_m")
    assert "rome" not in table
    assert "rome" not in margins


def test_a_difference_to_another_preference_edit_is_left_out(bench: Bench) -> None:
    table, margins = table_of(bench, earlier(row("rome", 12), ours="another"), "ft_m")
    assert table["rome"]["n"] == 12
    assert set(margins) == {"ft_m"}


def test_every_record_gets_controls_of_all_kinds(tmp_path: Path) -> None:
    text = "Which currency should I pay my landlord in?"
    evidence = Evidence(source="test", conversation="c", turn=0, start=0, end=len(text))
    query = Query(
        id="q", user_id="u", evidence=evidence, text=text, topic="tech", confidence=0.9, language="en",
        license="CC0-1.0", redactions=(),
    )  # fmt: skip
    write_parquet(tmp_path / "queries.parquet", [query], Query)
    shutil.copy(PUBLISHED, tmp_path / "balanced_subset_cluster9.json")
    build_dataset(tmp_path, tmp_path / "queries.parquet", tmp_path / "out")
    files = (tmp_path / "out" / "data").glob("questions-*.parquet")
    asked = Counter(question.kind for file in files for question in read_parquet(file, Question))
    assert asked == dict.fromkeys(QuestionKind, 1) | {QuestionKind.OTHER_PERSON: 2}


def test_the_margin_is_taken_to_the_best_baseline_wherever_its_row_comes_from(bench: Bench) -> None:
    former = earlier(row("rome", 12, headline=0.8), difference=-0.1)
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
