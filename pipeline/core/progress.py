"""Progress on the terminal: a bar with counts and ETA, or a plain line now and then where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 10.0
"""Seconds between two plain lines."""

console = Console(stderr=True)
"""Where people are told things; results go to files, never to this console."""


class Advance(Protocol):
    """Call with the number of units done since the last call."""

    def __call__(self, done: float = 1) -> None:
        """Report `done` more units."""


@contextmanager
def progress(what: str, total: float | None, unit: str = "") -> Iterator[Advance]:
    """Show progress of `what` while the block runs; yields the function to report with."""
    shown = _bar(what, total) if sys.stderr.isatty() else _lines(what, total, unit)
    with shown as advance:
        yield advance


@contextmanager
def _bar(what: str, total: float | None) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task(what, total=total)

        def advance(done: float = 1) -> None:
            display.advance(task, done)

        yield advance


@contextmanager
def _lines(what: str, total: float | None, unit: str) -> Iterator[Advance]:
    started = last = time.monotonic()
    so_far = 0.0

    def advance(done: float = 1) -> None:
        nonlocal last, so_far
        so_far += done
        now = time.monotonic()
        if now - last < PLAIN_INTERVAL_S:
            return
        last = now
        if total:
            left = (now - started) / so_far * (total - so_far) if so_far else 0.0
            console.print(f"{what}: {so_far:g}/{total:g} {unit}, about {left:.0f} s left", highlight=False)
        else:
            console.print(f"{what}: {so_far:g} {unit}", highlight=False)

    yield advance
    console.print(f"{what}: {so_far:g} {unit} in {time.monotonic() - started:.1f} s", highlight=False)
