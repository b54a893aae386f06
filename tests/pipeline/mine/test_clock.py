"""Processor time by step."""

from __future__ import annotations

import time

import pytest

from pipeline.mine.clock import Clock


def test_the_steps_share_the_processor_time_of_the_thread() -> None:
    before = time.thread_time()
    clock = Clock()
    sum(range(400_000))
    clock.lap("long")
    sum(range(4_000))
    clock.lap("short")
    seconds = clock.seconds()
    assert seconds["long"] > seconds["short"] > 0
    assert sum(seconds.values()) == pytest.approx(time.thread_time() - before, rel=0.5)


def test_sleep_is_no_processor_time() -> None:
    clock = Clock()
    time.sleep(0.2)
    clock.lap("asleep")
    assert clock.seconds()["asleep"] < 0.1
