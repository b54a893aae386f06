"""Scenarios arrange preferences into what a model is told and asked."""

import pytest

from editing.scenarios import Scenario, arrange, replaced_value
from pipeline.core.errors import InputError
from pipeline.core.records import Preference, Question
from tests.editing.conftest import a_preference, questions_of


def scenario(**changes: object) -> Scenario:
    return Scenario.model_validate({"told": "preference", "edits": 1, "withdrawn": False, **changes})


def of_user(preference: Preference, user: str) -> Preference:
    return preference.model_copy(update={"user_id": user})


FOUR = [of_user(a_preference(number, "test"), f"u{number // 2}") for number in range(4)]
ASKED: dict[str, list[Question]] = {preference.id: questions_of(preference) for preference in FOUR}


def test_alone_every_preference_is_a_case_named_by_its_id() -> None:
    cases = arrange(scenario(), FOUR, ASKED)
    assert [case.id for case in cases] == [preference.id for preference in FOUR]
    assert [case.told for case in cases] == [((preference,),) for preference in FOUR]
    assert [list(case.questions) for case in cases] == list(ASKED.values())


def test_a_user_s_preferences_are_one_edit() -> None:
    cases = arrange(scenario(told="user"), FOUR, ASKED)
    assert [case.told for case in cases] == [((FOUR[0], FOUR[1]),), ((FOUR[2], FOUR[3]),)]
    assert {question.preference_id for question in cases[1].questions} == {FOUR[2].id, FOUR[3].id}


def test_users_of_one_model_are_told_one_after_another_and_all_asked() -> None:
    (case,) = arrange(scenario(edits=3), FOUR, ASKED)
    assert case.told == tuple((preference,) for preference in FOUR[:3])
    assert list(dict.fromkeys(question.preference_id for question in case.questions)) == [p.id for p in FOUR[:3]]


def test_a_model_that_cannot_be_filled_is_refused() -> None:
    with pytest.raises(InputError, match="needs 5 x preference for a model, and 4 preferences give 4"):
        arrange(scenario(edits=5), FOUR, ASKED)


def test_a_made_up_change_replaces_another_user_s_value_of_the_same_attribute() -> None:
    now = FOUR[0]
    other = a_preference(6, "train").model_copy(update={"target": "teacher", "statement": "I teach."})
    assert other.attribute_type == now.attribute_type
    (case,) = arrange(scenario(told="change"), [now], ASKED, [*FOUR, other])
    (old,), (new,) = case.told
    assert (old.target, old.user_id, new) == ("teacher", now.user_id, now)
    assert old.id not in (other.id, now.id)
    assert {question.preference_id for question in case.questions} == {now.id}


def test_a_value_is_never_replaced_by_its_own_alias_or_the_user_s_own() -> None:
    now = FOUR[0].model_copy(update={"aliases": ("RN",)})
    alias = a_preference(6, "train").model_copy(update={"target": "rn"})
    own = of_user(a_preference(6, "train").model_copy(update={"target": "teacher"}), now.user_id)
    assert replaced_value(now, [alias, own]) is None


def test_a_change_that_the_release_records_is_taken_from_it() -> None:
    class Changing(Preference):
        superseded_by: str | None = None

    old = Changing(**{**FOUR[0].model_dump(), "superseded_by": FOUR[1].id})
    (case,) = arrange(scenario(told="change"), [old], ASKED, [old, FOUR[1]])
    assert case.told == ((old,), (FOUR[1],))
    assert {question.preference_id for question in case.questions} == {FOUR[1].id}


def test_what_is_withdrawn_is_so_in_every_case() -> None:
    assert all(case.withdrawn for case in arrange(scenario(withdrawn=True), FOUR, ASKED))
