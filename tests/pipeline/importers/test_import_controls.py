"""Control questions of imported preferences."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.records import CONTROL_KINDS, Draft, QuestionKind
from pipeline.core.wording import contains_phrase
from pipeline.generate.config import MatchingConfig
from pipeline.importers.controls import with_controls
from pipeline.importers.stage import Format, read
from pipeline.validate.config import RulesConfig
from pipeline.validate.difficulty import hashed

FIXTURES = Path(__file__).with_name("fixtures")
RULES = RulesConfig(require_kinds=(), max_target_words=6, max_question_words=40, min_question_words=1)
LIMITS = MatchingConfig(
    min_to_question=0.5,
    min_to_statement=0.2,
    max_irrelevant=0.9,
    max_unstated=0.9,
    max_words=25,
    max_uses=8,
    validator=None,
)


def drafts(benchmark: Format, file: str) -> tuple[dict[str, Draft], dict[str, Draft]]:
    before = read(benchmark, FIXTURES / file, first_person=True).drafts
    return before, with_controls(before, hashed, LIMITS, RULES)


@pytest.mark.parametrize(("benchmark", "file"), [("upqa", "upqa.json"), ("prefeval", "prefeval.json")])
def test_every_preference_gets_a_control_of_each_kind_after_its_own_questions(benchmark: Format, file: str) -> None:
    before, after = drafts(benchmark, file)
    for id_, draft in after.items():
        own = len(before[id_].questions)
        assert draft.questions[:own] == before[id_].questions
        assert {question.kind for question in draft.questions[own:]} == set(CONTROL_KINDS)


def test_no_control_holds_the_target() -> None:
    _, after = drafts("upqa", "upqa.json")
    for draft in after.values():
        controls = [question for question in draft.questions if question.kind in CONTROL_KINDS]
        assert not any(contains_phrase(question.text, draft.target) for question in controls)


def test_an_irrelevant_question_is_another_records_of_another_family() -> None:
    before, after = drafts("upqa", "upqa.json")
    asked = {q.text: d.statement.family for d in before.values() for q in d.questions}
    for draft in after.values():
        for question in draft.questions:
            if question.kind == QuestionKind.IRRELEVANT:
                assert asked[question.text] != draft.statement.family
                assert (question.origin, question.query_id) == ("generated", None)


def test_a_lone_record_has_no_irrelevant_question() -> None:
    _, after = drafts("upqa", "upqa_cluster.json")
    (draft,) = after.values()
    assert QuestionKind.IRRELEVANT not in {question.kind for question in draft.questions}


def test_the_same_file_gets_the_same_controls() -> None:
    assert drafts("prefeval", "prefeval.json") == drafts("prefeval", "prefeval.json")
