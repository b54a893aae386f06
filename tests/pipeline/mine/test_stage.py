"""The whole stage on conversations written for the tests."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import Dropped, HistoryEntry, Query, Statement
from pipeline.core.tables import read_parquet
from pipeline.mine.config import MineSettings
from pipeline.mine.search import previews
from pipeline.mine.stage import run
from pipeline.sources.base import SourceSettings
from pipeline.sources.jsonl import conversation_key
from pipeline.sources.registry import SOURCES, source_class

FIXTURES = Path(__file__).parents[1] / "sources" / "fixtures"
SCRIPT = Path(__file__).with_name("killed_run.py")
STEPS_AT_THE_END = 5
"""Files written after the last shard."""
TABLES = ("statements.parquet", "histories.parquet", "queries.parquet", "dropped.parquet")
SAID = {
    "ines": [
        "I'm a vegetarian and I live in Ghent. What should I cook tonight?",
        "I also play the cello in an orchestra.",
    ],
    "bo": ["I am a nurse and I work night shifts. How can I sleep better during the day?"],
    "bo2": ["I am a nurse and I work night shifts.", "My e-mail is bo@example.org and I have two dogs."],
    "kai": ["I was diagnosed with diabetes last year, can you recommend a breakfast?"],
    "lea": ["I have a CSV file with three columns, how do I sort it?", "Thanks!", ""],
    "jan": ["Ich bin Lehrer und my English is not so good, aber ich wohne in Berlin und habe zwei Katzen."],
    "uma": ["I love it!", "I prefer the second one."],
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for user, texts in SAID.items():
            messages = [
                m for t in texts for m in ({"role": "user", "content": t}, {"role": "assistant", "content": "Well."})
            ]
            file.write(json.dumps({"id": f"c-{user}", "user": user, "messages": messages}) + "\n")
    return path


def settings(corpus: Path, **changes: Any) -> MineSettings:
    source = SourceSettings(name="jsonl", path=str(corpus), strict=True, license="CC-BY-4.0", max_conversations=None)
    values = {
        "sources": (source,),
        "user_salt": "salt",
        "languages": ("en",),
        "sensitive": "tag",
        "statement_threshold": 0.25,
        "query_threshold": 0.3,
        "near_duplicate": 0.95,
        "max_per_user": 5,
        "max_statements": None,
        "max_queries": None,
        "dtype": "float32",
        "shard_conversations": 2,
        "seed": 1,
    }
    return MineSettings.model_validate(values | changes)


def mined(
    corpus: Path, tmp_path: Path, **changes: Any
) -> tuple[list[Statement], list[Query], list[Dropped], dict[str, Any]]:
    report = run(settings(corpus, **changes), tmp_path / "out", tmp_path / "cache")
    statements = list(read_parquet(tmp_path / "out" / "statements.parquet", Statement))
    queries = list(read_parquet(tmp_path / "out" / "queries.parquet", Query))
    return statements, queries, list(read_parquet(tmp_path / "out" / "dropped.parquet", Dropped)), report


def test_every_candidate_is_a_statement_a_query_or_dropped_with_a_reason(corpus: Path, tmp_path: Path) -> None:
    statements, queries, dropped, report = mined(corpus, tmp_path)
    counts = report["counts"]
    flow = counts["candidates"]
    assert flow == {"in": flow["out"] + flow["dropped"], "out": len(statements) + len(queries), "dropped": len(dropped)}
    assert sum(counts["dropped_by_reason"].values()) == len(dropped)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["counts"] == counts


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_is_mined_without_losing_a_candidate(name: str, tmp_path: Path) -> None:
    (path,) = FIXTURES.glob(f"{name}.*")
    source = SourceSettings(name=name, path=str(path), strict=False, license=None, max_conversations=None)
    statements, queries, dropped, report = mined(path, tmp_path, sources=(source,))
    flow = report["counts"]["candidates"]
    assert flow["in"] == flow["out"] + flow["dropped"] > 0
    assert (flow["out"], flow["dropped"]) == (len(statements) + len(queries), len(dropped))
    licenses = {row.license for row in [*statements, *queries]} | {json.loads(row.row)["license"] for row in dropped}
    assert licenses <= {source_class(name).card.license, "CC-BY-4.0"}


def test_a_text_in_two_sources_counts_once(corpus: Path, tmp_path: Path) -> None:
    said = ["I'm a vegetarian and I live in Ghent.", "I am a vegetarian and I live in Ghent!"]
    turns = [{"from": "human", "value": text} for text in said]
    (tmp_path / "shared.json").write_text(json.dumps([{"id": "x_0", "conversations": turns}]))
    first = settings(corpus).sources[0]
    second = first.model_copy(update={"name": "sharegpt", "path": str(tmp_path / "shared.json"), "license": None})
    statements, _, dropped, report = mined(corpus, tmp_path, sources=(first, second))
    assert [read["name"] for read in report["sources"]] == ["jsonl", "sharegpt"]
    assert {row.evidence.source for row in statements if "Ghent" in row.text} == {"jsonl"}
    again = [row for row in dropped if json.loads(row.row)["evidence"]["source"] == "sharegpt"]
    assert [row.reason for row in again] == ["duplicate", "near_duplicate"]


def test_two_files_of_one_source_are_both_accounted_for(corpus: Path, tmp_path: Path) -> None:
    first = settings(corpus).sources[0]
    (tmp_path / "more.jsonl").write_text('{"messages": [{"role": "user", "content": "I am a baker in Porto."}]}\n')
    second = first.model_copy(update={"path": str(tmp_path / "more.jsonl")})
    *_, report = mined(corpus, tmp_path, sources=(first, second))
    told = [(read["name"], read["path"], read["conversations"]) for read in report["sources"]]
    assert told == [("jsonl", str(corpus), len(SAID)), ("jsonl", second.path, 1)]


def test_what_is_mined_stands_where_its_evidence_says(corpus: Path, tmp_path: Path) -> None:
    statements, queries, _, _ = mined(corpus, tmp_path)
    texts = {conversation_key("salt", f"c-{user}"): said for user, said in SAID.items()}
    assert statements and queries
    for row in [*statements, *queries]:
        turn = texts[row.evidence.conversation][row.evidence.turn // 2]
        assert row.redactions or turn[row.evidence.start : row.evidence.end] == row.text
        assert row.license == "CC-BY-4.0"


def test_a_fact_and_a_question_of_one_message_become_a_statement_and_a_query(corpus: Path, tmp_path: Path) -> None:
    statements, queries, _, _ = mined(corpus, tmp_path)
    assert "I'm a vegetarian and I live in Ghent." in [row.text for row in statements]
    assert "What should I cook tonight?" in [row.text for row in queries]


def test_statements_of_one_user_know_each_other(corpus: Path, tmp_path: Path) -> None:
    statements, *_ = mined(corpus, tmp_path)
    first, second = (row for row in statements if row.evidence.conversation == conversation_key("salt", "c-ines"))
    assert (first.history, second.history) == ((second.id,), (first.id,))


def told(tmp_path: Path) -> list[HistoryEntry]:
    return list(read_parquet(tmp_path / "out" / "histories.parquet", HistoryEntry))


def test_a_history_holds_what_the_caps_leave_out_and_names_ids_that_are_there(corpus: Path, tmp_path: Path) -> None:
    every = mined(corpus, tmp_path / "all")[0]
    kept, _, dropped, report = mined(corpus, tmp_path, max_per_user=1, max_statements=2)
    users = {row.user_id for row in kept}
    rows = told(tmp_path)
    assert len(kept) == 2 < len(rows) < len(every)
    assert [row.id for row in rows] == [row.id for row in every if row.user_id in users]
    assert {row.id for row in rows} & {row.id for row in dropped if row.reason == "over_cap"}
    assert any(row.history for row in kept)
    for row in kept:
        assert row.history == tuple(r.id for r in rows if r.user_id == row.user_id and r.id != row.id)
    assert report["counts"]["histories"] == {"users": 2, "users_with_several": 1, "rows": len(rows)}


def test_a_history_says_what_the_statement_says_and_where_it_stands(corpus: Path, tmp_path: Path) -> None:
    statements = {row.id: row for row in mined(corpus, tmp_path, statement_threshold=0.1)[0]}
    rows = told(tmp_path)
    assert {row.id for row in rows} == set(statements)
    for row in rows:
        full = statements[row.id]
        assert (row.text, row.evidence) == (full.self_contained, full.evidence)
        assert (row.user_id, row.sensitive, row.license) == (full.user_id, full.sensitive, full.license)
    assert ("health",) in [row.sensitive for row in rows]


def test_a_history_holds_nothing_sensitive_where_that_is_dropped(corpus: Path, tmp_path: Path) -> None:
    mined(corpus, tmp_path, sensitive="drop", statement_threshold=0.1)
    assert told(tmp_path)
    assert not [row for row in told(tmp_path) if "diabetes" in row.text]


def test_a_text_repeated_by_another_user_counts_once(corpus: Path, tmp_path: Path) -> None:
    statements, _, dropped, _ = mined(corpus, tmp_path)
    assert [row.text for row in statements].count("I am a nurse and I work night shifts.") == 1
    assert "duplicate" in [row.reason for row in dropped]


def test_no_identifier_reaches_a_file(corpus: Path, tmp_path: Path) -> None:
    statements, queries, dropped, _ = mined(corpus, tmp_path, statement_threshold=0.0, query_threshold=0.0)
    written = " ".join(row.model_dump_json() for row in [*statements, *queries, *dropped])
    assert "bo@example.org" not in written
    assert "[EMAIL]" in written


@pytest.mark.parametrize(("mode", "tags"), [("tag", [("health",)]), ("keep", [()]), ("drop", [])])
def test_sensitive_statements_are_tagged_kept_or_dropped(
    corpus: Path, tmp_path: Path, mode: str, tags: list[tuple[str, ...]]
) -> None:
    statements, _, dropped, _ = mined(corpus, tmp_path, sensitive=mode, statement_threshold=0.1)
    assert [row.sensitive for row in statements if "diabetes" in row.text] == tags
    of_sensitive = [json.loads(row.row)["kind"] for row in dropped if row.reason == "sensitive"]
    assert ("statement" in of_sensitive) == (mode == "drop")


@pytest.mark.parametrize(("mode", "kept"), [("tag", False), ("keep", True), ("drop", False)])
def test_a_sensitive_query_is_kept_only_where_everything_is(
    corpus: Path, tmp_path: Path, mode: str, kept: bool
) -> None:
    _, queries, dropped, _ = mined(corpus, tmp_path, sensitive=mode, query_threshold=0.0)
    assert any("diabetes" in row.text for row in queries) == kept
    of_queries = [json.loads(row.row) for row in dropped if row.reason == "sensitive"]
    assert any(row["kind"] == "query" and "diabetes" in row["text"] for row in of_queries) != kept


def test_conversations_in_other_languages_are_dropped_with_the_language(corpus: Path, tmp_path: Path) -> None:
    _, _, dropped, _ = mined(corpus, tmp_path)
    assert ("language", "de") in [(row.reason, row.detail) for row in dropped]


def test_a_statement_that_does_not_stand_alone_is_dropped(corpus: Path, tmp_path: Path) -> None:
    _, _, dropped, _ = mined(corpus, tmp_path, statement_threshold=0.0)
    assert "unresolved_reference" in [row.reason for row in dropped]


def test_the_shard_size_changes_no_row(corpus: Path, tmp_path: Path) -> None:
    first = mined(corpus, tmp_path / "a", shard_conversations=1)[0]
    second = mined(corpus, tmp_path / "b", shard_conversations=100)[0]
    assert [(row.id, row.family) for row in first] == [(row.id, row.family) for row in second]


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="the corpus is empty"):
        run(settings(tmp_path / "empty.jsonl"), tmp_path / "out", tmp_path / "cache")


def test_a_dry_run_opens_every_source_and_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dry"
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump({"mine": settings(corpus).model_dump(mode="json")}))
    command = ["mine", "--dry-run", "--out", str(folder / "out"), "--cache", str(folder / "cache")]
    done = CliRunner().invoke(app, [*command, "--params", str(folder / "params.yaml")])
    assert done.exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]
    (line,) = previews(settings(corpus))
    assert (
        line == f"jsonl: {corpus}, licence CC-BY-4.0, rows may be passed on, first {conversation_key('salt', 'c-ines')}"
    )
    corpus.write_text("")
    with pytest.raises(InputError, match="jsonl: no conversation in it; 0 conversations read"):
        list(previews(settings(corpus)))


def test_conversations_without_candidates_give_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "dull.jsonl").write_text('{"messages": []}\n{"messages": [{"role": "user", "content": "ls -la"}]}\n')
    statements, queries, dropped, report = mined(tmp_path / "dull.jsonl", tmp_path)
    assert (statements, queries, dropped) == ([], [], [])
    assert report["counts"]["conversations"] == 2


def test_the_salt_may_come_from_the_environment(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="environment variable UPQA_TEST_SALT is not set"):
        settings(corpus, user_salt="env:UPQA_TEST_SALT").salt()
    monkeypatch.setenv("UPQA_TEST_SALT", "secret")
    assert settings(corpus, user_salt="env:UPQA_TEST_SALT").salt() == "secret"


def apart(corpus: Path, out: Path, cache: Path, fatal: int) -> int:
    arguments = [settings(corpus, shard_conversations=1).model_dump_json(), str(out), str(cache), str(fatal)]
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, check=False).returncode


def test_a_run_killed_anywhere_goes_on_and_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert apart(corpus, tmp_path / "whole", tmp_path / "cache-whole", 0) == 0
    steps = int((tmp_path / "whole" / "steps").read_text())
    a_shard = (steps - STEPS_AT_THE_END) // len(SAID)
    out, cache = tmp_path / "out", tmp_path / "cache"
    drawn, left = random.Random(11), steps
    for _ in range(3):
        assert apart(corpus, out, cache, drawn.randint(1, left)) == -signal.SIGKILL
        finished = len(list(cache.glob("*/shard-*")))
        left = a_shard * (len(SAID) - finished) + STEPS_AT_THE_END
    assert finished
    assert apart(corpus, out, cache, 0) == 0
    assert int((out / "steps").read_text()) == left
    for table in TABLES:
        assert (out / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()
    assert not list(out.glob(".*partial"))
