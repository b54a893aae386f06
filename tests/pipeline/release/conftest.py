from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.core.records import Difficulty, Evidence, Preference, Provenance, Question, QuestionKind


def made_preference(name: str = "p", **fields: Any) -> Preference:
    values: dict[str, Any] = {
        "id": name,
        "user_id": f"user-{name}",
        "statement": "I play chess | every day.",
        "attribute_type": "hobby",
        "family": "hobby",
        "target": "chess",
        "aliases": ("the game of chess",),
        "cluster": (),
        "sensitive": (),
        "evidence": Evidence(source="jsonl", conversation="c", turn=0, start=0, end=5),
        "source": "jsonl",
        "license": "CC-BY-4.0",
        "split": "test",
        "provenance": Provenance(model="m", prompts={"p": "0"}, samples=1),
        **fields,
    }
    return Preference(**values)


def made_question(of: Preference, **fields: Any) -> Question:
    values: dict[str, Any] = {
        "id": f"q-{of.id}",
        "preference_id": of.id,
        "user_id": of.user_id,
        "kind": QuestionKind.EXPLICIT,
        "text": "What is my hobby?",
        "origin": "template",
        "query_id": None,
        "expects": "recall",
        "accepted": ("chess",),
        "difficulty": "easy",
        "measured": Difficulty(statement_overlap=0, attribute_overlap=1, statement_similarity=0.5, statement_rank=1),
        "license": of.license,
        "split": of.split,
        **fields,
    }
    return Question(**values)


@pytest.fixture(scope="session")
def preference() -> Callable[..., Preference]:
    return made_preference


@pytest.fixture(scope="session")
def question() -> Callable[..., Question]:
    return made_question


class Hub:
    """What a dataset repository on the Hub holds after the requests so far; speaks the endpoints an upload uses."""

    def __init__(self) -> None:
        self.commits: list[dict[str, str]] = []
        self.tags: list[str] = []
        self.private: bool | None = None
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        self.failures_left = 0
        self.url = ""

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path.endswith("/api/repos/create"):
            self.private = json.loads(body).get("private", json.loads(body).get("visibility") == "private")
            return 200, {"url": f"{self.url}/datasets/me/upqa", "name": "me/upqa", "id": "1"}
        if path.endswith("/validate-yaml"):
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            wanted = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                      for f in json.loads(body)["files"]]  # fmt: skip
            return 200, {"files": wanted}
        if "/commit/" in path:
            if self.failures_left:
                self.failures_left -= 1
                return 403, {"error": "this token may not write"}  # a 5xx would be retried for 25 s first
            lines = [json.loads(line) for line in body.splitlines() if line.strip()]
            self.commits.append({v["value"]["path"]: v["value"]["content"] for v in lines if v["key"] == "file"})
            url = f"{self.url}/datasets/me/upqa/commit/" + "a" * 40
            return 200, {"success": True, "commitOid": "a" * 40, "commitUrl": url, "hookOutput": ""}
        if "/tag/" in path:
            self.tags.append(json.loads(body)["tag"])
            return 200, {}
        return 404, {"error": path}


@pytest.fixture
def hub_server() -> Iterator[tuple[Hub, str]]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.requests.append(self.path)
            hub.tokens.add(self.headers.get("Authorization"))
            status, value = hub.answer(self.path, body)
            payload = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread.start()
    yield hub, hub.url
    server.shutdown()
    server.server_close()
