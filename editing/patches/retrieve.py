"""Which of a user's statements belong to a question."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence

from pipeline.embedding import Vectors, embed

K1 = 1.2
"""How fast repetitions of a word stop counting (BM25)."""
B = 0.75
"""How much long statements are discounted (BM25)."""

_WORD = re.compile(r"\w+")


def bm25(question: str, memories: Sequence[str], top_k: int) -> list[str]:
    """The `top_k` statements nearest to the question by words, best first; those that share none are left out.

    Source: Robertson and Zaragoza (2009), eq. 3.15, with the idf that is never negative.
    """
    documents = [Counter(_WORD.findall(memory.casefold())) for memory in memories]
    mean_length = sum(document.total() for document in documents) / max(1, len(documents))
    scores = []
    for document in documents:
        score = 0.0
        for word in set(_WORD.findall(question.casefold())):
            holding = sum(word in other for other in documents)
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            norm = K1 * (1 - B + B * document.total() / mean_length) if mean_length else K1
            score += idf * document[word] * (K1 + 1) / (document[word] + norm)
        scores.append(score)
    order = sorted(range(len(memories)), key=lambda at: -scores[at])
    return [memories[at] for at in order[:top_k] if scores[at] > 0]


def dense(question: str, memories: Sequence[str], top_k: int) -> list[str]:
    """The `top_k` statements nearest to the question by the cosine of their sentence embeddings, best first."""
    if not memories:
        return []
    similarity = (vectors(tuple(memories)) @ vectors((question,)).T)[:, 0]
    return [memories[at] for at in (-similarity).argsort(kind="stable")[:top_k]]


@functools.lru_cache(maxsize=4096)
def vectors(sentences: tuple[str, ...]) -> Vectors:
    """Sentence embeddings (len(sentences), width); the last few thousand are kept."""
    return embed(sentences)
