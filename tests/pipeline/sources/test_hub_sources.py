"""The corpora read row by row: WildChat, LMSYS-Chat, OpenAssistant, Synthetic-Persona-Chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import InputError
from pipeline.core.licenses import STRICTNESS
from pipeline.core.records import Conversation
from pipeline.sources.base import Source, SourceSettings
from pipeline.sources.hub import iso_time
from pipeline.sources.registry import open_source

FIXTURES = Path(__file__).with_name("fixtures")
FILES = {
    "wildchat": "wildchat.jsonl",
    "lmsys_chat": "lmsys_chat.jsonl",
    "oasst": "oasst.jsonl",
    "persona_chat": "persona_chat.csv",
}


def source(name: str, path: Path | None = None, *, strict: bool = False) -> Source:
    where = None if path is None else str(path)
    settings = SourceSettings(name=name, path=where, strict=strict, license=None, max_conversations=None)
    return open_source(settings, salt="salt")


def read(name: str) -> tuple[Source, dict[str, Conversation]]:
    opened = source(name, FIXTURES / FILES[name])
    return opened, {conversation.source_id: conversation for conversation in opened.read()}


def texts(conversation: Conversation) -> list[str]:
    return [turn.text for turn in conversation.turns]


@pytest.mark.parametrize("name", FILES)
def test_the_card_pins_the_corpus_and_its_rows_carry_its_name_and_licence(name: str) -> None:
    opened, found = read(name)
    assert opened.card.hub_id
    assert opened.card.license in STRICTNESS
    assert opened.card.citation
    assert found
    assert {(c.source, c.license) for c in found.values()} == {(name, opened.card.license)}


@pytest.mark.parametrize("name", FILES)
def test_every_conversation_has_a_user_turn_and_a_hashed_user(name: str) -> None:
    _, found = read(name)
    for conversation in found.values():
        assert any(turn.role == "user" and turn.text for turn in conversation.turns)
        assert len(conversation.user_id) == 16


def test_one_wildchat_address_is_one_user_and_equal_hashes_are_two_conversations() -> None:
    _, found = read("wildchat")
    keys = list(found)
    assert len(keys) == 4
    assert found[keys[0]].user_id == found[keys[1]].user_id != found[keys[2]].user_id
    assert keys[0].rpartition("-")[0] == keys[3].rpartition("-")[0]


def test_wildchat_languages_and_times_are_standard_codes_or_none() -> None:
    _, found = read("wildchat")
    assert [c.language for c in found.values()] == ["en", "en", "es", None]
    assert next(iter(found.values())).timestamp == "2023-04-12T08:15:30+00:00"


@pytest.mark.parametrize("name", ["wildchat", "lmsys_chat"])
def test_a_conversation_the_corpus_flags_is_left_out_and_counted(name: str) -> None:
    opened, found = read(name)
    assert opened.report.left_out == {"flagged as toxic by the source": 1}
    assert opened.report.conversations == len(found) == 4


def test_lmsys_rows_may_not_be_passed_on_and_each_is_a_user() -> None:
    opened, found = read("lmsys_chat")
    assert not opened.card.may_redistribute
    assert len({c.user_id for c in found.values()}) == len(found)
    assert [c.language for c in found.values()] == ["en", "pt", None, "de"]


def test_an_oasst_thread_follows_one_author_through_the_best_replies() -> None:
    _, found = read("oasst")
    assert [turn.role for turn in found["m-1"].turns] == ["user", "assistant", "user", "assistant"]
    assert texts(found["m-1"])[1].startswith("Try a hip flexor")


def test_another_authors_prompt_in_the_same_tree_is_a_thread_of_its_own_after_the_reply_it_answers() -> None:
    _, found = read("oasst")
    assert [turn.role for turn in found["m-6"].turns] == ["assistant", "user"]
    assert found["m-6"].user_id != found["m-1"].user_id


def test_every_unflagged_oasst_prompt_is_in_exactly_one_thread() -> None:
    opened, found = read("oasst")
    prompts = [turn.text for c in found.values() for turn in c.turns if turn.role == "user"]
    assert len(prompts) == len(set(prompts)) == 4
    assert opened.report.left_out == {"deleted, synthetic, or flagged by the source's reviewers": 1}
    assert found["m-7"].language == "es"


def test_both_speakers_of_a_persona_dialogue_are_users_with_equal_offsets() -> None:
    _, found = read("persona_chat")
    first, second = found["0-1"], found["0-2"]
    assert texts(first) == texts(second)
    assert [t.role for t in first.turns] == ["user", "assistant", "user"]
    assert [t.role for t in second.turns] == ["assistant", "user", "assistant"]
    assert first.user_id != second.user_id


def test_stage_directions_are_nobodys_words() -> None:
    _, found = read("persona_chat")
    assert "[The next day]" not in texts(found["1-1"])


def test_a_dialogue_without_speakers_is_passed_over_with_its_place() -> None:
    opened, found = read("persona_chat")
    assert len(found) == 8
    (where,) = opened.report.first_skipped.values()
    assert where.endswith("persona_chat.csv: row 4")


@pytest.mark.parametrize("name", ["wildchat", "lmsys_chat", "oasst"])
@pytest.mark.parametrize("row", [{}, {"conversation": "hello"}, {"message_id": 3}])
def test_a_row_of_another_form_is_passed_over_or_an_error_under_strict(
    name: str, row: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\nnot json\n[]\n")
    opened = source(name, path)
    assert list(opened.read()) == []
    assert sum(opened.report.skipped.values()) == 3
    with pytest.raises(InputError, match=r"rows\.jsonl: row [01]"):
        list(source(name, path, strict=True).read())


def test_parquet_and_jsonl_copies_of_a_corpus_give_the_same_conversations(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [json.loads(line) for line in (FIXTURES / "lmsys_chat.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-0.parquet")
    assert list(source("lmsys_chat", tmp_path).read()) == list(read("lmsys_chat")[1].values())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in FILES:
        with pytest.raises(InputError, match="nowhere"):
            list(source(name, tmp_path / "nowhere").read())


def test_without_a_path_the_pinned_revision_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, Any] = {}

    def load_dataset(name: str, **options: Any) -> Iterator[dict[str, Any]]:
        asked.update(name=name, **options)
        return (json.loads(line) for line in (FIXTURES / "wildchat.jsonl").open(encoding="utf-8"))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    opened = source("wildchat")
    assert len(list(opened.read())) == 4
    assert asked == {
        "name": opened.card.hub_id,
        "revision": opened.card.revision,
        "split": "train",
        "streaming": True,
    }


def test_a_refusing_hub_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, **options: Any) -> Any:
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="hf auth login"):
        list(source("lmsys_chat").read())


@pytest.mark.parametrize("broken", ["the client's own error", "an error of the operating system", "damaged Parquet"])
def test_a_stream_that_breaks_is_an_error_that_names_the_corpus_the_row_and_the_cause(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    import datasets
    import pyarrow as pa
    from huggingface_hub import errors

    class ReadError(errors.HTTPError):  # type: ignore[attr-defined, misc]
        """A broken connection as the Hub's client tells it: no OSError."""

    error = {
        "the client's own error": ReadError(broken),
        "an error of the operating system": ConnectionResetError(broken),
        "damaged Parquet": pa.ArrowInvalid(broken),
    }[broken]

    def load_dataset(name: str, **options: Any) -> Iterator[dict[str, Any]]:
        yield from (json.loads(line) for line in (FIXTURES / "wildchat.jsonl").open(encoding="utf-8"))
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    opened = source("wildchat")
    with pytest.raises(InputError, match=rf"{opened.card.hub_id}@\w+: .* after 5 rows \(\w+: {broken}\)\. Check"):
        list(opened.read())


def test_a_csv_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("Best Generated Conversation\nUser 1: né\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.csv: not a CSV file in UTF-8"):
        list(source("persona_chat", path).read())


def test_times_from_parquet_are_iso_8601() -> None:
    from datetime import UTC, datetime

    assert iso_time(datetime(2023, 4, 1, tzinfo=UTC)) == "2023-04-01T00:00:00+00:00"
    assert iso_time(None) is None
