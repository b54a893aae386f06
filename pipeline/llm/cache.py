"""Finished calls in SQLite: written as each call ends, so that a killed run repeats none of them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import InputError
from pipeline.llm.messages import RawReply, Usage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,
    payload TEXT NOT NULL,
    reply TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE IF NOT EXISTS spend (
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    created TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE IF NOT EXISTS batches (
    digest TEXT PRIMARY KEY,
    keys TEXT NOT NULL,
    batch_id TEXT,
    closed INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL DEFAULT (datetime('now'))
);
"""


class OpenBatch(NamedTuple):
    """A batch that was begun and whose replies are not collected."""

    digest: str
    keys: tuple[str, ...]
    """Keys of the calls in it."""
    batch_id: str | None
    """The provider's id; None when it is unknown whether it was submitted."""


class Cache:
    """Finished calls by key, and what every reply has cost."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            InputError: the file is not a cache, or its folder cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{path}: cannot be used as the cache of model replies: {error}") from error

    def get(self, key: str) -> RawReply | None:
        """The finished call under `key`; None when there is none."""
        row = self._connection.execute("SELECT reply FROM calls WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        stored = json.loads(row[0])
        return RawReply(stored["text"], stored["finish_reason"], stored["model"], Usage(**stored["usage"]))

    def put(self, key: str, payload: object, raw: RawReply) -> None:
        """Keep a finished call; the first one under a key stays."""
        reply = {
            "text": raw.text,
            "finish_reason": raw.finish_reason,
            "model": raw.model,
            "usage": {"prompt": raw.usage.prompt, "completion": raw.usage.completion},
        }
        self._connection.execute(
            "INSERT OR IGNORE INTO calls (key, payload, reply) VALUES (?, ?, ?)",
            (key, json.dumps(payload, ensure_ascii=False), json.dumps(reply, ensure_ascii=False)),
        )

    def bill(self, key: str, raw: RawReply, usd: float) -> None:
        """Record the cost of a reply, usable or not."""
        self._connection.execute(
            "INSERT INTO spend (key, model, prompt_tokens, completion_tokens, usd) VALUES (?, ?, ?, ?, ?)",
            (key, raw.model, raw.usage.prompt, raw.usage.completion, usd),
        )

    def spent_usd(self) -> float:
        """What all recorded replies have cost together, in US dollars."""
        return float(self._connection.execute("SELECT COALESCE(SUM(usd), 0) FROM spend").fetchone()[0])

    def begin_batch(self, digest: str, keys: Sequence[str]) -> None:
        """Record a batch before it is submitted."""
        self._connection.execute("INSERT INTO batches (digest, keys) VALUES (?, ?)", (digest, json.dumps(list(keys))))

    def submitted_batch(self, digest: str, batch_id: str) -> None:
        """Record the provider's id of a batch."""
        self._connection.execute("UPDATE batches SET batch_id = ? WHERE digest = ?", (batch_id, digest))

    def close_batch(self, digest: str) -> None:
        """Record that a batch is collected, or was never submitted."""
        self._connection.execute("UPDATE batches SET closed = 1 WHERE digest = ?", (digest,))

    def open_batches(self) -> list[OpenBatch]:
        """Batches under way, the oldest first."""
        rows = self._connection.execute(
            "SELECT digest, keys, batch_id FROM batches WHERE closed = 0 ORDER BY rowid"
        ).fetchall()
        return [OpenBatch(digest, tuple(json.loads(keys)), batch_id) for digest, keys, batch_id in rows]

    def batches_begun(self) -> int:
        """How many batches were ever recorded."""
        return int(self._connection.execute("SELECT COUNT(*) FROM batches").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
