import json
import signal
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from benchmarks import synthetic_results as made_up
from editing.dialogue.answers import TurnAnswer
from editing.judges.base import Ruling
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge
from editing.judges.registry import load_judge
from editing.judging import judge_run, judged
from editing.metrics import PROTOCOL_VERSION
from pipeline.core.config import load_section
from pipeline.core.errors import InputError
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS, Answer, Verdict
from pipeline.core.tables import read_parquet, write_json, write_parquet
from pipeline.llm.config import load_llm
from pipeline.llm.errors import EndpointError
from pipeline.llm.testing import fake_endpoint


@pytest.fixture
def config(pytestconfig):
    section = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    return section.model_copy(update={"judges": ("exact",), "chunk": 16, "bootstrap_samples": 200})


@pytest.fixture
def run(tmp_path):
    made = made_up.write_dataset(tmp_path / "hub", 6, 1)
    return made_up.write_run(tmp_path / "results", tmp_path / "hub", made, "model", "in_context", 1)


def test_every_answer_gets_one_verdict_of_every_judge(run, tmp_path, config):
    judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    answers = list(read_parquet(run / "answers.parquet", Answer))
    verdicts = list(read_parquet(run / "verdicts.parquet", Verdict))
    assert [(a.question_id, a.user_id, a.kind) for a in answers] == [
        (v.question_id, v.user_id, v.kind) for v in verdicts
    ]


def test_scores_have_the_documented_form(run, tmp_path, config):
    scores = judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    assert scores == json.loads((run / "scores.json").read_text())
    assert set(scores) == {
        "judges",
        "degenerate_rate",
        "run_on_rate",
        "fact_accuracy",
        "controls",
        "multiturn",
        "ability",
        "crossing",
        "hashes",
    }
    own = scores["judges"]["exact"]
    assert set(own) == {"sha256", "by_kind", "by_difficulty", "recall", "specificity", "headline"}
    assert set(own["headline"]) == {"value", "low", "high", "n", "n_unscored", "higher_is_better"}
    assert own["headline"]["n"] == 48
    assert scores["degenerate_rate"]["higher_is_better"] is False


def test_judging_twice_gives_the_same_bytes_and_leaves_no_cache(run, tmp_path, config):
    judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    first = [(run / name).read_bytes() for name in ("verdicts.parquet", "scores.json")]
    judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    assert first == [(run / name).read_bytes() for name in ("verdicts.parquet", "scores.json")]
    assert not list((tmp_path / "cache").iterdir())


def test_run_on_and_drift_are_shares_and_means_of_what_the_answers_hold(run, tmp_path, config):
    answers = list(read_parquet(run / "answers.parquet", Answer))
    changed = [
        a.model_copy(
            update={
                "finish": "length" if a.kind in TARGET_KINDS else "stop",
                "text": "Hello, World" if a.kind in CONTROL_KINDS else a.text,
                "base_text": {"neutral": "hello world!", "unstated": "Another."}.get(a.kind, a.base_text),
                "kl": {"neutral": 1.0, "unstated": 3.0, "irrelevant": 0.0, "other_person": 0.0}.get(a.kind),
            }
        )
        for a in answers
    ]
    write_parquet(run / "answers.parquet", changed, Answer)
    scores = judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    assert scores["run_on_rate"]["value"] == 0.5
    flips, kl = scores["controls"]["flip_rate"], scores["controls"]["kl"]
    assert (flips["by_kind"]["neutral"]["value"], flips["by_kind"]["unstated"]["value"]) == (0, 1)
    assert flips["overall"]["value"] == pytest.approx(0.75)
    assert (kl["by_kind"]["unstated"]["value"], kl["overall"]["value"]) == (3.0, 1.0)
    assert (kl["overall"]["low"], kl["overall"]["n"]) == (1.0, 24)
    assert not any(e["higher_is_better"] for e in (flips["overall"], kl["overall"], *kl["by_kind"].values()))


