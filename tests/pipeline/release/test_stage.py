from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.errors import InputError
from pipeline.core.provenance import sha256_file, sha256_tree
from pipeline.core.records import Preference, Question
from pipeline.core.tables import write_parquet
from pipeline.release.config import ReleaseConfig
from pipeline.release.stage import build, dvc_revision, read_contamination, read_dataset, read_flows
from pipeline.validate.splits import SPLITS

ALLOWED = ("CC-BY-4.0", "Apache-2.0")
CONFIG = ReleaseConfig(pretty_name="UPQA", version="0.1.0", allowed_licenses=ALLOWED, near_duplicate=0.9)
FLOWS = {"mine": {"statements": {"in": 10, "out": 3}}}


@pytest.fixture
def validated(tmp_path: Path, preference: Callable[..., Preference], question: Callable[..., Question]) -> Path:
    rows = [preference("a", split="train"), preference("b"), preference("c", license="unknown")]
    asked = [*(question(p) for p in rows), question(rows[1], id="q-nc", license="CC-BY-NC-4.0")]
    for split in SPLITS:
        write_parquet(tmp_path / f"upqa/preferences/{split}.parquet", [p for p in rows if p.split == split], Preference)
        write_parquet(tmp_path / f"upqa/questions/{split}.parquet", [q for q in asked if q.split == split], Question)
    return tmp_path / "upqa"


@pytest.fixture
def hub(validated: Path, tmp_path: Path) -> Path:
    build(read_dataset(validated, ALLOWED), FLOWS, tmp_path / "hub", CONFIG)
    return tmp_path / "hub"


def front_matter(hub: Path) -> dict[str, Any]:
    front: dict[str, Any] = yaml.safe_load((hub / "README.md").read_text().split("---\n")[1])
    return front


def test_rows_without_an_allowed_licence_are_refused_and_counted(validated: Path) -> None:
    dataset = read_dataset(validated, ALLOWED)
    assert [p.id for p in dataset.preferences] == ["a", "b"]
    assert dataset.refused == {"preferences: unknown": 1, "questions: CC-BY-NC-4.0": 1, "questions: unknown": 1}


def test_a_question_never_stays_without_its_preference(validated: Path) -> None:
    dataset = read_dataset(validated, ("CC-BY-NC-4.0",))
    assert (dataset.preferences, dataset.questions) == ([], [])


def test_the_manifest_has_the_hash_of_every_file(hub: Path) -> None:
    manifest = json.loads((hub / "manifest.json").read_text())
    files = {p.relative_to(hub).as_posix() for p in hub.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    assert all(entry["sha256"] == sha256_file(hub / name) for name, entry in manifest["files"].items())
    assert manifest["dataset_sha256"] == sha256_tree(hub / "data")
    assert manifest["rows"]["preferences"] == {"train": 1, "validation": 0, "test": 1}


def test_two_runs_give_identical_bytes(validated: Path, hub: Path, tmp_path: Path) -> None:
    build(read_dataset(validated, ALLOWED), FLOWS, tmp_path / "again", CONFIG)
    assert sha256_tree(hub) == sha256_tree(tmp_path / "again")


def overlap_with_upqa(dataset_sha256: str) -> dict[str, Any]:
    counts = {"statement": {"rows": 2, "equal": 0, "near": 1, "closest": 0.93}}
    file = {"benchmark": "upqa", "file": "published.json", "overlap": counts}
    return {"dataset_sha256": dataset_sha256, "near_duplicate": 0.9, "files": [file]}


def test_the_card_tells_the_overlap_with_benchmarks_found_in_these_rows_only(
    validated: Path, hub: Path, tmp_path: Path
) -> None:
    for sha256, told in ((sha256_tree(hub / "data"), True), ("0" * 64, False)):
        found = overlap_with_upqa(sha256)
        build(read_dataset(validated, ALLOWED), FLOWS, tmp_path / "again", CONFIG, found)
        card = (tmp_path / "again" / "README.md").read_text()
        assert ("| upqa | published.json | statement | 2 | 0 | 1 | 0.93 |" in card) is told
        assert "## Difficulty" in card


def test_the_overlap_is_read_where_it_was_measured_and_damage_is_named(tmp_path: Path) -> None:
    assert read_contamination(tmp_path) is None
    path = tmp_path / "contamination" / "report.json"
    path.parent.mkdir()
    path.write_text(json.dumps(overlap_with_upqa("0")))
    assert read_contamination(tmp_path) == overlap_with_upqa("0")
    path.write_text("{")
    with pytest.raises(InputError, match=r"report\.json: not a report"):
        read_contamination(tmp_path)


def locked(folder: Path, **stages: str) -> Path:
    path = folder / "dvc.lock"
    entries = {name: {"cmd": name, "outs": [{"path": name, "md5": md5}]} for name, md5 in stages.items()}
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}))
    return path


