from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import Preference, Question, ReleasedHistoryEntry
from pipeline.core.tables import write_json, write_parquet
from pipeline.release.publish import REBUILD, problems
from pipeline.validate.splits import SPLITS
from tests.pipeline.release.local_hub import SIGNATURE, LocalHub

CLEAN = {"commit": "a" * 40, "dirty": False}
TOKEN = "hf_onlyfortests"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
Write = Callable[..., Path]


@pytest.fixture
def written(
    preference: Callable[..., Preference],
    question: Callable[..., Question],
    entry: Callable[..., ReleasedHistoryEntry],
) -> Write:
    """Write a sound release with a user in each split; `fields` are of the question in test, `told` of the history."""

    def write(
        folder: Path, fields: dict[str, Any] | None = None, told: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        for split in SPLITS:
            here = split == "test"
            owner = preference("p" if here else split, split=split)
            for name, row in (
                ("preferences", owner),
                ("questions", question(owner, **((here and fields) or {}))),
                ("histories", entry(owner, **((here and told) or {}))),
            ):
                write_parquet(folder / f"data/{name}-{split}.parquet", [row], type(row))
        describe(folder, changes)
        return folder

    return write


def describe(folder: Path, changes: dict[str, Any]) -> None:
    """Write what stands beside the rows; `changes` are of the manifest."""
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# UPQA\n")
    (folder / "croissant.json").write_text('{"version": "0.1.0"}')
    files = {
        p.relative_to(folder).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
    manifest = {
        "name": "UPQA",
        "version": "0.1.0",
        "url": None,
        "dataset_sha256": dataset_sha256(folder),
        "code": CLEAN,
        "dvc_revision": None,
        "rows": dict.fromkeys(("questions", "preferences", "histories"), dict.fromkeys(SPLITS, 1)),
        "licenses": {"CC-BY-4.0": 9},
        "refused": {},
        "files": files,
    }
    write_json(folder / "manifest.json", manifest | changes)


def git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=checkout, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    return tmp_path / "checkout" / "build" / "hub"


@pytest.fixture
def push(tmp_path: Path, hub_folder: Path, written: Write) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a clean Git checkout, as a user would, with a token in the environment.

    Large files go by LFS unless `xet` is set.
    """
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".gitignore").write_text("build/\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        git(checkout, *arguments)
    written(hub_folder, code={"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False})

    def run(*arguments: str, xet: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
        environment["HF_HUB_DISABLE_XET"] = "0" if xet else "1"
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
        ({"code": {"commit": "a", "dirty": True}}, CLEAN, f"uncommitted code or settings; commit, then run {REBUILD}"),
        ({"code": {"commit": None, "dirty": None}}, CLEAN, "built by code outside Git"),
        ({"fields": {"license": "unknown"}}, CLEAN, "1 rows carry the licence `unknown`"),
        ({"fields": {"license": "Some-New-License"}}, CLEAN, "1 rows carry the licence `Some-New-License`"),
        ({"fields": {"license": "LicenseRef-LMSYS-Chat-1M"}}, CLEAN, "under which nothing may be published"),
        ({"licenses": {"CC0-1.0": 2}}, CLEAN, f"{{'CC0-1.0': 2}}, the rows carry {{'CC-BY-4.0': 9}}; run {REBUILD}"),
        ({"fields": {"preference_id": "other"}}, CLEAN, "belongs to no released preference"),
        ({"told": {"license": "unknown"}}, CLEAN, "1 rows carry the licence `unknown`"),
        ({"told": {"user_id": "other"}}, CLEAN, "history entry h-p is of no user of its split"),
        ({"told": {"split": "train"}}, CLEAN, "data/histories-test.parquet holds a row of the split train"),
        ({"fields": {"split": "train"}}, CLEAN, "data/questions-test.parquet holds a row of the split train"),
        ({"fields": {"user_id": "other"}}, CLEAN, "q-p has another user or split than its preference"),
        ({"rows": {"questions": {"test": 9}}}, CLEAN, "the manifest counts the rows {'questions': {'test': 9}}"),
        ({"dataset_sha256": "0" * 64}, CLEAN, "dataset_sha256 is not that of the Parquet files"),
        ({"version": "9.9.9"}, CLEAN, "croissant.json is of version 0.1.0, the manifest of 9.9.9"),
    ],
)
def test_what_must_not_be_published_is_told(
    tmp_path: Path, written: Write, changes: dict[str, Any], revision: dict[str, Any], told: str
) -> None:
    assert any(told in line for line in problems(written(tmp_path, **changes), revision))


def test_a_release_of_another_commit_names_both_and_the_way_out(tmp_path: Path, written: Write) -> None:
    (told,) = problems(written(tmp_path), {"commit": "b" * 40, "dirty": False})
    assert "a" * 40 in told and "b" * 40 in told
    assert REBUILD in told


def test_the_commit_that_only_records_the_build_is_no_other_commit(hub_folder: Path, push: Any) -> None:
    checkout = hub_folder.parents[1]
    for name, told in (("dvc.lock", None), ("params.yaml", "the release was built at commit")):
        (checkout / name).write_text("1")
        git(checkout, "add", name)
        git(checkout, "commit", "-qm", name)
        done = push("--dry-run")
        assert done.returncode == (told is not None)
        assert told is None or told in done.stderr


def test_a_changed_missing_or_added_file_is_told(tmp_path: Path, written: Write) -> None:
    written(tmp_path)
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / "notes.txt").write_text("mine")
    told = problems(tmp_path, CLEAN)
    assert "README.md is not the file the manifest describes" in told
    assert "notes.txt is not in the manifest" in told
    (tmp_path / "README.md").unlink()
    assert "README.md is in the manifest but not in the folder" in problems(tmp_path, CLEAN)


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "data/questions-train.parquet"])
def test_a_release_without_one_of_its_files_is_told_even_where_the_manifest_agrees(
    tmp_path: Path, written: Write, name: str
) -> None:
    manifest = json.loads((written(tmp_path) / "manifest.json").read_text())
    (tmp_path / name).unlink()
    del manifest["files"][name]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert f"{name} is missing; run {REBUILD}" in problems(tmp_path, CLEAN)


def test_damaged_rows_are_a_failed_validation(tmp_path: Path, written: Write) -> None:
    written(tmp_path)
    path = tmp_path / "data/questions-test.parquet"
    path.write_bytes(b"PAR1")
    assert any(line.startswith("validation failed:") for line in problems(tmp_path, CLEAN))


def test_a_folder_without_a_manifest_says_which_command_makes_it(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, CLEAN)
    assert "dvc repro release" in told


@pytest.mark.parametrize(
    ("text", "told"), [("{", "is not JSON"), ('{"version": "1", "code": null}', "name: Field required")]
)
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    (line,) = problems(tmp_path, CLEAN)
    assert told in line and REBUILD in line


def large(folder: Path) -> dict[str, str]:
    """Name -> sha256 of the files that go to large file storage."""
    return {path.name: sha256_file(path) for path in folder.rglob("*.parquet")}


def test_the_folder_arrives_whole_in_one_commit_with_its_tag(push: Any, hub_server: LocalHub, hub_folder: Path) -> None:
    done = push("--endpoint", hub_server.url, "--yes", "--private", "--tag", "v0.1.0")
    assert done.returncode == 0, done.stderr
    (commit,) = hub_server.commits
    assert commit == {
        p.relative_to(hub_folder).as_posix(): p.read_bytes() for p in hub_folder.rglob("*") if p.is_file()
    }
    assert hub_server.puts == dict.fromkeys(large(hub_folder).values(), 1)
    assert hub_server.verified == set(large(hub_folder).values())
    assert (hub_server.tags, hub_server.private) == ({"v0.1.0": hub_server.oid(1)}, True)


def test_files_of_an_older_release_go_and_files_beside_the_release_stay(push: Any, hub_server: LocalHub) -> None:
    older = {"data/questions-dev.parquet": b"old", "data/questions-test.parquet": b"old", "NOTES.md": b"by hand"}
    hub_server.commits.append({**older})
    done = push("--endpoint", hub_server.url, "--yes")
    assert done.returncode == 0, done.stderr
    assert "data/questions-dev.parquet" not in hub_server.files
    assert hub_server.files["data/questions-test.parquet"] != b"old"
    assert hub_server.files["NOTES.md"] == b"by hand"


def test_the_token_goes_to_the_hub_and_not_to_the_storage(push: Any, hub_server: LocalHub) -> None:
    push("--endpoint", hub_server.url, "--yes")
    assert hub_server.tokens == {f"Bearer {TOKEN}"}
    assert hub_server.tokens_at_storage == {None}


def test_a_failed_large_file_says_so_and_the_same_command_sends_only_the_rest(
    push: Any, hub_server: LocalHub, hub_folder: Path
) -> None:
    files = large(hub_folder)
    broken = files["questions-test.parquet"]
    # A 5xx would be retried for half a minute first.
    hub_server.refuse = lambda method, path: 403 if path == f"/storage/{broken}" else None
    failed = push("--endpoint", hub_server.url, "--yes", "--tag", "v0.1.0")
    assert failed.returncode == 1
    assert "data/questions-test.parquet" in failed.stderr and "Run the same command again to resume" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (hub_server.commits, hub_server.tags) == ([], {})
    hub_server.refuse = lambda method, path: None
    assert push("--endpoint", hub_server.url, "--yes", "--tag", "v0.1.0").returncode == 0
    assert hub_server.puts == {digest: 2 if digest == broken else 1 for digest in files.values()}
    assert (len(hub_server.commits), set(hub_server.tags)) == (1, {"v0.1.0"})


def test_a_storage_that_is_busy_for_a_moment_is_asked_again(push: Any, hub_server: LocalHub, hub_folder: Path) -> None:
    busy = [503]
    hub_server.refuse = lambda method, path: busy.pop() if busy and method == "PUT" else None
    assert push("--endpoint", hub_server.url, "--yes").returncode == 0
    assert sum(hub_server.puts.values()) == len(large(hub_folder)) + 1
    assert len(hub_server.commits) == 1


def test_a_failed_commit_is_resumed_without_sending_a_large_file_again(
    push: Any, hub_server: LocalHub, hub_folder: Path
) -> None:
    hub_server.refuse = lambda method, path: 403 if "/commit/" in path else None
    assert push("--endpoint", hub_server.url, "--yes").returncode == 1
    hub_server.refuse = lambda method, path: None
    assert push("--endpoint", hub_server.url, "--yes").returncode == 0
    assert hub_server.puts == dict.fromkeys(large(hub_folder).values(), 1)
    assert len(hub_server.commits) == 1


def test_the_way_of_the_package_hf_xet_is_one_commit_too_and_resumes(
    push: Any, hub_server: LocalHub, hub_folder: Path
) -> None:
    pytest.importorskip("hf_xet")
    hub_server.refuse = lambda method, path: 403 if path.startswith("/v1/xorbs/") else None
    failed = push("--endpoint", hub_server.url, "--yes", xet=True)
    assert failed.returncode == 1
    assert "Run the same command again to resume" in failed.stderr and "Traceback" not in failed.stderr
    hub_server.refuse = lambda method, path: 403 if "/commit/" in path else None
    assert push("--endpoint", hub_server.url, "--yes", xet=True).returncode == 1
    sent = [path for path in hub_server.requests if path.startswith("/v1/xorbs/")]
    hub_server.refuse = lambda method, path: None
    assert push("--endpoint", hub_server.url, "--yes", xet=True).returncode == 0
    assert [path for path in hub_server.requests if path.startswith("/v1/xorbs/")] == sent
    (commit,) = hub_server.commits
    assert {commit[f"data/{name}"].decode() for name in large(hub_folder)} == set(large(hub_folder).values())
    assert not hub_server.puts


def test_a_tag_that_could_not_be_set_is_set_by_the_same_command_without_a_second_commit(
    push: Any, hub_server: LocalHub
) -> None:
    hub_server.refuse = lambda method, path: 403 if "/tag/" in path else None
    assert push("--endpoint", hub_server.url, "--yes", "--tag", "v1").returncode == 1
    hub_server.refuse = lambda method, path: None
    assert push("--endpoint", hub_server.url, "--yes", "--tag", "v1").returncode == 0
    assert (len(hub_server.commits), hub_server.tags) == (1, {"v1": hub_server.oid(1)})


def test_a_release_that_is_there_under_its_tag_is_not_sent_again(push: Any, hub_server: LocalHub) -> None:
    push("--endpoint", hub_server.url, "--yes", "--tag", "v1")
    again = push("--endpoint", hub_server.url, "--yes", "--tag", "v1")
    assert again.returncode == 0
    assert "already holds this release as v1" in " ".join(again.stderr.split())
    assert len(hub_server.commits) == 1


def test_the_tag_of_another_release_is_refused_before_anything_is_sent(push: Any, hub_server: LocalHub) -> None:
    hub_server.private = False
    hub_server.commits = [{"manifest.json": b"{}"}, {"other.txt": b""}]
    hub_server.tags = {"v1": hub_server.oid(1)}
    done = push("--endpoint", hub_server.url, "--yes", "--tag", "v1")
    assert done.returncode == 1
    assert f"The tag v1 of me/upqa belongs to another release (commit {hub_server.oid(1)})" in done.stderr
    assert not any("preupload" in path or "/commit/" in path for path in hub_server.requests)
    assert (len(hub_server.commits), hub_server.tags) == (2, {"v1": hub_server.oid(1)})


def test_a_public_repository_is_refused_where_a_private_one_was_asked_for(push: Any, hub_server: LocalHub) -> None:
    hub_server.private = False
    done = push("--endpoint", hub_server.url, "--yes", "--private")
    assert done.returncode == 1
    assert "me/upqa is there already and public" in done.stderr
    assert hub_server.commits == [] and not hub_server.puts


def test_neither_the_token_nor_a_signed_address_is_ever_shown(push: Any, hub_server: LocalHub) -> None:
    hub_server.refuse = lambda method, path: 403 if method == "PUT" else None
    done = push("--endpoint", hub_server.url, "--yes")
    assert "/storage/" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert SIGNATURE not in done.stdout + done.stderr


def test_nothing_is_sent_without_a_yes_or_in_a_dry_run(push: Any, hub_server: LocalHub) -> None:
    refused, dry = push("--endpoint", hub_server.url), push("--endpoint", hub_server.url, "--dry-run")
    assert (refused.returncode, dry.returncode) == (1, 0)
    assert "data/questions-test.parquet" in dry.stderr
    assert hub_server.requests == []


def test_a_refused_release_names_every_reason(hub_folder: Path, push: Any) -> None:
    manifest_path = hub_folder / "manifest.json"
    manifest = json.loads(manifest_path.read_text())
    manifest_path.write_text(json.dumps({**manifest, "licenses": {"MIT": 1}, "code": CLEAN}))
    (hub_folder.parents[1] / ".gitignore").write_text("build/\nother/\n")
    done = push("--yes")
    assert done.returncode == 1
    assert "uncommitted changes" in done.stderr
    assert f"the release was built at commit {'a' * 40}" in done.stderr
    assert "the manifest counts the licences {'MIT': 1}" in done.stderr


def test_a_hub_that_cannot_be_reached_is_one_line(push: Any) -> None:
    done = push("--endpoint", "http://127.0.0.1:9", "--yes")
    assert done.returncode == 1
    assert "error: The upload failed:" in done.stderr
    assert "Traceback" not in done.stderr
