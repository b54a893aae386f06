"""How hard a question is, measured: what it gives away in words, and how hard it is to find the statement with it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Difficulty
from pipeline.core.wording import content_stems
from pipeline.validate.config import DifficultyConfig, ReferenceConfig

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts to unit-length vectors, shape (n, d)."""


class Asked(NamedTuple):
    """A question with what its answer rests on."""

    text: str
    """The question."""
    statement: str
    """The statement it is about, self-contained."""
    attribute_type: str
    """The attribute type it is about."""


def drawn(statements: Iterable[str], config: DifficultyConfig) -> tuple[str, ...]:
    """The statements among which ranks are counted; the draw depends on the texts alone, not on their order."""
    distinct = sorted(set(statements), key=lambda text: hashlib.sha256(text.encode()).digest())
    return tuple(distinct[: config.pool_size])


class Yardstick:
    """Measures questions against one draw of statements.

    The rank of a statement is counted among itself and the others of `pool`, the same for all
    questions; other statements with the very same text do not count against it.
    """

    def __init__(self, pool: Sequence[str], encode: Encode) -> None:
        """`pool` are different statements, as `drawn` gives them."""
        self._pool = pool
        self._position = {text: i for i, text in enumerate(self._pool)}
        self._encode = encode
        self._vectors = encode(self._pool) if self._pool else np.zeros((0, 1), dtype=np.float32)  # (pool, d)

    def measure(self, asked: Sequence[Asked]) -> list[Difficulty]:
        """The difficulty numbers of every question, in order."""
        if not asked:
            return []
        statements = self._encoded([item.statement for item in asked])
        questions = self._encoded([item.text for item in asked])
        own = np.einsum("nd,nd->n", questions, statements)  # (n,)
        better = questions @ self._vectors.T > own[:, None]  # (n, pool)
        for row, item in enumerate(asked):
            if item.statement in self._position:
                better[row, self._position[item.statement]] = False
        ranks = better.sum(axis=1) + 1
        return [
            Difficulty(
                statement_overlap=_share(content_stems(item.text), content_stems(item.statement)),
                attribute_overlap=_share(content_stems(item.attribute_type), content_stems(item.text)),
                statement_similarity=min(1.0, max(-1.0, round(float(own[row]), 4))),
                statement_rank=int(ranks[row]),
                statement_pool=len(self._pool) + (item.statement not in self._position),
            )
            for row, item in enumerate(asked)
        ]

    def _encoded(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of `texts`, each distinct text encoded once, those of the pool not again."""
        position = {text: i for i, text in enumerate(dict.fromkeys(t for t in texts if t not in self._position))}
        new = self._encode(list(position)) if position else self._vectors
        return np.stack([self._vectors[self._position[t]] if t in self._position else new[position[t]] for t in texts])


def hashed(texts: Sequence[str], dimension: int = 512) -> npt.NDArray[np.float32]:
    """Unit-length bags of content stems by the hashing trick, shape (n, dimension): no model, for very large sets.

    Source: Weinberger et al. 2009, Feature Hashing for Large Scale Multitask Learning, eq. 1.
    """
    vectors = np.zeros((len(texts), dimension), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in content_stems(text):
            code = zlib.crc32(word.encode())
            vectors[row, code % dimension] += 1.0 if code >> 31 else -1.0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(norms, np.float32(1e-9))
    return vectors


def tag(
    numbers: Difficulty, config: DifficultyConfig, reference: ReferenceConfig | None
) -> Literal["easy", "medium", "hard"]:
    """The difficulty tag by the rule of docs/dataset.md.

    Two things make a question easy: that the statement is found with it, and that the reference model solves it or,
    without solve rates, that its words give the statement or the attribute away. hard when neither holds, medium when
    one does.
    """
    found = numbers.statement_rank <= config.max_rank
    if reference is not None and numbers.solve_rate_with is not None:
        helped = numbers.solve_rate_with >= reference.min_solve_rate
    else:
        helped = max(numbers.statement_overlap, numbers.attribute_overlap) >= config.min_overlap
    return "easy" if found and helped else "medium" if found or helped else "hard"


def _share(of: frozenset[str], within: frozenset[str]) -> float:
    return round(len(of & within) / len(of), 4) if of else 0.0
