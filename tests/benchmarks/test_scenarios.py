"""The scenarios benchmark edits, asks and judges by the stages, and keeps runs."""

from pathlib import Path

import pytest

import benchmarks.scenarios as script
from benchmarks import claims, kept_runs
from benchmarks.kept_runs import Measured
from benchmarks.scenarios import measured
from editing.judges.config import JudgeConfig
from editing.runner import Cell, EditSettings
from pipeline.core.config import load_section
from pipeline.core.errors import UpqaError
from tests.editing.conftest import changing

__all__ = ["changing"]


@pytest.fixture
def settings(checkpoint: Path) -> EditSettings:
    known = load_section(script.PARAMS, "edit", EditSettings)
    shared = {"together": known.scenarios["lifelong-10"].model_copy(update={"edits": 2})}
    return known.model_copy(
        update={
            "checkpoints": {"tiny": str(checkpoint)},
            "scenarios": {**known.scenarios, **shared},
            "max_preferences": 4,
            "max_new_tokens": 4,
            "exchanges": None,
            "workers": 1,
        }
    )


JUDGING = load_section(script.PARAMS, "judge", JudgeConfig).model_copy(update={"bootstrap_samples": 50})


def test_shared_models_are_asked_for_other_users_values_and_changed_ones_for_the_old_value(
    changing: Path, settings: EditSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for scenario in ("together", "update"):
        cell = Cell(settings.model_copy(update={"scenario": scenario}), "tiny", "in_context")
        found[scenario] = measured(cell, changing, JUDGING, tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(kept_runs, "run_cell", None)
            assert measured(cell, changing, JUDGING, tmp_path) == found[scenario]
    assert "of_another" in found["together"].cells
    assert "stale" not in found["together"].cells
    assert found["update"].cells["stale"][0] == 0.0
    monkeypatch.setattr(claims, "RESULTS", tmp_path / "results")
    made = kept_runs.claims("scenario", "in_context", found, ("together", "update"))
    by_name = {claim.claim: claim for claim in made}
    assert set(by_name["scenario.explicit.in_context"].extra["cells"]) == set(found)
    assert set(by_name["scenario.of_another.in_context"].extra["cells"]) == {"together"}
    assert by_name["scenario.explicit.in_context"].n == 4


def test_cells_measured_before_are_kept_beside_new_ones_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)

    def cell(value: float, preferences: int) -> Measured:
        return Measured({"recall": [value, 0.0, 1.0]}, {"preferences": preferences})

    order = ("one", "ten", "hundred")
    first = kept_runs.claims("x", "m", {"hundred": cell(0.1, 100), "one": cell(0.9, 20)}, order)
    claims.write("x", "python -m benchmarks.x", first)
    (claim,) = kept_runs.claims("x", "m", {"ten": cell(0.5, 10), "one": cell(0.8, 30)}, order)
    assert {name: own[0] for name, own in claim.extra["cells"].items()} == {"one": 0.8, "ten": 0.5, "hundred": 0.1}
    assert {name: own["preferences"] for name, own in claim.extra["runs"].items()} == {
        "one": 30,
        "ten": 10,
        "hundred": 100,
    }
    assert (claim.value, claim.n) == (0.1, 100)


def test_a_run_that_failed_is_made_again(release: Path, settings: EditSettings, tmp_path: Path) -> None:
    cell = Cell(settings, "tiny", "in_context")
    broken = Cell(settings.model_copy(update={"checkpoints": {"tiny": "/nowhere"}}), "tiny", "in_context")
    with pytest.raises(UpqaError):
        kept_runs.kept_run(broken, release, tmp_path)
    with pytest.raises(UpqaError):
        kept_runs.kept_run(broken, release, tmp_path)
    assert (kept_runs.kept_run(cell, release, tmp_path) / "answers.parquet").is_file()
