"""Duplicates, caps and history."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Evidence, Statement
from pipeline.embedding import DIMENSION, Vectors
from pipeline.mine import selection
from pipeline.mine.reasons import DropReason
from pipeline.mine.selection import Deduplicator, Entry, Rejection, cap, drop, histories, normalized


def statement(name: str, text: str = "I keep bees.") -> Statement:
    return Statement(
        id=name,
        user_id="u",
        evidence=Evidence(source="jsonl", conversation="c", turn=0, start=0, end=len(text)),
        text=text,
        self_contained=text,
        family="hobby",
        confidence=0.9,
        sensitive=(),
        language="en",
        license="unknown",
        redactions=(),
        history=(),
    )


def axis(*numbers: int) -> Vectors:
    return np.eye(DIMENSION, dtype=np.float32)[list(numbers)]


def test_the_first_of_equal_texts_survives_letter_case_and_punctuation_aside() -> None:
    rows = [statement("a", "I keep bees."), statement("b", "i  keep bees!!")]
    assert Deduplicator(0.9).verdicts(rows, axis(0, 1)) == [None, Rejection(DropReason.DUPLICATE, "a")]


@pytest.mark.parametrize("block", [1, 4096])
def test_a_near_duplicate_of_an_earlier_shard_is_dropped_and_names_its_twin(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_BLOCK", block)
    seen = Deduplicator(0.9)
    assert seen.verdicts([statement("a", "I keep bees.")], axis(0)) == [None]
    assert seen.verdicts([], axis()) == []
    assert seen.verdicts([statement("b", "I ski."), statement("c", "I sail.")], axis(1, 2)) == [None, None]
    late = [statement("d", "I keep some bees."), statement("e", "I row."), statement("f", "I sail a lot.")]
    near = DropReason.NEAR_DUPLICATE
    assert seen.verdicts(late, axis(0, 5, 2)) == [Rejection(near, "a"), None, Rejection(near, "c")]


def test_near_duplicates_within_a_shard_are_found() -> None:
    rows = [statement("a", "I keep bees."), statement("b", "I keep many bees.")]
    assert Deduplicator(0.9).verdicts(rows, axis(3, 3)) == [None, Rejection(DropReason.NEAR_DUPLICATE, "a")]


def test_a_cap_takes_every_users_best_row_before_anyones_second() -> None:
    entries = [Entry("a", "u1", 0.99), Entry("b", "u1", 0.98), Entry("c", "u2", 0.7)]
    assert cap(entries, per_user=2, total=2, seed=1) == {"a", "c"}


@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.floats(0, 1)), max_size=20),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(0, 10)),
)
def test_a_cap_leaves_as_many_rows_as_it_may(drawn: list[tuple[str, float]], per_user: int, total: int | None) -> None:
    entries = [Entry(f"{i:03d}", user, p) for i, (user, p) in enumerate(drawn)]
    chosen = cap(entries, per_user=per_user, total=total, seed=7)
    within = sum(min(per_user, rows) for rows in Counter(user for user, _ in drawn).values())
    assert len(chosen) == (within if total is None else min(within, total))
    assert all(sum(e.user_id == user for e in entries if e.id in chosen) <= per_user for user in "uvw")


def test_a_history_holds_the_users_statements_in_order() -> None:
    entries = [Entry("c", "u", 0.5), Entry("b", "v", 0.9), Entry("a", "u", 0.9)]
    assert histories(entries, of={"u"}) == {"u": ("c", "a")}


def test_a_dropped_row_carries_its_reason_and_the_whole_row() -> None:
    dropped = drop(statement("a"), Rejection(DropReason.OVER_CAP, "at most 3"))
    assert (dropped.id, dropped.stage, dropped.reason, dropped.detail) == ("a", "mine", "over_cap", "at most 3")
    assert Statement.model_validate(json.loads(dropped.row)) == statement("a")


@pytest.mark.parametrize("text", ["I keep bees.", "I KEEP  BEES", "«I keep bees»!"])
def test_the_duplicate_key_ignores_case_and_punctuation(text: str) -> None:
    assert normalized(text) == "i keep bees"
