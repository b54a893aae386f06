from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.llm.client import Client
from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import AccessError, BudgetError, CutOffError, EndpointError, RequestError, UnparsableError
from pipeline.llm.messages import Reply, Request
from pipeline.llm.testing import FAULTS, fake_endpoint, request_key

Configure = Callable[..., LLMConfig]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["word"],
    "properties": {"word": {"type": "string", "maxLength": 20}},
}


def ask(text: str, repeat: int = 0, schema: dict[str, Any] | None = SCHEMA) -> Request:
    return Request(({"role": "user", "content": text},), schema, 30, repeat)


def echo(body: dict[str, Any]) -> str:
    return json.dumps({"word": body["messages"][-1]["content"][:20]})


def values(outcomes: list[Any]) -> list[Any]:
    return [outcome.value if isinstance(outcome, Reply) else type(outcome) for outcome in outcomes]


def test_replies_come_in_the_order_of_the_requests(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        outcomes = client.run([ask(f"w{i}") for i in range(9)])
    assert values(outcomes) == [{"word": f"w{i}"} for i in range(9)]


def test_a_finished_call_is_never_made_again(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint:
        for _ in range(2):
            with Client("generator", configure(endpoint.base_url)) as client:
                outcomes = client.run([ask("a"), ask("a"), ask("b")])
        assert len(endpoint.requests) == 2
    assert all(isinstance(outcome, Reply) and outcome.cached for outcome in outcomes)


def test_each_repeat_is_a_call_of_its_own_with_its_own_seed(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        client.run([ask("a", 0), ask("a", 1)])
        assert sorted(body["seed"] for body in endpoint.requests) == [1, 2]


def test_thirty_percent_faults_change_nothing_but_the_number_of_attempts(configure: Configure) -> None:
    requests = [ask(f"w{i}") for i in range(40)]
    role = {"reply_attempts": 8}
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url, role)) as client:
        clean = values(client.run(requests))
    with fake_endpoint(echo, fault_rate=0.3, faults=FAULTS) as faulty:
        config = configure(faulty.base_url, role, timeout_s=0.3, attempts=12, concurrency=8)
        with Client("generator", config) as client:
            assert values(client.run(requests)) == clean
            assert client.spent.retries > 0
        assert max(faulty.answered.values()) == 1


def test_a_wrong_key_stops_at_once_and_says_what_to_check(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        endpoint.status = 401
        with pytest.raises(AccessError, match="api_key_env"):
            client.run([ask("a")])
        assert len(endpoint.requests) == 1


def test_a_key_variable_that_is_not_set_is_named(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPQA_TEST_KEY", raising=False)
    config = configure("http://127.0.0.1:9/v1", {"api_key_env": "UPQA_TEST_KEY"})
    with Client("generator", config) as client, pytest.raises(ConfigError, match="UPQA_TEST_KEY"):
        client.run([ask("a")])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_endpoint_that_stays_busy_is_given_up_after_the_bounded_attempts(configure: Configure, status: int) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        endpoint.status = status
        with pytest.raises(EndpointError, match="4 attempts"):
            client.run([ask("a")])
        assert len(endpoint.requests) == 4


def test_an_endpoint_that_is_down_is_an_endpoint_error(configure: Configure) -> None:
    with Client("generator", configure("http://127.0.0.1:9/v1")) as client, pytest.raises(EndpointError):
        client.run([ask("a")])


def test_a_refused_request_concerns_only_itself(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        client.run([ask("kept")])
        endpoint.status = 400
        outcomes = client.run([ask("kept"), ask("refused")])
    assert values(outcomes) == [{"word": "kept"}, RequestError]


def test_a_cut_off_reply_is_an_error_that_is_not_asked_for_again(configure: Configure) -> None:
    with fake_endpoint(echo, fault_rate=1.0, faults=["cut_off"]) as endpoint:
        for _ in range(2):
            with Client("generator", configure(endpoint.base_url)) as client:
                assert values(client.run([ask("a")])) == [CutOffError]
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("reply", ["", "no json here", '{"word": 3}', '{"word": "x", "more": 1}', '{"word": '])
def test_a_reply_that_does_not_fit_the_schema_is_an_error(configure: Configure, reply: str) -> None:
    with fake_endpoint(lambda body: reply) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        assert values(client.run([ask("a")])) == [UnparsableError]


def test_without_schema_support_a_bad_reply_is_repaired_once(configure: Configure) -> None:
    def sloppy(body: dict[str, Any]) -> str:
        repaired = len(body["messages"]) == 3
        return 'Sure! ```json\n{"word": "ok"}\n```' if repaired else "word: ok"

    with fake_endpoint(sloppy) as endpoint:
        for _ in range(2):
            with Client("generator", configure(endpoint.base_url, {"json_schema": "prompt"})) as client:
                assert values(client.run([ask("a")])) == [{"word": "ok"}]
        assert len(endpoint.requests) == 2
        assert "JSON Schema" in endpoint.requests[0]["messages"][0]["content"]


def test_thinking_is_not_part_of_the_reply(configure: Configure) -> None:
    thinking = '<think>{"word": "no"}</think>\n{"word": "yes"}'
    with fake_endpoint(lambda body: thinking) as endpoint, Client("generator", configure(endpoint.base_url)) as client:
        assert values(client.run([ask("a")])) == [{"word": "yes"}]


def test_the_budget_stops_cleanly_and_a_higher_one_resumes(configure: Configure) -> None:
    requests = [ask(f"w{i}") for i in range(20)]
    role = {"prices": {"input": 1000.0, "output": 1000.0}}
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, role, budget_usd=0.2, concurrency=2)
        with Client("generator", config) as client, pytest.raises(BudgetError, match="budget_usd"):
            client.run(requests)
        paid = len(endpoint.requests)
        assert 0 < paid < 20
        assert client.spent.usd <= 0.2
        with Client("generator", configure(endpoint.base_url, role, budget_usd=9.0)) as client:
            assert all(isinstance(outcome, Reply) for outcome in client.run(requests))
        assert len(endpoint.requests) == 20


def test_two_roles_share_the_budget(configure: Configure) -> None:
    role = {"prices": {"input": 0.0, "output": 1e6 / 30}}  # at most a dollar a call, five of thirty tokens are used
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, role, budget_usd=2.0, concurrency=1)
        config = config.model_copy(update={"roles": {**config.roles, "validator": config.roles["generator"]}})
        with Client("validator", config) as validator, Client("generator", config) as generator:
            for client, name in ((validator, "v"), (generator, "g")):
                with pytest.raises(BudgetError, match="budget_usd"):
                    client.run([ask(f"{name}{i}") for i in range(20)])
            assert validator.spent.usd + generator.spent.usd <= 2.0
            assert generator.spent.calls == 0


def test_a_request_without_a_reply_does_not_keep_the_others_from_being_made(configure: Configure) -> None:
    def fails_on_one(body: dict[str, Any]) -> str:
        if body["messages"][-1]["content"] == "bad":
            raise ValueError
        return echo(body)

    requests = [ask(text) for text in ("a", "bad", "b", "c")]
    with fake_endpoint(fails_on_one) as endpoint:
        config = configure(endpoint.base_url, attempts=2, concurrency=2)
        with Client("generator", config) as client, pytest.raises(EndpointError, match=r"1 of 4 requests.*2 attempts"):
            client.run(requests)
        assert len(endpoint.answered) == 3
        config = config.model_copy(update={"max_unanswered": 1})
        with Client("generator", config) as client:
            assert values(client.run(requests)) == [{"word": "a"}, EndpointError, {"word": "b"}, {"word": "c"}]


def test_an_endpoint_that_answers_nobody_is_not_asked_for_every_request(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint:
        endpoint.status = 503
        config = configure(endpoint.base_url, attempts=2, concurrency=3, max_unanswered=50)
        with Client("generator", config) as client, pytest.raises(EndpointError):
            client.run([ask(f"w{i}") for i in range(40)])
        assert len(endpoint.requests) <= 12


def test_a_reply_that_no_schema_binds_is_not_repaired(configure: Configure) -> None:
    with fake_endpoint(lambda body: "") as endpoint:
        with Client("generator", configure(endpoint.base_url, {"json_schema": "prompt"})) as client:
            assert values(client.run([ask("a", schema=None)])) == [UnparsableError]
        assert len(endpoint.requests) == 1


def test_an_estimate_sends_nothing_and_knows_the_cache(configure: Configure) -> None:
    role = {"prices": {"input": 1.0, "output": 2.0}}
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url, role)) as client:
        client.run([ask("a")])
        estimate = client.estimate([ask("a"), ask("b")])
        assert (estimate.calls, estimate.cached, estimate.completion_tokens) == (2, 1, 30)
        assert estimate.usd > 60e-6
        assert len(endpoint.requests) == 1


KILLED = """
import sys
from pathlib import Path
from pipeline.llm.client import Client
from pipeline.llm.config import LLMConfig
from pipeline.llm.messages import Request
config = LLMConfig.model_validate_json(Path(sys.argv[1]).read_text())
requests = [Request(({"role": "user", "content": f"w{i}"},), None, 30) for i in range(60)]
def told(done):
    sys.stdout.write("x"); sys.stdout.flush()
with Client("generator", config) as client:
    client.run(requests, told)
"""


def test_a_killed_run_repeats_no_finished_call(configure: Configure, tmp_path: Path) -> None:
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, concurrency=2)
        (tmp_path / "config.json").write_text(config.model_dump_json())
        command = [sys.executable, "-c", KILLED, str(tmp_path / "config.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(20)
            process.kill()
        finished = _cached_messages(config.cache)
        before = len(endpoint.requests)
        subprocess.run(command, check=True, capture_output=True)
        again = {body["messages"][0]["content"] for body in endpoint.requests[before:]}
    assert 20 <= len(finished) < 60
    assert not again & finished
    assert len(_cached_messages(config.cache)) == 60
    assert len({request_key(body) for body in endpoint.requests}) == 60


def _cached_messages(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT payload FROM calls").fetchall()
    return {json.loads(row[0])["messages"][0]["content"] for row in rows}
