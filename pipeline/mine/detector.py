"""The trained part of the detector: a kernel machine for each kind, and the prototypes of families and topics.

The machines are trained by `python -m pipeline.mine.train` and applied with numpy alone.

Source: Cortes and Vapnik, Support-Vector Networks, Machine Learning 20 (1995); Platt, Probabilistic Outputs for Support
Vector Machines (1999), for the step from a decision value to a probability.
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

from pipeline.embedding import Vectors
from pipeline.mine.features import Features, words_score

HEADS = Path(__file__).with_name("heads.npz")
"""The committed weights."""
SEEDS = Path(__file__).with_name("seeds.yaml")
"""Sentences we wrote: prototypes, and seed of the training."""
NEIGHBOURS = 3
"""Prototypes of a family whose mean similarity decides."""
SENTENCE_WIDTH = 2.0
PLACE_WIDTH = 0.5
"""Factors of the squared distances in the exponent of the kernel."""
WORDS_SHARE = 0.5
"""Weight of the linear kernel over words and word pairs, and, for statements, over those around the sentence."""

Group = Literal["families", "topics"]
"""What prototypes tell apart."""
Kernel = npt.NDArray[np.float64]
"""Similarities, shape (n, m)."""


def near(left: Features, right: Features) -> Kernel:
    """The smooth part of the kernel between two sets of candidates, shape (len(left), len(right)).

    k(x, y) = exp(-2 |s - s'|^2 - |p - p'|^2 / 2) with the sentence embeddings s, and the lexical and structural
    columns p.
    """
    sentence = SENTENCE_WIDTH * _squared_distance(left.sentence, right.sentence)
    place = PLACE_WIDTH * _squared_distance(left.place, right.place)
    similarity: Kernel = np.exp(-sentence - place)
    return similarity


def _squared_distance(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> Kernel:
    a, b = left.astype(np.float64), right.astype(np.float64)
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :]
    distance: Kernel = np.maximum(squares - 2.0 * a @ b.T, 0.0)
    return distance


@dataclass(frozen=True)
class Machine:
    """A support vector machine: the smooth kernel in its dual form, the words in their primal form."""

    support: Features
    """The support vectors; their words are not kept."""
    dual: npt.NDArray[np.float32]
    """Weight of each support vector."""
    words: npt.NDArray[np.float32]
    """Weight of each hashed word, shape (2 BUCKETS,)."""
    bias: float
    """Intercept of the decision value."""
    slope: float
    """Factor of the decision value before the sigmoid."""
    offset: float
    """Added before the sigmoid."""

    def decision(self, features: Features) -> npt.NDArray[np.float64]:
        """Signed distance from the border of each row, shape (n,)."""
        halves = zip(features.words, features.around, strict=True)
        weights = self.words.tolist()
        from_words = [words_score(weights, words, around) for words, around in halves]
        smooth = near(features, self.support) @ self.dual.astype(np.float64)
        value: npt.NDArray[np.float64] = smooth + np.asarray(from_words, dtype=np.float64) + self.bias
        return value

    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        """Probability of each row, shape (n,), rounded to 4 digits."""
        logits = self.slope * self.decision(features) + self.offset
        probabilities: npt.NDArray[np.float64] = np.round(1.0 / (1.0 + np.exp(-logits)), 4)
        return probabilities


def load_machines(path: Path = HEADS) -> dict[str, Machine]:
    """The machines "statement" and "query"."""
    with np.load(path) as stored:
        return {kind: machine_from(stored, kind) for kind in ("statement", "query")}


def machine_from(stored: Mapping[str, npt.NDArray[np.float32]], kind: str) -> Machine:
    """The machine of `kind` among stored arrays."""

    def array(name: str) -> npt.NDArray[np.float32]:
        return stored[f"{kind}_{name}"].astype(np.float32)

    sentence, place = array("sentence"), array("place")
    bias, slope, offset = (float(value) for value in array("scalars"))
    return Machine(Features(sentence, place, (), ()), array("dual"), array("words"), bias, slope, offset)


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


@lru_cache(maxsize=2)
def prototypes(group: Group, path: Path = HEADS) -> Prototypes:
    """The prototypes of statement families or of query topics: the seeds, embedded when the machines were trained."""
    labels = tuple(name for name, _ in prototype_texts(group))
    with np.load(path) as stored:
        return Prototypes(labels, stored[group].astype(np.float32))


def prototype_texts(group: Group) -> list[tuple[str, str]]:
    """Label and text of each prototype of a group."""
    return [(name, text) for name, texts in seeds()[group].items() for text in texts]


def seeds() -> dict[str, dict[str, Sequence[str]]]:
    """The seed sentences: `families` and `topics` by label, the others (`in_passing`, `not_...`) as lists."""
    loaded: dict[str, dict[str, Sequence[str]]] = yaml.safe_load(SEEDS.read_text(encoding="utf-8"))
    return loaded
