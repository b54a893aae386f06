from __future__ import annotations

import errno
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import tables
from pipeline.core.errors import InputError
from pipeline.core.records import RELEASED, ClusterMember, Dropped, Evidence, Preference, Provenance
from pipeline.core.tables import (
    arrow_schema,
    atomic_write,
    parquet_sink,
    read_jsonl,
    read_parquet,
    to_table,
    write_jsonl,
    write_parquet,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def preference(text: str, prompts: dict[str, str]) -> Preference:
    return Preference(
        id="p",
        user_id="u",
        statement=text,
        attribute_type="hobby",
        family="hobby",
        target="chess",
        aliases=(text, "the game of chess"),
        cluster=(ClusterMember(attribute_type="pastime", question=text, target="chess"),),
        sensitive=(),
        evidence=Evidence(source="s", conversation="c", turn=0, start=0, end=3),
        source="s",
        license="unknown",
        split="train",
        provenance=Provenance(model="m", prompts=prompts, samples=1),
    )


def test_row_groups_do_not_depend_on_how_rows_are_shared_out_among_tables(tmp_path: Path) -> None:
    rows = [dropped(number) for number in range(25)]
    for name, sizes in (("one", [25]), ("many", [3, 0, 11, 11]), ("rows", [])):
        with parquet_sink(tmp_path / name, Dropped, rows_per_group=10) as sink:
            given = iter(rows)
            for size in sizes:
                sink.write_table(to_table(islice(given, size), Dropped))
            for row in given:
                sink.write(row)
        assert sink.rows == 25
    assert pq.ParquetFile(tmp_path / "many").num_row_groups == 3
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes() == (tmp_path / "rows").read_bytes()


def dropped(number: int) -> Dropped:
    return Dropped(id=str(number), stage="mine", reason="r", detail="d", row="{}")


@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_a_record_survives_parquet_and_jsonl(
    tmp_path_factory: pytest.TempPathFactory, text: str, prompts: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    row = preference(text, prompts)
    write_parquet(folder / "rows.parquet", [row], Preference)
    write_jsonl(folder / "rows.jsonl", [row])
    assert list(read_parquet(folder / "rows.parquet", Preference)) == [row]
    assert list(read_jsonl(folder / "rows.jsonl", Preference)) == [row]


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_every_record_has_an_arrow_schema_with_its_fields(name: str) -> None:
    assert arrow_schema(RELEASED[name]).names == list(RELEASED[name].model_fields)


def test_no_rows_still_give_a_readable_file(tmp_path: Path) -> None:
    assert write_parquet(tmp_path / "x.parquet", [], Preference) == 0
    assert list(read_parquet(tmp_path / "x.parquet", Preference)) == []


def test_rows_beyond_one_group_are_all_written(tmp_path: Path) -> None:
    rows = [dropped(i) for i in range(25)]
    assert write_parquet(tmp_path / "x.parquet", rows, Dropped, rows_per_group=10) == 25
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 3
    assert list(read_parquet(tmp_path / "x.parquet", Dropped)) == rows


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [preference(str(i), {"a": "b"}) for i in range(5)]
    for name in ("a", "b"):
        write_parquet(tmp_path / name, rows, Preference)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, [dropped(1)], Dropped)
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_parquet(path, [dropped(i) for i in range(100)], Dropped)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_itself_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; run the stage"):
        list(read_parquet(tmp_path / "x.parquet", Dropped))


def test_a_damaged_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"x\.parquet: not a Parquet file"):
        list(read_parquet(tmp_path / "x.parquet", Dropped))


def test_a_row_of_another_record_is_named_with_its_field(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [dropped(1)], Dropped)
    with pytest.raises(InputError, match=r"row 0: not a Preference: user_id"):
        list(read_parquet(tmp_path / "x.parquet", Preference))


def test_a_bad_jsonl_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(dropped(1).model_dump_json().encode() + b"\n{\n")
    with pytest.raises(InputError, match=r"x\.jsonl: line 2: not valid JSON"):
        list(read_jsonl(path, Dropped))