def test_a_run_of_an_older_protocol_is_refused_with_the_reason(run, tmp_path, config):
    record = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", {**record, "protocol": PROTOCOL_VERSION - 1})
    with pytest.raises(InputError, match="made under version 1 of docs/protocol.md.*Run `edit` again"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    del record["protocol"]
    write_json(run / "run.json", record)
    with pytest.raises(InputError, match="made under version 1"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")


class Killed(Exception):
    pass


class Counting:
    """The exact judge, killed after some chunks."""

    name = "exact"

    def __init__(self, inner, chunks):
        self.inner, self.chunks, self.asked = inner, chunks, 0

    def rule(self, items):
        if self.chunks == 0:
            raise Killed
        self.chunks -= 1
        self.asked += len(items)
        return self.inner.rule(items)


def joined(run, tmp_path):
    from editing.judging import _released, join

    answers = list(read_parquet(run / "answers.parquet", Answer))
    return answers, join(answers, *_released(tmp_path / "hub"), where="here")


def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(run, tmp_path, config):
    answers, items = joined(run, tmp_path)
    exact = load_judge("exact", config)
    whole = judged(exact, answers, items, tmp_path / "whole.jsonl", 16)
    partial = tmp_path / "partial.jsonl"
    with pytest.raises(Killed):
        judged(Counting(exact, 2), answers, items, partial, 16)
    with partial.open("a") as file:
        file.write('{"question_id": "cut of')
    again = Counting(exact, 99)
    assert judged(again, answers, items, partial, 16) == whole
    assert again.asked == 16


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from editing.judges.config import JudgeConfig
    from editing.judges.exact import ExactJudge
    from editing.judging import judge_run
    real, chunks = ExactJudge.rule, []
    def rule(self, items):
        chunks.append(len(items))
        if len(chunks) == int(sys.argv[5]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, items)
    ExactJudge.rule = rule
    dataset, run, cache = map(Path, sys.argv[2:5])
    judge_run(dataset, run, JudgeConfig.model_validate_json(sys.argv[1]), cache)
    """
)


def test_a_process_killed_while_judging_is_finished_by_the_next_with_the_same_bytes(run, tmp_path, config, monkeypatch):
    hub, cache = tmp_path / "hub", tmp_path / "cache"
    judge_run(hub, run, config, cache)
    files = [run / name for name in ("verdicts.parquet", "scores.json")]
    whole = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    arguments = [config.model_dump_json(), *map(str, (hub, run, cache)), "3"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-500:]
    assert not any(file.exists() for file in files)
    (partial,) = cache.iterdir()
    assert len(partial.read_text().splitlines()) == 32
    asked = []
    rule = ExactJudge.rule
    monkeypatch.setattr(ExactJudge, "rule", lambda self, items: asked.extend(items) or rule(self, items))
    judge_run(hub, run, config, cache)
    assert len(asked) == 16
    assert [file.read_bytes() for file in files] == whole


def test_a_judge_that_could_not_decide_is_counted_and_scores_nothing(run, tmp_path, config, monkeypatch):
    class Silent:
        name = "exact"

        def rule(self, items):
            return [Ruling("unscored", "endpoint down") for _ in items]

    monkeypatch.setattr("editing.judging.load_judge", lambda *_: Silent())
    scores = judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    headline = scores["judges"]["exact"]["headline"]
    assert headline["value"] is None
    assert headline["n_unscored"] == 48


def test_an_endpoint_that_fails_leaves_no_verdicts_and_no_scores(run, tmp_path, config, pytestconfig):
    llm = load_llm(pytestconfig.rootpath / "params.yaml")
    asked = config.model_copy(
        update={
            "judges": ("exact", "llm"),
            "llm": config.llm.model_copy(update={"prompts": pytestconfig.rootpath / "prompts"}),
        }
    )
    with fake_endpoint(lambda body: "VERDICT: correct") as endpoint:
        role = llm.roles["judge"].model_copy(update={"base_url": endpoint.base_url})
        bound = llm.model_copy(
            update={"roles": {**llm.roles, "judge": role}, "cache": tmp_path / "calls.sqlite", "attempts": 1}
        )
        endpoint.status = 500
        with pytest.raises(EndpointError):
            judge_run(tmp_path / "hub", run, asked, tmp_path / "cache", bound)
        assert not (run / "scores.json").exists()
        assert not (run / "verdicts.parquet").exists()
        endpoint.status = None
        scores = judge_run(tmp_path / "hub", run, asked, tmp_path / "cache", bound)
    assert scores["judges"]["llm"]["headline"]["value"] == 1
    assert scores["judges"]["llm"]["headline"]["n_unscored"] == 0


def test_a_role_that_sends_batches_sends_one_for_all_answers(run, tmp_path, config, pytestconfig):
    rows = list(read_parquet(run / "answers.parquet", Answer))
    later = [TurnAnswer(**row.model_dump(), turns=2, overflow=at == 0, distractors=()) for at, row in enumerate(rows)]
    later = [row.model_copy(update={"text": f"{row.text} And later."}) for row in later]
    write_parquet(run / "multiturn.parquet", later, TurnAnswer)
    asked = config.model_copy(update={"judges": ("exact", "llm")})
    llm = load_llm(pytestconfig.rootpath / "params.yaml")

    def answer(body):
        return "VERDICT: yes" if "VERDICT: yes" in body["messages"][0]["content"] else "VERDICT: correct"

    with fake_endpoint(answer) as endpoint:
        role = llm.roles["judge"].model_copy(update={"base_url": endpoint.base_url, "mode": "batch"})
        changes = {"roles": {**llm.roles, "judge": role}, "cache": tmp_path / "calls.sqlite", "batch_poll_s": 0.01}
        scores = judge_run(tmp_path / "hub", run, asked, tmp_path / "cache", llm.model_copy(update=changes))
    assert len(rows) > asked.chunk
    assert len(endpoint.batches) == 1
    assert scores["judges"]["llm"]["headline"]["n"] == len(rows)
    assert scores["multiturn"]["by_turns"]["2"]["checks"]["llm"]["helpful"]["n"] > 0


def test_answers_of_another_data_set_are_refused(run, tmp_path, config):
    (tmp_path / "hub" / "data" / "another.parquet").write_bytes(b"another")
    with pytest.raises(InputError, match="were made with data set"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")


def test_a_run_record_of_another_form_is_refused(run, tmp_path, config):
    write_json(run / "run.json", {"status": "ok", "protocol": PROTOCOL_VERSION})
    with pytest.raises(InputError, match=r"without code, model, method, dataset_sha256, .* cost; not a run record of"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    record = {"status": "failed", "code": {"commit": None, "dirty": None}, "model": "m", "method": "rome"}
    write_json(run / "run.json", record)
    with pytest.raises(InputError, match=r"run\.json: model: [^;]*; not a run record of this version\.$"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    (run / "run.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        judge_run(tmp_path / "hub", run, config, tmp_path / "cache")


def test_a_failed_run_has_no_scores_and_no_verdicts(tmp_path, config, fail_run):
    made_up.write_dataset(tmp_path / "hub", 2, 1)
    run = tmp_path / "results" / "m" / "rome"
    fail_run(tmp_path / "hub", run)
    scores = judge_run(tmp_path / "hub", run, config, tmp_path / "cache")
    assert scores == {"judges": {}, "hashes": {}}
    assert list(read_parquet(run / "verdicts.parquet", Verdict)) == []


def test_the_command_says_in_one_line_what_is_missing(tmp_path, pytestconfig):
    import typer

    from editing.judge import judge

    app = typer.Typer()
    app.command()(judge)
    params = str(pytestconfig.rootpath / "params.yaml")
    done = CliRunner().invoke(app, ["--run", str(tmp_path), "--dataset", str(tmp_path), "--params", params])
    assert done.exit_code == 1
    assert "run.json: no such file" in done.stderr
