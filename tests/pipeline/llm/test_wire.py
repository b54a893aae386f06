from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable

import httpx2
import openai
import pytest

from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import EndpointError
from pipeline.llm.wire import Endpoint, Wire, retry_after

Configure = Callable[..., LLMConfig]


def busy(headers: dict[str, str]) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")
    return openai.RateLimitError("busy", response=httpx2.Response(429, headers=headers, request=request), body=None)


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None)])
def test_retry_after_in_seconds_is_read(header: str, seconds: float | None) -> None:
    assert retry_after(busy({"Retry-After": header})) == seconds


def test_retry_after_as_a_date_is_read() -> None:
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    asked = retry_after(busy({"Retry-After": later}))
    assert asked is not None and 25 < asked <= 30


def test_without_the_header_nothing_is_asked() -> None:
    assert retry_after(busy({})) is None


def test_pauses_grow_with_jitter_and_stay_below_the_maximum(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9/v1", backoff_s=1.0, backoff_max_s=5.0)
    wire = Wire(Endpoint("http://127.0.0.1:9/v1", "none"), config, random.Random(0))
    pauses = [wire.pause(attempt, busy({})) for attempt in range(1, 6)]
    assert 0.75 <= pauses[0] <= 1.0 < pauses[1] < pauses[2]
    assert all(3.75 <= pause <= 5.0 for pause in pauses[3:])


def test_a_pause_is_never_shorter_than_the_endpoint_asks_for(configure: Configure) -> None:
    config = configure("http://127.0.0.1:9/v1", backoff_s=1.0, backoff_max_s=5.0, retry_after_max_s=60.0)
    wire = Wire(Endpoint("http://127.0.0.1:9/v1", "none"), config, random.Random(0))
    assert all(60.0 <= wire.pause(1, busy({"Retry-After": "60"})) <= 61.0 for _ in range(20))
    with pytest.raises(EndpointError, match="asks to wait 61 s"):
        wire.pause(1, busy({"Retry-After": "61"}))
