"""Where an answer brings up the target, and whether it asserts it: negation, overriding, whose preference it is."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from editing.judges import cues
from editing.judges.base import RECALL_KINDS, Item
from editing.judges.words import Token, find, fold, tokens
from editing.metrics.degenerate import is_degenerate


class Stance(StrEnum):
    """What a mention of the target says."""

    ASSERTED = "asserted"
    NEGATED = "negated"
    OVERRIDDEN = "overridden"
    ASKED = "asked back"
    ABOUT_ITSELF = "about itself"
    ABOUT_OTHERS = "about others"
    LISTED = "shotgun list"
    NAME = "inside a name"


@dataclass(frozen=True)
class Sentence:
    """One sentence or line of an answer."""

    text: str
    """As written, without list markers."""
    tokens: tuple[Token, ...]
    """Its words and clause marks."""
    question: bool
    """Whether it ends with a question mark."""
    bullet: bool
    """Whether it opens an item of a list."""


@dataclass(frozen=True)
class Mention:
    """One place where a target stands."""

    sentence: int
    """Index of the sentence."""
    start: int
    """First token of the mention."""
    end: int
    """One past its last token."""


_SPLIT = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\(?\d{1,2}[.)])\s+")
_SEPARATORS = frozenset((",", ";", "/", "or", "and"))
LIST_ITEM_WORDS = 5
"""Alternatives in a list have at most so many words."""
_BOUNDARY = frozenset(", ; : ( ) \u2013 \u2014 but however although though yet whereas because".split())


def sentences(text: str) -> list[Sentence]:
    """Sentences and lines of `text` that hold at least one word."""
    return list(_sentences(text))


@functools.lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[Sentence, ...]:
    found = []
    for part in _SPLIT.split(text):
        stripped = _BULLET.sub("", part)
        words = tuple(tokens(stripped))
        if any(token.forms for token in words):
            question = stripped.rstrip(" \"')]*").endswith("?")
            found.append(Sentence(stripped.strip(), words, question, stripped != part))
    return tuple(found)


def own_words(item: Item) -> list[Sentence]:
    """The sentences of the answer that are its own.

    Left out: the question or the statement given back word for word (the question also where it is turned to the user),
    and lines that try to give a verdict. A sentence of one or two words is kept even where it stands in the statement:
    it may be the answer.
    """
    asked = {_word_texts(s.tokens) for s in sentences(item.question)}
    given = asked | {_to_user(words) for words in asked} | {_word_texts(s.tokens) for s in sentences(item.statement)}
    return [
        s
        for s in sentences(item.reply)
        if not (_word_texts(s.tokens) in given and len(_word_texts(s.tokens)) > 2) and not cues.GRADE.search(s.text)
    ]


def _word_texts(found: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.text for token in found if token.forms)


_TO_USER = {"i": "you", "my": "your", "me": "you", "mine": "yours", "am": "are", "i'm": "you're", "i've": "you've"}


def _to_user(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_TO_USER.get(word, word) for word in words)


def mentions(found: Sequence[Sentence], targets: Sequence[str]) -> list[Mention]:
    """Every place where one of `targets` stands in `found`, in order."""
    places = {
        Mention(i, start, end)
        for i, sentence in enumerate(found)
        for target in targets
        for start, end in find(sentence.tokens, target)
    }
    return sorted(places, key=lambda m: (m.sentence, m.start, m.end))


def refused(item: Item) -> str | None:
    """Why the whole answer is no answer to a target kind ("empty", "degenerate", "echo"); None where it may be one."""
    if not any(token.forms for token in tokens(item.reply)):
        return "empty"
    if is_degenerate(item.reply):
        return "degenerate"
    return None if own_words(item) else "echo"


def is_negative(item: Item) -> bool:
    """Whether the preference is against the target ("I hate mushrooms"), seen by its mention in the statement."""
    found = sentences(item.statement)
    # In the statement the target stands in whatever case the user wrote it.
    return any(
        is_denied(found, m) or cues.AVERSION.search(_around(found[m.sentence], m)[0])
        for m in mentions(found, [target.casefold() for target in item.targets])
    )


def clause_before(sentence: Sentence, mention: Mention) -> str:
    """The words of the mention's clause that stand before it."""
    return _around(sentence, mention)[0]


def is_denied(found: Sequence[Sentence], mention: Mention) -> bool:
    """Whether the clause of the mention denies it."""
    return _negated(*_around(found[mention.sentence], mention))


def stance(found: Sequence[Sentence], mention: Mention, item: Item, list_items: int) -> Stance:
    """What the answer says with one mention; `list_items` alternatives or more make a shotgun list."""
    sentence = found[mention.sentence]
    before = clause_before(sentence, mention)
    if is_denied(found, mention) or cues.LEFT_OUT.search(_joined(sentence.tokens[mention.end :])):
        return Stance.NEGATED
    if item.kind in RECALL_KINDS and _in_name(sentence, item.targets):
        return Stance.NAME
    if _overridden(found, mention, before, item.statement):
        return Stance.OVERRIDDEN
    if sentence.question and _asks(sentence, item):
        return Stance.ASKED
    whose = _owner(sentence, before, item)
    if whose is not None:
        return whose
    return Stance.LISTED if _alternatives(found, mention) >= list_items else Stance.ASSERTED


