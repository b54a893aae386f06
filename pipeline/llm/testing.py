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
        self.files: dict[str, bytes] = {}
        """Uploaded and written files of the Batch API."""
        self.batches: list[dict[str, Any]] = []
        """Batches in the order of their creation."""
        self.lose: set[str] = set()
        """Steps of the Batch API (upload, create, retrieve, content) whose reply gets lost once it is done."""
        self.ends_as: dict[str, Any] = {"status": "completed"}
        """What a batch holds from the second look on."""
        self.forgotten: set[str] = set()
        """Ids of batches that the endpoint answers 404 for."""
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

    def create_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run a batch at once: whole lines to the output file, a share of `fault_rate` to the error file."""
        good: list[str] = []
        bad: list[str] = []
        for line in self.files[asked["input_file_id"]].decode().splitlines():
            call = json.loads(line)
            failed = self.take(call["body"]) is not None
            status = 500 if failed else 200
            body = {} if failed else json.loads(self.completion(call["body"], cut=False))
            reply = {"custom_id": call["custom_id"], "response": {"status_code": status, "body": body}}
            (bad if failed else good).append(json.dumps(reply))
        number = len(self.batches)
        self.files |= {f"out{number}": "\n".join(good).encode(), f"err{number}": "\n".join(bad).encode()}
        batch = {
            **asked,
            "id": f"batch{number}",
            "object": "batch",
            "status": "in_progress",
            "created_at": 0,
            "output_file_id": f"out{number}",
            "error_file_id": f"err{number}",
        }
        self.batches.append(batch)
        return batch

    def look(self, number: int) -> dict[str, Any]:
        """A batch, which has ended from the second look on."""
        batch = dict(self.batches[number])
        self.batches[number] |= self.ends_as
        return batch

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

    def do_GET(self) -> None:
        """Answer the reading half of the Batch API."""
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[1:] == ["batches"]:
            page = {"object": "list", "data": self.endpoint.batches, "has_more": False}
            self._done("list", json.dumps(page).encode())
        elif parts[-1] in self.endpoint.forgotten:
            self._send(404, b'{"error": {"message": "no such batch", "code": null}}')
        elif parts[1] == "batches":
            self._done("retrieve", json.dumps(self.endpoint.look(int(parts[2].removeprefix("batch")))).encode())
        else:
            self._done("content", self.endpoint.files[parts[2]])

    def do_POST(self) -> None:
        """Answer a chat completion call, or the writing half of the Batch API."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/files"):
            name = f"file{len(self.endpoint.files)}"
            boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
            part = next(p for p in sent.split(b"--" + boundary) if b"filename=" in p)
            self.endpoint.files[name] = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            file = {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x", "purpose": "batch"}
            self._done("upload", json.dumps(file | {"status": "processed"}).encode())
        elif self.path.endswith("/batches"):
            self._done("create", json.dumps(self.endpoint.create_batch(json.loads(sent))).encode())
        else:
            self._complete(json.loads(sent))

    def _done(self, step: str, body: bytes) -> None:
        if step in self.endpoint.lose:
            self.close_connection = True
        else:
            self._send(200, body)

    def _complete(self, body: dict[str, Any]) -> None:
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
