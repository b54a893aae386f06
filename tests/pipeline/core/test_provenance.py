from __future__ import annotations

from pathlib import Path

from pipeline.core.provenance import run_record, sha256_tree


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
