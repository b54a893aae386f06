from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.core.records import CONTROL_KINDS, Draft, DraftQuestion, Provenance, QuestionKind, Statement
from pipeline.core.wording import contains_phrase
from pipeline.generate.articles import with_article
from pipeline.generate.attributes import AttributeType, Found, find_attribute, taxonomy
from pipeline.generate.composer import ours
from pipeline.generate.topics import Topic, find_topics
from pipeline.generate.updates import Changed, with_earlier, with_updates
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import check_draft

K = QuestionKind
MakeStatement = Callable[..., Statement]


def changed(statements: list[Statement], rules: RulesConfig, limit: int = 10) -> tuple[list[Topic], Changed]:
    topics = with_earlier(find_topics(statements, 100, rules).kept, rules)
    asked = [
        topic.draft(
            [ours(topic, kind, rotate=False)[0] for kind in (K.EXPLICIT, K.REPHRASED, K.IMPLICIT, K.PRODUCT)],
            Provenance(model="m", prompts={}, samples=1),
            9,
        )
        for topic in topics
    ]
    return topics, with_updates(topics, asked, limit, 9, rules, controls)


def control(kind: QuestionKind, text: str) -> DraftQuestion:
    accepted = ("Rome",) if kind is K.NEUTRAL else ()
    return DraftQuestion(kind=kind, text=text, origin="template", query_id=None, accepted=accepted)


SUITED = {
    K.UNSTATED: [control(K.UNSTATED, "What is my pet?"), control(K.UNSTATED, "What is my diet?")],
    K.IRRELEVANT: [control(K.IRRELEVANT, "Which phone should I choose?")],
    K.OTHER_PERSON: [control(K.OTHER_PERSON, "What is your profession?")],
    K.NEUTRAL: [control(K.NEUTRAL, "What is the capital of Italy?")],
}


def controls(topic: Topic, kind: QuestionKind) -> list[DraftQuestion]:
    return SUITED[kind]


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
    _, new = with_updates([topic], [old], 1, 9, rules, controls).drafts
    implicit = next(q for q in new.questions if q.kind is K.IMPLICIT)
    assert (implicit.origin, implicit.text != written.text) == ("template", True)


