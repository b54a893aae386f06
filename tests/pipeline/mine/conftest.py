from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.mine.config import MineSettings
from pipeline.sources.base import SourceSettings


@pytest.fixture
def settings(tmp_path: Path) -> MineSettings:
    """To mine chats.jsonl, which is not there yet, two conversations a shard."""
    source = SourceSettings(
        name="jsonl", path=str(tmp_path / "chats.jsonl"), strict=True, license=None, max_conversations=None
    )
    return MineSettings(
        sources=(source,),
        user_salt="salt",
        languages=("en",),
        sensitive="tag",
        statement_threshold=0.5,
        query_threshold=0.5,
        near_duplicate=0.9,
        max_per_user=3,
        max_statements=None,
        max_queries=None,
        dtype="float32",
        shard_conversations=2,
        seed=1,
    )
