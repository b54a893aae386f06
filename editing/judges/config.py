"""Section judge of params.yaml."""

from __future__ import annotations

from pathlib import Path

from editing.judges.embedding import EmbeddingConfig
from editing.judges.exact import ExactConfig
from pipeline.core.config import Section


class LLMJudgeConfig(Section):
    """Section judge.llm of params.yaml; the model stands in llm.roles."""

    role: str
    """Role of the llm section to ask."""
    prompts: Path
    """Folder of the prompts."""
    max_tokens: int
    """Longest reply of the judge; a longer one is unscored."""


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
    llm: LLMJudgeConfig
    """Settings of the judge that is a language model."""
