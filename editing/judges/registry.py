"""Judges by name, loaded when asked for, with what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from editing.judges.base import Judge
from editing.judges.embedding import EmbeddingConfig, EmbeddingJudge
from editing.judges.exact import ExactConfig, ExactJudge
from pipeline.core.config import Section
from pipeline.core.errors import unknown_name


class JudgeConfig(Section):
    """Section judge of params.yaml."""

    judges: tuple[str, ...]
    """Judges to ask, by name; each has its own columns."""
    chunk: int
    """Answers judged between two savings of progress."""
    confidence: float
    """Level of all intervals."""
    bootstrap_samples: int
    """Draws of the cluster bootstrap."""
    seed: int
    """Seed of the cluster bootstrap."""
    exact: ExactConfig
    """Settings of the exact judge."""
    embedding: EmbeddingConfig
    """Settings of the embedding judge."""


def _exact(config: JudgeConfig) -> Judge:
    return ExactJudge(config.exact)


def _embedding(config: JudgeConfig) -> Judge:
    from pipeline.embedding import embed

    dtype = config.embedding.dtype
    return EmbeddingJudge(config.embedding, config.exact, lambda texts: embed(texts, dtype=dtype))


JUDGES: dict[str, Callable[[JudgeConfig], Judge]] = {"exact": _exact, "embedding": _embedding}
"""Every judge by name."""


def load_judge(name: str, config: JudgeConfig) -> Judge:
    """The judge called `name`.

    Raises:
        ConfigError: no judge has this name.
    """
    if name not in JUDGES:
        raise unknown_name("judge", name, JUDGES)
    return JUDGES[name](config)


def judge_sha256(name: str, config: JudgeConfig) -> str:
    """What identifies a judge: its name, its settings and the code of the judges."""
    settings = {section: getattr(config, section).model_dump(mode="json") for section in ("exact", "embedding")}
    used = settings if name == "embedding" else {name: settings.get(name)}
    digest = hashlib.sha256(json.dumps([name, used], sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
