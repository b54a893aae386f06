from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.llm.config import LLMConfig

Configure = Callable[..., LLMConfig]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """A function that makes an llm section with one role, quick retries and a cache in the test's folder."""

    def make(base_url: str, role: dict[str, Any] | None = None, **changes: Any) -> LLMConfig:
        generator: dict[str, Any] = {
            "base_url": base_url,
            "model": "some-model",
            "api_key_env": None,
            "mode": "online",
            "json_schema": "native",
            "reply_attempts": 1,
            "sampling": {"temperature": 0.7, "top_p": 0.95, "seed": 1},
            "prices": {"input": 0.0, "output": 0.0},
        }
        section: dict[str, Any] = {
            "cache": str(tmp_path / "calls.sqlite"),
            "concurrency": 4,
            "timeout_s": 5.0,
            "attempts": 4,
            "backoff_s": 0.0,
            "backoff_max_s": 0.01,
            "retry_after_max_s": 5.0,
            "max_unanswered": 0,
            "batch_poll_s": 0.0,
            "batch_max_calls": 50_000,
            "batch_max_mb": 200,
            "budget_usd": 1.0,
            "roles": {"generator": generator | (role or {})},
            "local": {"threads": 1, "slots": 1, "context": 512, "start_timeout_s": 30.0, "models": {}},
        }
        return LLMConfig.model_validate(section | changes)

    return make
