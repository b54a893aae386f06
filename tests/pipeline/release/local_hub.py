"""A dataset repository on this machine that speaks the endpoints of the Hugging Face Hub which an upload uses.

Large files come by LFS (batch, PUT to a signed address, verify) or, where the package hf_xet is installed and not
disabled, as chunks (xorbs) and what says how they make up files (shards); chunks are taken as they are.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from huggingface_hub.utils.sha import git_hash

API = "/api/datasets/me/upqa"
OBJECTS = "/datasets/me/upqa.git/info/lfs/objects"
SIGNATURE = "X-Amz-Signature=onlyforthisfile"
Reply = tuple[int, Any]


class LocalHub:
    """Holds what the requests so far have brought; .parquet goes to large file storage, as on the Hub."""

    def __init__(self) -> None:
        self.url = ""
        self.private: bool | None = None
        self.objects: dict[str, bytes] = {}
        """Large files by sha256, committed or not."""
        self.verified: set[str] = set()
        self.commits: list[dict[str, bytes | None]] = []
        """The files that each commit brought; None where it deleted one."""
        self.tags: dict[str, str] = {}
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        """Authorization headers that the Hub itself saw."""
        self.tokens_at_storage: set[str | None] = set()
        self.puts: Counter[str] = Counter()
        """Times that each large file was sent."""
        self.shards: list[bytes] = []
        """What hf_xet says of the files whose chunks it has sent; their sha256 stands in it."""
        self.refuse: Callable[[str, str], int | None] = lambda method, path: None
        """Status with which to fail a request, by method and path without query; None answers it."""

    @property
    def files(self) -> dict[str, bytes]:
        """Everything at the head of main."""
        return self._at(len(self.commits))

    def _at(self, number: int) -> dict[str, bytes]:
        """Everything after that many commits."""
        last = {path: content for commit in self.commits[:number] for path, content in commit.items()}
        return {path: content for path, content in last.items() if content is not None}

    def oid(self, number: int) -> str:
        return f"{number:040x}"

    def answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        if (status := self.refuse(method, path)) is not None:
            return status, {"error": "refused by the test"}
        if method == "PUT" and path.startswith("/storage/"):
            return self._store(path.removeprefix("/storage/"), query, body)
        if path in self._plain:
            return self._plain[path](self, json.loads(body or b"{}"))
        for prefix, reply in self._below.items():
            if path.startswith(prefix):
                return reply(self, path.removeprefix(prefix), body)
        return 404, {"error": path}

    def _create(self, asked: Any) -> Reply:
        if self.private is not None:
            return 409, {"error": "You already created this dataset repo", "url": f"{self.url}/datasets/me/upqa"}
        self.private = bool(asked.get("private")) or asked.get("visibility") == "private"
        return 200, {"url": f"{self.url}/datasets/me/upqa", "name": "me/upqa", "id": "1"}

    def _card(self, asked: Any) -> Reply:
        return 200, {"errors": [], "warnings": []}

    def _info(self, asked: Any) -> Reply:
        return 200, {"id": "me/upqa", "private": self.private, "sha": self.oid(len(self.commits)), "tags": []}

    def _refs(self, asked: Any) -> Reply:
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": commit} for n, commit in self.tags.items()]
        return 200, {"branches": [], "converts": [], "tags": tags}

    def _preupload(self, revision: str, body: bytes) -> Reply:
        return 200, {"files": [self._wanted(file["path"]) for file in json.loads(body)["files"]]}

    def _wanted(self, path: str) -> dict[str, Any]:
        large, held = path.endswith(".parquet"), self.files.get(path)
        oid = None if held is None else hashlib.sha256(held).hexdigest() if large else git_hash(held)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def _batch(self, asked: Any) -> Reply:
        return 200, {"transfer": "basic", "objects": [self._offer(wanted) for wanted in asked["objects"]]}

    def _offer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.objects:
            return wanted
        upload = {"href": f"{self.url}/storage/{wanted['oid']}?{SIGNATURE}", "header": {}}
        return {**wanted, "actions": {"upload": upload, "verify": {"href": f"{self.url}{OBJECTS}/verify"}}}

    def _store(self, oid: str, query: str, body: bytes) -> Reply:
        if query != SIGNATURE or hashlib.sha256(body).hexdigest() != oid:
            return 403, {"error": "not what was signed"}
        self.objects[oid] = body
        return 200, {}

    def _verify(self, asked: Any) -> Reply:
        if len(self.objects.get(asked["oid"], b"")) != asked["size"]:
            return 404, {"error": "no such object"}
        self.verified.add(asked["oid"])
        return 200, {}

    def _xet_token(self, asked: Any) -> Reply:
        return 200, {"accessToken": "forchunks", "exp": 2**32, "casUrl": self.url}

    def _chunks(self, name: str, body: bytes) -> Reply:
        return 200, {"was_inserted": True}

    def _shard(self, name: str, body: bytes) -> Reply:
        self.shards.append(body)
        return 200, {"result": 1}

    def _held(self, oid: str) -> bytes | None:
        """The large file, or its name where only its chunks are here."""
        raw = bytes.fromhex(oid)
        words = b"".join(raw[i : i + 8][::-1] for i in range(0, len(raw), 8))
        return oid.encode() if any(words in shard for shard in self.shards) else self.objects.get(oid)

    def _commit(self, revision: str, body: bytes) -> Reply:
        operations = [json.loads(line) for line in body.splitlines() if line.strip()]
        brought: dict[str, bytes | None] = {o["value"]["path"]: None for o in operations if o["key"] == "deletedFile"}
        for value in (o["value"] for o in operations if o["key"] in ("file", "lfsFile")):
            content = self._held(value["oid"]) if "oid" in value else base64.b64decode(value["content"])
            if content is None:
                return 400, {"error": f"{value['path']} points to a file that is not there"}
            brought[value["path"]] = content
        self.commits.append(brought)
        oid = self.oid(len(self.commits))
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/datasets/me/upqa/commit/{oid}"}

    def _tag(self, revision: str, body: bytes) -> Reply:
        name = json.loads(body)["tag"]
        if name in self.tags:
            return 409, {"error": "Tag reference exists already"}
        self.tags[name] = revision
        return 200, {}

    def _paths(self, revision: str, body: bytes) -> Reply:
        return 200, [file for file in self._listed(int(revision, 16)) if file["path"] == "manifest.json"]

    def _tree(self, revision: str, body: bytes) -> Reply:
        return 200, self._listed(len(self.commits))

    def _listed(self, number: int) -> list[dict[str, Any]]:
        found = self._at(number).items()
        return [{"type": "file", "path": p, "size": len(content), "oid": git_hash(content)} for p, content in found]

    _plain = {
        "/api/repos/create": _create,
        "/api/validate-yaml": _card,
        API: _info,
        f"{API}/revision/main": _info,
        f"{API}/refs": _refs,
        f"{API}/xet-write-token/main": _xet_token,
        f"{OBJECTS}/batch": _batch,
        f"{OBJECTS}/verify": _verify,
    }
    _below = {
        f"{API}/preupload/": _preupload,
        f"{API}/commit/": _commit,
        f"{API}/tag/": _tag,
        f"{API}/paths-info/": _paths,
        f"{API}/tree/": _tree,
        "/v1/xorbs/": _chunks,
        "/v1/shards": _shard,
    }


@contextlib.contextmanager
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    """`hub` behind a port of this machine, which stands in its `url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            hub.requests.append(path)
            stored = path.startswith("/storage/")
            (hub.tokens_at_storage if stored else hub.tokens).add(self.headers.get("Authorization"))
            if stored:
                hub.puts[path.removeprefix("/storage/")] += 1
            status, value = hub.answer(self.command, path, query, body)
            payload = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_PUT = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
