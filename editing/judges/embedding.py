"""Judge `embedding`: how near the answer comes to the preference in the space of MiniLM sentence embeddings.

It shares the exclusions of docs/protocol.md with `exact` (an answer that denies the target is not near it in any useful
sense), and adds what words alone cannot see: paraphrases, more general words, and advice that applies a preference
without naming it. A logistic regression over a few similarities (`FEATURES`) gives a probability; its weights
(embedding_head.json) come from the development part of the calibration set: `python -m benchmarks.judges --fit`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from editing.judges import cues
from editing.judges.base import APPLY_KINDS, RECALL_KINDS, Item, Ruling
from editing.judges.exact import ExactConfig, ExactJudge, rule_control
from editing.judges.parts import speaking
from editing.judges.reading import Sentence, Stance, is_negative, refused, sentences
from editing.judges.restrictions import Respect, respect
from pipeline.core.config import Section
from pipeline.core.wording import content_stems
from pipeline.embedding import Vectors

Encode = Callable[[Sequence[str]], Vectors]
"""Texts to unit-length vectors, shape (n, d)."""

Vector = npt.NDArray[np.float32]
"""One vector, shape (d,), or numbers in single precision, shape (n,)."""

HEAD = Path(__file__).with_name("embedding_head.json")
"""Weights of the logistic regressions, by group of kinds."""
VALUES = Path(__file__).with_name("values.txt")
"""Values the answer is contrasted with."""
FEATURES = (
    *("target", "statement", "contrast", "pull", "beyond", "neighbours", "rank"),
    *("shift", "target beyond", "statement beyond", "profile"),
    *("respected", "against", "negator", "new words", "on question", "statement on question", "target on question"),
    "nearest other",
)
"""What the answer's sentences and the whole answer are near to.

Nearness of the nearest sentence: "target"; "statement"; "contrast": to the target more than to the NEAR_VALUES nearest
other values; "nearest other": to the nearest of these. Of question and answer together, beyond the question alone:
"pull": to the target more than to other values. Of the answer without what it shares with the question: "beyond": to
the target more than to other values, and "neighbours": than to values like it; "rank": how many other values are
nearer; "target beyond", "statement beyond": cosine to what target and statement do not share with the question;
"profile": how alike answer and statement are in their nearness to all values. "shift": of the answer to the question
with the statement more than to the question alone. "respected": a restriction is in force and kept; "against": the
preference is a dislike; "negator", "new words": a word denies, words that neither statement nor question has; the rest:
nearness of answer, statement and target to the question.
"""
CONTROL_FEATURES = ("target", "statement", "rank", "shift")
"""What the head of the controls reads."""
NEAR_VALUES = 3
"""So many of the nearest other values make a contrast."""
SAME_VALUE = 0.7
"""Values this near to the user's own (cosine) are no contrast to it."""
LIKE_VALUE = 0.35
"""Values at least this near to the user's own are its neighbours."""


MOST_CONTEXTS = 2000
"""So many questions are remembered with their vectors, since many answers are given to each; 20 kB a question."""


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
        self.around: dict[tuple[str, ...], _Around] = {}
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

    def features(self, items: Sequence[Item]) -> tuple[npt.NDArray[np.float64], Vectors]:
        """FEATURES of every item, shape (items, features), and the vector of its answer, shape (items, d)."""
        parts = [self.parts(item)[0] for item in items]
        if len(self.around) > MOST_CONTEXTS:
            self.around.clear()
        new = {_context(item): item for item in items if _context(item) not in self.around}
        texts = {text for item in new.values() for text in (item.statement, item.question, _told(item), *item.targets)}
        texts |= {sentence.text for found in parts for sentence in found}
        ordered = sorted(texts)
        values, encode = self.encode
        vectors = dict(zip(ordered, encode(ordered), strict=True))
        self.around |= {context: _around(item, vectors, values()) for context, item in new.items()}
        rows, replies = [], []
        for item, found in zip(items, parts, strict=True):
            own = np.stack([vectors[sentence.text] for sentence in found])
            # To embed the whole answer as well would double the time.
            whole = _unit(np.array([len(sentence.tokens) for sentence in found], dtype=np.float32) @ own)
            rows.append(_features(item, found, np.vstack([own, whole]), self.around[_context(item)]))
            replies.append(whole)
        return np.array(rows, dtype=np.float64), np.array(replies, dtype=np.float32)

    def _probabilities(self, items: Sequence[Item]) -> list[float]:
        if not items:
            return []
        heads = _heads()
        rows = zip(items, *self.features(items), strict=True)
        return [round(heads[group_of(item)](features, reply), 4) for item, features, reply in rows]

    def _by_score(self, item: Item, probability: float) -> Ruling:
        if item.is_control:
            near = probability >= self.config.control_threshold
            return Ruling("incorrect", "shows up", probability) if near else Ruling("correct", "absent", probability)
        threshold = self.config.recall_threshold if item.kind in RECALL_KINDS else self.config.apply_threshold
        near = probability >= threshold
        return Ruling("correct", "near", probability) if near else Ruling("incorrect", "far", probability)


def group_of(item: Item) -> str:
    """Which logistic regression an item is for; that of the controls says whether the target shows up."""
    if item.is_control:
        return "control"
    return "recall" if item.kind in RECALL_KINDS else "apply"


