"""The cheap linear model that picks the first-person sentences worth an embedding.

Features are hashed words and word pairs and the lexical columns of `pipeline.mine.features`; nothing is embedded. It
keeps about one first-person sentence in seven, and with it about four preference statements in five: far more than
hand-written patterns of the same size.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.mine.candidates import Candidate
from pipeline.mine.detector import HEADS
from pipeline.mine.features import LEXICAL_SCALE, NAMES, lexical

BUCKETS = 1 << 14
"""Columns the words and word pairs are hashed into."""
MOST_WORDS = 60
"""Words read of a sentence."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[^\w\s]")


@dataclass(frozen=True)
class Prefilter:
    """Scores of candidates from words alone."""

    weights: npt.NDArray[np.float32]
    """Shape (BUCKETS + len(NAMES),): first the hashed columns, then the lexical ones."""
    threshold: float
    """Least score (before the sigmoid, bias included in the threshold) of a sentence that is embedded."""

    def keeps(self, candidate: Candidate) -> bool:
        """Whether the sentence is worth an embedding."""
        return self.score(candidate) >= self.threshold

    def score(self, candidate: Candidate) -> float:
        """Linear score of one sentence."""
        columns = hashed_words(candidate.text)
        words = float(self.weights[columns].sum()) / len(columns) ** 0.5
        place = np.asarray(lexical(candidate), dtype=np.float32) * LEXICAL_SCALE
        return float(words + place @ self.weights[BUCKETS:])


def load_prefilter(path: Path = HEADS) -> Prefilter:
    """The committed prefilter."""
    with np.load(path) as stored:
        return prefilter_from(stored)


def prefilter_from(stored: Mapping[str, npt.NDArray[np.float32]]) -> Prefilter:
    """The prefilter among stored arrays."""
    return Prefilter(stored["prefilter_weights"].astype(np.float32), float(stored["prefilter_threshold"]))


def hashed_words(text: str) -> list[int]:
    """The columns of the words and word pairs of `text`, each once, sorted; every number counts as the same word."""
    words = ["#" if word.isdigit() else word for word in _WORD.findall(text.lower().replace("’", "'"))[:MOST_WORDS]]
    framed = ["<s>", *words, "</s>"]
    grams = {*framed, *(f"{left} {right}" for left, right in zip(framed, framed[1:], strict=False))}
    return sorted({zlib.crc32(gram.encode()) % BUCKETS for gram in grams})


def design_matrix(candidates: Sequence[Candidate]) -> npt.NDArray[np.float32]:
    """The rows the prefilter is trained on, shape (n, BUCKETS + len(NAMES))."""
    rows = np.zeros((len(candidates), BUCKETS + len(NAMES)), dtype=np.float32)
    for row, candidate in enumerate(candidates):
        columns = hashed_words(candidate.text)
        rows[row, columns] = len(columns) ** -0.5
        rows[row, BUCKETS:] = np.asarray(lexical(candidate)) * LEXICAL_SCALE
    return rows
