"""How the weights and thresholds of the judge `embedding` are fitted, and what they are worth on a writer not seen.

Development replies come from several writers. A model fitted on all but one of them rules on the one left out, because
what a judge learns from one hand's replies need not hold for the next; thresholds are chosen on such rulings only.

Right replies are also held against other users' preferences, where they are wrong: a judge that does not look at the
preference would reward methods that answer everything alike. These pairs count when thresholds are chosen; they are no
part of the fit (docs/decisions.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from editing.judges.base import APPLY_KINDS, Ruling
from editing.judges.calibration import LabelledReply, read_calibration
from editing.judges.config import JudgeConfig
from editing.judges.embedding import CONTROL_FEATURES, FEATURES, HEAD, EmbeddingJudge, group_of
from editing.judges.reading import is_negative
from editing.judges.registry import load_judge
from editing.judges.restrictions import forbidden
from pipeline.core.progress import console
from pipeline.core.records import TARGET_KINDS
from pipeline.core.tables import write_json
from pipeline.embedding import Vectors

REGULARISATION = {"recall": 0.05, "apply": 0.05, "control": 0.3}
"""Inverse strength of the L2 penalty of each head, chosen on writers left out."""
REPLY_SCALE = 0.25
"""Size of the standardised vector of the answer beside the features: smaller leaves it less to say."""
PAIRS_A_REPLY = 4
"""Other preferences that a right reply is held against."""
SWAPPED_WEIGHT = 0.25
"""What all swapped pairs count together, as a share of the wrong replies to the same questions."""
PREFERENCE = ("preference", "statement", "attribute_type", "target", "aliases")
"""What a swapped pair has from the other preference."""
FAR = 0.35
"""Values less near than this (cosine) are not served by the same reply."""
MAX_FALSE_ACCEPT = 0.10
"""Thresholds keep the false accepts on writers left out at or below this, the goal."""
CONTROL_FLOOR = 0.9
"""Least threshold of the controls' head. The development replies would allow 0.3, but the unedited SmolLM2-135M, which
knows of no preference, answers other people's questions with things of the same kind: of its 120 answers to the
controls of 24 validation records of the published UPQA 18 reach 0.3, 4 reach 0.7, 1 reaches 0.9."""
GRID = np.arange(0.2, 0.96, 0.01)
"""Thresholds that are tried."""

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Thresholds(NamedTuple):
    """Smallest probabilities, as in params.yaml."""

    recall: float
    apply: float
    control: float


class Replies:
    """The development replies with all that fitting needs."""

    def __init__(self, config: JudgeConfig) -> None:
        """Reads them, rules by words, and computes the features of those that words leave open."""
        judge = load_judge("embedding", config)
        assert isinstance(judge, EmbeddingJudge)
        replies = list(read_calibration("development"))
        self.rows = [*replies, *swapped_pairs(replies, judge)]
        items = [row.item() for row in self.rows]
        self.by_words: list[Ruling | None] = [judge.by_words(item) for item in items]
        self.open: Mask = np.array([ruling is None for ruling in self.by_words])
        self.group = np.array([group_of(item) for item in items])
        self.writer = np.array([row.writer for row in self.rows])
        self.good: Mask = np.array([row.label == "correct" for row in self.rows])
        # A control's head tells whether the target shows up, which is the wrong reply.
        self.positive: Mask = self.good ^ (self.group == "control")
        self.swapped: Mask = np.arange(len(items)) >= len(replies)
        self.features: Array = np.zeros((len(items), len(FEATURES)))
        self.replies: Vectors = np.zeros((len(items), 384), dtype=np.float32)
        self.features[self.open], self.replies[self.open] = judge.features(
            [item for item, undecided in zip(items, self.open, strict=True) if undecided]
        )

    def fitted(self, name: str, train: Mask) -> dict[str, list[float] | float]:
        """The head `name` fitted on the open replies among `train`, without the swapped pairs."""
        from sklearn.linear_model import LogisticRegression

        own = train & self.open & ~self.swapped & (self.group == name)
        used = np.array([name != "control" or feature in CONTROL_FEATURES for feature in FEATURES])
        with_reply = REPLY_SCALE * (name != "control")
        mean, scale = self.features[own].mean(axis=0), self.features[own].std(axis=0) + 1e-6
        middle, spread = self.replies[own].mean(axis=0), self.replies[own].std(axis=0) + 1e-6
        columns = np.hstack(
            [
                (self.features[own] - mean) / scale * used,
                (self.replies[own] - middle) / spread * with_reply,
            ]
        )
        model = LogisticRegression(C=REGULARISATION[name], max_iter=1000).fit(columns, self.positive[own])
        weights, reply = np.split(model.coef_[0], [len(FEATURES)])
        reply = reply * with_reply / spread
        return {
            "mean": mean.round(5).tolist(),
            "scale": scale.round(5).tolist(),
            "weights": weights.round(5).tolist(),
            "bias": round(float(model.intercept_[0] - reply @ middle), 5),
            "reply": reply.round(4).tolist() if with_reply else [0.0] * len(reply),
        }

    def weight(self, among: Mask) -> Array:
        """What each row counts: 1, and for the swapped pairs in `among` together a share of its wrong replies."""
        pairs = among & self.swapped
        wrong = among & ~self.swapped & ~self.good
        return np.where(self.swapped, SWAPPED_WEIGHT * wrong.sum() / max(pairs.sum(), 1), 1.0)

    def probabilities(self, train: Mask, asked: Mask) -> Array:
        """What heads fitted on `train` say about the open replies among `asked`; 0 elsewhere."""
        from editing.judges.embedding import Head

        found = np.zeros(len(self.rows))
        for name in REGULARISATION:
            own = np.flatnonzero(asked & self.open & (self.group == name))
            if len(own):
                head = Head(**self.fitted(name, train))  # type: ignore[arg-type]
                found[own] = [head(self.features[i], self.replies[i]) for i in own]
        return found

    def left_out(self, among: Mask) -> Array:
        """Probabilities of the replies in `among`, each from heads fitted on the other writers in `among`."""
        found = np.zeros(len(self.rows))
        for writer in np.unique(self.writer[among]):
            own = self.writer == writer
            found += self.probabilities(among & ~own, among & own)
        return found

    def said(self, probabilities: Array, thresholds: Thresholds) -> Mask:
        """Which replies are called correct."""
        limit = np.array([getattr(thresholds, name) for name in self.group])
        near = (probabilities >= limit) ^ (self.group == "control")
        decided = np.array([ruling is not None and ruling.verdict == "correct" for ruling in self.by_words])
        return np.where(self.open, near, decided)

    def thresholds(self, probabilities: Array, among: Mask) -> Thresholds:
        """The most accurate thresholds on the replies in `among` whose false accepts on target kinds are few enough.

        Swapped pairs count in the accuracy.
        """
        wrong = among & ~self.good & ~self.swapped & (self.group != "control")
        options: dict[str, list[tuple[float, int]]] = {}
        for name in REGULARISATION:
            own = among & (self.group == name)
            weight = self.weight(own)
            options[name] = []
            for limit in GRID:
                said = self.said(probabilities, Thresholds(limit, limit, limit))
                options[name].append((float(weight[own & (said == self.good)].sum()), int((said & wrong)[own].sum())))
        allowed = MAX_FALSE_ACCEPT * wrong.sum()
        pairs = [
            (recall[0] + apply[0], -recall[1] - apply[1], i, j)
            for (i, recall), (j, apply) in itertools.product(enumerate(options["recall"]), enumerate(options["apply"]))
            if recall[1] + apply[1] <= allowed
        ]
        _, _, i, j = max(pairs)
        right = np.array([right for right, _ in options["control"]])
        control = max(CONTROL_FLOOR, float(np.median(GRID[right == right.max()])))
        return Thresholds(*(round(float(limit), 2) for limit in (GRID[i], GRID[j], control)))


def swapped_pairs(replies: Sequence[LabelledReply], judge: EmbeddingJudge) -> list[LabelledReply]:
    """Right replies held against preferences of the same writer that they do not serve; PAIRS_A_REPLY of each.

    Left out is what the reply might serve all the same: values near its own, values that it names, and, for advice,
    dislikes and restrictions, which advice about other things keeps.
    """
    _, encode = judge.encode
    values = sorted({value for row in replies for value in row.item().targets})
    vectors = dict(zip(values, encode(values), strict=True))
    known: dict[tuple[str, str], dict[str, LabelledReply]] = {}
    for row in replies:
        if row.kind in APPLY_KINDS and (is_negative(row.item()) or forbidden(row.statement, row.item().targets)):
            continue
        known.setdefault((row.writer, row.kind), {}).setdefault(row.preference, row)
    rng = np.random.default_rng(0)
    found: list[LabelledReply] = []
    for row in replies:
        if row.label != "correct" or row.kind not in TARGET_KINDS:
            continue
        own = np.stack([vectors[value] for value in row.item().targets])
        far = [
            other
            for other in known.get((row.writer, row.kind), {}).values()
            if float((own @ np.stack([vectors[value] for value in other.item().targets]).T).max()) < FAR
        ]
        pairs = [
            row.model_copy(
                update={name: getattr(far[i], name) for name in PREFERENCE} | {"label": "incorrect", "group": "swapped"}
            )
            for i in rng.permutation(len(far))
        ]
        found += itertools.islice((pair for pair in pairs if not _named(pair, judge)), PAIRS_A_REPLY)
    return found


def _named(pair: LabelledReply, judge: EmbeddingJudge) -> bool:
    ruling = judge.by_words(pair.item())
    return ruling is not None and ruling.verdict == "correct"


def fit(config: JudgeConfig) -> None:
    """Fit the heads on all development replies, write them, and print the thresholds for params.yaml."""
    replies = Replies(config)
    everyone = np.ones(len(replies.rows), dtype=bool)
    thresholds = replies.thresholds(replies.left_out(everyone), everyone)
    for name, threshold in thresholds._asdict().items():
        console.print(f"{name}_threshold: {threshold}")
    heads = {name: replies.fitted(name, everyone) for name in REGULARISATION}
    write_json(HEAD, {"features": FEATURES, "fitted_on": "development part of calibration.jsonl", "heads": heads})


def rulings_on_writers_left_out(config: JudgeConfig) -> tuple[Sequence[LabelledReply], list[Ruling]]:
    """Every development reply with a ruling by weights and thresholds that never saw its writer."""
    replies = Replies(config)
    said = np.zeros(len(replies.rows), dtype=bool)
    for writer in np.unique(replies.writer):
        own = replies.writer == writer
        thresholds = replies.thresholds(replies.left_out(~own), ~own)
        said[own] = replies.said(replies.probabilities(~own, own), thresholds)[own]
        console.print(f"{writer} left out: {thresholds}")
    return replies.rows, [Ruling("correct" if good else "incorrect", "left out") for good in said]
