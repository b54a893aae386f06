"""Duplicates, caps and history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Evidence, Query, Statement
from pipeline.embedding import DIMENSION, Vectors
from pipeline.mine.reasons import DropReason
from pipeline.mine.selection import Deduplicator, Selection, cap, normalized, with_history


def statement(name: str, *, user: str = "u", text: str = "I keep bees.", confidence: float = 0.9) -> Statement:
    return Statement(
        id=name,
        user_id=user,
        evidence=Evidence(source="jsonl", conversation="c", turn=0, start=0, end=len(text)),
        text=text,
        self_contained=text,
        family="hobby",
        confidence=confidence,
        sensitive=(),
        language="en",
        license="unknown",
        redactions=(),
        history=(),
    )


def axis(*numbers: int) -> Vectors:
    return np.eye(DIMENSION, dtype=np.float32)[list(numbers)]


def test_the_first_of_equal_texts_survives_letter_case_and_punctuation_aside() -> None:
    selection = Selection()
    rows = [statement("a", text="I keep bees."), statement("b", text="i  keep bees!!")]
    Deduplicator(0.9).add(rows, axis(0, 1), selection)
    assert [row.id for row in selection.rows] == ["a"]
    assert [(d.id, d.reason, d.detail) for d in selection.dropped] == [("b", DropReason.DUPLICATE, "a")]


def test_a_near_duplicate_of_an_earlier_shard_is_dropped_and_names_its_twin() -> None:
    selection, seen = Selection(), Deduplicator(0.9)
    seen.add([statement("a", text="I keep bees.")], axis(0), selection)
    seen.add([statement("b", text="I keep some bees."), statement("c", text="I sail.")], axis(0, 5), selection)
    assert [row.id for row in selection.rows] == ["a", "c"]
    assert [(d.reason, d.detail) for d in selection.dropped] == [(DropReason.NEAR_DUPLICATE, "a")]


def test_near_duplicates_within_a_shard_are_found() -> None:
    selection = Selection()
    rows = [statement("a", text="I keep bees."), statement("b", text="I keep many bees.")]
    Deduplicator(0.9).add(rows, axis(3, 3), selection)
    assert [row.id for row in selection.rows] == ["a"]


def test_a_cap_takes_every_users_best_row_before_anyones_second() -> None:
    rows = [
        statement("a", user="u1", confidence=0.99),
        statement("b", user="u1", confidence=0.98),
        statement("c", user="u2", confidence=0.7),
    ]
    capped = cap(Selection(rows=list(rows)), per_user=2, total=2, seed=1)
    assert [row.id for row in capped.rows] == ["a", "c"]
    assert [d.reason for d in capped.dropped] == [DropReason.OVER_CAP]


@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.floats(0, 1)), max_size=20),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(0, 10)),
)
def test_a_cap_loses_no_row_and_keeps_the_order(
    drawn: list[tuple[str, float]], per_user: int, total: int | None
) -> None:
    rows = [statement(f"{i:03d}", user=user, confidence=p) for i, (user, p) in enumerate(drawn)]
    capped = cap(Selection(rows=list(rows)), per_user=per_user, total=total, seed=7)
    ids = [row.id for row in capped.rows]
    assert sorted(ids + [d.id for d in capped.dropped]) == [row.id for row in rows]
    assert ids == sorted(ids)
    assert all(sum(row.user_id == user for row in capped.rows) <= per_user for user in "uvw")
    assert total is None or len(ids) <= total


def test_history_holds_the_users_other_statements_in_order() -> None:
    rows = [statement("a"), statement("b", user="v"), statement("c"), statement("d")]
    assert [row.history for row in with_history(rows)] == [("c", "d"), (), ("a", "d"), ("a", "c")]


@pytest.mark.parametrize("text", ["I keep bees.", "I KEEP  BEES", "«I keep bees»!"])
def test_the_duplicate_key_ignores_case_and_punctuation(text: str) -> None:
    assert normalized(text) == "i keep bees"


def test_queries_are_capped_in_the_same_way() -> None:
    fields = statement("q").model_dump(
        include={"id", "user_id", "evidence", "text", "confidence", "language", "license"}
    )
    query = Query(**fields, topic="food", redactions=())
    assert cap(Selection(rows=[query]), per_user=1, total=0, seed=1).dropped[0].reason == DropReason.OVER_CAP
