"""Who made a file: code revision, machine, versions, time and memory of a run."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CODE = ("pipeline", "editing", "prompts", "schemas")
"""Folders whose uncommitted changes make a result untraceable."""
_HERE = Path(__file__).resolve()
RUN_FORMAT = 1
"""Version of the run record's form."""


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(root: Path) -> str:
    """Hex sha256 over the sorted relative paths and contents of all files below `root`."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def dataset_sha256(dataset: Path) -> str:
    """What identifies a released dataset: the hash of its rows (the Parquet files), not of the words around them."""
    return sha256_tree(dataset / "data")


def code_revision(tracked: Sequence[str] = CODE) -> dict[str, Any]:
    """`{"commit": hex or None, "dirty": bool or None}` of this code, from wherever it is run; None outside Git.

    Dirty means that files below `tracked` (Git pathspecs from the root) differ from the commit, or that code, prompts,
    schemas or method settings hold a file that Git neither tracks nor ignores. params.yaml is not among them: every run
    record holds its settings.
    """
    root = _HERE.parents[2]
    # An installed package may lie in the folder of another repository, which does not track it.
    if _git(root, "ls-files", "--error-unmatch", "--", str(_HERE)) is None:
        return {"commit": None, "dirty": None}
    return git_revision(root, tracked)


def git_revision(folder: Path, tracked: Sequence[str]) -> dict[str, Any]:
    """The same of the Git checkout in which `folder` lies."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None:
        return {"commit": None, "dirty": None}
    changed = _git(Path(root), "status", "--porcelain", "--untracked-files=no", "--", *tracked)
    added = _git(Path(root), "ls-files", "--others", "--exclude-standard", "--", *CODE)
    known = changed is not None and added is not None
    return {"commit": _git(Path(root), "rev-parse", "HEAD"), "dirty": bool(changed or added) if known else None}


def _git(folder: Path, *arguments: str) -> str | None:
    """What a Git command in `folder` prints; None where it fails or there is no Git."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """One line about this machine: processor with its widest vector instructions, cores, memory, system, Python."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
        cpu += next((f" ({vectors})" for vectors in ("avx512_bf16", "avx512f", "avx2") if vectors in flags), "")
    memory = ""
    with contextlib.suppress(OSError, ValueError):
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{cpu}, {cores()} cores{memory}, {platform.system()}, Python {platform.python_version()}"


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of `packages`; a package that is not installed is left out."""
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def reset_peak_memory() -> None:
    """Begin to look for the peak anew, where the system can (Linux): from here on it is that of what is done next."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float:
    """Largest resident set of this process, in MiB, since `reset_peak_memory` or else since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextlib.contextmanager
def run_record(stage: str, config: Any, packages: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """A dictionary to fill with counts and metrics; on exit it also holds seconds and peak memory.

    Peak memory is this process's within the block, where the system can tell. The caller writes the record. It carries
    the resolved configuration, the code revision, versions and machine, so that a result can be traced to what made it.
    """
    reset_peak_memory()
    started = time.monotonic()
    record: dict[str, Any] = {
        "format": RUN_FORMAT,
        "stage": stage,
        "code": code_revision(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions("upqa", *packages),
        "config": config.model_dump(mode="json") if hasattr(config, "model_dump") else config,
    }
    yield record
    record["seconds"] = round(time.monotonic() - started, 3)
    record["peak_memory_mb"] = round(peak_memory_mb(), 1)
