from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.core.records import (
    TARGET_KINDS,
    ClusterMember,
    Draft,
    DraftQuestion,
    Evidence,
    Provenance,
    QuestionKind,
    Statement,
    content_id,
)
from pipeline.validate.config import RulesConfig, ValidateConfig

K = QuestionKind
DraftMaker = Callable[..., Draft]


def question(kind: QuestionKind, text: str, **fields: Any) -> DraftQuestion:
    accepted = ("chess",) if kind in TARGET_KINDS else ()
    values = {"origin": "generated", "query_id": None, "accepted": accepted, **fields}
    return DraftQuestion(kind=kind, text=text, **values)


GOOD = (
    question(K.EXPLICIT, "What is my hobby?", origin="template"),
    question(K.REPHRASED, "What do I like to do in my free time?"),
    question(K.IMPLICIT, "How could I spend a rainy weekend?"),
    question(K.PRODUCT, "Which present should I buy myself?"),
    question(K.UNSTATED, "What is my blood type?", accepted=(), origin="template"),
    question(K.IRRELEVANT, "which bank has the best rate", accepted=(), origin="mined", query_id="q1"),
    question(K.OTHER_PERSON, "What is my sister's hobby?", accepted=(), origin="template"),
    question(K.OTHER_PERSON, "What is your hobby?", accepted=(), origin="template"),
    question(K.NEUTRAL, "What is the capital of France?", accepted=("Paris",), origin="template"),
)


def make_draft(user: str = "u1", **fields: Any) -> Draft:
    text = fields.pop("text", "In the evenings I play chess.")
    statement = Statement(
        id=content_id(user, text),
        user_id=user,
        evidence=Evidence(source="sharegpt", conversation=f"c-{user}", turn=0, start=0, end=len(text)),
        text=text,
        self_contained=text,
        family="hobby",
        confidence=0.9,
        sensitive=(),
        language="en",
        license=fields.pop("license", "CC-BY-4.0"),
        redactions=(),
        history=(),
    )
    values = {
        "attribute_type": "hobby",
        "family": "hobby",
        "target": "chess",
        "aliases": (),
        "cluster": (),
        "questions": GOOD,
        "provenance": Provenance(model="m", prompts={}, samples=1),
        **fields,
    }
    right = (values["target"], *values["aliases"])
    values["questions"] = [
        q.model_copy(update={"accepted": right}) if q.kind in TARGET_KINDS else q for q in values["questions"]
    ]
    return Draft(id=content_id(statement.id, values["attribute_type"], values["target"]), statement=statement, **values)


@pytest.fixture
def draft() -> DraftMaker:
    return make_draft


@pytest.fixture
def config() -> ValidateConfig:
    return ValidateConfig.model_validate(
        {
            "rules": {
                "require_kinds": ["explicit", "rephrased", "implicit", "product"],
                "max_target_words": 5,
                "min_question_words": 3,
                "max_question_words": 30,
            },
            "difficulty": {
                "encoder": "hashed",
                "max_rank": 3,
                "min_overlap": 0.3,
                "pool_size": 50,
            },
            "reference": None,
            "split": {
                "seed": 1,
                "train": 0.4,
                "validation": 0.2,
                "test": 0.4,
                "max_group": 0.1,
                "near_duplicate": 0.95,
            },
        }
    )


@pytest.fixture
def rules(config: ValidateConfig) -> RulesConfig:
    return config.rules


@pytest.fixture
def make_question() -> Callable[..., DraftQuestion]:
    return question


@pytest.fixture
def cluster() -> tuple[ClusterMember, ...]:
    return (
        ClusterMember(attribute_type="hobby", question="What is my hobby?", target="chess"),
        ClusterMember(attribute_type="pastime", question="What is my pastime?", target="chess"),
    )
