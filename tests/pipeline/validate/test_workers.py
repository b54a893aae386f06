from __future__ import annotations

import os
import time

import pytest

from pipeline.validate.workers import processes


def slow_if_first(number: int) -> tuple[int, str | None]:
    """A chunk whose first takes the longest, with the threads its process may use."""
    time.sleep(0.5 if number == 0 else 0)
    return number, os.environ.get("OMP_NUM_THREADS")


def test_results_come_in_the_order_of_the_chunks_from_processes_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with processes(2) as in_order:
        assert list(in_order(slow_if_first, range(9))) == [(number, "1") for number in range(9)]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def fails(number: int) -> int:
    """A chunk that cannot be done."""
    raise ValueError(f"chunk {number}")


@pytest.mark.parametrize("count", [1, 2])
def test_the_error_of_a_chunk_ends_the_work(count: int) -> None:
    with pytest.raises(ValueError, match="chunk 0"), processes(count) as in_order:
        list(in_order(fails, range(3)))
