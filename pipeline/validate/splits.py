"""Train, validation and test, disjoint by user and by near-duplicate preference, balanced over attribute families."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Split
from pipeline.validate.config import SplitConfig

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Member(NamedTuple):
    """What decides where a preference goes."""

    user_id: str
    """Its user: all of a user's preferences fall into one split."""
    duplicate_key: Hashable
    """Preferences with equal keys are near-duplicates and fall into one split."""
    family: str
    """Its stratum."""


def near_duplicates(users: Sequence[str], vectors: npt.NDArray[np.float32], threshold: float) -> list[tuple[str, str]]:
    """Pairs of different users whose vectors, unit length and shape (n, d), have a cosine of `threshold` or more."""
    pairs: list[tuple[str, str]] = []
    for start in range(0, len(users), _ROWS):
        close = vectors[start : start + _ROWS] @ vectors.T >= threshold  # (rows, n)
        pairs += [(users[start + int(i)], users[int(j)]) for i, j in zip(*np.nonzero(close), strict=True)]
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})


_ROWS = 1024
"""Rows of the similarity matrix held at once."""


def assign(members: Sequence[Member], config: SplitConfig, near: Iterable[tuple[str, str]] = ()) -> dict[str, Split]:
    """The split of every user.

    Users that share a near-duplicate preference, or stand in a pair of `near`, form a group; groups are dealt one by
    one, in an order seeded by `config.seed`, to the split that is furthest below its share of the group's families.
    """
    shares: Mapping[Split, float] = {"train": config.train, "validation": config.validation, "test": config.test}
    counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    assigned: dict[str, Split] = {}
    groups = sorted(_groups(members, near), key=lambda users: _draw(config.seed, min(users)))
    families: dict[str, Counter[str]] = defaultdict(Counter)
    for member in members:
        families[member.user_id][member.family] += 1
    for users in groups:
        dealt = sum((families[user] for user in users), Counter[str]())
        split = max(
            (split for split in SPLITS if shares[split] > 0),
            key=lambda split: _deficit(dealt, counts, split, shares[split]),
        )
        counts[split] += dealt
        assigned.update(dict.fromkeys(users, split))
    return assigned


def _deficit(dealt: Counter[str], counts: Mapping[Split, Counter[str]], split: Split, share: float) -> float:
    """How many preferences `split` lacks of its share: of the group's own families plus over all."""
    total = sum(counter.total() for counter in counts.values()) + dealt.total()
    below = share * total - counts[split].total()
    for family in dealt:
        of_family = sum(counter[family] for counter in counts.values()) + dealt[family]
        below += share * of_family - counts[split][family]
    return below


def _draw(seed: int, user: str) -> str:
    return hashlib.sha256(f"{seed}\0{user}".encode()).hexdigest()


def _groups(members: Sequence[Member], near: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Users joined by shared near-duplicates or pairs (connected components)."""
    leader: dict[str, str] = {}

    def find(user: str) -> str:
        leader.setdefault(user, user)
        while leader[user] != user:
            leader[user] = leader[leader[user]]
            user = leader[user]
        return user

    first: dict[Hashable, str] = {}
    for member in members:
        other = first.setdefault(member.duplicate_key, member.user_id)
        leader[find(member.user_id)] = find(other)
    for one, other in near:
        leader[find(one)] = find(other)
    groups: dict[str, set[str]] = defaultdict(set)
    for user in list(leader):
        groups[find(user)].add(user)
    return list(groups.values())
