"""Chunks of work done by a process a core, with the results in the order of the chunks, however many processes."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
WAITING = 2
"""Chunks that each process has under way or done, at most: what is done ahead lies in memory."""


class InOrder(Protocol):
    """Does all chunks; `map` is the one that does them here."""

    def __call__(self, do: Callable[[T], R], chunks: Iterable[T], /) -> Iterator[R]:
        """The results of `do`, in the order of `chunks`."""
        ...


@contextlib.contextmanager
def processes(count: int) -> Iterator[InOrder]:
    """`count` processes that do chunks; with one, they are done here. `do` and the chunks must be picklable."""
    if count == 1:
        yield map
        return
    with _one_thread_each(), ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin) as pool:

        def in_order(do: Callable[[T], R], chunks: Iterable[T], /) -> Iterator[R]:
            under_way: deque[Future[R]] = deque()
            for chunk in chunks:
                under_way.append(pool.submit(do, chunk))
                if len(under_way) > WAITING * count:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

        yield in_order


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started here multiply matrices with one thread: two that each use all cores wait for each other."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, and the run ends this process
    gc.disable()  # records hold no cycles, and looking for some among a chunk of them takes a third of the time
