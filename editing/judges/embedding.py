"""Judge `embedding`: how near the answer comes to the preference in the space of MiniLM sentence embeddings.

It shares the exclusions of docs/protocol.md with `exact` (an answer that denies the target is not near it in any useful
sense), and adds what words alone cannot see: paraphrases, more general words, and advice that applies a preference
without naming it. A logistic regression over a few similarities (`FEATURES`) gives a probability; its weights
(embedding_head.json) come from the development part of the calibration set: `python -m benchmarks.judges --fit`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from editing.judges.base import RECALL_KINDS, Item, Ruling
from editing.judges.exact import ExactConfig, ExactJudge, rule_control
from editing.judges.parts import speaking
from editing.judges.reading import Sentence, Stance, is_negative, refused, sentences
from editing.judges.restrictions import Respect, respect
from pipeline.core.config import Section
from pipeline.embedding import Vectors

Encode = Callable[[Sequence[str]], Vectors]
"""Texts to unit-length vectors, shape (n, d)."""

HEAD = Path(__file__).with_name("embedding_head.json")
"""Weights of the logistic regressions, by group of kinds."""
VALUES = Path(__file__).with_name("values.txt")
"""Values the answer is contrasted with."""
FEATURES = ("target", "statement", "contrast", "shift", "pull", "respected")
"""Nearness to the target; to the statement; to the target more than to other values; of the answer to the question with
the statement more than to the question alone; of question and answer to the target more than the question alone;
whether a restriction is in force and kept."""
NEAR_VALUES = 3
"""So many of the nearest other values make the contrast."""
SAME_VALUE = 0.7
"""Values this near to the user's own (cosine) are no contrast to it."""


class EmbeddingConfig(Section):
    """Section judge.embedding of params.yaml; thresholds come from the development part of the calibration set."""

    dtype: Literal["float32", "bfloat16"]
    """Number format of the encoder."""
    max_sentences: int
    """Sentences of an answer that are embedded; the rest is left out."""
    recall_threshold: float
    """Smallest probability that counts as giving the preference back."""
    apply_threshold: float
    """Smallest probability that counts as applying the preference."""
    control_threshold: float
    """Smallest probability that counts as the target showing up in a control's answer."""


