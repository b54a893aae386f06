"""Processor seconds of the steps of a loop, cheap enough to be taken for every message."""

from __future__ import annotations

import time


class Clock:
    """Adds the time since the last lap to the step that the lap ends; time spent waiting does not count."""

    def __init__(self) -> None:
        """A clock that starts now, for the calling thread."""
        self.seconds: dict[str, float] = {}
        """Processor seconds by step."""
        self._last = time.thread_time_ns()

    def lap(self, step: str) -> None:
        """End `step`; the next one begins."""
        now = time.thread_time_ns()
        self.seconds[step] = self.seconds.get(step, 0.0) + (now - self._last) / 1e9
        self._last = now
