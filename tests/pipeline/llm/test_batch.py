from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.llm.cache import Cache
from pipeline.llm.client import Client
from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import BudgetError, EndpointError
from pipeline.llm.messages import Reply, Request
from pipeline.llm.testing import fake_endpoint

Configure = Callable[..., LLMConfig]
SCHEMA = {"type": "object", "required": ["word"], "properties": {"word": {"type": "string"}}}
REQUESTS = [Request(({"role": "user", "content": f"w{i}"},), SCHEMA, 30) for i in range(20)]
BATCH = {"mode": "batch"}


def echo(body: dict[str, Any]) -> str:
    return json.dumps({"word": body["messages"][-1]["content"]})


def words(outcomes: list[Any]) -> list[str]:
    return [outcome.value["word"] if isinstance(outcome, Reply) else type(outcome).__name__ for outcome in outcomes]


EXPECTED = [f"w{i}" for i in range(20)]


def test_a_batch_gives_what_single_calls_give(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url, BATCH)) as client:
        assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 1


def test_finished_lines_come_from_the_cache(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint:
        for _ in range(2):
            with Client("generator", configure(endpoint.base_url, BATCH)) as client:
                assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 1


def test_only_failed_lines_are_submitted_again(configure: Configure) -> None:
    with fake_endpoint(echo, fault_rate=0.3) as endpoint:
        config = configure(endpoint.base_url, BATCH, attempts=9)
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) > 1
        assert set(endpoint.answered.values()) == {1}


def test_lines_that_always_fail_end_in_an_error_that_keeps_the_rest(configure: Configure) -> None:
    with fake_endpoint(echo, fault_rate=1.0) as endpoint:
        with Client("generator", configure(endpoint.base_url, BATCH)) as client, pytest.raises(EndpointError):
            client.run(REQUESTS)
        assert len(endpoint.batches) == 4


@pytest.mark.parametrize("limits", [{"batch_max_calls": 6}, {"batch_max_mb": 0.0015}])
def test_more_calls_than_one_batch_takes_are_several_batches(configure: Configure, limits: dict[str, Any]) -> None:
    with fake_endpoint(echo) as endpoint, Client("generator", configure(endpoint.base_url, BATCH, **limits)) as client:
        assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) > 1
        assert set(endpoint.answered.values()) == {1}


def test_ended_between_two_batches_a_run_submits_the_rest_only(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, BATCH, attempts=1, batch_max_calls=10)
        endpoint.lose = {"retrieve"}
        with Client("generator", config) as client, pytest.raises(EndpointError, match="Run again"):
            client.run(REQUESTS[:10])
        endpoint.lose = set()
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 2
        assert set(endpoint.answered.values()) == {1}


@pytest.mark.parametrize("step", ["upload", "create", "retrieve", "content"])
def test_ended_after_any_step_a_run_resumes_without_submitting_twice(configure: Configure, step: str) -> None:
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, BATCH, attempts=1)
        endpoint.lose = {step}
        with Client("generator", config) as client, pytest.raises(EndpointError, match="Run again"):
            client.run(REQUESTS)
        endpoint.lose = set()
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 1


def test_a_batch_that_could_exceed_the_budget_is_not_submitted(configure: Configure) -> None:
    role = BATCH | {"prices": {"input": 1000.0, "output": 1000.0}}
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, role, budget_usd=0.1)
        with Client("generator", config) as client, pytest.raises(BudgetError):
            client.run(REQUESTS)
        assert endpoint.batches == []


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_batch_that_the_provider_refused_is_not_submitted_again_and_its_reason_is_told(
    configure: Configure, status: str
) -> None:
    with fake_endpoint(echo) as endpoint:
        endpoint.ends_as = {
            "status": status,
            "output_file_id": None,
            "error_file_id": None,
            "errors": {"data": [{"code": "token_limit_exceeded", "message": "too many tokens are waiting"}]},
        }
        config = configure(endpoint.base_url, BATCH)
        with Client("generator", config) as client, pytest.raises(EndpointError, match="too many tokens are waiting"):
            client.run(REQUESTS)
        assert len(endpoint.batches) == 1
        endpoint.ends_as = {"status": "completed"}
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 2


def test_a_batch_that_the_provider_no_longer_knows_is_told_once_and_then_submitted_anew(configure: Configure) -> None:
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, BATCH, attempts=1)
        endpoint.lose = {"retrieve"}
        with Client("generator", config) as client, pytest.raises(EndpointError):
            client.run(REQUESTS)
        endpoint.lose, endpoint.forgotten = set(), {"batch0"}
        with Client("generator", config) as client, pytest.raises(EndpointError, match="does not know batch batch0"):
            client.run(REQUESTS)
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
        assert len(endpoint.batches) == 2


def test_a_batch_under_way_counts_against_the_budget_of_other_roles(configure: Configure) -> None:
    role = {"prices": {"input": 0.0, "output": 1e6 / 30}}
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, BATCH | role, budget_usd=20.5, attempts=1)
        endpoint.lose = {"retrieve"}
        with Client("generator", config) as client, pytest.raises(EndpointError):
            client.run(REQUESTS)
        online = configure(endpoint.base_url, role, budget_usd=20.5)
        with Client("generator", online) as client, pytest.raises(BudgetError, match="may cost 20"):
            client.run([Request(({"role": "user", "content": "another"},), SCHEMA, 30)])


def test_a_line_that_was_kept_before_a_kill_is_not_billed_again(configure: Configure) -> None:
    role = BATCH | {"prices": {"input": 0.0, "output": 1.0}}
    with fake_endpoint(echo) as endpoint:
        config = configure(endpoint.base_url, role, attempts=1)

        def killed(done: float) -> None:
            raise KeyboardInterrupt

        with Client("generator", config) as client, pytest.raises(KeyboardInterrupt):
            client.run(REQUESTS, killed)
        with Client("generator", config) as client:
            assert words(client.run(REQUESTS)) == EXPECTED
    with contextlib.closing(Cache(config.cache)) as cache:
        assert cache.spent_usd() == pytest.approx(20 * 5 / 1e6)
