"""What only the whole run can decide: duplicates, the caps, and each user's history.

Of a row that survives, memory keeps its id, user, probability, normalized text and embedding; the row itself stays on
disk. Of one that does not, the reason.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Dropped, content_id
from pipeline.embedding import Vectors
from pipeline.mine.mining import STAGE, Row
from pipeline.mine.reasons import DropReason

_NOT_WORD = re.compile(r"[\W_]+")
_BLOCK = 4096
"""Embeddings compared at a time."""


class Rejection(NamedTuple):
    """Why a row does not survive."""

    reason: DropReason
    """The rule."""
    detail: str
    """What it says in the dropped row."""


class Entry(NamedTuple):
    """What the caps and the history need to know of a row."""

    id: str
    """Id of the row."""
    user_id: str
    """Whose it is."""
    confidence: float
    """Probability of the row."""


class Deduplicator:
    """Keeps the first of equal and of nearly equal texts, over all shards and sources."""

    def __init__(self, near: float) -> None:
        """`near`: cosine from which on two texts count as the same."""
        self._near = near
        self._exact: dict[str, str] = {}
        self._blocks: list[npt.NDArray[np.float16]] = []
        self._ids: list[str] = []

    def verdicts(self, rows: Sequence[Row], vectors: Vectors) -> list[Rejection | None]:
        """Why each of `rows` is dropped, None for a survivor; `vectors` holds their embeddings, shape (n, 384)."""
        cosine, twin = self._nearest(vectors)
        among = vectors @ vectors.T
        found: list[Rejection | None] = []
        fresh: list[int] = []
        for number, row in enumerate(rows):
            key = normalized(row.text)
            if key in self._exact:
                found.append(Rejection(DropReason.DUPLICATE, self._exact[key]))
                continue
            self._exact[key] = row.id
            if cosine[number] >= self._near:
                found.append(Rejection(DropReason.NEAR_DUPLICATE, self._ids[twin[number]]))
            elif fresh and among[number, fresh].max() >= self._near:
                found.append(Rejection(DropReason.NEAR_DUPLICATE, rows[fresh[among[number, fresh].argmax()]].id))
            else:
                found.append(None)
                fresh.append(number)
        self._remember(vectors[fresh].astype(np.float16))
        self._ids += [rows[number].id for number in fresh]
        return found

    def _nearest(self, vectors: Vectors) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Cosine and number of the most similar earlier survivor, one each a row; -1 where there is none."""
        cosine = np.full(len(vectors), -1.0, dtype=np.float32)
        twin = np.full(len(vectors), -1, dtype=np.int64)
        first = 0
        for block in self._blocks:
            similarity = vectors @ block.astype(np.float32).T
            best = similarity.max(axis=1, initial=-1.0)
            closer = best > cosine
            cosine[closer], twin[closer] = best[closer], first + similarity.argmax(axis=1)[closer]
            first += len(block)
        return cosine, twin

    def _remember(self, vectors: npt.NDArray[np.float16]) -> None:
        if self._blocks and len(self._blocks[-1]) < _BLOCK:
            vectors = np.concatenate([self._blocks.pop(), vectors])
        if len(vectors):
            self._blocks.append(vectors)


def cap(entries: Iterable[Entry], *, per_user: int, total: int | None, seed: int) -> frozenset[str]:
    """Ids of at most `per_user` rows of a user and `total` in all.

    The most probable first, and every user's best row before anyone's second, so that a small run covers many users;
    ties are broken by a seeded hash.
    """
    by_user: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    for entry in entries:
        by_user[entry.user_id].append((-entry.confidence, content_id(seed, entry.id), entry.id))
    ranked = [(rank, *better) for own in by_user.values() for rank, better in enumerate(sorted(own)[:per_user])]
    return frozenset(id_ for *_, id_ in sorted(ranked)[:total])


def histories(entries: Iterable[Entry], *, of: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """For each of the users `of` the ids of their statements, in order of appearance."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.user_id in of:
            found[entry.user_id].append(entry.id)
    return {user: tuple(ids) for user, ids in found.items()}


def drop(row: Row, rejection: Rejection) -> Dropped:
    """`row` as a dropped row."""
    return Dropped(
        id=row.id,
        stage=STAGE,
        reason=rejection.reason.value,
        detail=rejection.detail,
        row=json.dumps(row.model_dump(mode="json"), ensure_ascii=False),
    )


def normalized(text: str) -> str:
    """`text` without letter case, punctuation and spacing: the key of exact duplicates."""
    return _NOT_WORD.sub(" ", text).strip().casefold()
