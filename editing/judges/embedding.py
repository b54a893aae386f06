"""Judge `embedding`: how near the answer comes to the preference in the space of MiniLM sentence embeddings.

It shares the exclusions of docs/protocol.md with `exact` (an answer that denies the target is not near it in any useful
sense), and adds what words alone cannot see: paraphrases, and advice that applies a preference without naming it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from editing.judges.base import APPLY_KINDS, Item, Ruling
from editing.judges.exact import ExactConfig, ExactJudge, rule_control
from editing.judges.reading import Stance, own_words, refused, sentences
from pipeline.core.config import Section
from pipeline.embedding import Vectors

Encode = Callable[[Sequence[str]], Vectors]
"""Texts to unit-length vectors, shape (n, d)."""


class EmbeddingConfig(Section):
    """Section judge.embedding of params.yaml; the thresholds come from benchmarks/judges.py on the development half."""

    dtype: Literal["float32", "bfloat16"]
    """Number format of the encoder."""
    max_sentences: int
    """Sentences of an answer that are embedded; the rest is left out."""
    recall_threshold: float
    """Smallest cosine that counts as giving the preference back."""
    apply_threshold: float
    """Smallest cosine that counts as applying the preference."""
    control_threshold: float
    """Smallest cosine that counts as the target showing up in a control's answer."""


class EmbeddingJudge:
    """Cosine of the answer's sentences to the statement and the target, with a calibrated threshold."""

    name = "embedding"

    def __init__(self, config: EmbeddingConfig, exact: ExactConfig, encode: Encode) -> None:
        """A judge with these settings."""
        self.config = config
        self.words = ExactJudge(exact)
        self.encode = encode

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order; the score is the largest cosine, or 1 where the target is asserted."""
        texts = sorted({text for item in items for text in (*self._parts(item), *references(item))})
        vectors = dict(zip(texts, self.encode(texts), strict=True))
        return [self._rule(item, vectors) for item in items]

    def _parts(self, item: Item) -> list[str]:
        found = sentences(item.reply) if item.is_control else own_words(item)
        return [sentence.text for sentence in found[: self.config.max_sentences]]

    def _rule(self, item: Item, vectors: dict[str, np.ndarray]) -> Ruling:
        if item.is_control:
            return self._rule_control(item, vectors)
        no_answer = refused(item)
        if no_answer is not None:
            return Ruling("incorrect", no_answer)
        in_words = self.words.rule_target(item)
        if in_words.verdict == "correct":
            return Ruling("correct", "asserted", 1.0)
        if in_words.reason in set(Stance) | {"violating"}:
            return Ruling("incorrect", in_words.reason, 0.0)
        score = self._nearest(item, vectors)
        threshold = self.config.apply_threshold if item.kind in APPLY_KINDS else self.config.recall_threshold
        return Ruling("correct", "near", score) if score >= threshold else Ruling("incorrect", "far", score)

    def _rule_control(self, item: Item, vectors: dict[str, np.ndarray]) -> Ruling:
        in_words = rule_control(item)
        if in_words.verdict != "correct" or in_words.reason == "empty":
            return in_words
        score = self._nearest(item, vectors)
        near = score >= self.config.control_threshold
        return Ruling("incorrect", "shows up", score) if near else Ruling("correct", "absent", score)

    def _nearest(self, item: Item, vectors: dict[str, np.ndarray]) -> float:
        parts = np.stack([vectors[text] for text in self._parts(item)])  # (sentences, d)
        wanted = np.stack([vectors[text] for text in references(item)])  # (references, d)
        return round(float((parts @ wanted.T).max()), 4)


def references(item: Item) -> tuple[str, ...]:
    """The texts an answer is compared with: the target and its aliases, and the fact as a sentence to the user."""
    return (*item.targets, f"Your {item.attribute_type} is {item.target}.")
