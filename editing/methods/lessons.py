"""What a preference is taught by: questions to answer with it, and questions to leave alone, by kind.

Kinds mirror what may be asked of a personalised model: own phrasings of the attribute type and its synonyms, and a bank
of questions on topics of life, of which those nearest to the preference are its own and the farthest are not. A
question that the evaluation asks in the same words is left out, whatever kind it would be of.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from editing.methods.base import Fact, unique
from editing.patches.retrieve import vectors
from pipeline.core.config import Section, parse_section, read_yaml
from pipeline.embedding import Vectors, embed

BANK = Path(__file__).parent / "question_bank.yaml"
"""The questions."""

_YOURS = {"my": "your", "i": "you", "me": "you", "am": "are", "mine": "yours", "myself": "yourself"}


class Topic(Section):
    """Questions a user may ask about one field of life."""

    personal: tuple[str, ...]
    """Direct questions about the user."""
    advice: tuple[str, ...]
    """Questions whose good answer may depend on the user."""


class QuestionBank(Section):
    """Questions and templates that are the same for every user."""

    direct: tuple[str, ...]
    """Direct questions about {x}, the attribute type."""
    shopping: tuple[str, ...]
    """Shopping questions for {x}."""
    nobody: tuple[str, ...]
    """Questions about {x} that are nobody's."""
    people: tuple[str, ...]
    """Possessives of other people."""
    nouns: tuple[str, ...]
    """Attributes that users seldom state."""
    neutral: tuple[str, ...]
    """Questions about the world."""
    requests: tuple[str, ...]
    """Requests that are about no preference in particular."""
    topics: dict[str, Topic]
    """Questions by topic of life."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """All questions in which nothing of a user stands."""
        own = chain.from_iterable(
            (*topic.personal, *topic.advice, *map(in_second_person, topic.personal)) for topic in self.topics.values()
        )
        return unique((*own, *self.neutral, *self.requests, *map(asks_for, self.nouns)))


@functools.cache
def question_bank() -> QuestionBank:
    """The bank in question_bank.yaml."""
    return parse_section(read_yaml(BANK), QuestionBank, where=BANK.name)


@dataclass(frozen=True)
class Lesson:
    """The questions of one fact, by kind."""

    asked: Mapping[str, tuple[str, ...]]
    """Questions to answer with the target: direct, personal, advice, shopping."""
    held: Mapping[str, tuple[str, ...]]
    """Questions to answer as before: others, assistant, nobody, unstated, far, requests, neutral."""


class LessonConfig(Section):
    """How many questions of which kind a lesson has."""

    direct: int
    """Most direct questions; as many again are held about others, and about the assistant."""
    shopping: int
    """Most shopping questions; as many again are held about others."""
    near_topics: int
    """Topics nearest to the preference; their questions are asked."""
    far_topics: int
    """Topics farthest from the preference; their questions are held."""
    max_noun_similarity: float
    """Nouns closer to the attribute type than this cosine are not held."""


class Lessons:
    """Chooses questions for facts; every text is embedded once."""

    def __init__(self, config: LessonConfig, bank: QuestionBank) -> None:
        """Embed the bank, once in a process."""
        self.config, self.bank = config, bank
        fixed = unique((*bank.fixed, *bank.nouns))
        self._vectors: dict[str, Any] = dict(zip(fixed, vectors(fixed), strict=True))

    def of(self, fact: Fact) -> Lesson:
        """The lesson of `fact`, the same whoever else is taught."""
        bank = self.bank
        names = unique([fact.subject, *(member.subject for member in fact.cluster)])
        clustered = [fact.question, *(member.question for member in fact.cluster)]
        direct = _open(fact, in_turn(clustered, _filled(bank.direct, names)))[: self.config.direct]
        shopping = _open(fact, _filled(bank.shopping, names))[: self.config.shopping]
        near, far = self.near_and_far(fact)
        asked = {
            "direct": direct,
            "personal": _open(fact, chain.from_iterable(topic.personal for topic in near)),
            "advice": _open(fact, chain.from_iterable(topic.advice for topic in near)),
            "shopping": shopping,
        }
        own = [text for text in (*direct, *shopping) if "my " in text]
        personal = [in_second_person(text) for text in asked["personal"]]
        held = {
            "others": [text.replace("my ", f"{_picked(bank.people, text)} ", 1) for text in own],
            "assistant": [*(text.replace("my ", "your ", 1) for text in direct if "my " in text), *personal],
            "nobody": [text.replace("{x}", fact.subject) for text in bank.nobody],
            "unstated": [asks_for(noun) for noun in self._distant_nouns(names)],
            "far": list(chain.from_iterable((*topic.personal, *topic.advice) for topic in far)),
            "requests": list(bank.requests),
            "neutral": list(bank.neutral),
        }
        taken = set(chain.from_iterable(asked.values()))
        return Lesson(
            {kind: unique(texts) for kind, texts in asked.items()},
            {
                kind: tuple(text for text in unique(_open(fact, texts)) if text not in taken)
                for kind, texts in held.items()
            },
        )

    def near_and_far(self, fact: Fact) -> tuple[list[Topic], list[Topic]]:
        """The topics nearest to a fact and those farthest from it, by mean cosine of their questions."""
        topics = list(self.bank.topics.values())
        own = self.embedded([f"{fact.subject}: {fact.statement}", asks_for(fact.subject)])
        scores = [float((self.embedded([*topic.personal, *topic.advice]) @ own.T).mean()) for topic in topics]
        order = sorted(range(len(topics)), key=lambda at: -scores[at])
        near, far = order[: self.config.near_topics], order[len(order) - self.config.far_topics :]
        return [topics[at] for at in near], [topics[at] for at in far]

    def _distant_nouns(self, names: Sequence[str]) -> list[str]:
        """The attributes that are none of `names`."""
        closest = (self.embedded(self.bank.nouns) @ self.embedded(names).T).max(axis=1)
        limit = self.config.max_noun_similarity
        return [noun for noun, score in zip(self.bank.nouns, closest, strict=True) if score < limit]

    def embedded(self, texts: Sequence[str]) -> Vectors:
        """Sentence embeddings of `texts`, (len(texts), width)."""
        new = [text for text in unique(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


def _open(fact: Fact, texts: Iterable[str]) -> tuple[str, ...]:
    """The texts that are no question of the evaluation."""
    return tuple(text for text in texts if not fact.bars(text))


def asks_for(noun: str) -> str:
    """The direct question for an attribute."""
    return f"What is my {noun}?"


def in_second_person(text: str) -> str:
    """A question of the user about themselves, put to the assistant about itself."""
    turned = re.sub(r"\b\w+\b", lambda word: _YOURS.get(word.group().lower(), word.group()), text)
    return turned[:1].upper() + turned[1:]


def in_turn(*kinds: Sequence[str]) -> tuple[str, ...]:
    """All texts without repetitions, the kinds taking turns."""
    return unique(text for text in chain.from_iterable(zip_longest(*kinds)) if text is not None)


def _filled(templates: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The first name in every template and each other name in one, in turn."""
    first = [text.replace("{x}", names[0]) for text in templates]
    return in_turn(first, [_picked(templates, name).replace("{x}", name) for name in names[1:]])


def _picked(options: Sequence[str], text: str) -> str:
    """One of the options, always the same for `text`: the questions of two users with one name are then the same."""
    return random.Random(text).choice(options)