def test_an_update_keeps_the_controls_that_suit_the_new_value_and_gets_others_for_the_rest(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    (topic,), found = changed([make_statement("I'm a nurse.")], rules)
    kept = [control(K.UNSTATED, "What is my diet?"), control(K.OTHER_PERSON, "What is my uncle's profession?")]
    kept.append(control(K.NEUTRAL, "What is the capital of Spain?"))
    unsuited = control(K.IRRELEVANT, "Which flour should I choose?")
    old = found.drafts[0].model_copy(update={"questions": (*found.drafts[0].questions, *kept, unsuited)})
    _, new = with_updates([topic], [old], 1, 9, rules, controls).drafts
    asked = [question for question in new.questions if question.kind in CONTROL_KINDS]
    assert asked == [*kept, *SUITED[K.IRRELEVANT]]


def test_no_more_updates_than_asked_for_and_always_the_same_ones(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    statements = [make_statement(f"I'm a {job}.", user=job) for job in ("nurse", "baker", "lawyer", "painter")]
    _, found = changed(statements, rules, limit=2)
    _, again = changed(statements[::-1], rules, limit=2)
    assert (found.written, len(found.drafts)) == (2, 6)
    assert {d.id for d in found.drafts} == {d.id for d in again.drafts}


@pytest.mark.parametrize(
    ("later", "mined"),
    [
        ("I'm now a baker.", 1),
        ("I am no longer a nurse, I'm a baker.", 1),
        ("I'm also a baker.", 0),
        ("I am a baker and now I need a text for my site.", 0),
        ("My wife changed jobs and I am a baker.", 0),
    ],
)
def test_a_change_that_the_user_stated_is_found(
    make_statement: MakeStatement, rules: RulesConfig, later: str, mined: int
) -> None:
    first, second = make_statement("I'm a nurse."), make_statement(later)
    # Keys of conversations are no times.
    second = second.model_copy(update={"evidence": second.evidence.model_copy(update={"conversation": "0"})})
    topics, found = changed([first, second], rules, limit=0)
    by_target = {draft.target: draft for draft in found.drafts}
    assert found.mined == mined
    assert by_target["nurse"].superseded_by == (by_target["baker"].id if mined else None)


def test_the_same_value_in_more_words_is_no_change(make_statement: MakeStatement, rules: RulesConfig) -> None:
    statements = [make_statement("I'm a nurse."), make_statement("I'm now a night nurse.")]
    assert changed(statements, rules, limit=0)[1].mined == 0


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


SAID = {
    "I have a low-carb diet.": "My diet used to be low-carb, but now it is ",
    "I am learning German.": "I used to study German, but now I am learning ",
    "I'm a big fan of the Beatles.": "I used to be a fan of the Beatles, but now I am a fan of ",
    "My cat is fourteen years old.": "I used to have a cat, but now I have ",
    "I live in an apartment in Seoul.": "I used to have an apartment, but now I live in ",
    "I live in the United States.": "I used to live in the United States, but now I live in ",
    "I am based in Toronto.": "I used to live in Toronto, but now I live in ",
    "I study mechanical engineering.": "I used to study mechanical engineering, but now I study ",
    "I am a Java developer.": "I used to write my code in Java, but now I write it in ",
    "I'm learning about javascript.": "I used to study javascript, but now I am learning ",
    "I am quite good at public speaking.": "I used to be best at public speaking, but now I am best at ",
    "I'm on a windows machine.": "I used to work with windows, but now I work with ",
    "I play the cello.": "I used to play the cello, but now I play the ",
    "I play tennis.": "I used to be into tennis, but now I am into ",
    "I love hiking in the mountains.": "I used to like hiking, but now my hobby is ",
    "I like to cook.": "I used to like to cook, but now my hobby is ",
    "We are an online shop.": "I used to run an online shop, but now I run a ",
    "I work for an university.": "I used to work for a university, but now I work for ",
    "I work for Lego.": "I used to work for Lego, but now I work for ",
    "I work in the insurance industry.": "I used to work in insurance, but now I work in ",
    "I work as accountant.": "I used to work as an accountant, but now I work as a ",
    "I am the developer of a map.": "I used to work as a developer, but now I work as a ",
    "I drive a 2012 Honda Civic.": "I used to drive a 2012 Honda Civic, but now I drive a",
    "I want to open a bakery.": "I used to want to open a bakery, but now I want to ",
    "I am interested in philosophy.": "I used to like philosophy, but now I am more interested in ",
}


@pytest.mark.parametrize("text", SAID)
def test_an_update_is_a_natural_sentence(text: str) -> None:
    found = _attribute(text)
    assert found.type.update is not None
    new = found.type.update.values[0]
    assert found.type.update.statement(found.target, new, text).startswith(SAID[text])


def test_every_type_that_changes_has_such_a_sentence() -> None:
    assert {_attribute(text).type.name for text in SAID} == {kind.name for kind in CHANGING}


def _attribute(text: str) -> Found:
    found = find_attribute(text, "skill" if "windows" in text else "taste" if "philosophy" in text else "", 6)
    assert found is not None
    return found


ONCE = [
    ("I used to live in Paris, now I live in Rome.", "location", "Paris", "Rome", "I live in Paris."),
    ("I used to be a nurse, but now I am a baker.", "profession", "nurse", "baker", "I am a nurse."),
    ("I was a nurse, now I work as a baker.", "profession", "nurse", "baker", "I am a nurse."),
    ("I no longer live in Paris, I live in Rome.", "location", "Paris", "Rome", "I live in Paris."),
    ("I don't live in Paris anymore, I live in Rome.", "location", "Paris", "Rome", "I live in Paris."),
    ("I live in Rome now, I used to live in Paris.", "location", "Paris", "Rome", "I live in Paris."),
    ("I used to play the piano and now I play the cello.", "hobby", "piano", "cello", "I play the piano."),
]


@pytest.mark.parametrize(("text", "family", "old", "new", "then"), ONCE, ids=[text for text, *_ in ONCE])
def test_a_change_inside_one_statement_is_found(
    make_statement: MakeStatement, rules: RulesConfig, text: str, family: str, old: str, new: str, then: str
) -> None:
    topics, found = changed([make_statement(text, family=family)], rules, limit=0)
    before, after = pair(found)
    assert (before.target, after.target, found.mined) == (old, new, 1)
    assert (before.superseded_by, after.superseded_by) == (after.id, None)
    assert (before.statement.self_contained, before.origin, after.origin) == (then, "mined", "mined")
    assert all(check_draft(draft, rules) == [] for draft in found.drafts)


@pytest.mark.parametrize(
    "text",
    [
        "I used to live in Paris, now I am a baker.",
        "I live in Rome now.",
        "I live in Rome, my sister used to live in Paris.",
        "I used to live in Rome, now I live in Rome again.",
    ],
)
def test_no_change_is_found_where_the_statement_holds_one_value_only(
    make_statement: MakeStatement, rules: RulesConfig, text: str
) -> None:
    topics, found = changed([make_statement(text)], rules, limit=0)
    assert (len(topics), found.mined) == (1, 0)


def test_what_was_the_case_before_is_not_added_where_the_user_said_it_on_its_own(
    make_statement: MakeStatement, rules: RulesConfig
) -> None:
    first = make_statement("I'm a nurse.")
    second = make_statement("I used to be a nurse, but now I am a baker.")
    second = second.model_copy(update={"evidence": second.evidence.model_copy(update={"turn": 4})})
    old, new = pair(changed([first, second], rules, limit=0)[1])
    assert (old.statement.id, old.superseded_by) == (first.id, new.id)


@pytest.mark.parametrize(
    ("noun", "whole"),
    [
        ("nurse", "a nurse"),
        ("engineer", "an engineer"),
        ("university", "a university"),
        ("hour's work", "an hour's work"),
        ("Uber driver", "an Uber driver"),
        ("one-room flat", "a one-room flat"),
        ("HR manager", "an HR manager"),
        ("UX designer", "a UX designer"),
        ("IT company", "an IT company"),
        ("3D artist", "a 3D artist"),
        ("bus", "a bus"),
        ("Mercedes", "a Mercedes"),
        ("unusual job", "an unusual job"),
        ("two cats", "two cats"),
        ("cats", "cats"),
        ("CEO", "a CEO"),
        ("a tortoise", "a tortoise"),
    ],
)
def test_articles(noun: str, whole: str) -> None:
    assert with_article(noun) == whole
