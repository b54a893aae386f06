"""A run of the stage in a process of its own, with a cheap embedding, that may kill itself at a given step.

Arguments: settings as JSON, out, cache, number of the step at which to send SIGKILL (0: never).
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import pipeline.mine.mining
import pipeline.mine.shards
import pipeline.mine.stage
from pipeline.embedding import DIMENSION, Vectors
from pipeline.mine.config import MineSettings


class CheapReading:
    """In place of an encoder: a unit vector drawn from the hash of each sentence."""

    def __init__(self, sentences: Sequence[str], **_: Any) -> None:
        self.vectors: Vectors = np.empty((len(sentences), DIMENSION), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big")
            drawn = np.random.default_rng(seed).standard_normal(DIMENSION)
            self.vectors[row] = drawn / np.linalg.norm(drawn)

    def finished(self, rows: Sequence[int]) -> Vectors:
        return self.vectors[rows]


class Steps:
    """Counts the calls of the functions it wraps and kills the process at one of them."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.done = fatal, 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.done += 1
            if self.done == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped


def run(settings: str, out: str, cache: str, fatal: str) -> None:
    steps = Steps(int(fatal))
    pipeline.mine.mining.read = CheapReading  # type: ignore[attr-defined, assignment]
    pipeline.mine.stage.warm_up = lambda _: None  # type: ignore[attr-defined]
    pipeline.mine.stage.one_thread_each = nullcontext  # type: ignore[attr-defined, assignment]
    for module, name in (
        (pipeline.mine.shards, "write_jsonl"),
        (pipeline.mine.shards, "write_json"),
        (pipeline.mine.mining, "features_of"),
        (pipeline.mine.stage, "write_parquet"),
        (pipeline.mine.stage, "write_json"),
    ):
        setattr(module, name, steps.wrap(getattr(module, name)))
    pipeline.mine.stage.run(MineSettings.model_validate_json(settings), Path(out), Path(cache))
    (Path(out) / "steps").write_text(str(steps.done))


if __name__ == "__main__":
    run(*sys.argv[1:])
