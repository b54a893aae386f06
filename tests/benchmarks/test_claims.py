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
