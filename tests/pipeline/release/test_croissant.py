from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.release.inputs import Background, Dataset
from pipeline.release.stage import build

Make = Callable[..., Any]


@pytest.fixture
def hub(tmp_path: Path, preference: Make, question: Make, entry: Make, config: Make) -> Path:
    rows = [preference("a", split="train"), preference("b", cluster=(), aliases=())]
    dataset = Dataset(rows, [question(row) for row in rows], {}, [entry(row) for row in rows])
    build(dataset, Background(), tmp_path, config())
    return tmp_path


def described(hub: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((hub / "croissant.json").read_text())
    return found


def leaves(fields: list[dict[str, Any]]) -> Iterator[str]:
    for field in fields:
        assert field["description"], field["@id"]
        if "subField" in field:
            yield from leaves(field["subField"])
        else:
            yield field["@id"]


def columns(name: str, kind: pa.DataType) -> Iterator[str]:
    """The path of every plain value in a column, whatever lists and structs it stands in."""
    kind = kind.value_type if pa.types.is_list(kind) else kind
    if pa.types.is_struct(kind):
        for part in kind:
            yield from columns(f"{name}/{part.name}", part.type)
    else:
        yield name


def test_every_value_of_every_parquet_column_is_described(hub: Path) -> None:
    for record_set in described(hub)["recordSet"]:
        table = record_set["name"]
        schema = pq.read_schema(hub / "data" / f"{table}-test.parquet")
        wanted = [path for column in schema for path in columns(f"{table}/{column.name}", column.type)]
        assert list(leaves(record_set["field"])) == wanted


def test_lists_are_repeated_and_structs_are_not(hub: Path) -> None:
    fields = {field["@id"]: field for r in described(hub)["recordSet"] for field in r["field"]}
    assert {name for name, field in fields.items() if field.get("repeated")} == {
        "questions/accepted",
        "preferences/aliases",
        "preferences/cluster",
        "preferences/sensitive",
        "histories/sensitive",
    }
    assert "subField" in fields["preferences/evidence"]


def test_the_description_says_whose_it_is_and_of_when(hub: Path, config: Make) -> None:
    found = described(hub)
    assert found["creator"] == [
        {"@type": "sc:Person", "name": "Doe, Jane"},
        {"@type": "sc:Organization", "name": "The makers"},
    ]
    assert (found["datePublished"], found["url"]) == ("2031-05-17", "https://huggingface.co/datasets/jane/UPQA")
    assert found["citeAs"] == config().citation()
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"


def test_every_parquet_file_is_described_with_its_hash(hub: Path) -> None:
    files = {d["contentUrl"]: d["sha256"] for d in described(hub)["distribution"] if d["@type"] == "cr:FileObject"}
    manifest = json.loads((hub / "manifest.json").read_text())["files"]
    assert files == {name: entry["sha256"] for name, entry in manifest.items() if name.startswith("data/")}


def test_the_reference_reader_accepts_the_description_without_a_complaint(hub: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    issues = mlcroissant.Dataset(jsonld=hub / "croissant.json").metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


def plain(value: Any) -> Any:
    """A value as the reference reader gives it, with the short names and text of Parquet."""
    if isinstance(value, dict):
        return {name.rsplit("/", 1)[-1]: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value


def lifted(row: dict[str, Any]) -> dict[str, Any]:
    """A row in the shape of the reference reader, which lifts a list inside a struct out of it."""
    parts = {name: value for name, value in row.items() if isinstance(value, dict)}
    lists = {n: part.pop(n) for part in parts.values() for n in list(part) if isinstance(part[n], list)}
    return {**row, **lists}


def test_the_reference_reader_finds_the_rows_of_the_files(hub: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=hub / "croissant.json")
    for table in ("questions", "preferences", "histories"):
        files = sorted((hub / "data").glob(f"{table}-*.parquet"))
        assert [plain(row) for row in dataset.records(table)] == [
            lifted(row) for path in files for row in pq.read_table(path).to_pylist()
        ]
