"""From candidates to a draft's questions: the rules reject, sentence embeddings rank, ours fill the gaps."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from pipeline.core.records import CONTROL_KINDS, DraftQuestion, Query, QuestionKind, Statement
from pipeline.core.wording import FUNCTION_WORDS, content_stems, stems, words
from pipeline.embedding import Vectors
from pipeline.generate.attributes import AttributeType, taxonomy, types_in
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import irrelevant_order, neutral_order, other_person, rotated, unstated_order
from pipeline.generate.topics import Topic
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import question_faults

K = QuestionKind
Encode = Callable[[Sequence[str]], Vectors]
"""Sentences to unit vectors, shape (n, dimension)."""


TOPICS: dict[str, tuple[str, ...]] = {
    "belief": ("leisure", "relationships"),
    "constraint": ("travel", "shopping", "productivity", "home", "leisure"),
    "diet": ("food",),
    "family": ("travel", "leisure", "home", "money", "shopping", "productivity"),
    "goal": ("learning", "career", "money", "health", "productivity"),
    "habit": ("health",),
    "health": ("health", "food", "travel"),
    "hobby": ("leisure", "entertainment", "shopping", "health"),
    "identity": ("leisure", "health", "career", "relationships"),
    "language": ("learning", "entertainment"),
    "location": ("travel", "leisure", "food", "home"),
    "pet": ("travel", "home"),
    "possession": ("home", "technology", "shopping", "travel"),
    "profession": ("career", "business", "money"),
    "skill": ("career", "money", "learning", "entertainment"),
    "studies": ("learning", "career", "money"),
    "taste": ("leisure", "entertainment", "shopping", "food"),
}
"""Topics of mined queries whose good answer can depend on a fact, by the attribute type's first family."""


class Ranked(NamedTuple):
    """A candidate that passed the rules."""

    score: float
    question: DraftQuestion


