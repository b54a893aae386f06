"""Finished shards on disk, so that an interrupted run goes on where it stopped and memory stays flat."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.records import Dropped, Query, Statement
from pipeline.core.tables import read_jsonl, write_json, write_jsonl
from pipeline.embedding import Vectors
from pipeline.mine.config import MineSettings
from pipeline.mine.mining import Row, ShardResult

_CODE = (Path(__file__).parent, Path(__file__).parent.parent / "sources", Path(__file__).parent.parent / "core")
_SUFFIXES = {".py", ".yaml", ".npz"}


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
        write_jsonl(partial / "statements.jsonl", (row for row in result.kept if isinstance(row, Statement)))
        write_jsonl(partial / "queries.jsonl", (row for row in result.kept if isinstance(row, Query)))
        write_jsonl(partial / "dropped.jsonl", result.dropped)
        for kind, record in (("statements", Statement), ("queries", Query)):
            rows = [i for i, row in enumerate(result.kept) if isinstance(row, record)]
            np.save(partial / f"{kind}.npy", result.vectors[rows].astype(np.float16))
        write_json(partial / "counts.json", result.counts)
        partial.rename(self._folder(number))

    def statements(self, number: int) -> tuple[list[Row], Vectors]:
        """The kept statements of a shard with their embeddings."""
        folder = self._folder(number)
        return list(read_jsonl(folder / "statements.jsonl", Statement)), _vectors(folder / "statements.npy")

    def queries(self, number: int) -> tuple[list[Row], Vectors]:
        """The kept queries of a shard with their embeddings."""
        folder = self._folder(number)
        return list(read_jsonl(folder / "queries.jsonl", Query)), _vectors(folder / "queries.npy")

    def dropped(self, number: int) -> Iterator[Dropped]:
        """The dropped candidates of a shard."""
        return read_jsonl(self._folder(number) / "dropped.jsonl", Dropped)

    def counts(self, number: int) -> Counter[str]:
        """The counts of a shard."""
        loaded: dict[str, int] = json.loads((self._folder(number) / "counts.json").read_text(encoding="utf-8"))
        return Counter(loaded)

    def clear(self) -> None:
        """Remove the folder: the run is complete, or stands for nothing any more."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _folder(self, number: int) -> Path:
        return self.root / f"shard-{number:06d}"


def _vectors(path: Path) -> Vectors:
    loaded: Vectors = np.load(path).astype(np.float32)
    return loaded


def open_store(cache: Path, settings: MineSettings) -> ShardStore:
    """The store of the run with these settings, this code and these input files; stores of other runs are removed."""
    fingerprint = _fingerprint(settings)
    for other in cache.glob("*"):
        if other.name != fingerprint:
            shutil.rmtree(other, ignore_errors=True)
    root = cache / fingerprint
    root.mkdir(parents=True, exist_ok=True)
    for partial in root.glob("partial-*"):
        shutil.rmtree(partial, ignore_errors=True)
    return ShardStore(root)


def _fingerprint(settings: MineSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update(settings.salt().encode())
    for folder in _CODE:
        for path in sorted(p for p in folder.glob("*") if p.suffix in _SUFFIXES):
            digest.update(path.name.encode() + path.read_bytes())
    for source in settings.sources:
        root = Path(source.path) if source.path else None
        for path in sorted(root.rglob("*")) if root and root.is_dir() else [root] if root and root.exists() else []:
            status = path.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
