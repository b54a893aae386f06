"""The cheap linear models that pick the sentences worth an embedding, one for statements and one for queries.

Features are hashed words and word pairs, those around the sentence too, and the lexical columns of
`pipeline.mine.features`; nothing is embedded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.mine.candidates import KINDS, Candidate, Kind
from pipeline.mine.detector import HEADS
from pipeline.mine.features import BUCKETS, LEXICAL_SCALE, hashed_words, lexical, words_around, words_score


@dataclass(frozen=True)
class Prefilter:
    """Scores of candidates from words alone."""

    weights: npt.NDArray[np.float32]
    """Shape (2 BUCKETS + len(NAMES),): first the hashed columns, then the lexical ones."""
    threshold: float
    """Least score (before the sigmoid, bias included in the threshold) of a sentence that is embedded."""

    def keeps(self, candidate: Candidate) -> bool:
        """Whether the sentence is worth an embedding."""
        return self.score(candidate) >= self.threshold

    def score(self, candidate: Candidate) -> float:
        """Linear score of one sentence."""
        words = words_score(self.weights, hashed_words(candidate.text), words_around(candidate))
        place = np.asarray(lexical(candidate), dtype=np.float32) * LEXICAL_SCALE
        return float(words + place @ self.weights[2 * BUCKETS :])


def load_prefilters(path: Path = HEADS) -> dict[Kind, Prefilter]:
    """The committed prefilters."""
    with np.load(path) as stored:
        return {kind: prefilter_from(stored, kind) for kind in KINDS}


def prefilter_from(stored: Mapping[str, npt.NDArray[np.float16] | npt.NDArray[np.float32]], kind: Kind) -> Prefilter:
    """The prefilter of `kind` among stored arrays."""
    weights = stored[f"{kind}_prefilter_weights"].astype(np.float32)
    return Prefilter(weights, float(stored[f"{kind}_prefilter_threshold"]))