class Composer:
    """Collects candidates for all topics and composes the questions of each."""

    def __init__(
        self,
        topics: Sequence[Topic],
        statements: Sequence[Statement],
        queries: Sequence[Query],
        remarks: Mapping[str, Sequence[str]],
        encode: Encode,
        config: GenerateConfig,
        rules: RulesConfig,
    ) -> None:
        """Embed statements, queries, our questions and what else the users wrote; find the mined queries that fit.

        `remarks` are all other sentences by user, which became no statement but may say something about the user.
        """
        self.rejections: Counter[str] = Counter()
        """Rules that rejected candidates, with "ranking" for the embeddings."""
        self._encode = _Memory(encode)
        self._config = config
        self._rules = rules
        self._topics = topics
        self._bare = {topic.id: topic.bare() for topic in topics}
        self._accepted: dict[str, dict[QuestionKind, list[Ranked]]] = {t.id: {k: [] for k in _WRITTEN} for t in topics}
        self._queries = [query for query in queries if _stands_alone(query.text, config.matching.max_words)]
        self._query_vectors = self._encode([query.text for query in self._queries])
        self._by_user: dict[str, list[Statement]] = {}
        for statement in statements:
            self._by_user.setdefault(statement.user_id, []).append(statement)
        self._said = {
            user: [*(row.self_contained for row in own), *remarks.get(user, ())] for user, own in self._by_user.items()
        }
        texts = list(_texts(topics, self._said))
        self._encode(texts)
        known = [*texts, *(query.text for query in queries)]
        self._vocabulary = (
            {stem for text in known for stem in stems(text)} if config.ranking.known_words_only else set()
        )
        self._matches = [(topic, ranked) for topic in topics for ranked in self._mined(topic)]

    @property
    def matches(self) -> list[tuple[Topic, DraftQuestion]]:
        """The mined queries that are close enough to be an implicit question, with the fact each is for."""
        return [(topic, ranked.question) for topic, ranked in self._matches]

    def deal_out(self, depends: Sequence[bool] | None = None) -> None:
        """Take one mined query a topic; of `matches` only those whose good answer `depends` on the fact, if known."""
        pairs = self._matches
        if depends is not None:
            self.rejections["implicit.does_not_depend"] += len(pairs) - sum(depends)
            pairs = list(compress(pairs, depends))
        for topic, ranked in _spread(pairs, self._config.matching.max_uses):
            self._accepted[topic.id][K.IMPLICIT].append(ranked)

    def written(self, topic: Topic) -> list[DraftQuestion]:
        """The accepted candidate of each kind, the best one; kinds without one are left out."""
        best = (max(found, key=lambda r: r.score, default=None) for found in self._accepted[topic.id].values())
        return [ranked.question for ranked in best if ranked is not None]

    def lacking(self, topics: Iterable[Topic]) -> list[tuple[Topic, frozenset[QuestionKind]]]:
        """Topics for which some kind has no accepted candidate, with those kinds."""
        kinds = model_kinds(self._config)
        open_kinds = [(t, frozenset(k for k in kinds if not self._accepted[t.id][k])) for t in topics]
        return [(topic, kinds) for topic, kinds in open_kinds if kinds]

    def add(self, topic: Topic, candidates: Sequence[DraftQuestion]) -> None:
        """Judge candidates of the model and keep the good ones."""
        for question, score in zip(candidates, self._scores(topic, candidates), strict=True):
            faults = [str(reason) for reason, _ in question_faults(self._bare[topic.id], question, self._rules)]
            faults = faults or list(self._doubts(topic, question, score))
            self.rejections.update(f"{question.kind}.{fault}" for fault in faults)
            if not faults:
                self._accepted[topic.id][question.kind].append(Ranked(score, question))

    def _doubts(self, topic: Topic, question: DraftQuestion, score: float) -> Iterator[str]:
        """Why a sample that keeps the rules is not taken; stricter than the rules, for ours are always at hand."""
        if score < getattr(self._config.ranking, question.kind.value):
            yield "ranking"
        elif question.kind is not K.REPHRASED and self._rank(topic, question) > self._config.ranking.max_rank:
            yield "vague"
        if _half_leaks(topic, question):
            yield "half_leak"
        own = topic.kind.questions(question.kind)
        if question.text not in own and any(content_stems(question.text) <= content_stems(text) for text in own):
            yield "shortened"  # one of ours with words left out, which asks the same at best
        if _DANGLING & set(words(question.text)):
            yield "dangling"
        if self._vocabulary and not set(stems(question.text)) <= self._vocabulary:
            yield "unknown_word"
        last = words(question.text)[-1]
        if last in FUNCTION_WORDS - _FINAL or len(last) == 1:
            yield "unfinished"

    def questions(self, topic: Topic) -> tuple[DraftQuestion, ...]:
        """The questions of the four kinds and the controls; no two alike."""
        chosen: list[DraftQuestion] = []
        for options, count in self._plan(topic):
            chosen += first_valid(options, count, chosen, lambda q: self._fits(topic, q))
        return tuple(chosen)

    def _plan(self, topic: Topic) -> Iterator[tuple[Iterable[DraftQuestion], int]]:
        yield ours(topic, K.EXPLICIT, rotate=False), 1
        for kind in _WRITTEN:
            best = sorted(self._accepted[topic.id][kind], key=lambda ranked: -ranked.score)
            yield [*(ranked.question for ranked in best), *ours(topic, kind, rotate=True)], 1
        for kind in CONTROL_KINDS:
            yield self.controls(topic, kind), 2 if kind is K.OTHER_PERSON else 1

    def controls(self, topic: Topic, kind: QuestionKind) -> list[DraftQuestion]:
        """The control questions of a kind that suit a topic of one of the users, those to prefer first.

        The topic need not be one of those given: an update is not.
        """
        if kind is K.UNSTATED:
            return self._unstated(topic)
        if kind is K.IRRELEVANT:
            limit = self._config.matching.max_irrelevant
            return irrelevant_order(topic.id, self._queries, self._relevance(topic), limit)
        if kind is K.OTHER_PERSON:
            return other_person(topic.id, topic.kind.explicit[0], self._said[topic.statement.user_id])
        return neutral_order(topic.id)

    def _fits(self, topic: Topic, question: DraftQuestion) -> bool:
        return not _half_leaks(topic, question) and not self._faults(topic, question)

    def _faults(self, topic: Topic, question: DraftQuestion) -> bool:
        return any(True for _ in question_faults(self._bare[topic.id], question, self._rules))

    def _mined(self, topic: Topic) -> list[Ranked]:
        if not self._queries:
            return []
        limits = self._config.matching
        to_question = (self._query_vectors @ self._encode(topic.kind.implicit).T).max(axis=1)
        to_statement = self._query_vectors @ self._encode([topic.statement.self_contained])[0]
        found: list[Ranked] = []
        for index in np.flatnonzero(
            (to_question >= limits.min_to_question) & (to_statement >= limits.min_to_statement)
        ):
            query = self._queries[int(index)]
            question = DraftQuestion(
                kind=K.IMPLICIT,
                text=query.text,
                origin="mined",
                query_id=query.id,
                accepted=(topic.target, *topic.aliases),
            )
            suits = query.topic in TOPICS.get(topic.kind.families[0], ()) and not _names_something(query.text)
            if suits and not self._faults(topic, question):
                # A mined query is taken before any generated one, whatever their cosines: those stay below 2.
                found.append(Ranked(2.0 + float(to_question[index] + to_statement[index]), question))
        return found

    def _rank(self, topic: Topic, question: DraftQuestion) -> int:
        """Rank of the topic's statement for a question among those of other attribute types: 1 where none is closer."""
        others = [other.statement.self_contained for other in self._topics if other.kind.name != topic.kind.name]
        vectors = self._encode([topic.statement.self_contained, *others])
        close = vectors @ self._encode([question.text])[0]
        return 1 + int((close[1:] > close[0]).sum())

    def _scores(self, topic: Topic, candidates: Sequence[DraftQuestion]) -> list[float]:
        """Closeness of each candidate: a rephrased question to our direct ones, others to the statement."""
        vectors = self._encode([candidate.text for candidate in candidates])
        anchors = {
            K.REPHRASED: self._encode([*topic.kind.rephrased, *topic.kind.explicit]),
            K.IMPLICIT: self._encode([topic.statement.self_contained]),
            K.PRODUCT: self._encode([topic.statement.self_contained]),
        }
        return [
            float((vector @ anchors[candidate.kind].T).max())
            for vector, candidate in zip(vectors, candidates, strict=True)
        ]

    def _unstated(self, topic: Topic) -> list[DraftQuestion]:
        own = (topic.statement.self_contained, topic.target)
        said = list(dict.fromkeys([*self._said[topic.statement.user_id], *own]))
        families = {statement.family for statement in self._by_user[topic.statement.user_id]}
        stated = {topic.kind.name, *topic.kind.families, *families}
        for text in said:
            for kind in types_in(text, families):
                stated |= {kind.name, *kind.families}
        kinds = taxonomy()
        direct = self._encode([kind.explicit[0] for kind in kinds])
        close = (direct @ self._encode(said).T).max(axis=1)
        return unstated_order(topic.id, kinds, stated, close.tolist(), self._config.matching.max_unstated)

    def _relevance(self, topic: Topic) -> Vectors:
        # The value alone too: in a long statement it counts for little.
        texts = [topic.statement.self_contained, topic.target, *_all_questions(topic.kind)]
        relevance: Vectors = self._query_vectors @ self._encode(texts).T
        return relevance


