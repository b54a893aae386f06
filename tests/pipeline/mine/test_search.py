"""The process that reads and searches."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from pipeline.core.errors import InputError, UpqaError
from pipeline.mine.config import MineSettings
from pipeline.mine.search import Search, _search, search
from pipeline.mine.shards import ShardStore


@pytest.fixture
def settings(settings: MineSettings, tmp_path: Path) -> MineSettings:
    """Five conversations, two a shard."""
    messages = [
        {"role": "user", "content": "I am a nurse and I live in Ghent."},
        {"role": "assistant", "content": "I see."},
    ]
    lines = (json.dumps({"id": f"c{i}", "messages": messages}) + "\n" for i in range(5))
    (tmp_path / "chats.jsonl").write_text("".join(lines))
    return settings


def test_shards_come_in_order_then_the_account(settings: MineSettings, tmp_path: Path) -> None:
    with search(settings, ShardStore(tmp_path / "store")) as searching:
        shards = list(searching.shards())
    assert [(shard.number, shard.conversations) for shard in shards] == [(0, 2), (1, 2), (2, 1)]
    assert [len(shard.found.candidates) for shard in shards if shard.found] == [2, 2, 1]
    assert searching.account is not None
    assert [report.conversations for report in searching.account.reports] == [5]
    assert searching.account.peak_memory_mb > 1


def test_a_finished_shard_is_counted_but_not_searched(settings: MineSettings, tmp_path: Path) -> None:
    (tmp_path / "store" / "shard-000001").mkdir(parents=True)
    with search(settings, ShardStore(tmp_path / "store")) as searching:
        shards = list(searching.shards())
    assert [(shard.conversations, shard.found is None) for shard in shards] == [(2, False), (2, True), (1, False)]


def test_the_cost_of_every_step_is_told(settings: MineSettings, tmp_path: Path) -> None:
    with search(settings, ShardStore(tmp_path / "store")) as searching:
        first = next(searching.shards())
    assert first.found is not None
    filters = ["empty", "too_long", "no_marker", "name_tagged", "code", "assistant_text"]
    assert list(first.found.seconds) == ["read", *filters, "sentences", "shapes", "prefilter", "language"]
    assert all(seconds >= 0 for seconds in first.found.seconds.values())


def test_an_error_of_a_source_reaches_the_caller(settings: MineSettings, tmp_path: Path) -> None:
    with (tmp_path / "chats.jsonl").open("a") as file:
        file.write("{broken}\n")
    with (
        search(settings, ShardStore(tmp_path / "store")) as searching,
        pytest.raises(InputError, match=r"chats\.jsonl: byte \d+, record 5: malformed JSON"),
    ):
        list(searching.shards())


def test_a_damaged_file_is_told_as_such_and_not_as_a_want_of_memory(settings: MineSettings, tmp_path: Path) -> None:
    path = tmp_path / "chats.parquet"
    path.write_bytes(b"PAR1" + bytes(400) + b"PAR1")
    damaged = settings.sources[0].model_copy(update={"path": str(path)})
    with (
        search(settings.model_copy(update={"sources": (damaged,)}), ShardStore(tmp_path / "store")) as searching,
        pytest.raises(InputError, match=r"chats\.parquet: not a Parquet file, or damaged"),
    ):
        list(searching.shards())


def test_a_fault_of_the_program_reaches_the_caller_with_its_cause(
    settings: MineSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken(ShardStore):
        def finished(self, number: int) -> bool:
            raise KeyError("no such thing")

    ours, theirs = multiprocessing.Pipe(duplex=False)
    with pytest.raises(SystemExit):
        _search(theirs, settings, "salt", Broken(tmp_path / "store"))
    with pytest.raises(UpqaError, match=r"mine: reading jsonl failed in shard 0 \(KeyError: 'no such thing'\)"):
        list(Search(ours).shards())
    assert "Traceback" in capfd.readouterr().err


def test_a_search_that_is_stopped_is_an_error_that_says_what_to_do(settings: MineSettings, tmp_path: Path) -> None:
    with search(settings, ShardStore(tmp_path / "store")) as searching:
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        with pytest.raises(UpqaError, match="Run again: finished shards are kept"):
            list(searching.shards())
