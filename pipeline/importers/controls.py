"""Control questions for imported preferences, by the rules that make them for our own data.

The published benchmarks have none, and without controls an editor that answers everything with the target looks
perfect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pipeline.core.records import Draft, DraftQuestion, Evidence, Query, QuestionKind
from pipeline.core.wording import stems
from pipeline.embedding import Vectors
from pipeline.generate.attributes import AttributeType, find_attribute, taxonomy
from pipeline.generate.config import MatchingConfig
from pipeline.generate.controls import irrelevant_order, neutral_order, other_person, unstated_order
from pipeline.validate.config import RulesConfig
from pipeline.validate.difficulty import Encode
from pipeline.validate.rules import question_faults


def with_controls(
    drafts: Mapping[str, Draft], encode: Encode, limits: MatchingConfig, rules: RulesConfig
) -> dict[str, Draft]:
    """`drafts`, each with an unstated, an irrelevant, two other_person and a neutral question that pass the rules.

    An irrelevant question is another record's implicit question, of another family and attribute type and far from
    this preference by `limits.max_irrelevant`; its origin stays "generated".
    """
    controls = _Controls(list(drafts.values()), encode, limits, rules)
    return {
        id_: draft.model_copy(update={"questions": (*draft.questions, *controls.of(draft))})
        for id_, draft in drafts.items()
    }


class _Controls:
    def __init__(self, drafts: Sequence[Draft], encode: Encode, limits: MatchingConfig, rules: RulesConfig) -> None:
        self._limits = limits
        self._rules = rules
        self._kinds = taxonomy()
        self._queries = [(draft, _query(draft, q)) for draft in drafts for q in draft.questions if q.kind == _IMPLICIT]
        texts = [query.text for _, query in self._queries]
        texts += [kind.explicit[0] for kind in self._kinds]
        texts += [text for draft in drafts for text in _about(draft)]
        distinct = list(dict.fromkeys(texts))
        self._vectors = dict(zip(distinct, encode(distinct), strict=True)) if distinct else {}

    def of(self, draft: Draft) -> Iterator[DraftQuestion]:
        """The controls of one draft."""
        taken = {stems(question.text) for question in draft.questions}
        for options, count in (
            (self._unstated(draft), 1),
            (self._irrelevant(draft), 1),
            (other_person(draft.id, _kind(draft).explicit[0], [draft.statement.text]), 2),
            (neutral_order(draft.id), 1),
        ):
            for question in self._first(draft, options, count, taken):
                taken.add(stems(question.text))
                yield question

    def _first(
        self, draft: Draft, options: Iterable[DraftQuestion], count: int, taken: set[tuple[str, ...]]
    ) -> list[DraftQuestion]:
        chosen: list[DraftQuestion] = []
        for question in options:
            if len(chosen) == count:
                break
            if stems(question.text) not in taken and not any(
                True for _ in question_faults(draft, question, self._rules)
            ):
                chosen.append(question)
        return chosen

    def _unstated(self, draft: Draft) -> list[DraftQuestion]:
        stated = {draft.attribute_type, draft.family}
        for family in (draft.family, ""):
            found = find_attribute(draft.statement.text, family, self._rules.max_target_words)
            stated |= {found.type.name, *found.type.families} if found else set()
        close = self._stack([kind.explicit[0] for kind in self._kinds]) @ self._vectors[draft.statement.text]
        return unstated_order(draft.id, self._kinds, stated, close.tolist(), self._limits.max_unstated)

    def _irrelevant(self, draft: Draft) -> list[DraftQuestion]:
        others = [query for other, query in self._queries if not _alike(draft, other)]
        if not others:
            return []
        relevance = self._stack([query.text for query in others]) @ self._stack(_about(draft)).T
        found = irrelevant_order(draft.id, others, relevance, self._limits.max_irrelevant)
        return [question.model_copy(update={"origin": "generated", "query_id": None}) for question in found]

    def _stack(self, texts: Sequence[str]) -> Vectors:
        stacked: Vectors = np.stack([self._vectors[text] for text in texts])  # (texts, dimension)
        return stacked


_IMPLICIT = QuestionKind.IMPLICIT


def _about(draft: Draft) -> list[str]:
    """The texts a question must be far from to be irrelevant."""
    return [draft.statement.text, *(question.text for question in draft.questions)]


def _alike(one: Draft, other: Draft) -> bool:
    same_type = one.attribute_type == other.attribute_type
    return one.id == other.id or same_type or one.family == other.family


def _query(draft: Draft, question: DraftQuestion) -> Query:
    statement = draft.statement
    return Query(
        id=f"{draft.id}/{question.kind}",
        user_id=statement.user_id,
        evidence=Evidence(source=statement.evidence.source, conversation=draft.id, turn=0, start=0, end=0),
        text=question.text,
        topic=draft.family,
        confidence=1.0,
        language=statement.language,
        license=statement.license,
        redactions=(),
    )


def _kind(draft: Draft) -> AttributeType:
    """The draft's attribute as a type, as far as control questions need one."""
    direct = next(question.text for question in draft.questions if question.kind == QuestionKind.EXPLICIT)
    return AttributeType(
        name=draft.attribute_type,
        families=(draft.family,),
        broad=False,
        loose=False,
        dynamic=False,
        cues=(),
        explicit=(direct,),
        rephrased=(),
        implicit=(),
        product=(),
        synonyms=(),
        prototypes=(),
        update=None,
    )
