"""The section `mine` of params.yaml."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from pipeline.core.config import Section
from pipeline.core.errors import ConfigError
from pipeline.embedding import Setting
from pipeline.sources.base import SourceSettings


class MineSettings(Section):
    """Settings of the stage."""

    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    """The corpora to read, in order."""
    user_salt: str = Field(min_length=1)
    """Salt of the user ids, or "env:NAME" to take it from an environment variable: keep it secret for private data."""
    languages: tuple[str, ...]
    """BCP-47 languages to keep; the patterns of the detector are English."""
    sensitive: Literal["drop", "tag", "keep"]
    """Sentences on health, religion, sexuality, politics. drop: none becomes a row; tag: statements are tagged, queries
    (they bear no tag) dropped; keep: all are kept without a tag."""
    statement_threshold: float = Field(ge=0, le=1)
    """Least probability of a statement."""
    query_threshold: float = Field(ge=0, le=1)
    """Least probability of a query."""
    near_duplicate: float = Field(ge=0, le=1)
    """Cosine from which on two texts of a kind count as the same."""
    max_per_user: int = Field(gt=0)
    """Most statements, and most queries, of one user."""
    max_statements: int | None
    """Most statements of the run, the most probable first, every user's best before anyone's second; null: all."""
    max_queries: int | None
    """Most queries of the run, chosen in the same way; null: all."""
    dtype: Setting
    """Precision of the sentence embeddings; auto: bfloat16 where the processor has it, else float32."""
    shard_conversations: int = Field(gt=0)
    """Conversations a shard: the unit of resuming, and of memory."""
    seed: int
    """Breaks ties of the caps."""

    def salt(self) -> str:
        """The salt itself.

        Raises:
            ConfigError: the environment variable it names is not set.
        """
        name = self.user_salt.removeprefix("env:")
        if name == self.user_salt:
            return name
        value = os.environ.get(name)
        if not value:
            raise ConfigError(f"mine.user_salt: the environment variable {name} is not set.")
        return value
