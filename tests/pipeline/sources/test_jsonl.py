"""Your own chat files in the OpenAI messages form."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import Conversation
from pipeline.sources.base import Source, SourceSettings
from pipeline.sources.jsonl import conversation_key
from pipeline.sources.registry import open_source

FIXTURE = Path(__file__).with_name("fixtures") / "jsonl.jsonl"


def source(path: Path | None, *, strict: bool = False, license: str | None = None) -> Source:
    where = None if path is None else str(path)
    settings = SourceSettings(name="jsonl", path=where, strict=strict, license=license, max_conversations=None)
    return open_source(settings, "salt")


def read(path: Path, *, strict: bool = False) -> list[Conversation]:
    return list(source(path, strict=strict).read())


def test_the_fixture_is_read_with_language_licence_and_time() -> None:
    first, *rest = read(FIXTURE, strict=True)
    assert (first.language, first.license, first.timestamp) == ("en", "CC-BY-4.0", "2025-01-02T03:04:05Z")
    assert len(rest) == 4


def test_conversations_of_one_user_share_the_user_id() -> None:
    first, second, third, *_ = read(FIXTURE)
    assert first.user_id == second.user_id != third.user_id


def test_text_parts_of_a_message_are_joined() -> None:
    assert read(FIXTURE)[1].turns[0].text == "Look at\nmy cat."


def test_a_conversation_without_id_gets_a_hash_of_its_messages() -> None:
    assert read(FIXTURE)[2].source_id == read(FIXTURE)[2].source_id
    assert len(read(FIXTURE)[2].source_id) == 16


def test_an_id_of_ones_own_file_stands_in_no_conversation(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "jane@example.com/1", "messages": []}\n')
    (found,) = read(path)
    assert "jane" not in found.model_dump_json()
    assert found.source_id == conversation_key("salt", "jane@example.com/1")
    assert found.source_id != conversation_key("pepper", "jane@example.com/1")
    assert found.source_id != found.user_id


def test_the_licence_of_the_settings_stands_where_a_row_has_none() -> None:
    found = list(source(FIXTURE, license="MIT").read())
    assert [c.license for c in found] == ["CC-BY-4.0", "MIT", "MIT", "MIT", "MIT"]


def test_a_malformed_line_is_passed_over_and_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "messages": []}\n{"id": \n{"id": "b", "messages": []}\n')
    opened = source(path)
    assert [c.source_id for c in opened.read()] == [conversation_key("salt", id) for id in ("a", "b")]
    assert "x.jsonl: byte 28, record 1" in opened.report.summary()


def test_a_malformed_line_is_an_error_under_strict(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "messages": []}\n{"id": \n')
    with pytest.raises(InputError, match="byte 28, record 1: malformed JSON"):
        read(path, strict=True)


def test_a_last_line_that_is_cut_off_is_reported_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "messages": []}\n{"id": "b", "mess')
    opened = source(path)
    assert len(list(opened.read())) == 1
    assert opened.report.damage == "input ends inside a record at byte 45"


def test_another_encoding_is_an_error_that_names_the_record(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"id": "é", "messages": []}\n'.encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.jsonl: byte 0, record 0: not UTF-8"):
        read(path)


def test_an_object_without_messages_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a"}\n[1]\n{"id": "b", "messages": [{"role": "user", "content": 5}]}\n')
    opened = source(path)
    assert list(opened.read()) == []
    assert opened.report.skipped == {"no field `messages`": 2, "a message text is not a string": 1}


def test_a_message_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "word " * 10_000_000}]}))
    assert len(read(path)[0].turns[0].text) == 50_000_000


def test_parquet_of_the_same_form_gives_the_same_conversations(tmp_path: Path) -> None:
    rows = [
        {"id": f"c{i}", "user": "u", "messages": [{"role": "user", "content": f"I own {i} hens."}]} for i in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path / "x.parquet") == read(tmp_path / "x.jsonl")
    assert len(read(tmp_path)) == 6


def test_a_parquet_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"x\.parquet: not a Parquet file"):
        read(tmp_path / "x.parquet")


def test_a_damaged_parquet_file_is_named_with_the_row(tmp_path: Path) -> None:
    rows = [{"id": f"c{i}", "messages": [{"role": "user", "content": f"I own {i} hens. " * 99}]} for i in range(600)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=256, use_dictionary=False)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    middle = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(1).column(0).data_page_offset
    data[middle : middle + 2000] = bytes(2000)
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.parquet: not a Parquet file, or damaged after row 256 \("):
        read(tmp_path / "x.parquet")


def test_a_file_that_may_not_be_read_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages": []}\n')

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"jsonl: cannot be read after 0 .*Permission denied.*x\.jsonl"):
        read(path)


def test_a_missing_path_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="'jsonl' needs a path"):
        list(source(None).read())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read(tmp_path / "nowhere")
