"""PrefEval's four yes/no checks, read by rules; docs/protocol.md, "Questions after other turns"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from editing.judges import cues
from editing.judges.base import Item
from editing.judges.embedding import EmbeddingJudge
from editing.judges.reading import Sentence, Stance, mentions, own_words, refused
from editing.judges.words import fold
from pipeline.core.records import QuestionKind
from pipeline.core.wording import content_stems

OF_THE_USER = re.compile(
    r"\b(?:(?:since|because|as|given that|knowing that|considering that) you(?:'re|'ve)?\b"
    r"|as an? (?:\w+ ){0,3}(?:lover|fan|enthusiast|owner|player)\b"
    r"|(?:given|considering|with) your\b"
    r"|your (?:love|passion|fondness|interest|preference|favou?rite|dislike|fear|hobby|job|profession|diet|allergy)\b"
    r"|you (?:really |also |always )?(?:love|like|enjoy|prefer|hate|dislike|adore|avoid)\b"
    r"|you (?:told|mentioned|said)\b)"
)
"""What says of the user what they like, are or have."""
SUPPOSED = re.compile(r"\b(?:if|whether|unless|when|whatever|what|anything|do|did|would|could|might|may|should) you\b")
"""Before such words nothing is said of the user."""


def local_checks(items: Sequence[Item], judge: EmbeddingJudge) -> list[dict[str, bool | None]]:
    """acknowledge, violate, hallucinate and helpful for each item, in order; never unscored."""
    given_back = judge.rule([replace(item, kind=QuestionKind.EXPLICIT) for item in items])
    advised = judge.rule(items)
    return [
        {
            "acknowledge": _names_target(item) or back.verdict == "correct",
            "violate": "violating" in (ruling.reason, judge.words.rule([item])[0].reason)
            or ruling.reason == Stance.NEGATED,
            "hallucinate": any(_made_up(sentence, item) for sentence in own_words(item)),
            "helpful": _helpful(item),
        }
        for item, back, ruling in zip(items, given_back, advised, strict=True)
    ]


def _names_target(item: Item) -> bool:
    return bool(mentions(own_words(item), item.targets))


def _made_up(sentence: Sentence, item: Item) -> bool:
    text = SUPPOSED.sub(" ", fold(sentence.text))
    if sentence.question or not OF_THE_USER.search(text):
        return False
    known = content_stems(" ".join((item.statement, item.attribute_type, item.question, *item.targets)))
    return not known & content_stems(sentence.text)


def _helpful(item: Item) -> bool:
    if refused(item) is not None:
        return False
    return any(not sentence.question and not cues.REFUSAL.search(fold(sentence.text)) for sentence in own_words(item))
