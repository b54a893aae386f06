"""Train, validation and test, disjoint by user and by near-duplicate preference, balanced over attribute families."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Draft, Split
from pipeline.core.wording import content_stems, stems
from pipeline.validate.config import SplitConfig

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Member(NamedTuple):
    """What decides where a preference goes."""

    user_id: str
    """Its user: all of a user's preferences fall into one split."""
    statement: str
    """Preferences with equal ones are near-duplicates and fall into one split."""
    facts: tuple[str, ...]
    """Its attribute type with each form of its value; who shares one falls into one split, with the exception of
    `SplitConfig.max_group`."""
    family: str
    """Its stratum."""


class Dealt(NamedTuple):
    """Who falls where."""

    splits: dict[str, Split]
    """The split of every user."""
    counts: dict[str, Any]
    """Groups, facts that several users share, and how far the families are from their shares."""


def member(draft: Draft) -> Member:
    """What decides the split of `draft`: word order, number and function words make no other statement or value."""
    said = draft.statement.self_contained
    attribute = " ".join(stems(draft.attribute_type))
    values = (" ".join(sorted(content_stems(form))) for form in (draft.target, *draft.aliases))
    return Member(
        draft.statement.user_id,
        " ".join(sorted(content_stems(said)) or stems(said)),
        tuple(f"{attribute} = {value}" for value in values),
        draft.family,
    )


def near_duplicates(users: Sequence[str], vectors: npt.NDArray[np.float32], threshold: float) -> list[tuple[str, str]]:
    """Pairs of different users whose vectors, unit length and shape (n, d), have a cosine of `threshold` or more."""
    pairs: list[tuple[str, str]] = []
    for start in range(0, len(users), _ROWS):
        close = vectors[start : start + _ROWS] @ vectors.T >= threshold  # (rows, n)
        pairs += [(users[start + int(i)], users[int(j)]) for i, j in zip(*np.nonzero(close), strict=True)]
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})


_ROWS = 1024
"""Rows of the similarity matrix held at once."""


def assign(members: Sequence[Member], config: SplitConfig, near: Iterable[tuple[str, str]] = ()) -> Dealt:
    """The split of every user.

    Users that share a near-duplicate preference or a fact, or stand in a pair of `near`, form a group. Groups are dealt
    one by one, the largest first and equal ones in an order seeded by `config.seed`, to the split that is furthest
    below its share of the group's families.
    """
    shares: Mapping[Split, float] = {"train": config.train, "validation": config.validation, "test": config.test}
    counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    splits: dict[str, Split] = {}
    groups = _Groups(members, near)
    shared = _shared(members)
    apart = groups.join_facts(shared, config.max_group)
    families: dict[str, Counter[str]] = defaultdict(Counter)
    for row in members:
        families[row.user_id][row.family] += 1
    for users in sorted(groups.all(), key=lambda users: (-len(users), _draw(config.seed, min(users)))):
        dealt = sum((families[user] for user in users), Counter[str]())
        split = max(
            (split for split in SPLITS if shares[split] > 0),
            key=lambda split: _deficit(dealt, counts, split, shares[split]),
        )
        counts[split] += dealt
        splits.update(dict.fromkeys(users, split))
    of_family = sum(counts.values(), Counter[str]())
    gaps = (abs(counts[s][name] - shares[s] * total) for s in SPLITS for name, total in of_family.items())
    report = {
        "groups": len(groups.all()),
        "users_of_the_largest_group": max(map(len, groups.all()), default=0),
        "facts_of_several_users": _concerned(members, shared),
        "of_these_in_several_splits": _concerned(
            members, {f: u for f, u in apart.items() if len({splits[n] for n in u}) > 1}
        ),
        "largest_gap_to_the_share_of_a_family": round(max(gaps, default=0.0), 1),
    }
    return Dealt(splits, report)


def _shared(members: Iterable[Member]) -> dict[str, list[str]]:
    """The users of each fact that several share."""
    users: dict[str, set[str]] = defaultdict(set)
    for row in members:
        for fact in row.facts:
            users[fact].add(row.user_id)
    return {fact: sorted(own) for fact, own in users.items() if len(own) > 1}


def _concerned(members: Iterable[Member], facts: Mapping[str, object]) -> dict[str, int]:
    rows = [row for row in members if any(fact in facts for fact in row.facts)]
    return {"facts": len(facts), "users": len({row.user_id for row in rows}), "preferences": len(rows)}


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


class _Groups:
    """Users joined to groups (connected components, by union-find)."""

    def __init__(self, members: Sequence[Member], near: Iterable[tuple[str, str]]) -> None:
        """Join those with equal statements and the pairs of `near`."""
        self._leader = {row.user_id: row.user_id for row in members}
        self._users = {user: [user] for user in self._leader}
        """The users of each group, by its leader."""
        first: dict[str, str] = {}
        for row in members:
            self._join({row.user_id, first.setdefault(row.statement, row.user_id)})
        for pair in near:
            self._join(set(pair))

    def join_facts(self, shared: Mapping[str, list[str]], most: float) -> dict[str, list[str]]:
        """Join the users of each fact, the rarest fact first.

        Returns:
            The facts that would make a group of more than the share `most` of all users; theirs stay apart.
        """
        apart: dict[str, list[str]] = {}
        for fact, users in sorted(shared.items(), key=lambda item: (len(item[1]), item[0])):
            leaders = {self._leader[user] for user in users}
            if len(leaders) > 1 and sum(len(self._users[one]) for one in leaders) > most * len(self._leader):
                apart[fact] = users
            else:
                self._join(leaders)
        return apart

    def all(self) -> list[list[str]]:
        """All groups."""
        return list(self._users.values())

    def _join(self, users: Iterable[str]) -> None:
        largest, *others = sorted({self._leader[user] for user in users}, key=lambda one: -len(self._users[one]))
        for one in others:
            moved = self._users.pop(one)
            self._users[largest] += moved
            self._leader.update(dict.fromkeys(moved, largest))
