"""How texts are compared everywhere: words, light inflection, whole-phrase search."""

from __future__ import annotations

import functools
import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

FUNCTION_WORDS = frozenset(
    "a an the this that these those some any each every no not n't and or but if so as at by for from in into of "
    "off on onto out over to up with about after before i me my mine myself we us our ours you your yours he him "
    "his she her hers it its they them their theirs who whom whose which what when where why how is am are was "
    "were be been being do does did done have has had having can could will would shall should may might must i'm "
    "i've i'd i'll it's there here then than too very just also really quite please tell".split()
)
"""English words that carry no content of their own."""


def words(text: str) -> list[str]:
    """The words of `text`, case-folded and NFKC-normalised; apostrophes stay inside words."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return _WORD.findall(folded)


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """`word` without a possessive or an English plural ending: "hobbies" -> "hobby", "nurse's" -> "nurse"."""
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@functools.lru_cache(maxsize=16384)
def stems(text: str) -> tuple[str, ...]:
    """The stems of all words of `text`, in order."""
    return tuple(stem(word) for word in words(text))


@functools.lru_cache(maxsize=16384)
def content_stems(text: str) -> frozenset[str]:
    """The stems of the words of `text` that carry content."""
    return frozenset(stem(word) for word in words(text) if word not in FUNCTION_WORDS)


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `text` one after the other, whole words, any inflection of number.

    An empty phrase is contained in nothing.
    """
    wanted, given = stems(phrase), stems(text)
    if not wanted:
        return False
    return any(given[i : i + len(wanted)] == wanted for i in range(len(given) - len(wanted) + 1))
