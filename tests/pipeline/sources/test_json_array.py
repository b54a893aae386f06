"""The streaming reader of JSON arrays and objects."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.sources import json_array
from pipeline.sources.json_array import CutOff, array_elements, object_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def file_with(folder: Path, content: bytes) -> Path:
    path = folder / "array.json"
    path.write_bytes(content)
    return path


@settings(max_examples=60, deadline=None)
@given(values=st.lists(VALUES, max_size=6), chunk=st.integers(1, 40), ascii_only=st.booleans(), indent=st.booleans())
def test_any_array_is_read_back_whatever_the_chunk_size(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], chunk: int, ascii_only: bool, indent: bool
) -> None:
    text = json.dumps(values, ensure_ascii=ascii_only, indent=2 if indent else None)
    path = file_with(tmp_path_factory.mktemp("array"), text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK_BYTES", chunk)
        found = list(array_elements(path))
    assert [element.value for element in found] == values
    raw = path.read_bytes()
    for element in found:
        assert json.JSONDecoder().raw_decode(raw[element.byte :].decode())[0] == element.value


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_file_cut_off_anywhere_gives_all_whole_elements_and_the_byte_of_the_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(json_array, "CHUNK_BYTES", chunk)
    whole = json.dumps([{"a": 'é\\n"x'}, {"b": [1, 2.5, True]}, {"c": None}], ensure_ascii=False).encode()
    for end in range(1, len(whole)):
        path = file_with(tmp_path, whole[:end])
        found = []
        if whole[:end].decode("utf-8", "ignore").encode() != whole[:end]:
            continue
        with pytest.raises(CutOff) as cut:
            for element in array_elements(path):
                found.append(element.value)
        assert cut.value.byte == end
        assert found == [{"a": 'é\\n"x'}, {"b": [1, 2.5, True]}, {"c": None}][: len(found)]


def test_malformed_json_in_the_middle_names_file_byte_and_record(tmp_path: Path) -> None:
    content = b'[{"a": "\xc3\xa9"}, {"a" 2}, ' + b'{"a": 3}, ' * 20 + b"{}]"
    path = file_with(tmp_path, content)
    with pytest.raises(InputError, match=rf"array\.json: byte {content.index(b'2}')}, record 1: malformed JSON"):
        list(array_elements(path))


def test_another_encoding_is_named_with_its_byte(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"byte 8: not UTF-8"):
        list(array_elements(file_with(tmp_path, b'[{"a": "\xff"}]')))


def test_a_utf16_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 0: not UTF-8"):
        list(array_elements(file_with(tmp_path, '[{"a": 1}]'.encode("utf-16"))))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert [e.value for e in array_elements(file_with(tmp_path, b"\xef\xbb\xbf[1, 2]"))] == [1, 2]


def test_a_file_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 0: expected a JSON array"):
        list(array_elements(file_with(tmp_path, b'{"a": 1}')))


def test_an_element_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 1, record 0: nested too deeply"):
        list(array_elements(file_with(tmp_path, b"[" + b"[" * 200_000 + b"]" * 200_001)))


def test_time_grows_linearly_with_the_length_of_one_message(tmp_path: Path) -> None:
    def seconds(megabytes: int) -> float:
        path = file_with(tmp_path, json.dumps(["x" * (megabytes << 20), 1]).encode())
        started = time.perf_counter()
        assert [len(str(e.value)) for e in array_elements(path)] == [megabytes << 20, 1]
        return time.perf_counter() - started

    seconds(1)
    assert seconds(50) < 40 * max(seconds(5), 0.02)


@settings(max_examples=60, deadline=None)
@given(values=st.dictionaries(st.text(max_size=5), VALUES, max_size=6), chunk=st.integers(1, 40), indent=st.booleans())
def test_any_object_is_read_back_whatever_the_chunk_size(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object], chunk: int, indent: bool
) -> None:
    text = json.dumps(values, ensure_ascii=False, indent=2 if indent else None)
    path = file_with(tmp_path_factory.mktemp("object"), text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK_BYTES", chunk)
        found = list(object_members(path))
    assert {member.key: member.value for member in found} == values
    raw = path.read_bytes()
    for member in found:
        assert json.JSONDecoder().raw_decode(raw[member.byte :].decode())[0] == member.key


def test_an_object_cut_off_anywhere_gives_all_whole_members_and_the_byte_of_the_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_array, "CHUNK_BYTES", 7)
    values = {"a": {"x": "y"}, "b": [1, 2.5, True], "c": None}
    whole = json.dumps(values).encode()
    for end in range(1, len(whole)):
        found = {}
        with pytest.raises(CutOff) as cut:
            for member in object_members(file_with(tmp_path, whole[:end])):
                found[member.key] = member.value
        assert cut.value.byte == end
        assert found == dict(list(values.items())[: len(found)])


@pytest.mark.parametrize("content", [b'{"a" 1, "b": 2}  ' + b" " * 20, b"{1: 2}", b"{[]: 2}"])
def test_an_object_without_keys_is_malformed(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="byte 1, record 0: malformed JSON: expected a key"):
        list(object_members(file_with(tmp_path, content)))


def test_an_array_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 0: expected a JSON object"):
        list(object_members(file_with(tmp_path, b"[1]")))
