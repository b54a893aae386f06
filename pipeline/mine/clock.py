"""Processor seconds of the steps of a loop, cheap enough to be taken for every message."""

from __future__ import annotations

import time


class Clock:
    """Divides the processor time of the calling thread among steps, in proportion to the time that passed in each.

    The system is asked for processor time only twice: where that is a system call it takes as long as a filter does.
    """

    def __init__(self) -> None:
        """A clock that starts now, for the calling thread."""
        self._passed: dict[str, int] = {}
        self._begun = time.thread_time_ns()
        self._last = time.perf_counter_ns()

    def lap(self, step: str) -> None:
        """End `step`; the next one begins."""
        now = time.perf_counter_ns()
        self._passed[step] = self._passed.get(step, 0) + now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Processor seconds by step so far."""
        spent = (time.thread_time_ns() - self._begun) / 1e9
        passed = max(1, sum(self._passed.values()))
        return {step: spent * share / passed for step, share in self._passed.items()}
