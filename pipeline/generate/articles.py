"""A value with the word that stands in front of it in a sentence: "an accountant", "the United States", "to cook"."""

from __future__ import annotations

import re

from pipeline.core.wording import FUNCTION_WORDS, words

_COUNTED = frozenset("a an the my two three four five six seven eight nine ten several many some".split())
_TAKES_THE = re.compile(
    r"(?:USA?|UK|UAE|EU|United (?:States|Kingdom|Arab Emirates)|(?:Czech|Dominican) Republic|Netherlands|Philippines|"
    r"Bahamas|Maldives|Gambia|Bay Area|Midwest)\b"
)
"""Names of places that never stand without it."""
_AN = re.compile(
    r"(?i:8|11\b|18\b|hono?u?r|heir|hour|(?!uni[^mn]|un[ai]t|us[aeiu]|ut[ei]|u[rt]o|ubi|eu|one\b|once)[aeiou])|"
    r"[AEFHILMNORSX](?:[A-Z0-9]|\b)"
)
"""What begins with a vowel when it is spoken, letters spelled one by one included."""
_SPELLED = re.compile(r"U[A-Z0-9]|U\b")
"""Begins with the letter U, spelled: "UX designer"."""


def with_article(noun: str) -> str:
    """`noun` with "a" or "an"; a counted noun or a plural stays as it is."""
    first, last = noun.split()[0], noun.split()[-1]
    plural = last.islower() and last.endswith("s") and not last.endswith(("ss", "us", "is"))
    if plural or first.casefold() in _COUNTED:
        return noun
    return f"{'an' if _AN.match(noun) and not _SPELLED.match(noun) else 'a'} {noun}"


def as_said(value: str, text: str) -> str:
    """`value` with the article or the "to" in front of it in `text`, as long as no other noun follows it there."""
    said = re.search(rf"\b(an?|the|to)\s+{re.escape(value)}(?![\w-])(?P<rest>.*)", text, re.IGNORECASE | re.DOTALL)
    if said is None or not _ends_there(said["rest"]):
        return f"the {value}" if _TAKES_THE.match(value) else value
    word = said[1].casefold()
    return f"{word} {value}" if word in ("the", "to") else with_article(value)


def as_said_or_counted(noun: str, text: str) -> str:
    """`noun` as the user said it; where they said no article, with "a" or "an" unless it is a name."""
    said = as_said(noun, text)
    return with_article(noun) if said == noun and noun.split()[-1].islower() else said


def _ends_there(rest: str) -> bool:
    """Whether what follows a noun is no further part of it: "windows machine", "insurance industry"."""
    following = words(rest)[:1]
    return not re.match(r"\s*['’\w]", rest) or set(following) <= _AFTER_NOUNS


_AFTER_NOUNS = FUNCTION_WORDS | frozenset(
    "now currently right for since while because especially focused based".split()
)
