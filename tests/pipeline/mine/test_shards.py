"""Folders of finished shards: what one run may do to another's, and to what is not its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.mine.config import MineSettings
from pipeline.mine.shards import ABANDONED_AFTER_S, open_store


def age(folder: Path, seconds: float) -> None:
    os.utime(folder, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("name", ["photos", "0123456789abcdef", "deadbeef"])
def test_a_folder_that_no_run_made_stays(settings: MineSettings, tmp_path: Path, name: str) -> None:
    cache = tmp_path / "cache"
    (cache / name).mkdir(parents=True)
    (cache / name / "thesis.txt").write_text("years of work")
    (cache / "notes.txt").write_text("more of it")
    age(cache / name, 2 * ABANDONED_AFTER_S)
    open_store(cache, settings)
    assert (cache / name / "thesis.txt").exists()
    assert (cache / "notes.txt").exists()


def test_a_marked_folder_under_another_name_stays(settings: MineSettings, tmp_path: Path) -> None:
    made = open_store(tmp_path / "cache", settings).root
    kept = made.rename(tmp_path / "cache" / "kept-for-later")
    age(kept, 2 * ABANDONED_AFTER_S)
    open_store(tmp_path / "cache", settings)
    assert kept.exists()


def test_runs_with_other_settings_share_a_cache(settings: MineSettings, tmp_path: Path) -> None:
    first = open_store(tmp_path / "cache", settings)
    second = open_store(tmp_path / "cache", settings.model_copy(update={"seed": 2}))
    assert first.root != second.root
    assert first.root.is_dir()


def test_what_another_run_left_behind_goes_after_a_week(settings: MineSettings, tmp_path: Path) -> None:
    left = open_store(tmp_path / "cache", settings).root
    (left / "shard-000000").mkdir()
    age(left, ABANDONED_AFTER_S + 60)
    open_store(tmp_path / "cache", settings.model_copy(update={"seed": 2}))
    assert not left.exists()


def test_a_run_finds_its_own_shards_however_old(settings: MineSettings, tmp_path: Path) -> None:
    left = open_store(tmp_path / "cache", settings).root
    (left / "shard-000000").mkdir()
    (left / "partial-000001-77").mkdir()
    age(left, 2 * ABANDONED_AFTER_S)
    again = open_store(tmp_path / "cache", settings)
    assert again.finished(0)
    assert not list(again.root.glob("partial-*"))
