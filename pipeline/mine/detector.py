"""The trained part of the detector: two small logistic heads and the prototypes of families and topics.

The heads are trained by `python -m pipeline.mine.train` and applied with numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import yaml

from pipeline.embedding import Vectors, embed
from pipeline.mine.features import Matrix

HEADS = Path(__file__).with_name("heads.npz")
"""The committed weights."""
SEEDS = Path(__file__).with_name("seeds.yaml")
"""Sentences we wrote: prototypes, and seed of the training."""
NEIGHBOURS = 3
"""Prototypes of a family whose mean similarity decides."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Head:
    """A logistic head: probability = sigmoid(features @ weights + bias)."""

    weights: npt.NDArray[np.float32]
    """Shape (n_features,)."""
    bias: float
    """Intercept."""

    def probability(self, features: Matrix) -> npt.NDArray[np.float64]:
        """Probability of each row, shape (n,), rounded to 4 digits."""
        # einsum adds in a fixed order, so a row's probability does not depend on its neighbours.
        logits = np.einsum("nf,f->n", features.astype(np.float64), self.weights.astype(np.float64)) + self.bias
        probabilities: npt.NDArray[np.float64] = np.round(1.0 / (1.0 + np.exp(-logits)), 4)
        return probabilities


def load_heads(path: Path = HEADS) -> dict[str, Head]:
    """The heads "statement" and "query"."""
    with np.load(path) as stored:
        return {kind: head_from(stored, kind) for kind in ("statement", "query")}


def head_from(stored: Mapping[str, npt.NDArray[np.float32]], kind: str) -> Head:
    """The head of `kind` among stored arrays."""
    return Head(stored[f"{kind}_weights"].astype(np.float32), float(stored[f"{kind}_bias"]))


@dataclass(frozen=True)
class Prototypes:
    """Sentences with known labels, embedded."""

    labels: tuple[str, ...]
    """Label of each prototype."""
    vectors: Vectors
    """Their embeddings, shape (n, 384)."""

    def nearest(self, vectors: Vectors) -> list[str]:
        """The label whose best NEIGHBOURS prototypes are most similar on average, for each row of `vectors`."""
        similarity = vectors @ self.vectors.T
        names = sorted(set(self.labels))
        columns = {name: [i for i, label in enumerate(self.labels) if label == name] for name in names}
        best = [np.sort(similarity[:, columns[name]], axis=1)[:, -NEIGHBOURS:].mean(axis=1) for name in names]
        return [names[i] for i in np.stack(best, axis=1).argmax(axis=1)]


@lru_cache(maxsize=8)
def prototypes(group: Literal["families", "topics"], dtype: Precision) -> Prototypes:
    """The prototypes of statement families or of query topics."""
    pairs = [(name, text) for name, texts in seeds()[group].items() for text in texts]
    return Prototypes(tuple(name for name, _ in pairs), embed([text for _, text in pairs], dtype=dtype))


def seeds() -> dict[str, dict[str, Sequence[str]]]:
    """The seed sentences: `families` and `topics` by label, `not_statements` and `not_queries` as lists."""
    loaded: dict[str, dict[str, Sequence[str]]] = yaml.safe_load(SEEDS.read_text(encoding="utf-8"))
    return loaded
