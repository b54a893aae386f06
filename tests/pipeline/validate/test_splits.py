from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Draft
from pipeline.validate.config import SplitConfig
from pipeline.validate.splits import Member, assign, member, near_duplicates

MEMBERS = st.lists(
    st.builds(
        Member,
        st.sampled_from([f"user{i}" for i in range(12)]),
        st.integers(0, 20),
        st.lists(st.sampled_from([f"hobby = {i}" for i in range(15)]), max_size=2).map(tuple),
        st.sampled_from(["hobby", "pet", "diet"]),
    ),
    max_size=30,
)
CONFIG = SplitConfig(seed=3, train=0.3, validation=0.2, test=0.5, max_group=1.0, near_duplicate=None)


@given(MEMBERS)
def test_near_duplicates_and_users_never_cross_a_split(members: list[Member]) -> None:
    split = assign(members, CONFIG).splits
    assert set(split) == {row.user_id for row in members}
    by_key: dict[object, set[str]] = defaultdict(set)
    for row in members:
        for key in (row.statement, *row.facts):
            by_key[key].add(split[row.user_id])
    assert all(len(splits) == 1 for splits in by_key.values())


@given(MEMBERS)
def test_the_order_of_the_rows_does_not_matter(members: list[Member]) -> None:
    assert assign(members, CONFIG) == assign(members[::-1], CONFIG)


def test_the_shares_hold_within_every_family() -> None:
    members = [Member(f"u{i}", i, (), "hobby" if i % 4 else "pet") for i in range(200)]
    split = assign(members, CONFIG).splits
    for family in ("hobby", "pet"):
        sizes = Counter(split[m.user_id] for m in members if m.family == family)
        for name, share in (("train", 0.3), ("validation", 0.2), ("test", 0.5)):
            assert abs(sizes[name] - share * sizes.total()) <= 2


COMMON = [Member(f"u{i}", i, ("profession = nurse",) if i < 40 else (f"pet = {i}",), "x") for i in range(200)]


def test_a_fact_of_too_many_users_stands_in_several_splits_and_is_reported() -> None:
    dealt = assign(COMMON, CONFIG.model_copy(update={"max_group": 0.1}))
    assert {dealt.splits[f"u{i}"] for i in range(40)} == {"train", "validation", "test"}
    assert dealt.counts["facts_of_several_users"] == {"facts": 1, "users": 40, "preferences": 40}
    assert dealt.counts["of_these_in_several_splits"] == dealt.counts["facts_of_several_users"]


def test_the_shares_hold_beside_a_large_group() -> None:
    dealt = assign(COMMON, CONFIG.model_copy(update={"max_group": 0.2}))
    assert len({dealt.splits[f"u{i}"] for i in range(40)}) == 1
    assert dealt.counts["users_of_the_largest_group"] == 40
    assert dealt.counts["largest_gap_to_the_share_of_a_family"] <= 1
    assert dealt.counts["of_these_in_several_splits"] == {"facts": 0, "users": 0, "preferences": 0}


def test_rare_facts_are_joined_before_common_ones() -> None:
    members = [Member(f"u{i}", i, ("job = nurse", f"pet = {i // 2}"), "x") for i in range(20)]
    split = assign(members, CONFIG.model_copy(update={"max_group": 0.1})).splits
    assert all(split[f"u{i}"] == split[f"u{i + 1}"] for i in range(0, 20, 2))
    assert len(set(split.values())) == 3


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"target": "nurse"}, {"target": "Nurses"}, True),
        ({"target": "United States"}, {"target": "US", "aliases": ("United States", "America")}, True),
        ({"target": "nurse"}, {"target": "head nurse"}, False),
        ({"target": "nurse"}, {"target": "nurse", "attribute_type": "employer"}, False),
    ],
)
def test_facts_are_equal_when_the_type_and_one_form_of_the_value_are(
    draft: Callable[..., Draft], one: dict[str, Any], other: dict[str, Any], equal: bool
) -> None:
    assert bool(set(member(draft(**one)).facts) & set(member(draft(**other)).facts)) is equal


def test_the_stratum_is_the_family_of_the_attribute_type_and_not_the_detectors_guess(
    draft: Callable[..., Draft],
) -> None:
    made = draft(family="profession")
    assert (made.statement.family, member(made).family) == ("hobby", "profession")


def test_another_seed_deals_other_users() -> None:
    members = [Member(f"u{i}", i, (), "hobby") for i in range(50)]
    other = CONFIG.model_copy(update={"seed": 4})
    assert assign(members, CONFIG).splits != assign(members, other).splits


def test_a_split_with_no_share_stays_empty() -> None:
    members = [Member(f"u{i}", i, (), "hobby") for i in range(20)]
    config = SplitConfig(seed=1, train=0, validation=0, test=1, max_group=1.0, near_duplicate=None)
    assert set(assign(members, config).splits.values()) == {"test"}


PAIRS = st.lists(st.tuples(*[st.sampled_from([f"user{i}" for i in range(12)])] * 2), max_size=8)


@given(MEMBERS, PAIRS)
def test_users_with_nearly_the_same_statement_never_cross_a_split(
    members: list[Member], pairs: list[tuple[str, str]]
) -> None:
    known = {row.user_id for row in members}
    pairs = [(one, other) for one, other in pairs if {one, other} <= known]
    split = assign(members, CONFIG, pairs).splits
    assert all(split[one] == split[other] for one, other in pairs)


def test_near_duplicates_are_pairs_of_different_users_above_the_threshold() -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0, 1], [1, 0]], dtype=np.float32)
    assert near_duplicates(["a", "b", "c", "a"], vectors, 0.95) == [("a", "b")]
