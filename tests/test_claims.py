"""The figures shown are the figures measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.claims import RESULTS, fill, pages

FIELDS = {"claim", "value", "unit", "low", "high", "n", "command", "machine", "date", "commit"}


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_the_tables_of_a_page_are_those_of_the_result_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill(text) == text, "run `python -m benchmarks.claims`"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_claim_says_what_how_where_and_when(path: Path) -> None:
    for row in json.loads(path.read_text()):
        assert row.keys() >= FIELDS
        assert isinstance(row["value"], int | float)
        assert row["command"].startswith("python -m benchmarks.")