def affirms(sentence: Sentence) -> bool:
    """Whether the sentence says that the user likes something."""
    return cues.AFFIRMED.search(_joined(sentence.tokens)) is not None


def denies_dislike(sentence: Sentence) -> bool:
    """Whether the sentence says that the user does not dislike something."""
    return cues.UNBOTHERED.search(_joined(sentence.tokens)) is not None


def _joined(found: Sequence[Token]) -> str:
    return " ".join(token.text for token in found)


def _around(sentence: Sentence, mention: Mention) -> tuple[str, str]:
    """The words of the mention's clause before and after it, each with a space at the side of the mention."""
    start, end = mention.start, mention.end
    while start > 0 and not _opens_clause(sentence.tokens, start - 1):
        start -= 1
    while end < len(sentence.tokens) and not _opens_clause(sentence.tokens, end):
        end += 1
    before, after = _joined(sentence.tokens[start : mention.start]), _joined(sentence.tokens[mention.end : end])
    return f"{before} ", f" {after}"


def _opens_clause(found: Sequence[Token], at: int) -> bool:
    if found[at].text == "but" and at > 0 and found[at - 1].text in ("anything", "everything", "nothing"):
        return False
    if found[at].text in _BOUNDARY:
        # "not hiking, cooking, or chess": commas inside a list do not end the reach of a negation.
        return not (found[at].text == "," and _inside_list(found, at))
    following = found[at + 1].text if at + 1 < len(found) else ""
    return found[at].text in ("and", "so", "while") and following in ("you", "your", "you're", "i", "it", "we", "that")


def _inside_list(found: Sequence[Token], at: int) -> bool:
    rest = [token.text for token in found[at + 1 : at + 5]]
    return "or" in rest and not cues.YOU.search(" ".join(rest))


def _negated(before: str, after: str) -> bool:
    near = " ".join(cues.BENIGN.sub(" ", before).split()[-9:])
    return bool(cues.NEGATOR.search(near) or cues.NEGATED_AFTER.search(after))


def _overridden(found: Sequence[Sentence], mention: Mention, before: str, statement: str) -> bool:
    if cues.PAST.search(before) and not cues.PAST.search(fold(statement)):
        return True
    sentence = found[mention.sentence]
    if cues.TURNED.search(_joined(sentence.tokens[mention.end :])):
        return True
    return any(
        cues.TAKEN_BACK.search(_joined(later.tokens)) for later in found[mention.sentence + 1 : mention.sentence + 3]
    )


def _asks(sentence: Sentence, item: Item) -> bool:
    text = _joined(sentence.tokens)
    if cues.TAG_QUESTION.search(text):
        return False
    return item.kind in RECALL_KINDS or cues.CLARIFYING.search(text) is not None


def _in_name(sentence: Sentence, targets: Sequence[str]) -> bool:
    return any(
        re.search(rf"\b{re.escape(target.capitalize())}{cues.NAME.pattern}", sentence.text)
        for target in targets
        if target.islower()
    )


def _owner(sentence: Sentence, before: str, item: Item) -> Stance | None:
    text = _joined(sentence.tokens)
    if item.kind in RECALL_KINDS and not cues.YOU.search(text):
        if cues.CROWD.search(text):
            return Stance.ABOUT_OTHERS
        if cues.MACHINE.search(_joined(tokens(item.reply))):
            return Stance.ABOUT_ITSELF
    others = cues.OTHERS.search(before)
    without_relatives = cues.OTHERS.sub(" ", text)
    if others and item.kind in RECALL_KINDS and not cues.YOU.search(cues.OTHERS.sub(" ", before)):
        return Stance.ABOUT_OTHERS
    if cues.SELF.search(before) and not cues.YOU.search(without_relatives):
        return Stance.ABOUT_ITSELF
    return None


def _alternatives(found: Sequence[Sentence], mention: Mention) -> int:
    """How many short alternatives the list around the mention holds; 1 where there is no list."""
    if found[mention.sentence].bullet:
        return sum(sentence.bullet for sentence in found)
    words = [token.text for token in found[mention.sentence].tokens]
    ends = [i for i, word in enumerate(words) if word in _SEPARATORS] + [len(words)]
    sizes = [end - start for start, end in zip([-1, *ends], ends, strict=False)]  # one more than the words between
    own = sum(end < mention.start for end in ends)
    # The words before a list ("your hobby is hiking") stand in the segment of its first item; many after it do not.
    if ends[own] - mention.end > LIST_ITEM_WORDS:
        return 1
    short = [size <= LIST_ITEM_WORDS + 1 for size in sizes]
    after = next((i for i in range(own + 1, len(short)) if not short[i]), len(short))
    before = own
    while before > 0 and short[before]:
        before -= 1
    return sum(size > 1 for size in sizes[before:after])
