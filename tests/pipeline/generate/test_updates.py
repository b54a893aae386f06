from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.core.records import Draft, Provenance, QuestionKind, Statement
from pipeline.core.wording import contains_phrase
from pipeline.generate.attributes import AttributeType, taxonomy, with_article
from pipeline.generate.composer import ours
from pipeline.generate.topics import Topic, find_topics
from pipeline.generate.updates import Changed, with_updates
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import check_draft

K = QuestionKind
MakeStatement = Callable[..., Statement]


def changed(statements: list[Statement], rules: RulesConfig, limit: int = 10) -> tuple[list[Topic], Changed]:
    topics = find_topics(statements, 100, rules).kept
    asked = [
        topic.draft(
            [ours(topic, kind, rotate=False)[0] for kind in (K.EXPLICIT, K.REPHRASED, K.IMPLICIT, K.PRODUCT)],
            Provenance(model="m", prompts={}, samples=1),
            9,
        )
        for topic in topics
    ]
    return topics, with_updates(topics, asked, limit, 9, rules)


def pair(found: Changed) -> tuple[Draft, Draft]:
    old, new = found.drafts
    return old, new


def test_an_update_is_a_later_statement_of_the_same_user_that_replaces_the_preference(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    old, new = pair(changed([make_statement("I'm a nurse.")], rules)[1])
    assert old.superseded_by == new.id
    assert (old.origin, new.origin) == ("mined", "template")
    assert new.statement.user_id == old.statement.user_id
    assert new.statement.history == (old.statement.id,)
    assert new.statement.text.startswith("I used to work as a nurse, but now I work as ")
    assert new.attribute_type == old.attribute_type
    assert new.target != old.target


def test_an_update_asks_the_same_questions_with_the_new_answer(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    old, new = pair(changed([make_statement("I'm a nurse.")], rules)[1])
    assert [q.text for q in new.questions] == [q.text for q in old.questions]
    assert all(q.accepted[0] == new.target for q in new.questions)


def test_what_a_model_wrote_for_the_old_value_is_not_asked_about_the_new_one(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    (topic,), found = changed([make_statement("I'm a nurse.")], rules)
    old = found.drafts[0]
    written = old.questions[2].model_copy(update={"text": "How do I calm my patients?", "origin": "generated"})
    old = old.model_copy(update={"questions": (*old.questions[:2], written, old.questions[3])})
    _, new = with_updates([topic], [old], 1, 9, rules).drafts
    implicit = next(q for q in new.questions if q.kind is K.IMPLICIT)
    assert (implicit.origin, implicit.text != written.text) == ("template", True)


def test_no_more_updates_than_asked_for_and_always_the_same_ones(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    statements = [make_statement(f"I'm a {job}.", user=job) for job in ("nurse", "baker", "lawyer", "painter")]
    _, found = changed(statements, rules, limit=2)
    _, again = changed(statements[::-1], rules, limit=2)
    assert (found.written, len(found.drafts)) == (2, 6)
    assert {d.id for d in found.drafts} == {d.id for d in again.drafts}


@pytest.mark.parametrize(("later", "mined"), [("I'm now a baker.", 1), ("I'm also a baker.", 0)])
def test_a_change_that_the_user_stated_is_found(
    make_statement: MakeStatement, rules: RulesConfig, later: str, mined: int
) -> None:
    first, second = make_statement("I'm a nurse."), make_statement(later)
    second = second.model_copy(update={"evidence": second.evidence.model_copy(update={"turn": 4})})
    topics, found = changed([second, first], rules, limit=0)
    by_target = {draft.target: draft for draft in found.drafts}
    assert found.mined == mined
    assert by_target["nurse"].superseded_by == (by_target["baker"].id if mined else None)


CHANGING = [kind for kind in taxonomy() if kind.update is not None]


@pytest.mark.parametrize("kind", CHANGING, ids=lambda kind: kind.name)
def test_every_update_of_the_taxonomy_passes_the_rules(
    kind: AttributeType, make_statement: MakeStatement, rules: RulesConfig
) -> None:
    assert kind.update is not None
    statements = [make_statement(text, family=kind.families[0], user=text) for text in kind.prototypes]
    topics, found = changed(statements, rules)
    assert found.written == len(topics) > 0
    for update in found.drafts[len(topics) :]:
        assert check_draft(update, rules) == []
        assert contains_phrase(update.statement.text, update.target)


@pytest.mark.parametrize(
    ("noun", "whole"),
    [
        ("nurse", "a nurse"),
        ("engineer", "an engineer"),
        ("two cats", "two cats"),
        ("cats", "cats"),
        ("CEO", "CEO"),
        ("a tortoise", "a tortoise"),
    ],
)
def test_articles(noun: str, whole: str) -> None:
    assert with_article(noun) == whole
