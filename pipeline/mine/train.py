"""Trains the detector: `python -m pipeline.mine.train`.

Training rows are the sentences of seeds.yaml and the labels read from conversations (pipeline/mine/labels). What it
is worth is measured by benchmarks/mining_quality.py with the same functions, cross-validated by user. Needs
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.command import friendly

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.mine.candidates import Candidate, Kind
    from pipeline.mine.features import Matrix
    from pipeline.mine.labelled import Labelled

HEAD_C = 1.0
"""C of scikit-learn's LogisticRegression for the heads."""
PREFILTER_C = 2.0
"""The same for the prefilter."""
KEPT_SHARE = 0.15
"""Share of the first-person sentences that the prefilter lets through."""
HEAVIEST = 8.0
"""Largest weight of a labelled sentence: a thinly sampled stratum must not be ruled by a handful of rows."""
CHOSEN_WEIGHT = 2.0
"""Weight of a sentence that was chosen because an earlier detector found it hard."""
SEED_WEIGHT = 0.5
"""Weight of a sentence we wrote."""


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


def training_weight(row: Labelled) -> float:
    """Weight of a labelled sentence in training."""
    return min(row.weight, HEAVIEST) if row.weight else CHOSEN_WEIGHT


def logistic(
    features: Any, labels: Sequence[bool], weights: Sequence[float], regularization: float
) -> tuple[npt.NDArray[np.float32], float]:
    """Weights and bias of a logistic regression on a dense or sparse matrix; `regularization` is scikit-learn's C."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=regularization, max_iter=3000)
    model.fit(features, np.asarray(labels), sample_weight=np.asarray(weights))
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def train_prefilter(rows: Sequence[Labelled]) -> dict[str, npt.NDArray[np.float32]]:
    """Weights and threshold of the prefilter, trained on the seeds and on `rows`."""
    import numpy as np
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    from pipeline.mine.prefilter import Prefilter, design_matrix

    seeds, seed_labels = seed_candidates("statement")
    features = csr_matrix(design_matrix(seeds + [row.candidate for row in rows]))
    labels = seed_labels + [row.positive for row in rows]
    weights, _ = logistic(features, labels, _weights(seeds, rows), PREFILTER_C)
    # Stored in half precision: 32 kB, and no ranking changes.
    weights = weights.astype(np.float16).astype(np.float32)
    scored = sorted(((Prefilter(weights, 0.0).score(r.candidate), r.weight) for r in rows if r.weight), reverse=True)
    allowed = KEPT_SHARE * sum(weight for _, weight in scored)
    threshold = scored[-1][0]
    for score, weight in scored:
        allowed -= weight
        threshold = score
        if allowed < 0:
            break
    return {"prefilter_weights": weights.astype(np.float16), "prefilter_threshold": np.array(threshold, np.float32)}


def train_head(kind: Kind, rows: Sequence[Labelled], features: Matrix) -> dict[str, npt.NDArray[np.float32]]:
    """The head of `kind`, trained on the seeds and on `rows`; `features` holds those of the seeds, then of the rows."""
    import numpy as np

    seeds, seed_labels = seed_candidates(kind)
    labels = seed_labels + [row.positive for row in rows]
    weights, bias = logistic(features, labels, _weights(seeds, rows), HEAD_C)
    return {f"{kind}_weights": weights, f"{kind}_bias": np.array(bias, dtype=np.float32)}


def training_features(kind: Kind, rows: Sequence[Labelled]) -> Matrix:
    """Features of the seeds, then of `rows`."""
    from pipeline.embedding import embed
    from pipeline.mine.features import feature_matrix

    candidates = seed_candidates(kind)[0] + [row.candidate for row in rows]
    return feature_matrix(candidates, embed([candidate.text for candidate in candidates]))


def _weights(seeds: Sequence[Candidate], rows: Sequence[Labelled]) -> list[float]:
    return [SEED_WEIGHT] * len(seeds) + [training_weight(row) for row in rows]


@friendly
def train(
    out: Annotated[Path | None, typer.Option(help="File to write; default: the committed one.")] = None,
) -> None:
    """Train the prefilter and both heads. Example: python -m pipeline.mine.train."""
    import numpy as np

    from pipeline.core.progress import console
    from pipeline.core.tables import atomic_write
    from pipeline.mine.candidates import KINDS
    from pipeline.mine.detector import HEADS
    from pipeline.mine.labelled import labelled

    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for kind in KINDS:
        rows = [row for row in labelled(kind) if row.reachable]
        arrays |= train_head(kind, rows, training_features(kind, rows))
        if kind == "statement":
            arrays |= train_prefilter(rows)
        console.print(f"{kind}: {len(rows)} labels, {sum(row.positive for row in rows)} positive")
    with atomic_write(out or HEADS) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    typer.run(train)
