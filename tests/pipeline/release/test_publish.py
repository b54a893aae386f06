from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.provenance import sha256_file
from pipeline.core.records import Preference, Question
from pipeline.core.tables import write_json, write_parquet
from pipeline.release.publish import problems

CLEAN = {"commit": "a" * 40, "dirty": False}
TOKEN = "hf_onlyfortests"
Write = Callable[..., Path]


@pytest.fixture
def written(preference: Callable[..., Preference], question: Callable[..., Question]) -> Write:
    """Write a sound release, but for `changes` of its manifest."""

    def write(folder: Path, preference_id: str = "p", **changes: Any) -> Path:
        owner = preference("p")
        write_release(folder, owner, question(owner, preference_id=preference_id), changes)
        return folder

    return write


def write_release(folder: Path, preference: Preference, question: Question, changes: dict[str, Any]) -> None:
    write_parquet(folder / "data/preferences-test.parquet", [preference], Preference)
    write_parquet(folder / "data/questions-test.parquet", [question], Question)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# UPQA\n")
    files = {
        p.relative_to(folder).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
    manifest = {"version": "0.1.0", "code": CLEAN, "licenses": {"CC-BY-4.0": 2}, "files": files, **changes}
    write_json(folder / "manifest.json", manifest)


@pytest.fixture
def push(tmp_path: Path, written: Write) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a clean Git checkout, as a user would, with a token in the environment."""
    checkout = tmp_path / "checkout"
    written(checkout / "build" / "hub")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], cwd=checkout, check=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-m", "pipeline.release.publish", "--repo", "me/upqa", *arguments]
        return subprocess.run(
            command, cwd=checkout, env=environment, input="n\n", capture_output=True, text=True, check=False, timeout=90
        )

    return run


def test_a_sound_release_has_no_problem(tmp_path: Path, written: Write) -> None:
    assert problems(written(tmp_path), CLEAN) == []


@pytest.mark.parametrize(
    ("changes", "revision", "told"),
    [
        ({}, {"commit": "a", "dirty": True}, "uncommitted changes"),
        ({}, {"commit": None, "dirty": None}, "uncommitted changes"),
        ({"code": {"commit": "a", "dirty": True}}, CLEAN, "built from uncommitted code"),
        ({"licenses": {"unknown": 3}}, CLEAN, "3 rows have no stated licence"),
        ({"preference_id": "other"}, CLEAN, "belongs to no released preference"),
    ],
)
def test_what_must_not_be_published_is_told(
    tmp_path: Path, written: Write, changes: dict[str, Any], revision: dict[str, Any], told: str
) -> None:
    assert any(told in line for line in problems(written(tmp_path, **changes), revision))


def test_a_changed_missing_or_added_file_is_told(tmp_path: Path, written: Write) -> None:
    written(tmp_path)
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / "notes.txt").write_text("mine")
    told = problems(tmp_path, CLEAN)
    assert "README.md is not the file the manifest describes" in told
    assert "notes.txt is not in the manifest" in told
    (tmp_path / "README.md").unlink()
    assert "README.md is in the manifest but not in the folder" in problems(tmp_path, CLEAN)


def test_damaged_rows_are_a_failed_validation(tmp_path: Path, written: Write) -> None:
    written(tmp_path)
    path = tmp_path / "data/questions-test.parquet"
    path.write_bytes(b"PAR1")
    assert any(line.startswith("validation failed:") for line in problems(tmp_path, CLEAN))


def test_a_folder_without_a_manifest_says_which_command_makes_it(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, CLEAN)
    assert "dvc repro release" in told


def test_the_folder_arrives_whole_in_one_commit_with_its_tag(push: Any, hub_server: Any, tmp_path: Path) -> None:
    hub, url = hub_server
    done = push("--endpoint", url, "--yes", "--private", "--tag", "v0.1.0")
    assert done.returncode == 0, done.stderr
    (commit,) = hub.commits
    folder = tmp_path / "checkout/build/hub"
    assert set(commit) == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert all(base64.b64decode(commit[name]) == (folder / name).read_bytes() for name in commit)
    assert (hub.tags, hub.private) == (["v0.1.0"], True)
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_a_failed_upload_says_so_and_the_same_command_finishes_it(push: Any, hub_server: Any) -> None:
    hub, url = hub_server
    hub.failures_left = 1000
    failed = push("--endpoint", url, "--yes")
    assert failed.returncode == 1
    assert "Run the same command again to resume" in failed.stderr
    assert hub.commits == []
    hub.failures_left = 0
    assert push("--endpoint", url, "--yes").returncode == 0
    assert len(hub.commits) == 1


def test_the_token_is_never_shown(push: Any, hub_server: Any) -> None:
    hub, url = hub_server
    hub.failures_left = 1000
    done = push("--endpoint", url, "--yes")
    assert TOKEN not in done.stdout + done.stderr


def test_nothing_is_sent_without_a_yes_or_in_a_dry_run(push: Any, hub_server: Any) -> None:
    hub, url = hub_server
    refused, dry = push("--endpoint", url), push("--endpoint", url, "--dry-run")
    assert (refused.returncode, dry.returncode) == (1, 0)
    assert "data/questions-test.parquet" in dry.stderr
    assert hub.requests == []


def test_a_refused_release_names_every_reason(tmp_path: Path, push: Any) -> None:
    manifest_path = tmp_path / "checkout/build/hub/manifest.json"
    manifest = json.loads(manifest_path.read_text())
    manifest_path.write_text(json.dumps({**manifest, "licenses": {"unknown": 1}}))
    done = push("--yes")
    assert done.returncode == 1
    assert "uncommitted changes" in done.stderr
    assert "1 rows have no stated licence" in done.stderr


def test_a_hub_that_cannot_be_reached_is_one_line(push: Any) -> None:
    done = push("--endpoint", "http://127.0.0.1:9", "--yes")
    assert done.returncode == 1
    assert "error: The upload failed:" in done.stderr
    assert "Traceback" not in done.stderr
