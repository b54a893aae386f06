"""Trains the detector: `python -m pipeline.mine.train`.

Training rows are the sentences of seeds.yaml and the labels read from conversations (pipeline/mine/labels). What it
is worth is measured by benchmarks/mining_quality.py with the same functions, cross-validated by user. Needs
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.command import friendly

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.embedding import Precision
    from pipeline.mine.candidates import Candidate, Kind
    from pipeline.mine.detector import Kernel
    from pipeline.mine.features import Features
    from pipeline.mine.labelled import Labelled

    Rows = npt.NDArray[np.int64]
    Decisions = npt.NDArray[np.float64]

MACHINE_C = 2.0
"""C of scikit-learn's SVC."""
PREFILTER_C = 2.0
"""C of scikit-learn's LogisticRegression for the prefilters."""
KEPT_SHARE = {"statement": 0.08, "query": 0.4}
"""Share of the sentences within reach that each prefilter lets through."""
CHOSEN_WEIGHT = 1.5
"""Weight in training of a sentence that was chosen because an earlier detector found it hard; a drawn one has 1."""
SEED_WEIGHT = 0.5
"""Weight in training of a sentence we wrote."""
SEED_FOLD = -1
"""Fold of the seeds: they train for every part."""
DTYPE: Precision = "float32"
"""Precision of the embeddings in training, so that the weights do not depend on the processor's kinds of numbers."""


@dataclass(frozen=True)
class Examples:
    """What a kind is trained on: the seeds, then the labels within reach of the stage's filters."""

    candidates: Sequence[Candidate]
    """The sentences."""
    features: Features
    """Their features."""
    positive: npt.NDArray[np.bool_]
    """The labels."""
    weights: npt.NDArray[np.float64]
    """Weights in training."""
    corpus: npt.NDArray[np.float64]
    """How many sentences of the labelled half each stands for; 0 for seeds and for sentences that were chosen."""
    folds: npt.NDArray[np.int64]
    """Part of the users, SEED_FOLD for seeds."""
    gram: Kernel
    """The kernel between all of them."""

    def outside(self, *folds: int) -> Rows:
        """The rows that belong to none of `folds`."""
        import numpy as np

        return np.flatnonzero(~np.isin(self.folds, folds))

    def inside(self, fold: int) -> Rows:
        """The rows of one fold."""
        import numpy as np

        return np.flatnonzero(self.folds == fold)


def examples(kind: Kind, rows: Sequence[Labelled]) -> Examples:
    """The seeds and `rows` (labels within reach) with features and kernel."""
    import numpy as np

    from pipeline.embedding import embed
    from pipeline.mine.detector import WORDS_SHARE, near
    from pipeline.mine.features import LAYERS_READ, features_of, word_matrix

    seeds, seed_labels = seed_candidates(kind)
    candidates = seeds + [row.candidate for row in rows]
    sentence = embed([candidate.text for candidate in candidates], dtype=DTYPE, layers=LAYERS_READ)
    features = features_of(candidates, sentence)
    words = word_matrix(features)
    return Examples(
        candidates=candidates,
        features=features,
        positive=np.array(seed_labels + [row.positive for row in rows]),
        weights=np.array([SEED_WEIGHT] * len(seeds) + [1.0 if row.weight else CHOSEN_WEIGHT for row in rows]),
        corpus=np.array([0.0] * len(seeds) + [row.weight for row in rows]),
        folds=np.array([SEED_FOLD] * len(seeds) + [row.fold for row in rows]),
        gram=near(features, features) + WORDS_SHARE * (words @ words.T).toarray(),
    )


def seed_candidates(kind: Kind) -> tuple[list[Candidate], list[bool]]:
    """The seed sentences as messages of their own, with their labels."""
    from pipeline.core.records import Turn
    from pipeline.mine.candidates import in_context
    from pipeline.mine.detector import seeds

    groups, others = ("families", "not_statements") if kind == "statement" else ("topics", "not_queries")
    loaded = seeds()
    positive = [text for texts in loaded[groups].values() for text in texts]
    positive += loaded["in_passing"] if kind == "statement" else []
    texts = positive + list(loaded[others])
    found = [in_context(kind, [Turn(role="user", text=text)], 0, 0, len(text)) for text in texts]
    return found, [True] * len(positive) + [False] * len(loaded[others])


class Fitted:
    """A support vector machine over some rows of the examples."""

    def __init__(self, given: Examples, rows: Rows) -> None:
        """Trains on `rows`."""
        from sklearn.svm import SVC

        machine = SVC(C=MACHINE_C, kernel="precomputed", cache_size=500)
        machine.fit(given.gram[rows][:, rows], given.positive[rows], sample_weight=given.weights[rows])
        self.support: Rows = rows[machine.support_]
        """The support vectors, as rows of the examples."""
        self.dual: Decisions = machine.dual_coef_[0]
        """Their weights."""
        self.bias = float(machine.intercept_[0])
        """The intercept."""

    def decision(self, given: Examples, rows: Rows) -> Decisions:
        """The decision values of `rows`."""
        value: Decisions = given.gram[rows][:, self.support] @ self.dual + self.bias
        return value


