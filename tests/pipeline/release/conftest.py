from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.records import (
    ClusterMember,
    Difficulty,
    Evidence,
    HistoryEntry,
    Preference,
    Provenance,
    Question,
    QuestionKind,
    ReleasedHistoryEntry,
)
from pipeline.core.tables import write_parquet
from pipeline.release.config import ReleaseConfig
from pipeline.validate.splits import SPLITS
from tests.pipeline.release.local_hub import LocalHub, serving


def made_preference(name: str = "p", **fields: Any) -> Preference:
    values: dict[str, Any] = {
        "id": name,
        "user_id": f"user-{name}",
        "statement": "I play chess | every day.",
        "attribute_type": "hobby",
        "family": "hobby",
        "target": "chess",
        "aliases": ("the game of chess",),
        "cluster": (
            ClusterMember(attribute_type="hobby", question="What is my hobby?", target="chess"),
            ClusterMember(attribute_type="pastime", question="What is my pastime?", target="the game of chess"),
        ),
        "sensitive": (),
        "evidence": Evidence(source="jsonl", conversation="c", turn=0, start=0, end=5),
        "source": "jsonl",
        "license": "CC-BY-4.0",
        "split": "test",
        "provenance": Provenance(model="m", prompts={"p": "0"}, samples=1),
        **fields,
    }
    return Preference(**values)


def made_question(of: Preference, **fields: Any) -> Question:
    values: dict[str, Any] = {
        "id": f"q-{of.id}",
        "preference_id": of.id,
        "user_id": of.user_id,
        "kind": QuestionKind.EXPLICIT,
        "text": "What is my hobby?",
        "origin": "template",
        "query_id": None,
        "expects": "recall",
        "accepted": ("chess",),
        "difficulty": "easy",
        "measured": Difficulty(
            statement_overlap=0, attribute_overlap=1, statement_similarity=0.5, statement_rank=1, statement_pool=9
        ),
        "license": of.license,
        "split": of.split,
        **fields,
    }
    return Question(**values)


def made_entry(of: Preference, **fields: Any) -> ReleasedHistoryEntry:
    values: dict[str, Any] = {
        "id": f"h-{of.id}",
        "user_id": of.user_id,
        "text": of.statement,
        "evidence": of.evidence,
        "sensitive": of.sensitive,
        "license": of.license,
        "split": of.split,
        **fields,
    }
    return ReleasedHistoryEntry(**values)


def made_config(**changes: Any) -> ReleaseConfig:
    values: dict[str, Any] = {
        "pretty_name": "UPQA",
        "version": "0.1.0",
        "date": datetime.date(2031, 5, 17),
        "authors": ("Doe, Jane", "The makers"),
        "url": "https://huggingface.co/datasets/jane/UPQA",
        "allowed_licenses": ("CC-BY-4.0", "Apache-2.0"),
        "near_duplicate": 0.9,
    }
    return ReleaseConfig(**{**values, **changes})


@pytest.fixture(scope="session")
def config() -> Callable[..., ReleaseConfig]:
    return made_config


@pytest.fixture(scope="session")
def preference() -> Callable[..., Preference]:
    return made_preference


@pytest.fixture(scope="session")
def question() -> Callable[..., Question]:
    return made_question


@pytest.fixture(scope="session")
def entry() -> Callable[..., ReleasedHistoryEntry]:
    return made_entry


@pytest.fixture
def validated(tmp_path: Path) -> Path:
    """A folder as the stage validate writes it; two of its splits have rows, some of other licences."""
    rows = [made_preference("a", split="train"), made_preference("b"), made_preference("c", license="unknown")]
    asked = [*(made_question(p) for p in rows), made_question(rows[1], id="q-nc", license="CC-BY-NC-4.0")]
    for split in SPLITS:
        write_parquet(tmp_path / f"upqa/preferences/{split}.parquet", [p for p in rows if p.split == split], Preference)
        write_parquet(tmp_path / f"upqa/questions/{split}.parquet", [q for q in asked if q.split == split], Question)
    return tmp_path / "upqa"


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    """The histories as the stage mine writes them: of the users of `validated`, and of one without a preference."""
    of_b = made_preference("b")
    rows = [
        *(made_entry(made_preference(name)) for name in ("nobody", "a", "b")),
        made_entry(of_b, id="h-b2", text="I live by the sea."),
        made_entry(of_b, id="h-nc", license="CC-BY-NC-4.0"),
        made_entry(made_preference("c", license="unknown")),
    ]
    path = tmp_path / "mined" / "histories.parquet"
    write_parquet(path, (HistoryEntry(**row.model_dump(exclude={"split"})) for row in rows), HistoryEntry)
    return path


@pytest.fixture
def hub_server() -> Iterator[LocalHub]:
    with serving(LocalHub()) as hub:
        yield hub
