from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.records import Draft, Dropped, Query, Statement
from pipeline.core.tables import read_jsonl, write_parquet
from pipeline.generate.command import remarks
from pipeline.llm.testing import FakeEndpoint, fake_endpoint, request_key

JOBS = "baker nurse plumber lawyer pilot dentist farmer teacher painter librarian".split()
COMMAND = [sys.executable, "-m", "pipeline.generate"]


def answer(body: dict[str, Any]) -> str:
    advice = {"advice": "How should I get through the day?", "shopping": "Which tools should I buy for the summer?"}
    return json.dumps(
        advice if "shopping" in json.dumps(body["response_format"]) else {"question": "How do I earn a living?"}
    )


@pytest.fixture
def mined(tmp_path: Path, make_statement: Callable[..., Statement], make_query: Callable[..., Query]) -> Path:
    statements = [make_statement(f"I'm a {job} in Oslo.", user=f"u{i}") for i, job in enumerate(JOBS)]
    write_parquet(tmp_path / "mined" / "statements.parquet", statements, Statement)
    query = make_query("which wine goes well with grilled fish?")
    write_parquet(tmp_path / "mined" / "queries.parquet", [query], Query)
    write_parquet(tmp_path / "mined" / "dropped.parquet", [], Dropped)
    return tmp_path / "mined"


def settings(tmp_path: Path, endpoint: FakeEndpoint, *, ours_first: bool = False) -> Path:
    """params.yaml as committed, with the generator at `endpoint`, one sample, one call at a time, no updates."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["generate"] |= {"writer": "ideas", "samples": 1, "updates": 0}
    params["generate"]["ranking"]["ours_first"] = ours_first
    params["llm"] |= {"cache": str(tmp_path / "calls.sqlite"), "concurrency": 1, "backoff_s": 0.0}
    params["llm"]["roles"]["generator"] |= {"base_url": endpoint.base_url}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path / "params.yaml"


def test_a_killed_stage_repeats_no_finished_call(tmp_path: Path, mined: Path) -> None:
    """The stage is killed while a call is in flight, and run again: only that call may be made twice."""

    def kills_at_the_seventh(body: dict[str, Any]) -> str:
        if len(endpoint.requests) == 7 and process.poll() is None:
            process.kill()
            process.wait()
        return answer(body)

    with fake_endpoint(kills_at_the_seventh) as endpoint:
        arguments = [
            "--mined",
            str(mined),
            "--out",
            str(tmp_path / "out"),
            "--params",
            str(settings(tmp_path, endpoint)),
        ]
        process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.DEVNULL)
        assert process.wait() != 0
        assert not (tmp_path / "out" / "drafts.jsonl").exists()
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        times = Counter(request_key(body) for body in endpoint.requests)
    assert sorted(times.values()) == [1] * (len(times) - 1) + [2]
    drafts = list(read_jsonl(tmp_path / "out" / "drafts.jsonl", Draft))
    dropped = list(read_jsonl(tmp_path / "out" / "dropped.jsonl", Dropped))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [draft.target for draft in drafts] == JOBS
    assert dropped == []
    assert report["counts"]["statements"]["out"] == 10
    assert report["llm"]["cached"] == 6


@pytest.mark.parametrize("ours_first", [False, True])
def test_a_dry_run_sends_nothing_and_foretells_the_calls_of_the_run(
    tmp_path: Path, mined: Path, ours_first: bool
) -> None:
    with fake_endpoint(answer) as endpoint:
        params = settings(tmp_path, endpoint, ours_first=ours_first)
        arguments = [*COMMAND, "--mined", str(mined), "--params", str(params)]
        dry = subprocess.run([*arguments, "--dry-run"], capture_output=True, text=True)
        assert endpoint.requests == []
        done = subprocess.run([*arguments, "--out", str(tmp_path / "out")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        calls = len(endpoint.requests)
    assert dry.returncode == 0, dry.stderr
    # Ten advice prompts, where they are wanted, and one to rephrase the question that bakers and nurses share.
    assert calls == (1 if ours_first else 11)
    assert f"generate: {calls} calls, 0 of them cached" in dry.stderr
    assert "$0.0000" in dry.stderr


def test_the_validator_is_a_role_of_its_own_and_a_dry_run_foretells_its_calls(
    tmp_path: Path, mined: Path, make_query: Callable[..., Query]
) -> None:
    query = make_query("How should I introduce myself at a networking event?", topic="career")
    write_parquet(mined / "queries.parquet", [query], Query)

    def asked(body: dict[str, Any]) -> bool:
        return "depends" in json.dumps(body["response_format"])

    with fake_endpoint(lambda body: '{"depends": true}' if asked(body) else answer(body)) as endpoint:
        file = settings(tmp_path, endpoint)
        params = yaml.safe_load(file.read_text())
        params["generate"]["matching"]["validator"] = "validator"
        params["llm"]["roles"]["validator"] |= {"base_url": endpoint.base_url, "model": "strict"}
        file.write_text(yaml.safe_dump(params))
        arguments = [*COMMAND, "--mined", str(mined), "--params", str(file)]
        dry = subprocess.run([*arguments, "--dry-run"], capture_output=True, text=True)
        assert endpoint.requests == []
        done = subprocess.run([*arguments, "--out", str(tmp_path / "out")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        models = {body["model"] for body in endpoint.requests if asked(body)}
        calls = sum(map(asked, endpoint.requests))
    assert (models, calls) == ({"strict"}, len(JOBS))
    assert f"matching: {calls} calls, 0 of them cached" in dry.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["validator"]["calls"] == calls
    drafts = read_jsonl(tmp_path / "out" / "drafts.jsonl", Draft)
    assert sum(q.query_id == query.id for draft in drafts for q in draft.questions) == 8  # matching.max_uses


def test_remarks_are_the_queries_and_everything_that_was_dropped(
    tmp_path: Path, make_statement: Callable[..., Statement], make_query: Callable[..., Query]
) -> None:
    statement = make_statement("I have a cat.", user="u1")
    unlikely = {"kind": "statement", "user_id": "u1", "text": "What a day!"}
    rows = [("over_cap", statement.model_dump_json()), ("unlikely", json.dumps(unlikely))]
    dropped = [Dropped(id=str(i), stage="mine", reason=r, detail="", row=row) for i, (r, row) in enumerate(rows)]
    write_parquet(tmp_path / "dropped.parquet", dropped, Dropped)
    said = remarks(tmp_path, [make_query("Which vet?", user="u2")])
    assert said == {"u1": ["I have a cat.", "What a day!"], "u2": ["Which vet?"]}


def test_missing_input_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--mined", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{tmp_path / 'statements.parquet'}: no such file" in done.stderr
    assert "Traceback" not in done.stderr
