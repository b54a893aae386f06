from __future__ import annotations

import pytest

from pipeline.core.records import Statement, content_id
from pipeline.generate.topics import find_topics
from pipeline.validate.config import RulesConfig


def statement(said: str, alone: str) -> Statement:
    evidence = {"source": "jsonl", "conversation": "c", "turn": 0, "start": 0, "end": len(said)}
    fields = {"id": content_id(said), "user_id": "u", "evidence": evidence, "text": said, "self_contained": alone}
    labels = {"family": "family", "confidence": 0.9, "sensitive": (), "language": "en", "license": "MIT"}
    return Statement.model_validate({**fields, **labels, "redactions": (), "history": ()})


@pytest.mark.parametrize(
    ("said", "alone", "count"),
    [
        ("A gift for my sister please.", "I have a sister.", 1),
        ("A gift for my sister in law please.", "I have a sister.", 0),
        ("A gift for my sister-in-law please.", "I have a sister.", 0),
        ("As a plumber, what should I charge?", "I am a plumber.", 1),
        ("He gave up his career as a plumber, what next?", "I am a plumber.", 0),
    ],
)
def test_what_the_sentence_says_of_others_is_no_topic(rules: RulesConfig, said: str, alone: str, count: int) -> None:
    assert len(find_topics([statement(said, alone)], 10, rules).kept) == count
