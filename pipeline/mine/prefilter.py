"""The cheap linear models that pick the sentences worth an embedding, one for statements and one for queries.

Features are hashed words and word pairs, those around the sentence too, and the lexical columns of
`pipeline.mine.features`; nothing is embedded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.mine.candidates import KINDS, Candidate, Kind
from pipeline.mine.detector import HEADS
from pipeline.mine.features import BUCKETS, LEXICAL_SCALE, hashed_words, lexical, words_around, words_score


@dataclass(frozen=True)
class Prefilter:
    """Scores of candidates from words alone."""

    words: Sequence[float]
    """Weights of the hashed columns, 2 BUCKETS."""
    place: Sequence[float]
    """Weights of what `lexical` gives, in the order of NAMES."""
    threshold: float
    """Least score (before the sigmoid, bias included in the threshold) of a sentence that is embedded."""

    def keeps(self, candidate: Candidate) -> bool:
        """Whether the sentence is worth an embedding."""
        return self.score(candidate) >= self.threshold

    def score(self, candidate: Candidate) -> float:
        """Linear score of one sentence."""
        words = words_score(self.words, hashed_words(candidate.text), words_around(candidate))
        place: float = sum(map(mul, self.place, lexical(candidate)))
        return words + place


def load_prefilters(path: Path = HEADS) -> dict[Kind, Prefilter]:
    """The committed prefilters."""
    with np.load(path) as stored:
        return {kind: prefilter_from(stored, kind) for kind in KINDS}


def prefilter_from(stored: Mapping[str, npt.NDArray[np.float16] | npt.NDArray[np.float32]], kind: Kind) -> Prefilter:
    """The prefilter of `kind` among stored arrays."""
    weights = stored[f"{kind}_prefilter_weights"].astype(np.float64)
    words, place = weights[: 2 * BUCKETS], weights[2 * BUCKETS :] * LEXICAL_SCALE
    return Prefilter(words.tolist(), place.tolist(), float(stored[f"{kind}_prefilter_threshold"]))
