"""Result files."""

import json
from pathlib import Path

import pytest

from benchmarks import claims


def a_claim(name: str, value: float) -> claims.Claim:
    return claims.Claim(name, value, "share", None, None, 1)


@pytest.mark.parametrize(("keep_others", "left"), [(True, {"b": 2.0, "a": 3.0}), (False, {"a": 3.0})])
def test_claims_not_measured_anew_stay_only_where_that_is_asked_for(
    keep_others: bool, left: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    claims.write("x", "python -m benchmarks.x", [a_claim("a", 1.0), a_claim("b", 2.0)])
    path = claims.write("x", "python -m benchmarks.x", [a_claim("a", 3.0)], keep_others=keep_others)
    assert {row["claim"]: row["value"] for row in json.loads(path.read_text())} == left


def test_a_check_changes_no_page_and_names_those_that_are_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- claims: nothing.of.the.kind -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(claims, "pages", lambda: [page])
    monkeypatch.setattr("sys.argv", ["claims", "--check"])
    with pytest.raises(SystemExit, match="page.md: out of date"):
        claims.main()
    assert "old" in page.read_text()
    monkeypatch.setattr("sys.argv", ["claims"])
    claims.main()
    assert "old" not in page.read_text()


def test_the_yield_table_has_a_row_a_step_and_a_row_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    assert claims.yield_table() == "Not measured yet."
    refused = {"statements": {"no_attribute": 3}, "drafts": {}}
    extra = {"left": {"mined": 8, "accepted": 5}, "refused": refused, "replies": 2}
    claims.write(
        "x", "python -m benchmarks.x", [claims.Claim("yield.accepted", 0.625, "share", None, None, 8, "", extra)]
    )
    filled = claims.fill("<!-- yield -->\n<!-- end -->\n")
    for row in ("| accepted | 5 | 62.5% |", "| statements | `no_attribute` | 3 |", "| drafts | none | 0 |"):
        assert row in filled
    assert claims.fill(filled) == filled


def test_a_table_of_cells_says_once_how_many_stand_behind_it_or_in_each_row_where_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)

    def row(name: str, **preferences: int) -> claims.Claim:
        runs = {column: {"preferences": n} for column, n in preferences.items()}
        cells = {column: [0.5, 0.25, 0.75] for column in preferences}
        return claims.Claim(f"x.{name}", 0.5, "share", 0.25, 0.75, 20, "", {"cells": cells, "runs": runs})

    claims.write("x", "python -m benchmarks.x", [row("a", one=20, hundred=20)])
    alike = claims.cells_table("x.", ["one", "hundred"])
    assert "| a | 0.50 (0.25 to 0.75) | 0.50 (0.25 to 0.75) |\n" in alike and "\nn: 20. " in alike
    claims.write("x", "python -m benchmarks.x", [row("b", one=20, hundred=100)], keep_others=True)
    differing = claims.cells_table("x.", ["one", "hundred"])
    assert "(0.25 to 0.75) | 20 |\n" in differing and "| 20 / 100 |\n" in differing and "n: " not in differing


def test_a_machine_is_named_once_with_all_its_dates_and_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    monkeypatch.setattr(claims, "machine", lambda: "a machine")
    for name, command, day in (("a", "one", "2026-01-02"), ("b", "two", "2026-01-01"), ("c", "one", "2026-01-02")):
        path = claims.write(name, command, [claims.Claim(f"x.{name}", 0.5, "share", 0.2, 0.8, 9, "", {"cells": {}})])
        path.write_text(json.dumps([{**row, "date": day} for row in json.loads(path.read_text())]))
    assert claims.cells_table("x.", []).endswith("Measured on a machine, 2026-01-01, 2026-01-02, by `one`, `two`.")
    assert claims.table(["x."]).endswith("Measured on a machine, 2026-01-01, 2026-01-02.")
