"""Finished shards on disk, so that an interrupted run goes on where it stopped and memory stays flat."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from pipeline.core.records import Dropped, Query, Statement
from pipeline.core.tables import read_jsonl, write_json, write_jsonl
from pipeline.embedding import Vectors
from pipeline.mine.config import MineSettings
from pipeline.mine.mining import ShardResult

R = TypeVar("R", Statement, Query)
_PACKAGE = Path(__file__).parents[1]
_CODE = tuple(_PACKAGE / name for name in ("mine", "sources", "core"))
_SUFFIXES = {".py", ".yaml", ".npz"}
_MARKER = ".upqa-mine-shards"
"""File in every folder that this module made: only such folders are ever removed."""
ABANDONED_AFTER_S = 7 * 24 * 3600
"""Seconds without a new shard after which the folder of another run counts as left behind."""
_FILES: Mapping[type[Statement] | type[Query], str] = MappingProxyType({Statement: "statements", Query: "queries"})


@dataclass(frozen=True)
class ShardStore:
    """Results of finished shards under one folder; a shard is there whole or not at all."""

    root: Path
    """Folder of this run's shards."""

    def finished(self, number: int) -> bool:
        """Whether shard `number` is there."""
        return self._folder(number).is_dir()

    def save(self, number: int, result: ShardResult) -> None:
        """Write a shard beside its place, then rename it there."""
        partial = self.root / f"partial-{number:06d}-{os.getpid()}"
        partial.mkdir(parents=True, exist_ok=True)
        for record, name in _FILES.items():
            rows = [number for number, row in enumerate(result.kept) if isinstance(row, record)]
            write_jsonl(partial / f"{name}.jsonl", (result.kept[number] for number in rows))
            np.save(partial / f"{name}.npy", result.vectors[rows].astype(np.float16))
        write_jsonl(partial / "dropped.jsonl", result.dropped)
        write_json(partial / "counts.json", result.counts)
        write_json(partial / "seconds.json", result.seconds)
        partial.rename(self._folder(number))

    def rows(self, number: int, record: type[R]) -> Iterator[R]:
        """The kept statements or queries of a shard, in order of appearance."""
        return read_jsonl(self._folder(number) / f"{_FILES[record]}.jsonl", record)

    def vectors(self, number: int, record: type[R]) -> Vectors:
        """The embeddings of `rows`, shape (n, 384)."""
        loaded: Vectors = np.load(self._folder(number) / f"{_FILES[record]}.npy").astype(np.float32)
        return loaded

    def dropped(self, number: int) -> Iterator[Dropped]:
        """The dropped candidates of a shard."""
        return read_jsonl(self._folder(number) / "dropped.jsonl", Dropped)

    def counts(self, number: int) -> Counter[str]:
        """The counts of a shard."""
        return Counter(json.loads((self._folder(number) / "counts.json").read_text(encoding="utf-8")))

    def seconds(self, number: int) -> dict[str, float]:
        """Processor seconds a shard took, by step."""
        loaded: dict[str, float] = json.loads((self._folder(number) / "seconds.json").read_text(encoding="utf-8"))
        return loaded

    def clear(self) -> None:
        """Remove the folder: the run is complete, or stands for nothing any more."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _folder(self, number: int) -> Path:
        return self.root / f"shard-{number:06d}"


def open_store(cache: Path, settings: MineSettings) -> ShardStore:
    """The store of the run with these settings, this code and these input files.

    Runs with other settings may share `cache`. What one of them left behind is removed a week after its last shard;
    nothing else in `cache` is touched.
    """
    fingerprint = _fingerprint(settings)
    for marker in cache.glob(f"*/{_MARKER}"):
        other = marker.parent
        if other.name != fingerprint and _abandoned(other):
            shutil.rmtree(other, ignore_errors=True)
    root = cache / fingerprint
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARKER).touch()
    for partial in root.glob("partial-*"):
        shutil.rmtree(partial, ignore_errors=True)
    return ShardStore(root)


def _abandoned(folder: Path) -> bool:
    """Whether `folder` bears a name that this module gives, and got no shard for long."""
    try:
        last_shard = folder.stat().st_mtime
    except FileNotFoundError:  # its run is complete and has just removed it
        return False
    return bool(re.fullmatch("[0-9a-f]{16}", folder.name)) and time.time() - last_shard > ABANDONED_AFTER_S


def _fingerprint(settings: MineSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update(settings.salt().encode())
    for folder in _CODE:
        for path in sorted(p for p in folder.glob("*") if p.suffix in _SUFFIXES):
            digest.update(path.name.encode() + path.read_bytes())
    digest.update((_PACKAGE / "embedding.py").read_bytes())
    for source in settings.sources:
        root = Path(source.path) if source.path else None
        for path in sorted(root.rglob("*")) if root and root.is_dir() else [root] if root and root.exists() else []:
            status = path.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