def _spread(pairs: Sequence[tuple[Topic, Ranked]], most: int) -> Iterator[tuple[Topic, Ranked]]:
    """One mined query a topic, none for more than `most` topics: the least used query first, of those the closest."""
    waiting = [(0, -ranked.score, topic.id, number) for number, (topic, ranked) in enumerate(pairs)]
    heapq.heapify(waiting)
    served: set[str] = set()
    uses: Counter[str | None] = Counter()
    while waiting:
        used, distance, name, number = heapq.heappop(waiting)
        topic, ranked = pairs[number]
        now = uses[ranked.question.query_id]
        if topic.id in served or now == most:
            continue
        if used < now:  # dealt out since it was put here: it goes back to its place
            heapq.heappush(waiting, (now, distance, name, number))
            continue
        served.add(topic.id)
        uses[ranked.question.query_id] += 1
        yield topic, ranked


_DANGLING = frozenset(["it", "its", "this", "that", "these", "those", "them", "they"])
"""Words that point at something a question on its own does not hold."""


def _half_leaks(topic: Topic, question: DraftQuestion) -> bool:
    """Whether a written question holds a word like one of the target that the attribute type does not hold anyway."""
    telling = _roots(topic.target) - _roots(topic.kind.name) - {"buy"}  # every shopping question says "buy"
    return question.kind in _WRITTEN and bool(telling & _roots(question.text))


