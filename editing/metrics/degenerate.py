"""Whether an answer repeats itself; the rule stands in docs/protocol.md, section "Answers"."""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby

WORD_RUN = 4
"""So many equal words in a row are a repetition."""
LINE_REPEATS = 3
"""So many equal lines or sentences are a repetition."""
LINE_WORDS = 3
"""Shorter lines may repeat (list markers, "Yes.")."""
MIN_WORDS = 24
"""From here on the share of distinct 4-grams counts."""
MIN_DISTINCT = 0.5
"""Smallest share of distinct word 4-grams of an answer that does not repeat itself."""

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?\n]+")


def is_degenerate(text: str) -> bool:
    """Whether `text` repeats itself: a word run, a repeated sentence, or few distinct 4-grams. Empty text is not."""
    words = _WORD.findall(text.casefold())
    if any(sum(1 for _ in run) >= WORD_RUN for _, run in groupby(words)):
        return True
    sentences = (tuple(_WORD.findall(part)) for part in _SENTENCE_END.split(text.casefold()))
    counted = Counter(sentence for sentence in sentences if len(sentence) >= LINE_WORDS)
    if any(count >= LINE_REPEATS for count in counted.values()):
        return True
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return len(words) >= MIN_WORDS and len(set(grams)) < MIN_DISTINCT * len(grams)
