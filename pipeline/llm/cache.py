"""Finished calls in SQLite: written as each call ends, so that a killed run repeats none of them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

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
CREATE TABLE IF NOT EXISTS total (usd REAL NOT NULL);
INSERT INTO total SELECT COALESCE(SUM(usd), 0) FROM spend WHERE NOT EXISTS (SELECT * FROM total);
CREATE TRIGGER IF NOT EXISTS billed AFTER INSERT ON spend BEGIN UPDATE total SET usd = usd + NEW.usd; END;
CREATE TABLE IF NOT EXISTS batches (
    digest TEXT PRIMARY KEY,
    keys TEXT NOT NULL,
    batch_id TEXT,
    closed INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE IF NOT EXISTS held (
    id TEXT PRIMARY KEY,
    usd REAL NOT NULL,
    pid INTEGER,
    started REAL
);
"""


class OpenBatch(NamedTuple):
    """A batch that was begun and whose replies are not collected."""

    digest: str
    keys: tuple[str, ...]
    """Keys of the calls in it."""
    batch_id: str | None
    """The provider's id; None when it is unknown whether it was submitted."""


class OverBudgetError(Exception):
    """What has been `spent`, what is `held` for calls under way, and what was `wanted` exceed the cap."""

    def __init__(self, spent: float, held: float, wanted: float) -> None:
        """All in US dollars."""
        super().__init__(f"{spent} spent, {held} held, {wanted} wanted")
        self.spent, self.held, self.wanted = spent, held, wanted


class Cache:
    """Finished calls by key, what every reply has cost, and what those under way may cost."""

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

    def put_billed(self, key: str, payload: object, raw: RawReply, usd: float) -> bool:
        """Keep a finished call and its cost, both or neither; False where it was kept before, and billed then."""
        with self._transaction():
            if self.get(key) is not None:
                return False
            self.bill(key, raw, usd)
            self.put(key, payload, raw)
        return True

    def spent_usd(self) -> float:
        """What all recorded replies have cost together, in US dollars."""
        return float(self._connection.execute("SELECT usd FROM total").fetchone()[0])

    def hold(self, usd: float, cap: float) -> str:
        """Set aside what a call may cost; returns what `release` takes.

        Counts against the cap: everything spent, all that living processes hold, and batches under way.

        Raises:
            OverBudgetError: the cap could be exceeded; nothing is held.
        """
        name, process = uuid.uuid4().hex, psutil.Process()
        with self._transaction():
            self._require(usd, cap)
            self._connection.execute(
                "INSERT INTO held (id, usd, pid, started) VALUES (?, ?, ?, ?)",
                (name, usd, process.pid, process.create_time()),
            )
        return name

    def release(self, held: str) -> None:
        """Give back what was set aside."""
        self._connection.execute("DELETE FROM held WHERE id = ?", (held,))

    def _require(self, usd: float, cap: float) -> None:
        """Within a transaction: raise where `usd` more could exceed `cap`."""
        holders = self._connection.execute("SELECT DISTINCT pid, started FROM held WHERE pid IS NOT NULL").fetchall()
        dead = [holder for holder in holders if not _alive(*holder)]
        self._connection.executemany("DELETE FROM held WHERE pid = ? AND started = ?", dead)
        held = float(self._connection.execute("SELECT COALESCE(SUM(usd), 0) FROM held").fetchone()[0])
        spent = self.spent_usd()
        if usd and spent + held + usd > cap:
            raise OverBudgetError(spent, held, usd)

    def begin_batches(self, batches: Mapping[str, tuple[Sequence[str], float]], cap: float) -> None:
        """Record batches before they are submitted: keys, and what each may cost, by digest.

        Raises:
            OverBudgetError: together they could exceed the cap; none is recorded.
        """
        with self._transaction():
            self._require(sum(usd for _, usd in batches.values()), cap)
            for digest, (keys, usd) in batches.items():
                self._connection.execute(
                    "INSERT INTO batches (digest, keys) VALUES (?, ?)", (digest, json.dumps(list(keys)))
                )
                self._connection.execute("INSERT INTO held (id, usd) VALUES (?, ?)", (digest, usd))

    def submitted_batch(self, digest: str, batch_id: str) -> None:
        """Record the provider's id of a batch."""
        self._connection.execute("UPDATE batches SET batch_id = ? WHERE digest = ?", (batch_id, digest))

    def close_batch(self, digest: str) -> None:
        """Record that a batch is collected, or was never submitted."""
        with self._transaction():
            self._connection.execute("UPDATE batches SET closed = 1 WHERE digest = ?", (digest,))
            self.release(digest)

    def open_batches(self) -> list[OpenBatch]:
        """Batches under way, the oldest first."""
        rows = self._connection.execute(
            "SELECT digest, keys, batch_id FROM batches WHERE closed = 0 ORDER BY rowid"
        ).fetchall()
        return [OpenBatch(digest, tuple(json.loads(keys)), batch_id) for digest, keys, batch_id in rows]

    def batches_begun(self) -> int:
        """How many batches were ever recorded."""
        return int(self._connection.execute("SELECT COUNT(*) FROM batches").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All statements of the block or none; no other process writes meanwhile."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def _alive(pid: int, started: float) -> bool:
    """Whether the process that began at `started` still runs, and not another that got its number."""
    try:
        return psutil.Process(pid).create_time() == started
    except psutil.NoSuchProcess:
        return False
