"""The Chit-Chat Challenge: a chat of two people is read once for each of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.core.provenance import sha256_file
from pipeline.core.records import Conversation
from pipeline.sources.base import Source, SourceSettings
from pipeline.sources.chitchat import PACKAGE, ChitChat
from pipeline.sources.registry import open_source

FIXTURE = Path(__file__).with_name("fixtures") / "chitchat.json"


def source(path: Path | None, *, strict: bool = False) -> Source:
    where = None if path is None else str(path)
    settings = SourceSettings(name="chitchat", path=where, strict=strict, license=None, max_conversations=None)
    return open_source(settings, "salt")


def read() -> dict[str, Conversation]:
    """The conversations of the fixture by the last digit of the chat and the number of the participant."""
    return {c.source_id[-3:]: c for c in source(FIXTURE, strict=True).read()}


def test_each_participant_is_the_user_of_a_conversation_and_the_partner_takes_the_other_role() -> None:
    found = read()
    assert [turn.role for turn in found["1-1"].turns] == ["user", "assistant", "user"]
    assert [turn.role for turn in found["1-2"].turns] == ["assistant", "user", "assistant"]
    assert [turn.text for turn in found["1-1"].turns] == [turn.text for turn in found["1-2"].turns]


def test_messages_before_a_reply_are_one_turn_of_a_line_each() -> None:
    assert read()["1-1"].turns[0].text == "Hi there\ni'm a beekeeper, and you?"


def test_all_chats_of_a_participant_belong_to_one_user_whoever_wrote_first() -> None:
    found = read()
    assert found["1-1"].user_id == found["3-2"].user_id
    assert found["1-2"].user_id == found["2-1"].user_id
    assert len({c.user_id for c in found.values()}) == 4


def test_a_chat_that_nobody_joined_gives_one_conversation_and_an_empty_one_gives_none() -> None:
    assert [key for key in read() if key[0] in "24"] == ["2-1"]


def test_a_lone_surrogate_becomes_a_question_mark_of_the_same_length() -> None:
    assert read()["5-1"].turns[0].text == "Half a pair: ?"


@pytest.mark.parametrize(
    ("chat", "problem"),
    [
        ([], "no list `messages`"),
        ({"messages": "hello"}, "no list `messages`"),
        ({"messages": [[]]}, "an entry of `messages` is not a list of objects"),
        ({"messages": [["hello"]]}, "an entry of `messages` is not a list of objects"),
        ({"messages": [[{"text": "a", "sender": "x"}, {"text": "b", "sender": "y"}]]}, "has not one `sender`"),
        ({"messages": [[{"text": "a"}]]}, "has not one `sender`"),
        ({"messages": [[{"text": 5, "sender": "x"}]]}, "a message text is not a string"),
    ],
)
def test_a_record_of_another_form_is_passed_over_and_is_an_error_under_strict(
    tmp_path: Path, chat: object, problem: str
) -> None:
    path = tmp_path / "odd.json"
    good = {"messages": [[{"text": "hi", "sender": "x"}]]}
    path.write_text(json.dumps({"odd": chat, "good": good}))
    opened = source(path)
    assert [c.source_id for c in opened.read()] == ["good-1"]
    assert problem in opened.report.summary()
    with pytest.raises(InputError, match="byte 1, record odd"):
        list(source(path, strict=True).read())


def test_a_cut_off_file_gives_the_whole_chats_and_reports_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    end = FIXTURE.read_bytes().index(b"Anyone here")
    path.write_bytes(FIXTURE.read_bytes()[:end])
    opened = source(path)
    assert [c.source_id[-3:] for c in opened.read()] == ["1-1", "1-2"]
    assert opened.report.summary() == f"2 conversations read, input ends inside a record at byte {end}"


def test_a_missing_package_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps chitchat-dataset"):
        list(source(None).read())


def test_the_card_says_that_partners_are_people() -> None:
    assert "not an assistant" in ChitChat.card.consent


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="needs chitchat-dataset")
def test_the_packaged_file_is_the_one_the_card_pins() -> None:
    opened = source(None)
    assert isinstance(opened, ChitChat)
    assert [sha256_file(path) for path in opened.files()] == [opened.card.revision]
