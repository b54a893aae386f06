"""Trains the heads of the detector: `python -m pipeline.mine.train`.

Training rows are the sentences of seeds.yaml and the labels read from conversations (pipeline/mine/labels) of the
users in the training part; the other users' labels are left to benchmarks/mining_quality.py. Needs scikit-learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.core.command import friendly

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.mine.candidates import Candidate, Kind
    from pipeline.mine.detector import Head
    from pipeline.mine.features import Matrix
    from pipeline.mine.labelled import Labelled

REGULARIZATION = 1.0
"""C of scikit-learn's LogisticRegression."""
HEAVIEST = 6.0
"""Largest weight of a labelled sentence: a thinly sampled stratum must not be ruled by a handful of rows."""
SEED_WEIGHT = 0.5
"""Weight of a sentence we wrote, against 1 for a sentence somebody wrote."""


def seed_candidates(kind: Kind) -> tuple[list[Candidate], list[bool]]:
    """The seed sentences as messages of their own, with their labels."""
    from pipeline.core.records import Turn
    from pipeline.mine.candidates import in_context
    from pipeline.mine.detector import seeds

    groups, others = ("families", "not_statements") if kind == "statement" else ("topics", "not_queries")
    loaded = seeds()
    positive = [text for texts in loaded[groups].values() for text in texts]
    texts = positive + list(loaded[others])
    found = [in_context(kind, [Turn(role="user", text=text)], 0, 0, len(text)) for text in texts]
    return found, [True] * len(positive) + [False] * len(loaded[others])


def stratum_weights(rows: list[Labelled]) -> npt.NDArray[np.float64]:
    """How many sentences of the corpus each row stands for, relative to the densest stratum, at most HEAVIEST."""
    from collections import Counter

    import numpy as np

    drawn = Counter(row.stratum for row in rows)
    weights = np.array([row.population / drawn[row.stratum] for row in rows], dtype=np.float64)
    capped: npt.NDArray[np.float64] = np.minimum(weights / weights.min(), HEAVIEST)
    return capped


def fit(features: Matrix, labels: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]) -> Head:
    """A logistic head fitted to weighted rows."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from pipeline.mine.detector import Head

    model = LogisticRegression(C=REGULARIZATION, max_iter=2000)
    model.fit(features, labels, sample_weight=weights)
    return Head(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def train_head(kind: Kind, rows: list[Labelled]) -> Head:
    """The head of `kind`, trained on the seeds and on `rows`."""
    import numpy as np

    from pipeline.embedding import embed
    from pipeline.mine.features import feature_matrix

    seeds, seed_labels = seed_candidates(kind)
    candidates = seeds + [row.candidate for row in rows]
    features = feature_matrix(candidates, embed([candidate.text for candidate in candidates]))
    labels = np.array(seed_labels + [row.positive for row in rows])
    weights = np.concatenate([np.full(len(seeds), SEED_WEIGHT), stratum_weights(rows)])
    return fit(features, labels, weights)


@friendly
def train(
    out: Annotated[Path | None, typer.Option(help="Where to write; default: the committed file.")] = None,
) -> None:
    """Train both heads and write them. Example: python -m pipeline.mine.train."""
    import numpy as np

    from pipeline.core.progress import console
    from pipeline.core.tables import atomic_write
    from pipeline.mine.candidates import KINDS
    from pipeline.mine.detector import HEADS
    from pipeline.mine.labelled import labelled

    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for kind in KINDS:
        rows = [row for row in labelled(kind) if row.reachable and not row.for_testing]
        head = train_head(kind, rows)
        arrays |= {f"{kind}_weights": head.weights, f"{kind}_bias": np.array(head.bias, dtype=np.float32)}
        console.print(f"{kind}: {len(rows)} labels, {sum(row.positive for row in rows)} positive")
    with atomic_write(out or HEADS) as file:
        np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    typer.run(train)