def test_the_dvc_revision_follows_the_stages_before_and_no_other(tmp_path: Path) -> None:
    first = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="3"))
    after_the_release = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="3", release="4", judge="5"))
    other_rows = dvc_revision(locked(tmp_path, mine="1", generate="2", validate="6"))
    assert first is not None and first == after_the_release != other_rows


def test_without_a_lock_of_the_stages_before_there_is_no_dvc_revision(tmp_path: Path) -> None:
    assert dvc_revision(tmp_path / "dvc.lock") is None
    assert dvc_revision(locked(tmp_path, judge="5")) is None


def test_the_manifest_names_the_dvc_revision(validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lock = locked(tmp_path, validate="3")
    manifest = build(read_dataset(validated, ALLOWED), FLOWS, tmp_path / "hub", CONFIG)
    assert manifest["dvc_revision"] == dvc_revision(lock)


def test_the_card_names_the_strictest_licence_and_the_real_counts(hub: Path) -> None:
    assert front_matter(hub)["license"] == "cc-by-4.0"
    body = (hub / "README.md").read_text()
    assert "| preferences | 2 |" in body
    assert "| mine (statements) | 10 | 3 | 7 |" in body
    assert "Not for publication" not in body


def test_a_card_with_unknown_rights_says_that_it_is_not_for_publication(validated: Path, tmp_path: Path) -> None:
    build(read_dataset(validated, (*ALLOWED, "unknown")), {}, tmp_path / "hub", CONFIG)
    assert front_matter(tmp_path / "hub")["license"] == "other"
    assert "Not for publication" in (tmp_path / "hub" / "README.md").read_text()


def test_datasets_reads_every_config_and_split_by_name(hub: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from datasets import load_dataset, get_dataset_config_names\n"
        "hub = sys.argv[1]\n"
        "assert get_dataset_config_names(hub) == ['questions', 'preferences']\n"
        "q = load_dataset(hub, 'questions'); p = load_dataset(hub, 'preferences')\n"
        "assert {k: len(v) for k, v in q.items()} == {'train': 1, 'test': 1}, q\n"
        "assert p['test'][0]['evidence']['conversation'] == 'c'\n"
        "assert load_dataset(hub)['test'][0]['measured']['statement_rank'] == 1\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(hub)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_flows_come_from_the_reports_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "mined").mkdir()
    counts = {"statements": {"in": 5, "out": 2, "dropped": 3}, "dropped_by_reason": {"x": 3}}
    (tmp_path / "mined" / "report.json").write_text(json.dumps({"counts": counts}))
    assert read_flows(tmp_path) == {"mine": {"statements": counts["statements"]}}


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "upqa").mkdir()
    (tmp_path / "upqa" / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json: not a stage report"):
        read_flows(tmp_path)


def test_a_licence_this_project_does_not_rank_is_refused_in_the_settings() -> None:
    with pytest.raises(ValueError, match="not an SPDX id this project ranks: WTFPL"):
        ReleaseConfig(pretty_name="x", version="1", allowed_licenses=("WTFPL",), near_duplicate=0.9)
