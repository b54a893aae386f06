"""The first half of the stage, in a process of its own: sources are read and searched while the second half embeds.

Only candidates cross over, so that neither process ever holds more than one conversation and a few shards' candidates.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from typing import NamedTuple

from pipeline.core.errors import InputError, UpqaError
from pipeline.core.licenses import may_publish
from pipeline.core.provenance import peak_memory_mb
from pipeline.core.records import Conversation
from pipeline.mine.config import MineSettings
from pipeline.mine.mining import Found, find
from pipeline.mine.shards import ShardStore
from pipeline.sources.base import ReadReport
from pipeline.sources.registry import open_source


class Searched(NamedTuple):
    """One shard that was read."""

    number: int
    """Its place in the run, from 0."""
    conversations: int
    """How many it holds."""
    found: Found | None
    """Its candidates; None where the shard is finished already."""


class Account(NamedTuple):
    """What there is to say when everything is read."""

    reports: Sequence[ReadReport]
    """One a source, in the order of the settings."""
    peak_memory_mb: float
    """Largest resident set of the searching process, in MiB."""


def previews(settings: MineSettings) -> Iterator[str]:
    """A line for each source, after its first conversation was read: origin, licence, whether rows may be passed on.

    Raises:
        InputError: a source cannot be read or is empty.
    """
    for chosen in settings.sources:
        source = open_source(chosen, settings.salt())
        card = source.card
        first = next(source.read(), None)
        if first is None:
            raise InputError(f"{card.name}: no conversation in it; {source.report.summary()}.")
        where = chosen.path or card.hub_id or card.url
        passed_on = "may" if may_publish(first.license) else "may not"
        yield f"{card.name}: {where}, licence {first.license}, rows {passed_on} be passed on, first {first.source_id}"


@dataclass
class Search:
    """The shards as they come in."""

    _pipe: Connection
    account: Account | None = None
    """There after the last shard."""

    def shards(self) -> Iterator[Searched]:
        """Every shard of every source, in order.

        Raises:
            UpqaError: as the sources raise it, or the searching process died.
        """
        while self.account is None:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):  # between two messages, inside one
                raise UpqaError(
                    "mine: the process that reads the sources was stopped, perhaps for want of memory. Run again: "
                    "finished shards are kept."
                ) from None
            if isinstance(message, UpqaError):
                raise message
            if isinstance(message, Account):
                self.account = message
            else:
                yield message


@contextmanager
def search(settings: MineSettings, store: ShardStore) -> Iterator[Search]:
    """A search under way; it runs ahead of what is taken from it by one shard, and ends with the block."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_search, args=(theirs, settings, settings.salt(), store), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Search(ours)
    finally:
        ours.close()
        process.terminate()
        process.join()


def _search(pipe: Connection, settings: MineSettings, salt: str, store: ShardStore) -> None:
    """Send every shard, then the account, or the error that ends the search."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, and the run ends this process
    number = 0
    reports: list[ReadReport] = []
    try:
        for chosen in settings.sources:
            source = open_source(chosen, salt)
            conversations = source.read()
            while (shard := _next(conversations, number, settings, store)).conversations:
                pipe.send(shard)
                number += 1
            reports.append(source.report)
        pipe.send(Account(reports, peak_memory_mb()))
    except BrokenPipeError:
        return  # the run has ended without us
    except UpqaError as error:
        pipe.send(error)
    except Exception as error:  # a fault of the program; without a word it would look like a want of memory
        traceback.print_exc()
        pipe.send(
            UpqaError(
                f"mine: reading {chosen.name} failed in shard {number} ({type(error).__name__}: {error}); the trace "
                "above says where. Report it, or leave this source out; finished shards are kept."
            )
        )
        raise SystemExit(1) from error


def _next(conversations: Iterator[Conversation], number: int, settings: MineSettings, store: ShardStore) -> Searched:
    """The next shard of a source; without conversations at its end."""
    shard = islice(conversations, settings.shard_conversations)
    if store.finished(number):
        return Searched(number, sum(1 for _ in shard), None)
    found = find(shard)
    return Searched(number, found.counts["conversations"], found)
