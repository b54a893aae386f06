from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.core import progress as module


def test_without_a_terminal_progress_is_plain_lines_with_counts_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(module, "console", Console(file=shown))
    monkeypatch.setattr(module, "PLAIN_INTERVAL_S", 0.0)
    with module.progress("mine", 4, "MB") as advance:
        advance(1)
        advance(3)
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("mine: 1/4 MB, about ")
    assert lines[-1].startswith("mine: 4 MB in ")
