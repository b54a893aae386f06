"""How hard a question is, measured: what it gives away in words, and how hard it is to find the statement with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.records import Difficulty
from pipeline.core.wording import content_stems
from pipeline.validate.config import DifficultyConfig

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


def measure(asked: Sequence[Asked], encode: Encode, config: DifficultyConfig) -> list[Difficulty]:
    """The difficulty numbers of every question, in order.

    The rank of a statement is counted among itself and `config.pool_size` others at most, the same seeded draw for
    all questions; other statements with the very same text do not count against it.
    """
    if not asked:
        return []
    statements = sorted({item.statement for item in asked})
    position = {text: i for i, text in enumerate(statements)}
    statement_vectors = encode(statements)
    questions = sorted({item.text for item in asked})
    question_position = {text: i for i, text in enumerate(questions)}
    question_vectors = encode(questions)
    pool = _pool(statements, config.pool_size)
    pool_vectors = statement_vectors[pool]

    measured = []
    for item in asked:
        vector = question_vectors[question_position[item.text]]
        own = float(vector @ statement_vectors[position[item.statement]])
        others = pool_vectors @ vector  # (pool,)
        better = int(np.count_nonzero(others[pool != position[item.statement]] > own))
        measured.append(
            Difficulty(
                statement_overlap=_share(content_stems(item.text), content_stems(item.statement)),
                attribute_overlap=_share(content_stems(item.attribute_type), content_stems(item.text)),
                statement_similarity=min(1.0, max(-1.0, round(own, 4))),
                statement_rank=better + 1,
            )
        )
    return measured


def tag(numbers: Difficulty, config: DifficultyConfig) -> Literal["easy", "medium", "hard"]:
    """The difficulty tag by the rule of docs/dataset.md.

    easy: the statement is easily found and the question shares words with it or names the attribute;
    hard: many other statements fit the question better; medium: everything between.
    """
    overlap = max(numbers.statement_overlap, numbers.attribute_overlap)
    if numbers.statement_rank <= config.easy_max_rank and overlap >= config.easy_min_overlap:
        return "easy"
    return "hard" if numbers.statement_rank >= config.hard_min_rank else "medium"


def _share(of: set[str], within: set[str]) -> float:
    return round(len(of & within) / len(of), 4) if of else 0.0


def _pool(statements: Sequence[str], size: int) -> npt.NDArray[np.intp]:
    """Indices of a draw of `size` statements that depends on their texts alone, not on their order or number."""
    order = sorted(range(len(statements)), key=lambda i: hashlib.sha256(statements[i].encode()).digest())
    return np.array(order[:size], dtype=np.intp)
