"""The scenarios benchmark edits, asks and judges by the stages, and keeps runs."""

from pathlib import Path

import pytest

import benchmarks.scenarios as script
from benchmarks import kept_runs
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
    by_name = {claim.claim: claim for claim in kept_runs.claims("scenario", "in_context", found)}
    assert set(by_name["scenario.explicit.in_context"].extra["cells"]) == set(found)
    assert set(by_name["scenario.of_another.in_context"].extra["cells"]) == {"together"}
    assert by_name["scenario.explicit.in_context"].n == 4


def test_a_run_that_failed_is_made_again(release: Path, settings: EditSettings, tmp_path: Path) -> None:
    cell = Cell(settings, "tiny", "in_context")
    broken = Cell(settings.model_copy(update={"checkpoints": {"tiny": "/nowhere"}}), "tiny", "in_context")
    with pytest.raises(UpqaError):
        kept_runs.kept_run(broken, release, tmp_path)
    with pytest.raises(UpqaError):
        kept_runs.kept_run(broken, release, tmp_path)
    assert (kept_runs.kept_run(cell, release, tmp_path) / "answers.parquet").is_file()
