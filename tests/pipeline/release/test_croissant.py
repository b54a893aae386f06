from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.records import Preference
from pipeline.release.config import ReleaseConfig
from pipeline.release.stage import Dataset, build


@pytest.fixture
def hub(tmp_path: Path, preference: Callable[..., Preference]) -> Path:
    config = ReleaseConfig(pretty_name="UPQA", version="0.1.0", allowed_licenses=("CC-BY-4.0",), near_duplicate=0.9)
    build(Dataset([preference()], [], {}), {}, tmp_path, config)
    return tmp_path


def test_the_reference_reader_accepts_the_description(hub: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=hub / "croissant.json")
    assert {record_set.name for record_set in dataset.metadata.record_sets} == {"questions", "preferences"}


def test_every_parquet_file_is_described_with_its_hash(hub: Path) -> None:
    described = json.loads((hub / "croissant.json").read_text())
    files = {d["contentUrl"]: d["sha256"] for d in described["distribution"] if d["@type"] == "cr:FileObject"}
    manifest = json.loads((hub / "manifest.json").read_text())["files"]
    assert files == {name: entry["sha256"] for name, entry in manifest.items() if name.startswith("data/")}