@dataclass(frozen=True)
class _Around:
    """What an answer is held against: question, statement and target in the space of the values."""

    question: Vector
    statement: Vector
    told: Vector
    """The statement and the question in one text."""
    targets: Vectors
    values: Vectors
    """All values, shape (v, d)."""
    other: npt.NDArray[np.bool_]
    """Which of them are not the user's own, shape (v,); n of them."""
    neighbours: npt.NDArray[np.bool_]
    """Which of the others are like the target, shape (n,)."""
    others_on_question: Vector
    """Nearness of the others to the question, shape (n,)."""
    others_on_statement: Vector
    """Nearness of the others to the statement, shape (n,)."""


def _around(item: Item, vectors: Mapping[str, Vector], values: Vectors) -> _Around:
    targets = np.stack([vectors[target] for target in item.targets])
    likeness = (values @ targets.T).max(axis=1)
    other = likeness < SAME_VALUE
    question = vectors[item.question]
    return _Around(
        question,
        vectors[item.statement],
        vectors[_told(item)],
        targets,
        values,
        other,
        likeness[other] >= LIKE_VALUE,
        (values @ question)[other],
        (values @ vectors[item.statement])[other],
    )


def _context(item: Item) -> tuple[str, ...]:
    return (item.statement, item.question, *item.targets)


def _told(item: Item) -> str:
    return f"{item.statement} {item.question}"


def _unit(vector: Vector) -> Vector:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _mean_of_nearest(nearness: Vector) -> float:
    """The mean of the NEAR_VALUES largest; of all where there are fewer, and 0 of none."""
    if len(nearness) <= NEAR_VALUES:
        return float(nearness.mean()) if len(nearness) else 0.0
    return float(np.partition(nearness, -NEAR_VALUES)[-NEAR_VALUES:].mean())


def _features(item: Item, parts: Sequence[Sentence], own: Vectors, near: _Around) -> list[float]:
    """FEATURES of one item; `own` holds the vectors of its sentences and, last, of the whole answer."""
    whole = own[-1]
    against = is_negative(item)
    # Advice for somebody who dislikes the target is good where it keeps away from it.
    sign = -1.0 if item.kind in APPLY_KINDS and against else 1.0
    target = float((own @ near.targets.T).max())
    others = (near.values @ own.T).max(axis=1)[near.other]
    # The direction of question and answer together, without the time of embedding them together.
    asked = _unit(near.question + whole)
    pull = float((near.targets @ asked - near.targets @ near.question).max())
    others_pull = (near.values @ asked)[near.other] - near.others_on_question
    beyond = whole - float(whole @ near.question) * near.question
    target_beyond = float((near.targets @ beyond).max())
    others_beyond = (near.values @ beyond)[near.other]
    statement_beyond = _unit(near.statement - float(near.statement @ near.question) * near.question)
    targets_beyond = [_unit(t - float(t @ near.question) * near.question) for t in near.targets]
    direction = _unit(beyond)
    text = " ".join(token.text for sentence in parts for token in sentence.tokens)
    known = content_stems(item.statement) | content_stems(item.question) | content_stems(" ".join(item.targets))
    new_words = content_stems(" ".join(sentence.text for sentence in parts)) - known
    return [
        sign * target,
        sign * float((own @ near.statement).max()),
        sign * (target - _mean_of_nearest(others)),
        sign * (pull - _mean_of_nearest(others_pull)),
        sign * (target_beyond - _mean_of_nearest(others_beyond)),
        sign * (target_beyond - _mean_of_nearest(others_beyond[near.neighbours])),
        -sign * float(np.log1p((others_beyond > target_beyond).sum())),
        float(whole @ near.told - whole @ near.question),
        sign * max(float(direction @ t) for t in targets_beyond),
        sign * float(direction @ statement_beyond),
        sign * float(np.corrcoef(others_beyond, near.others_on_statement)[0, 1]),
        float(respect(sentences(item.reply), item) in (Respect.UNTOUCHED, Respect.EXCLUDED)),
        float(against),
        float(cues.NEGATOR.search(cues.BENIGN.sub(" ", text)) is not None),
        float(np.log1p(len(new_words))),
        float(whole @ near.question),
        float(near.statement @ near.question),
        float((near.targets @ near.question).max()),
        float(others.max()),
    ]


@functools.cache
def _values() -> tuple[str, ...]:
    lines = VALUES.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


class Head:
    """A logistic regression over standardised features and, but for controls, the vector of the whole answer."""

    def __init__(
        self,
        mean: Sequence[float],
        scale: Sequence[float],
        weights: Sequence[float],
        bias: float,
        reply: Sequence[float],
    ) -> None:
        """Parameters in the order of FEATURES; `reply` weighs the answer's vector."""
        self.mean, self.scale, self.weights, self.reply = (
            np.asarray(values, dtype=np.float64) for values in (mean, scale, weights, reply)
        )
        self.bias = bias

    def __call__(self, features: npt.NDArray[np.float64], reply: Vector) -> float:
        """The probability for one row of features, shape (features,), and the vector of the answer, shape (d,)."""
        score = self.bias + self.weights @ ((features - self.mean) / self.scale) + self.reply @ reply
        return float(1 / (1 + np.exp(-score)))


@functools.cache
def _heads() -> dict[str, Head]:
    loaded = json.loads(HEAD.read_text(encoding="utf-8"))
    return {name: Head(**parameters) for name, parameters in loaded["heads"].items()}
