"""Groups of work that several processes share."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from editing.lm.load import LM
from editing.workers import work_through, workers_for


def leave(folder: Path, group: int) -> None:
    """Write which process did a group."""
    file = folder / str(group)
    if not file.exists():
        time.sleep(0.05)
        file.write_text(str(os.getpid()))


def leave_and_wait(folder: Path, group: int) -> None:
    """The same, but not before another process has done a group too, however slow it is to start."""
    deadline = time.monotonic() + 120
    while group and len(set(did(folder))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    leave(folder, group)


def opened(folder: Path) -> Callable[[int], None]:
    return partial(leave, folder)


def broken(folder: Path) -> Callable[[int], None]:
    raise MemoryError


def did(folder: Path) -> list[int]:
    return [int(text) for file in folder.iterdir() if (text := file.read_text())]


def test_one_worker_does_every_group_in_order_in_this_process() -> None:
    calls: list[int] = []
    work_through(3, calls.append, lambda: pytest.fail("opened another"), 1, lambda: None)
    assert calls == [0, 1, 2]


def test_two_workers_share_the_groups_and_each_is_done_once(tmp_path: Path) -> None:
    work_through(6, partial(leave_and_wait, tmp_path), partial(opened, tmp_path), 2, lambda: None)
    assert len(did(tmp_path)) == 6
    assert len(set(did(tmp_path))) == 2
    assert os.getpid() in did(tmp_path)


def test_what_a_process_that_ends_early_leaves_is_done_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work_through(2, opened(tmp_path), partial(broken, tmp_path), 2, lambda: None)
    assert did(tmp_path) == [os.getpid()] * 2
    assert "ended early" in capsys.readouterr().err


def test_an_error_here_ends_the_other_processes(tmp_path: Path) -> None:
    def fail(group: int) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        work_through(50, fail, partial(opened, tmp_path), 2, lambda: None)
    assert multiprocessing.active_children() == []


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    work_through(1, lambda group: None, lambda: lambda group: None, 1, lambda: None)
    assert torch.get_num_threads() == before


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from functools import partial
        from pathlib import Path
        from editing.workers import work_through
        from tests.editing.test_workers import leave_and_wait, opened
        folder = Path(sys.argv[1])
        def die_when_helped():
            pids = {file.read_text() for file in folder.iterdir()} - {str(os.getpid()), ""}
            if pids:
                os.kill(os.getpid(), signal.SIGKILL)
        if __name__ == "__main__":
            work_through(600, partial(leave_and_wait, folder), partial(opened, folder), 2, die_when_helped)
        """
    )
    file = tmp_path / "run.py"
    file.write_text(script)
    folder = tmp_path / "done"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    killed = subprocess.run([sys.executable, str(file), str(folder)], env=environment, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (helper,) = {int(done.read_text()) for done in folder.iterdir()} - {killed_pid(folder)}
    deadline = time.monotonic() + 10
    while psutil.pid_exists(helper) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(helper)


def killed_pid(folder: Path) -> int:
    """The process that did the first group, which is the one that was started first."""
    return int((folder / "0").read_text())


def test_auto_is_a_process_a_core_but_never_more_than_groups(lm: LM) -> None:
    threads = torch.get_num_threads()
    assert workers_for("auto", 1000, lm) == threads
    assert workers_for("auto", 1, lm) == 1
    assert workers_for(3, 2, lm) == 2


def test_auto_leaves_a_checkpoint_that_fills_the_memory_to_one_process(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert workers_for("auto", 1000, lm) == 8
    memory = psutil.virtual_memory()._replace(available=0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert workers_for("auto", 1000, lm) == 1
