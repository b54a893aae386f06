from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.core.errors import InputError
from pipeline.core.provenance import sha256_file, sha256_tree
from pipeline.release.config import ReleaseConfig
from pipeline.release.inputs import Background, read_dataset
from pipeline.release.stage import build, dvc_revision

ALLOWED = ("CC-BY-4.0", "Apache-2.0")


@pytest.fixture
def hub(validated: Path, histories: Path, tmp_path: Path, config: Callable[..., ReleaseConfig]) -> Path:
    build(read_dataset(validated, histories, ALLOWED), Background(), tmp_path / "hub", config())
    return tmp_path / "hub"


def test_the_manifest_has_the_hash_of_every_file(hub: Path) -> None:
    manifest = json.loads((hub / "manifest.json").read_text())
    files = {p.relative_to(hub).as_posix() for p in hub.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    assert all(entry["sha256"] == sha256_file(hub / name) for name, entry in manifest["files"].items())
    assert manifest["dataset_sha256"] == sha256_tree(hub / "data")
    assert manifest["rows"]["preferences"] == {"train": 1, "validation": 0, "test": 1}
    assert manifest["rows"]["histories"] == {"train": 1, "validation": 0, "test": 2}
    assert manifest["refused"]["histories: unknown"] == 1


def test_two_runs_give_identical_bytes(
    validated: Path, histories: Path, hub: Path, tmp_path: Path, config: Callable[..., ReleaseConfig]
) -> None:
    build(read_dataset(validated, histories, ALLOWED), Background(), tmp_path / "again", config())
    assert sha256_tree(hub) == sha256_tree(tmp_path / "again")


def test_a_file_that_is_not_of_the_release_is_refused_before_anything_is_written(
    validated: Path, histories: Path, hub: Path, config: Callable[..., ReleaseConfig]
) -> None:
    (hub / "data" / "older-train.parquet").write_bytes(b"")
    before = sha256_tree(hub)
    with pytest.raises(InputError, match=r"data/older-train\.parquet is not of this release"):
        build(read_dataset(validated, histories, ALLOWED), Background(), hub, config(version="0.2.0"))
    assert sha256_tree(hub) == before


def locked(folder: Path, **stages: str) -> Path:
    """A dvc.lock whose stages depend on code with these hashes and on what the stage before wrote just now."""
    path = folder / "dvc.lock"
    entries = {
        name: {
            "cmd": name,
            "deps": [
                {"path": f"pipeline/{name}", "md5": md5},
                {"path": "data/mine/report.json", "md5": os.urandom(4).hex()},
            ],
            "outs": [{"path": f"data/{name}", "md5": os.urandom(4).hex()}],
        }
        for name, md5 in stages.items()
    }
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}))
    return path


def test_the_dvc_revision_follows_code_and_settings_of_the_stages_before_and_nothing_else(tmp_path: Path) -> None:
    first = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="3"))
    again = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="3"))
    after_the_release = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="3", release="4", judge="5"))
    other_code = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="6"))
    assert first is not None and first == again == after_the_release != other_code


def test_without_a_lock_of_the_stages_before_there_is_no_dvc_revision(tmp_path: Path) -> None:
    assert dvc_revision(tmp_path / "dvc.lock") is None
    assert dvc_revision(locked(tmp_path, judge="5")) is None


def test_the_manifest_names_the_dvc_revision(
    validated: Path,
    histories: Path,
    tmp_path: Path,
    config: Callable[..., ReleaseConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    lock = locked(tmp_path, validate="3")
    manifest = build(read_dataset(validated, histories, ALLOWED), Background(), tmp_path / "hub", config())
    assert manifest.dvc_revision == dvc_revision(lock)


def test_datasets_reads_every_config_and_split_as_the_card_describes_it(hub: Path, tmp_path: Path) -> None:
    """A fresh process with its own cache: what `datasets` finds in the files is what the card says of them."""
    script = """
import sys, warnings
warnings.simplefilter("error")
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
hub, bare = sys.argv[1:]
assert get_dataset_config_names(hub) == ["questions", "preferences", "histories"]
for name in ("questions", "preferences", "histories"):
    told = load_dataset_builder(hub, name).info
    found = load_dataset_builder(bare, name)
    assert found.info.features is None
    found.download_and_prepare()
    assert told.features == found.info.features == load_dataset(hub, name)["test"].features
    sizes = [[(s.name, s.num_bytes, s.num_examples) for s in i.splits.values()] for i in (told, found.info)]
    assert sizes[0] == sizes[1], sizes
    assert (told.download_size, told.dataset_size) == (found.info.download_size, found.info.dataset_size)
    load_dataset(hub, name, verification_mode="all_checks")
assert {k: len(v) for k, v in load_dataset(hub, "questions").items()} == {"train": 1, "test": 1}
assert load_dataset(hub, "preferences")["test"][0]["evidence"]["conversation"] == "c"
assert load_dataset(hub, "histories")["test"]["text"][1] == "I live by the sea."
assert load_dataset(hub)["test"][0]["measured"]["statement_rank"] == 1
"""
    bare = tmp_path / "bare"
    (bare / "data").mkdir(parents=True)
    for path in (hub / "data").iterdir():
        (bare / "data" / path.name).write_bytes(path.read_bytes())
    front = yaml.safe_load((hub / "README.md").read_text().split("---\n")[1])
    del front["dataset_info"]
    (bare / "README.md").write_text(f"---\n{yaml.safe_dump(front)}---\n")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(hub), str(bare)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_pandas_reads_a_split(hub: Path) -> None:
    rows = pd.read_parquet(hub / "data" / "preferences-test.parquet")
    assert list(rows["target"]) == ["chess"]
    assert [member["question"] for member in rows["cluster"][0]] == ["What is my hobby?", "What is my pastime?"]