def _roots(text: str) -> set[str]:
    """The first letters of each content word: "financial" and "finance" are the same, "reading" and "read" too."""
    return {_ENDING.sub("", stem)[:5] for stem in content_stems(text)}


_ENDING = re.compile(r"(?<=\w{3})(?:ing|ers?|ed|e)$")


class _Memory:
    """An encoder that embeds every text once."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[str, Vectors] = {}

    def __call__(self, texts: Sequence[str]) -> Vectors:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self._encode(new), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else self._encode([])


_WRITTEN = (K.REPHRASED, K.IMPLICIT, K.PRODUCT)


def model_kinds(config: GenerateConfig) -> frozenset[QuestionKind]:
    """Kinds a model is asked for; of a statement's implicit question only where no mined query fits."""
    return frozenset([K.REPHRASED] if config.ranking.ours_first else _WRITTEN)


_FINAL = frozenset(["me", "myself", "for", "in", "on", "with", "about", "at", "of", "off", "do", "am", "from"])
"""Function words with which a question may well end."""


def _texts(topics: Sequence[Topic], said: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything that is compared later, so that it is embedded in one go."""
    for user in {topic.statement.user_id: None for topic in topics}:
        yield from said[user]
    yield from (kind.explicit[0] for kind in taxonomy())
    for topic in topics:
        yield from topic.kind.explicit
        yield from _all_questions(topic.kind)


def _all_questions(kind: AttributeType) -> list[str]:
    return [text for group in _WRITTEN for text in kind.questions(group)]


def ours(topic: Topic, kind: QuestionKind, *, rotate: bool) -> list[DraftQuestion]:
    """The questions we wrote for the topic's attribute type; rotated, they begin at a place the topic decides."""
    texts = topic.kind.questions(kind)
    return [
        DraftQuestion(kind=kind, text=text, origin="template", query_id=None, accepted=(topic.target, *topic.aliases))
        for text in (rotated(f"{topic.id}{kind}", texts) if rotate else texts)
    ]


def first_valid(
    options: Iterable[DraftQuestion], count: int, taken: Sequence[DraftQuestion], valid: Callable[[DraftQuestion], bool]
) -> list[DraftQuestion]:
    """The first `count` options that are valid and ask nothing that `taken` asks."""
    seen = {tuple(stems(question.text)) for question in taken}
    chosen: list[DraftQuestion] = []
    for question in options:
        key = tuple(stems(question.text))
        if key in seen or not valid(question):
            continue
        seen.add(key)
        chosen.append(question)
        if len(chosen) == count:
            break
    return chosen


_REFERRING = frozenset(
    "this these those above it its them they here there else also next following below previous one ones such same "
    "your based conversation each name similar will".split()
)
_MIN_QUERY_WORDS = 6
_FOLLOWS_UP = re.compile(r"^\W*(?:and|but|so|or|what about|how about|ok|okay|yes|no|now|then)\b", re.IGNORECASE)


def _stands_alone(text: str, max_words: int) -> bool:
    """Whether a mined query makes sense without its conversation: one short sentence that refers to nothing before."""
    given = words(text)
    one = text.count("?") <= 1 and "\n" not in text and "[" not in text
    fits = _MIN_QUERY_WORDS <= len(given) <= max_words
    return one and fits and not _REFERRING & set(given) and not _FOLLOWS_UP.search(text)


def _names_something(text: str) -> bool:
    """Whether a proper noun stands in `text`: such a query belongs to the one who asked it."""
    return any(part[:1].isupper() and part not in ("I", "I'm", "I've") for part in text.split()[1:])
