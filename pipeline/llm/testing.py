"""A local endpoint in the OpenAI wire format that answers by a function, counts calls, and fails on purpose.

For tests and benchmarks: what the client does about rate limits, errors, silence, garbage and cut-off replies.
"""

from __future__ import annotations

import collections
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["429", "500", "silence", "garbage", "broken_body", "cut_off"]
FAULTS: tuple[Fault, ...] = ("429", "500", "silence", "garbage", "broken_body", "cut_off")
"""Everything that can go wrong: rate limit, server error, no answer, text that is not JSON, a body that ends early, and
a reply that ran into the token limit."""


class FakeEndpoint:
    """State of the endpoint: what it was asked and what it answered."""

    def __init__(
        self, answer: Callable[[dict[str, Any]], str], fault_rate: float, faults: Sequence[Fault], silence_s: float
    ) -> None:
        """Answer with `answer`, except for a share of `fault_rate` of the calls."""
        self.requests: list[dict[str, Any]] = []
        """Bodies in the order of arrival."""
        self.answered: collections.Counter[str] = collections.Counter()
        """Whole answers by `request_key`."""
        self.base_url = ""
        self.status: int | None = None
        """A status to answer every call with; None for normal work."""
        self._answer = answer
        self._rate = fault_rate
        self._faults = faults
        self._random = random.Random(7)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._silence_s = silence_s

    def take(self, body: dict[str, Any]) -> Fault | None:
        """Record a call and draw what goes wrong with it."""
        with self._lock:
            self.requests.append(body)
            return self._random.choice(list(self._faults)) if self._random.random() < self._rate else None

    def completion(self, body: dict[str, Any], *, cut: bool) -> bytes:
        """A chat completion with the answer to `body`."""
        text = self._answer(body)
        if not cut:
            with self._lock:
                self.answered[request_key(body)] += 1
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text[: len(text) // 2] if cut else text},
            "finish_reason": "length" if cut else "stop",
        }
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return json.dumps({**reply, "choices": [choice], "usage": usage}).encode()

    def stay_silent(self) -> None:
        """Wait until the caller has surely given up, or the endpoint is closed."""
        self._stop.wait(self._silence_s)

    def close(self) -> None:
        """End all silences."""
        self._stop.set()


def request_key(body: dict[str, Any]) -> str:
    """What makes two calls the same call: messages and seed."""
    return json.dumps([body["messages"], body.get("seed")], sort_keys=True)


class _Handler(BaseHTTPRequestHandler):
    endpoint: FakeEndpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion call."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self.endpoint.take(body)
        if self.endpoint.status is not None:
            self._send(self.endpoint.status, b'{"error": {"message": "as told", "code": null}}')
        elif fault in ("429", "500"):
            self._send(int(fault), b'{"error": {"message": "busy", "code": null}}', {"Retry-After": "0"})
        elif fault == "silence":
            self.endpoint.stay_silent()
            self.close_connection = True
        elif fault == "garbage":
            self._send(200, b"<html>Bad gateway</html>")
        else:
            whole = self.endpoint.completion(body, cut=fault in ("cut_off", "broken_body"))
            self._send(200, whole, claimed=len(whole) + (100 if fault == "broken_body" else 0))

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, claimed: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = claimed is not None and claimed != len(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextmanager
def fake_endpoint(
    answer: Callable[[dict[str, Any]], str],
    *,
    fault_rate: float = 0.0,
    faults: Sequence[Fault] = FAULTS,
    silence_s: float = 5.0,
) -> Iterator[FakeEndpoint]:
    """Serve on a free loopback port while the block runs; `base_url` is what a role needs.

    Args:
        answer: The reply's text for a request body.
        fault_rate: Share of calls that go wrong, drawn with a fixed seed.
        faults: What may go wrong.
        silence_s: Seconds without an answer before the connection is closed; longer than the client's patience.
    """
    endpoint = FakeEndpoint(answer, fault_rate, faults, silence_s)
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    endpoint.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        endpoint.close()
        server.shutdown()
        server.server_close()
