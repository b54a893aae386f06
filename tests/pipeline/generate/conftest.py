from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.config import load_section
from pipeline.core.records import Evidence, Query, Statement, content_id
from pipeline.core.wording import content_stems
from pipeline.embedding import Vectors
from pipeline.generate.config import GenerateConfig
from pipeline.validate.config import RulesConfig, ValidateConfig

MakeStatement = Callable[..., Statement]
MakeQuery = Callable[..., Query]


def encode(texts: Sequence[str]) -> Vectors:
    """Bags of content words hashed to 4096 dimensions: quick, and related texts are close."""
    rows = np.zeros((len(texts), 4096), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for stem in content_stems(text) or {"nothing"}:
            row[int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4]) % 4096] += 1
        row /= np.linalg.norm(row)
    return rows


@pytest.fixture
def bag_of_words() -> Callable[[Sequence[str]], Vectors]:
    return encode


@pytest.fixture
def make_statement() -> MakeStatement:
    def make(text: str, family: str = "profession", user: str = "u1") -> Statement:
        evidence = Evidence(source="test", conversation=user, turn=0, start=0, end=len(text))
        return Statement(
            id=content_id(user, text),
            user_id=user,
            evidence=evidence,
            text=text,
            self_contained=text,
            family=family,
            confidence=0.9,
            sensitive=(),
            language="en",
            license="CC0-1.0",
            redactions=(),
            history=(),
        )

    return make


@pytest.fixture
def make_query() -> MakeQuery:
    def make(text: str, topic: str = "leisure", user: str = "q1") -> Query:
        return Query(
            id=content_id(user, text),
            user_id=user,
            evidence=Evidence(source="test", conversation=user, turn=0, start=0, end=len(text)),
            text=text,
            topic=topic,
            confidence=0.9,
            language="en",
            license="CC0-1.0",
            redactions=(),
        )

    return make


@pytest.fixture
def config() -> GenerateConfig:
    return load_section(Path("params.yaml"), "generate", GenerateConfig)


@pytest.fixture
def rules() -> RulesConfig:
    return load_section(Path("params.yaml"), "validate", ValidateConfig).rules
