"""What well-known restrictive preferences rule out, so that advice against them is seen: steak for a vegetarian."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import yaml

from editing.judges import cues
from editing.judges.base import RECALL_KINDS, Item
from editing.judges.reading import (
    Mention,
    Sentence,
    Stance,
    affirms,
    clause_before,
    is_denied,
    mentions,
    sentences,
    stance,
)
from editing.judges.words import find, tokens

_FILE = Path(__file__).with_name("restrictions.yaml")
_HARMLESS = frozenset(
    "vegan vegetarian veggie plant meatless mock fake tofu soy soya oat almond coconut rice virgin decaf decaffeinated "
    "alcohol nonalcoholic non gluten dairy lactose sugar ginger root free jackfruit bean lentil chickpea mushroom "
    "halloumi".split()
)
"""Before a forbidden word these make another thing of it: "oat milk", "bean burger", "gluten free bread"."""
_REPLACED = frozenset("vegan vegetarian meatless nonalcoholic free decaf".split())
"""Anywhere in a sentence these say that the forbidden thing is replaced: "an alcohol-free bar with cocktails"."""


class Respect(Enum):
    """How an answer deals with what the preference rules out."""

    NO_RULE = "no rule"
    UNTOUCHED = "untouched"
    EXCLUDED = "excluded"
    VIOLATED = "violated"


@functools.cache
def _rules() -> tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]:
    loaded = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple((tuple(rule["names"]), tuple(rule.get("unless", ())), tuple(rule["forbids"])) for rule in loaded)


@functools.lru_cache(maxsize=4096)
def forbidden(statement: str, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that the rules in force for this preference rule out; empty without a rule.

    A name that is negated in the statement ("I'm not a vegetarian") brings no rule into force.
    """
    found = sentences(statement)
    values = [tokens(target) for target in targets]
    things: dict[str, None] = {}
    for names, unless, forbids in _rules():
        named = any(find(value, name) for value in values for name in names)
        freed = any(_stated(found, name) for name in unless)
        if not freed and (named or any(_stated(found, name) for name in names)):
            things |= dict.fromkeys(forbids)
    return tuple(things)


def _stated(found: Sequence[Sentence], name: str) -> bool:
    return any(not is_denied(found, mention) for mention in mentions(found, [name]))


def respect(found: Sequence[Sentence], item: Item) -> Respect:
    """How the answer's sentences `found` deal with what the preference of `item` rules out."""
    things = forbidden(item.statement, item.targets)
    if not things:
        return Respect.NO_RULE
    seen = [
        (found[mention.sentence], stance(found, mention, item, list_items=10**6))
        for mention in mentions(found, things)
        if not _harmless(found, mention)
    ]
    if not seen:
        return Respect.UNTOUCHED
    asserted = [sentence for sentence, said in seen if said is Stance.ASSERTED]
    if item.kind in RECALL_KINDS:
        # To name what the user avoids is an answer; only to say that they like it is wrong.
        asserted = [sentence for sentence in asserted if affirms(sentence)]
    return Respect.VIOLATED if asserted else Respect.EXCLUDED


def _harmless(found: Sequence[Sentence], mention: Mention) -> bool:
    sentence = found[mention.sentence]
    before = clause_before(sentence, mention)
    words = {token.text for token in sentence.tokens}
    return cues.OTHERS.search(before) is not None or bool(_HARMLESS & set(before.split()[-2:]) or _REPLACED & words)
