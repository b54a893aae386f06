import json

import pytest

from editing.board.accuracy import read_accuracy
from editing.board.markdown import markdown
from pipeline.core.errors import InputError
from pipeline.core.tables import write_json

EXACT = {"judges": {"exact": {"sha256": "now"}, "llm": {"sha256": "other"}}}
BOARD = {"rows": [EXACT], "dirty": []}


def claim(name, value, sha256="now"):
    figures = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 20}
    return {"claim": name, "extra": {"judge_sha256": sha256}} | figures


CLAIMS = [
    claim("judge.exact.accuracy", 0.99),
    claim("judge.fresh.first.exact.accuracy", 0.98),
    claim("judge.fresh.exact.accuracy", 0.6),
    claim("judge.fresh.exact.false_accept", 0.2),
    claim("judge.fresh.exact.false_reject", 0.7),
    claim("judge.fresh.exact.accuracy.implicit", 0.5),
    claim("judge.fresh.exact.false_accept.implicit", 0.3),
    claim("judge.fresh.exact.accuracy.negated", 0.4),
    claim("judge.fresh.controls.exact.accuracy", 0.9),
    claim("judge.fresh.controls.exact.accuracy.neutral", 0.8),
]


@pytest.fixture
def read(tmp_path):
    def found(claims):
        write_json(tmp_path / "judges_fresh.json", claims)
        return read_accuracy(tmp_path / "judges_fresh.json", BOARD)

    return found


def values(figures):
    return {label: estimate and estimate["value"] for label, estimate in figures.items()}


def test_figures_are_those_of_the_replies_held_apart_by_kind_and_class(read):
    exact = read(CLAIMS)["exact"]
    targets = exact["targets"]
    assert values(targets["overall"]) == {"accuracy": 0.6, "false accept": 0.2, "false reject": 0.7}
    assert {kind: values(own) for kind, own in targets["by_kind"].items()} == {
        "implicit": {"accuracy": 0.5, "false accept": 0.3, "false reject": None}
    }
    assert set(targets["by_class"]) == {"negated"}
    assert exact["controls"]["overall"]["accuracy"]["value"] == 0.9
    assert set(exact["controls"]["by_kind"]) == {"neutral"}


def test_a_judge_that_was_not_measured_has_no_figures_and_that_is_said(read):
    found = read(CLAIMS)
    assert found["llm"] == {}
    assert "`llm` is not measured." in markdown(EMPTY, found)
    assert "`exact` is not measured." not in markdown(EMPTY, found)


def test_replies_that_a_judge_left_unscored_are_counted(read):
    few = claim("judge.fresh.exact.accuracy", 0.6) | {"extra": {"judge_sha256": "now", "n_unscored": 3}}
    assert read([few])["exact"]["targets"]["overall"]["accuracy"]["n_unscored"] == 3


def test_a_judge_measured_with_other_settings_is_stale(read):
    assert read(CLAIMS)["exact"]["stale"] is False
    assert read([*CLAIMS[:-1], claim(CLAIMS[-1]["claim"], 0.8, "before")])["exact"]["stale"] is True


def test_without_measurements_there_is_nothing_and_the_leaderboard_says_how_to_measure(tmp_path):
    assert read_accuracy(tmp_path / "none.json", BOARD) == {}
    assert "python -m benchmarks.judges --fresh" in markdown(EMPTY, {})


def test_a_file_that_holds_no_claims_is_an_error(tmp_path):
    path = tmp_path / "judges_fresh.json"
    for text in ("{", json.dumps([1]), json.dumps([{"value": 1}])):
        path.write_text(text)
        with pytest.raises(InputError, match="not a list of claims"):
            read_accuracy(path, BOARD)


EMPTY = {"judge": "exact", "confidence": 0.95, "rows": [], "dirty": [], "failed": [], "comparisons": []}


def test_the_markdown_shows_the_figures_by_kind_and_folds_the_classes(read):
    table, _, classes = markdown(EMPTY, read(CLAIMS)).partition("<details>")
    assert "| **questions that need the fact** | 60.0 (50.0 to 70.0) | 20.0 (10.0 to 30.0) | 70.0 " in table
    assert "| implicit | 50.0 (40.0 to 60.0) | 30.0 (20.0 to 40.0) | \u2013 |" in table
    assert "| **controls** | 90.0 " in table
    assert "negated" not in table
    assert "| negated, questions that need the fact | 40.0 " in classes
