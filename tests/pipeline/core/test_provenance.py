from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.core import provenance
from pipeline.core.provenance import code_revision, git_revision, run_record, sha256_tree


def test_a_run_record_tells_stage_settings_time_and_memory() -> None:
    with run_record("mine", {"size": 1}, ("pyarrow",)) as record:
        record["counts"] = {"rows": {"in": 1, "out": 1}}
    assert record["stage"] == "mine"
    assert record["config"] == {"size": 1}
    assert "pyarrow" in record["versions"]
    assert record["seconds"] >= 0
    assert record["peak_memory_mb"] > 1


def test_the_hash_of_a_folder_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_text("1")
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")
    (tmp_path / "b" / "deep" / "x").rename(tmp_path / "b" / "deep" / "y")
    assert sha256_tree(tmp_path / "a") != sha256_tree(tmp_path / "b")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Git repository whose one commit tracks `pipeline/core/provenance.py`; `installed` in it is ignored."""
    for folder in ("", "installed"):
        file = tmp_path / folder / "pipeline" / "core" / "provenance.py"
        file.parent.mkdir(parents=True)
        file.write_text("")
    (tmp_path / ".gitignore").write_text("installed/\n")
    user = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*user, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    return tmp_path


def commit_of(repository: Path) -> str:
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_revision_is_that_of_the_code_and_not_of_the_working_folder(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_revision()
    monkeypatch.chdir(repository)
    assert code_revision() == before
    assert before["commit"] != commit_of(repository)


def test_tracked_changes_of_the_code_are_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = repository / "pipeline" / "core" / "provenance.py"
    monkeypatch.setattr(provenance, "_HERE", file)
    assert code_revision() == {"commit": commit_of(repository), "dirty": False}
    (repository / ".gitignore").write_text("")
    assert code_revision()["dirty"] is False, "no code has changed"
    assert git_revision(repository, (".",))["dirty"] is True
    file.write_text("changed = True")
    assert code_revision()["dirty"] is True


def test_code_that_git_does_not_know_of_is_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_HERE", repository / "pipeline" / "core" / "provenance.py")
    (repository / "notes.txt").write_text("not code")
    assert code_revision()["dirty"] is False
    (repository / "pipeline" / "new.py").write_text("")
    assert code_revision()["dirty"] is True


def test_a_folder_inside_a_checkout_speaks_for_the_whole_of_it(repository: Path) -> None:
    (repository / "docs").mkdir()
    (repository / "pipeline" / "core" / "provenance.py").write_text("changed = True")
    assert git_revision(repository / "docs", (".",)) == {"commit": commit_of(repository), "dirty": True}


def test_a_package_installed_inside_another_repository_has_no_revision(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_HERE", repository / "installed" / "pipeline" / "core" / "provenance.py")
    assert code_revision() == {"commit": None, "dirty": None}


def test_code_outside_git_has_no_revision(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".git").rename(repository / "no_git")
    monkeypatch.setattr(provenance, "_HERE", repository / "pipeline" / "core" / "provenance.py")
    assert code_revision() == {"commit": None, "dirty": None}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system cannot reset the peak")
def test_the_peak_of_a_record_is_that_of_its_own_block() -> None:
    with run_record("x", {}) as large:
        held = bytearray(b"1") * (200 * 2**20)
    del held
    with run_record("x", {}) as small:
        pass
    assert large["peak_memory_mb"] > small["peak_memory_mb"] + 150
