from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.validate.config import SplitConfig
from pipeline.validate.splits import Member, assign, near_duplicates

MEMBERS = st.lists(
    st.builds(
        Member,
        st.sampled_from([f"user{i}" for i in range(12)]),
        st.integers(0, 20),
        st.sampled_from(["hobby", "pet", "diet"]),
    ),
    max_size=30,
)
CONFIG = SplitConfig(seed=3, train=0.3, validation=0.2, test=0.5, near_duplicate=None)


@given(MEMBERS)
def test_near_duplicates_and_users_never_cross_a_split(members: list[Member]) -> None:
    split = assign(members, CONFIG)
    assert set(split) == {member.user_id for member in members}
    by_key: dict[object, set[str]] = defaultdict(set)
    for member in members:
        by_key[member.duplicate_key].add(split[member.user_id])
    assert all(len(splits) == 1 for splits in by_key.values())


@given(MEMBERS)
def test_the_order_of_the_rows_does_not_matter(members: list[Member]) -> None:
    assert assign(members, CONFIG) == assign(members[::-1], CONFIG)


def test_the_shares_hold_within_every_family() -> None:
    members = [Member(f"u{i}", i, "hobby" if i % 4 else "pet") for i in range(200)]
    split = assign(members, CONFIG)
    for family in ("hobby", "pet"):
        sizes = Counter(split[m.user_id] for m in members if m.family == family)
        for name, share in (("train", 0.3), ("validation", 0.2), ("test", 0.5)):
            assert abs(sizes[name] - share * sizes.total()) <= 2


def test_another_seed_deals_other_users() -> None:
    members = [Member(f"u{i}", i, "hobby") for i in range(50)]
    other = CONFIG.model_copy(update={"seed": 4})
    assert assign(members, CONFIG) != assign(members, other)


def test_a_split_with_no_share_stays_empty() -> None:
    members = [Member(f"u{i}", i, "hobby") for i in range(20)]
    config = SplitConfig(seed=1, train=0, validation=0, test=1, near_duplicate=None)
    assert set(assign(members, config).values()) == {"test"}


PAIRS = st.lists(st.tuples(*[st.sampled_from([f"user{i}" for i in range(12)])] * 2), max_size=8)


@given(MEMBERS, PAIRS)
def test_users_with_nearly_the_same_statement_never_cross_a_split(
    members: list[Member], pairs: list[tuple[str, str]]
) -> None:
    known = {member.user_id for member in members}
    pairs = [(one, other) for one, other in pairs if {one, other} <= known]
    split = assign(members, CONFIG, pairs)
    assert all(split[one] == split[other] for one, other in pairs)


def test_near_duplicates_are_pairs_of_different_users_above_the_threshold() -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0, 1], [1, 0]], dtype=np.float32)
    assert near_duplicates(["a", "b", "c", "a"], vectors, 0.95) == [("a", "b")]