class EmbeddingJudge:
    """Similarity of an answer's sentences to the preference, weighed by a small calibrated model."""

    name = "embedding"

    def __init__(self, config: EmbeddingConfig, exact: ExactConfig, encode: Encode) -> None:
        """A judge with these settings; `encode` turns texts into unit vectors."""
        self.config = config
        self.exact = exact
        self.words = ExactJudge(exact)
        self.encode = functools.lru_cache(maxsize=1)(lambda: encode(_values())), encode

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order; the score is the probability, 1 or 0 where words decide."""
        decided = [self.by_words(item) for item in items]
        open_items = [item for item, ruling in zip(items, decided, strict=True) if ruling is None]
        probabilities = iter(self._probabilities(open_items))
        return [
            ruling if ruling is not None else self._by_score(item, next(probabilities))
            for item, ruling in zip(items, decided, strict=True)
        ]

    def by_words(self, item: Item) -> Ruling | None:
        """The ruling where words decide: an exclusion, an asserted target, a broken restriction; None elsewhere."""
        if item.is_control:
            in_words = rule_control(item)
            return in_words if in_words.verdict != "correct" or in_words.reason == "empty" else None
        no_answer = refused(item)
        if no_answer is not None:
            return Ruling("incorrect", no_answer, 0.0)
        parts, left_out = self.parts(item)
        if respect(sentences(item.reply), item) is Respect.VIOLATED:
            return Ruling("incorrect", "violating", 0.0)
        in_words = self.words.rule_target(item)
        if in_words.verdict == "correct":
            return Ruling("correct", "asserted", 1.0)
        if in_words.reason in set(Stance) | {"violating"}:
            return Ruling("incorrect", in_words.reason, 0.0)
        return None if parts else Ruling("incorrect", left_out, 0.0)

    def parts(self, item: Item) -> tuple[list[Sentence], str]:
        """The sentences that may speak for the answer, and why others may not."""
        if item.is_control:
            return sentences(item.reply)[: self.config.max_sentences], ""
        kept, reason = speaking(item, respect(sentences(item.reply), item), self.exact.list_items_recall)
        return kept[: self.config.max_sentences], reason

    def features(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """FEATURES of every item, shape (items, features)."""
        parts = [[sentence.text for sentence in self.parts(item)[0]] for item in items]
        whole = [" ".join(texts) for texts in parts]
        wanted = [
            {
                *texts,
                text,
                item.statement,
                item.question,
                f"{item.statement} {item.question}",
            }
            | set(item.targets)
            for item, texts, text in zip(items, parts, whole, strict=True)
        ]
        texts = sorted(set().union(*wanted))
        values, encode = self.encode
        vectors = dict(zip(texts, encode(texts), strict=True))
        rows = [_features(*row, vectors, values()) for row in zip(items, parts, whole, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(len(items), len(FEATURES))

    def _probabilities(self, items: Sequence[Item]) -> list[float]:
        if not items:
            return []
        heads = _heads()
        return [round(heads[group_of(item)](row), 4) for item, row in zip(items, self.features(items), strict=True)]

    def _by_score(self, item: Item, probability: float) -> Ruling:
        if item.is_control:
            near = probability >= self.config.control_threshold
            return Ruling("incorrect", "shows up", probability) if near else Ruling("correct", "absent", probability)
        threshold = self.config.recall_threshold if item.kind in RECALL_KINDS else self.config.apply_threshold
        near = probability >= threshold
        return Ruling("correct", "near", probability) if near else Ruling("incorrect", "far", probability)


def group_of(item: Item) -> str:
    """Which logistic regression an item is for; a control is asked whether the answer gives the target back."""
    return "recall" if item.kind in RECALL_KINDS or item.is_control else "apply"


def _features(
    item: Item, parts: list[str], whole: str, vectors: dict[str, npt.NDArray[np.float32]], values: Vectors
) -> list[float]:
    own = np.stack([vectors[text] for text in (*parts, whole)])  # (parts + 1, d)
    targets = np.stack([vectors[target] for target in item.targets])  # (targets, d)
    question = vectors[item.question]
    target = float((own @ targets.T).max())
    others = (own @ values.T).max(axis=0)[(values @ targets.T).max(axis=1) < SAME_VALUE]  # (other values,)
    # The direction of question and answer together, without the time of embedding them together.
    asked = question + vectors[whole]
    asked = asked / np.linalg.norm(asked)
    told = vectors[f"{item.statement} {item.question}"]
    # Advice for somebody who dislikes the target is good where it keeps away from it.
    sign = -1.0 if group_of(item) == "apply" and is_negative(item) else 1.0
    kept = respect(sentences(item.reply), item) in (Respect.UNTOUCHED, Respect.EXCLUDED)
    return [
        sign * target,
        sign * float((own @ vectors[item.statement]).max()),
        sign * (target - float(np.sort(others)[-NEAR_VALUES:].mean())),
        float(vectors[whole] @ told - vectors[whole] @ question),
        sign * float((targets @ asked).max() - (targets @ question).max()),
        float(kept),
    ]


@functools.cache
def _values() -> tuple[str, ...]:
    lines = VALUES.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


class Head:
    """A logistic regression over standardised features."""

    def __init__(self, mean: Sequence[float], scale: Sequence[float], weights: Sequence[float], bias: float) -> None:
        """Parameters in the order of FEATURES."""
        self.mean, self.scale, self.weights = (
            np.asarray(values, dtype=np.float64) for values in (mean, scale, weights)
        )
        self.bias = bias

    def __call__(self, features: npt.NDArray[np.float64]) -> float:
        """The probability for one row of features, shape (features,)."""
        return float(1 / (1 + np.exp(-(self.bias + self.weights @ ((features - self.mean) / self.scale)))))


@functools.cache
def _heads() -> dict[str, Head]:
    loaded = json.loads(HEAD.read_text(encoding="utf-8"))
    return {name: Head(**parameters) for name, parameters in loaded["heads"].items()}
