"""Other surface forms of a target that count as the same answer."""

from __future__ import annotations

import re

from pipeline.core.wording import content_stems, stems

_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_EQUAL = {
    "vegan": ("plant-based",),
    "vegetarian": ("meatless", "meat-free"),
    "us": ("United States", "America"),
    "usa": ("United States", "America"),
    "united states": ("USA", "America"),
    "uk": ("United Kingdom", "Britain"),
    "united kingdom": ("UK", "Britain"),
    "nyc": ("New York",),
    "javascript": ("JS",),
    "typescript": ("TS",),
    "golang": ("Go",),
    "adhd": ("attention deficit",),
    "phd": ("doctorate",),
    "ceo": ("chief executive",),
    "cto": ("chief technology officer",),
}
_LEADING = re.compile(r"^(?:to|very|really|quite|pretty|become|becoming|be|being)\s+(?:an?\s+)?", re.IGNORECASE)


def aliases(target: str) -> tuple[str, ...]:
    """Aliases of `target`: numbers as digits and words, known equivalents, a goal without its verb.

    Only forms that nobody could take for another answer are made; a noun phrase is never cut, for the last words of
    "9 year old daughter" and of "venture capital company" are no answer.
    """
    found = [_swap_numbers(target), target.replace("&", "and"), _LEADING.sub("", target)]
    found += _EQUAL.get(target.casefold(), ())
    seen = {tuple(stems(target))}
    kept: list[str] = []
    for form in found:
        key = tuple(stems(form))
        if content_stems(form) and key not in seen:
            seen.add(key)
            kept.append(form)
    return tuple(kept)


def _swap_numbers(text: str) -> str:
    def swap(match: re.Match[str]) -> str:
        word = match.group()
        if word.isdigit():
            return _NUMBERS[int(word)] if int(word) < len(_NUMBERS) else word
        return str(_NUMBERS.index(word.casefold()))

    return re.sub(rf"(?<![\w.,'’$€£])(?:\d+|{'|'.join(_NUMBERS)})(?![\w.,'’%])", swap, text, flags=re.IGNORECASE)