def out_of_fold(given: Examples, rows: Rows) -> Decisions:
    """Decision values of `rows`, each by a machine that has not seen its user; nan for seeds."""
    import numpy as np

    found = np.full(len(rows), np.nan)
    for fold in sorted({int(fold) for fold in given.folds[rows]} - {SEED_FOLD}):
        others, own = rows[given.folds[rows] != fold], given.folds[rows] == fold
        found[own] = Fitted(given, others).decision(given, rows[own])
    return found


def calibration(given: Examples, rows: Rows, decisions: Decisions) -> tuple[float, float]:
    """Slope and offset of the sigmoid from the out-of-fold `decisions` to a probability in the corpus."""
    from sklearn.linear_model import LogisticRegression

    drawn = given.corpus[rows] > 0
    model = LogisticRegression(C=1e6)
    model.fit(decisions[drawn, None], given.positive[rows][drawn], sample_weight=given.corpus[rows][drawn])
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def train_machine(given: Examples, rows: Rows) -> dict[str, npt.NDArray[np.float16]]:
    """The arrays of a machine trained on `rows`, in half precision but for the scalars."""
    import numpy as np

    from pipeline.mine.detector import WORDS_SHARE
    from pipeline.mine.features import word_matrix

    slope, offset = calibration(given, rows, out_of_fold(given, rows))
    fitted = Fitted(given, rows)
    support = given.features.take(fitted.support.tolist())
    arrays = {
        "sentence": support.sentence,
        "place": support.place,
        "dual": fitted.dual,
        "words": WORDS_SHARE * (word_matrix(support).T @ fitted.dual),
    }
    halves = {name: np.asarray(array).astype(np.float16) for name, array in arrays.items()}
    return {**halves, "scalars": np.array([fitted.bias, slope, offset], dtype=np.float32)}


def train_prefilter(kind: Kind, given: Examples, rows: Rows) -> dict[str, npt.NDArray[np.float16]]:
    """Weights and threshold of a prefilter trained on `rows`."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    design = design_matrix(given.features.take(rows.tolist()))
    model = LogisticRegression(C=PREFILTER_C, max_iter=3000)
    model.fit(design, given.positive[rows], sample_weight=given.weights[rows])
    # Half precision: 32 kB, and no ranking changes.
    weights = model.coef_[0].astype(np.float16)
    scores = design @ weights.astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    kept = np.cumsum(given.corpus[rows][order]) <= KEPT_SHARE[kind] * given.corpus[rows].sum()
    # Halfway to the next, so that rounding decides about nothing.
    threshold = scores[order][kept.sum() - 1 : kept.sum() + 1].mean()
    return {"prefilter_weights": weights, "prefilter_threshold": np.array(threshold, dtype=np.float32)}


def design_matrix(features: Features) -> Any:
    """The sparse rows that a prefilter is trained on, shape (n, 2 BUCKETS + len(NAMES))."""
    from scipy.sparse import csr_matrix, hstack  # type: ignore[import-untyped]

    from pipeline.mine.features import word_matrix

    return hstack([word_matrix(features), csr_matrix(features.place)], format="csr")


@friendly
def train(
    out: Annotated[Path | None, typer.Option(help="File to write; default: the committed one.")] = None,
) -> None:
    """Train the prefilters and the machines, and embed the prototypes. Example: python -m pipeline.mine.train."""
    import numpy as np

    from pipeline.core.progress import console
    from pipeline.core.tables import atomic_write
    from pipeline.embedding import embed
    from pipeline.mine.candidates import KINDS
    from pipeline.mine.detector import HEADS, prototype_texts
    from pipeline.mine.labelled import labelled

    arrays: dict[str, npt.NDArray[np.float16]] = {}
    for kind in KINDS:
        rows = [row for row in labelled(kind) if row.reachable]
        given = examples(kind, rows)
        everything = given.outside()
        trained = {**train_machine(given, everything), **train_prefilter(kind, given, everything)}
        arrays |= {f"{kind}_{name}": array for name, array in trained.items()}
        console.print(
            f"{kind}: {len(rows)} labels, {sum(row.positive for row in rows)} positive, "
            f"{len(trained['dual'])} support vectors"
        )
    for group in ("families", "topics"):
        arrays[group] = embed([text for _, text in prototype_texts(group)], dtype=DTYPE).astype(np.float16)
    with atomic_write(out or HEADS) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    typer.run(train)
