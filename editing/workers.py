"""Groups of work that share nothing, done by several processes.

Two threads inside one matrix product wait for each other, and between products one of them idles; a process a core does
neither. Nothing is sent between the processes but which group comes next: results are files, as they are for a run that
was stopped.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, get_context, parent_process
from typing import Any, Literal

import psutil
import torch

from editing.lm.load import LM
from pipeline.core.progress import console

Finish = Callable[[int], None]
"""Does group i and leaves its result in a file; does nothing where that file is there."""
Workers = Literal["auto"] | int
"""Processes a cell is run by; auto is one a core, as far as memory goes, and one on an accelerator."""
MEMORY_PER_WEIGHT = 4
"""Bytes a process is reckoned to need for every byte of the weights."""


def workers_for(wanted: Workers, groups: int, lm: LM) -> int:
    """How many processes do `groups` groups."""
    if wanted != "auto":
        return max(1, min(wanted, groups))
    if lm.device.type != "cpu":
        return 1
    weights = sum(parameter.nbytes for parameter in lm.model.parameters())
    room = 1 + int(psutil.virtual_memory().available / (MEMORY_PER_WEIGHT * weights))
    return max(1, min(torch.get_num_threads(), groups, room))


def work_through(
    groups: int, finish: Finish, opener: Callable[[], Finish], workers: int, tick: Callable[[], None]
) -> None:
    """Call `finish` for every group from 0 to `groups`, in `workers` processes, of which this is one.

    Each process takes the next group nobody has taken. `opener` makes `finish` anew in another process and must be
    picklable. What a process leaves undone because it ends early is done here, so its error shows here too. `tick` is
    called now and then, to look at how far all are.
    """
    context = get_context("spawn")
    upcoming = context.Value("l", 0)
    threads = torch.get_num_threads()
    each = max(1, threads // workers)
    helpers = [
        context.Process(target=_help, args=(opener, upcoming, groups, each), daemon=True) for _ in range(workers - 1)
    ]
    torch.set_num_threads(each)
    try:
        for helper in helpers:
            helper.start()
        for group in _taken(upcoming, groups):
            finish(group)
            tick()
        for helper in helpers:
            while helper.exitcode is None:
                helper.join(1)
                tick()
    finally:
        for helper in helpers:
            if helper.pid is not None:
                helper.terminate()
                helper.join()
        torch.set_num_threads(threads)
    if any(helper.exitcode for helper in helpers):
        console.print("A process that helped ended early; what it had left is done by this one.", highlight=False)
        for group in range(groups):
            finish(group)
            tick()


def _taken(upcoming: Any, groups: int) -> Iterator[int]:
    """The groups this process takes, one at a time."""
    while True:
        with upcoming.get_lock():
            group = upcoming.value
            upcoming.value += 1
        if group >= groups:
            return
        yield group


def _help(opener: Callable[[], Finish], upcoming: Any, groups: int, threads: int) -> None:
    """What another process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, and the run ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    finish = opener()
    for group in _taken(upcoming, groups):
        finish(group)


def _end_with_parent() -> None:
    """A killed run must not leave a process behind that writes into its folders."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
