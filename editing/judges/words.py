"""Words of answers and targets brought to one form, and targets found among them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.wording import FUNCTION_WORDS

_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]"
    r"|[^\W_]+(?:'[^\W_]+)*(?:(?<=[^\W\d_])[+#]+(?![^\W_]))?"  # C++ and C# are no C
    r"|[,;:()\u2013\u2014\"/]"
)
_MARK = re.compile(r"[,;:()\u2013\u2014\"/]")
_VOWEL = re.compile(r"[aeiouy]")
_DETERMINERS = frozenset("a an the my your his her their our some".split())
_IRREGULAR = {
    "doesn't": "don't",
    "didn't": "don't",
    "isn't": "not",
    "aren't": "not",
    "wasn't": "not",
    "can't": "cannot",
    "children": "child",
    "men": "man",
    "women": "woman",
    "wives": "wife",
    "knives": "knife",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "ran": "run",
    "swam": "swim",
    "wrote": "write",
    "written": "write",
    "drove": "drive",
    "sang": "sing",
    "taught": "teach",
    "rode": "ride",
    "ridden": "ride",
    "grew": "grow",
    "ate": "eat",
    "eaten": "eat",
    "drank": "drink",
    "news": "news",
    "lens": "lens",
    "texas": "texas",
    "wed": "wed",
}
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBERS = {word: str(i) for i, word in enumerate(_UNITS)} | {word: str(10 * i) for i, word in enumerate(_TENS, 2)}
_OTHER_IN_LOWER_CASE = FUNCTION_WORDS | {"go", "oh", "ok", "hi"}
"""Words that a capital makes another: May, Go, IT, US, OH."""
ACRONYM_LETTERS = 4
"""Longest word in capitals that is taken for an acronym; longer ones are shouted."""
REORDER_SLACK = 2
"""So many further words may stand among the words of a longer target in another order."""


@dataclass(frozen=True)
class Token:
    """A word or a punctuation mark."""

    text: str
    """Case-folded, without accents."""
    forms: frozenset[str]
    """Base forms it may be a form of; empty for a mark."""
    written: str
    """In its own case, without accents."""


def fold(text: str) -> str:
    """`text` case-folded, without accents, with plain apostrophes and hyphens as spaces."""
    return _plain(text).casefold()


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).replace("\u2019", "'").replace("\u2018", "'")
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    plain = unicodedata.normalize("NFC", plain)
    return re.sub(r"(?<=\w)[-\u2010\u2011](?=\w)", " ", plain)


def tokens(text: str) -> list[Token]:
    """Words and clause marks of `text`, in order; number words up to 99 become digits."""
    found: list[Token] = []
    for written in _TOKEN.findall(_plain(text)):
        raw = written.casefold()
        if _MARK.fullmatch(raw):
            found.append(Token(raw, frozenset(), written))
            continue
        number = _NUMBERS.get(raw, raw)
        previous = found[-1].text if found else ""
        if number.isdigit() and len(number) == 1 and raw != number and previous in _NUMBERS and len(previous) > 3:
            tens = _NUMBERS[previous]
            if len(tens) == 2 and tens.endswith("0") and tens != "10":
                value = frozenset({str(int(tens) + int(number))})
                found[-1] = Token(f"{previous} {raw}", value, f"{found[-1].written} {written}")
                continue
        found.append(Token(raw, base_forms(number), written))
    return found


def base_forms(word: str) -> frozenset[str]:
    """The words that `word` may be a regular form of: hiking -> hik, hike; running -> run, runn, runne."""
    word = word.removesuffix("'s").removesuffix("'")
    if word in _IRREGULAR:
        return frozenset({_IRREGULAR[word]})
    word = _singular(word)
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3 and _VOWEL.search(stem):
            return _verbs(stem) | {word}
    return frozenset({word})


def agent(word: str) -> frozenset[str]:
    """The verbs in an agent noun: hiker, hikers -> hik, hike; nothing for other words."""
    singular = _singular(word)
    stem = singular.removesuffix("er")
    return frozenset() if stem == singular or len(stem) < 3 else _verbs(stem)


def _verbs(stem: str) -> frozenset[str]:
    """Verbs that lose their end to `stem`: stopp -> stop, hik -> hike, studi -> study."""
    found = {stem, f"{stem}e"}
    if stem[-1] == stem[-2] and stem[-1] not in "aeiou":
        found.add(stem[:-1])
    if stem.endswith("i"):
        found.add(f"{stem[:-1]}y")
    return frozenset(found)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes", "uses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def same(given: Token, wanted: Token) -> bool:
    """Whether two words are forms of one word; for activities also "hiker" and "hiking"."""
    if given.forms & wanted.forms:
        return True
    if wanted.text.endswith("ing"):
        return bool(agent(given.text) & wanted.forms)
    return given.text.endswith("ing") and bool(agent(wanted.text) & given.forms)


def find(given: Sequence[Token], phrase: str) -> list[tuple[int, int]]:
    """Where `phrase` stands in `given` as half-open token ranges; determiners do not count.

    The words stand in order, one after the other; those of a phrase with two content words or more may also stand in
    any order with at most REORDER_SLACK others among them. A phrase of one word is found only in its own case where
    that is an acronym's (IT, US), or a capital makes it another word (May, Go). An empty phrase stands nowhere.
    """
    wanted = _wanted(phrase)
    if not wanted:
        return []
    positions = [i for i, token in enumerate(given) if token.forms and token.text not in _DETERMINERS]
    found = [
        (positions[i], positions[i + len(wanted) - 1] + 1)
        for i in range(len(positions) - len(wanted) + 1)
        if all(same(given[positions[i + j]], wanted[j]) for j in range(len(wanted)))
    ]
    content = [token for token in wanted if token.text not in FUNCTION_WORDS]
    if len(wanted) == 1 and _needs_case(wanted[0]):
        return [place for place in found if given[place[0]].written.startswith(wanted[0].written)]
    if found or len(content) < 2:
        return found
    return _reordered(given, positions, content)


def _needs_case(word: Token) -> bool:
    acronym = word.written.isupper() and 2 <= len(word.written) <= ACRONYM_LETTERS
    return acronym or (word.text in _OTHER_IN_LOWER_CASE and not word.written.islower())


@functools.lru_cache(maxsize=4096)
def _wanted(phrase: str) -> tuple[Token, ...]:
    """The words of a phrase that is looked for again and again, without determiners."""
    return tuple(token for token in tokens(phrase) if token.forms and token.text not in _DETERMINERS)


def _reordered(given: Sequence[Token], positions: list[int], content: list[Token]) -> list[tuple[int, int]]:
    width = len(content) + REORDER_SLACK
    for start in range(len(positions)):
        window = positions[start : start + width]
        if not any(same(given[window[0]], token) for token in content):
            continue
        hits = [next((p for p in window if same(given[p], token)), -1) for token in content]
        if -1 not in hits and len(set(hits)) == len(hits):
            return [(min(hits), max(hits) + 1)]
    return []
