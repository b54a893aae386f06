"""What only the whole run can decide: duplicates, the caps, and each user's history."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Dropped, Statement, content_id
from pipeline.embedding import DIMENSION, Vectors
from pipeline.mine.mining import STAGE, Row
from pipeline.mine.reasons import DropReason

_NOT_WORD = re.compile(r"[\W_]+")


@dataclass
class Selection:
    """Rows of one kind that survive, and those that do not."""

    rows: list[Row] = field(default_factory=list)
    """Survivors, in order of appearance."""
    dropped: list[Dropped] = field(default_factory=list)
    """The others, with reason."""


class Deduplicator:
    """Keeps the first of equal and of nearly equal texts, over all shards and sources."""

    def __init__(self, near: float) -> None:
        """`near`: cosine from which on two texts count as the same."""
        self._near = near
        self._exact: dict[str, str] = {}
        self._vectors: npt.NDArray[np.float16] = np.zeros((0, DIMENSION), dtype=np.float16)
        self._ids: list[str] = []

    def add(self, rows: Sequence[Row], vectors: Vectors, selection: Selection) -> None:
        """Put each of `rows` into `selection` as survivor or dropped; `vectors` holds their embeddings."""
        if not rows:
            return
        earlier = vectors @ self._vectors.astype(np.float32).T
        among = vectors @ vectors.T
        fresh: list[int] = []
        for number, row in enumerate(rows):
            key = normalized(row.text)
            if key in self._exact:
                selection.dropped.append(drop(row, DropReason.DUPLICATE, self._exact[key]))
                continue
            self._exact[key] = row.id
            twin = self._twin(earlier[number], among[number], fresh, rows)
            if twin is not None:
                selection.dropped.append(drop(row, DropReason.NEAR_DUPLICATE, twin))
                continue
            fresh.append(number)
            selection.rows.append(row)
        self._vectors = np.concatenate([self._vectors, vectors[fresh].astype(np.float16)])
        self._ids += [rows[number].id for number in fresh]

    def _twin(
        self, earlier: npt.NDArray[np.float32], among: npt.NDArray[np.float32], fresh: list[int], rows: Sequence[Row]
    ) -> str | None:
        if earlier.size and earlier.max() >= self._near:
            return self._ids[int(earlier.argmax())]
        if fresh and among[fresh].max() >= self._near:
            return rows[fresh[int(among[fresh].argmax())]].id
        return None


def cap(selection: Selection, *, per_user: int, total: int | None, seed: int) -> Selection:
    """At most `per_user` rows of a user and `total` in all.

    The most probable first, and every user's best row before anyone's second, so that a small run covers many users;
    ties are broken by a seeded hash. Survivors stay in order of appearance.
    """
    by_user: dict[str, list[Row]] = defaultdict(list)
    for row in selection.rows:
        by_user[row.user_id].append(row)

    def better(row: Row) -> tuple[float, str]:
        return -row.confidence, content_id(seed, row.id)

    ranked: list[tuple[int, float, str, str]] = []
    for rows in by_user.values():
        for rank, row in enumerate(sorted(rows, key=better)[:per_user]):
            ranked.append((rank, *better(row), row.id))
    chosen = {row_id for *_, row_id in sorted(ranked)[:total]}
    capped = Selection(dropped=list(selection.dropped))
    for row in selection.rows:
        if row.id in chosen:
            capped.rows.append(row)
        else:
            capped.dropped.append(drop(row, DropReason.OVER_CAP, f"at most {per_user} a user, {total} in all"))
    return capped


def with_history(rows: Iterable[Row]) -> list[Statement]:
    """The statements among `rows`, each with the ids of the same user's other statements."""
    statements = [row for row in rows if isinstance(row, Statement)]
    by_user: dict[str, list[str]] = defaultdict(list)
    for row in statements:
        by_user[row.user_id].append(row.id)
    return [
        row.model_copy(update={"history": tuple(i for i in by_user[row.user_id] if i != row.id)}) for row in statements
    ]


def drop(row: Row, reason: DropReason, detail: str) -> Dropped:
    """`row` as a dropped row."""
    return Dropped(
        id=row.id,
        stage=STAGE,
        reason=reason.value,
        detail=detail,
        row=json.dumps(row.model_dump(mode="json"), ensure_ascii=False),
    )


def normalized(text: str) -> str:
    """`text` without letter case, punctuation and spacing: the key of exact duplicates."""
    return _NOT_WORD.sub(" ", text).strip().casefold()
