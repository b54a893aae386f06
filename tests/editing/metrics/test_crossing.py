"""Mix-ups between users who share one model."""

from dataclasses import replace

import pytest

from editing.judges.base import Item
from editing.judges.exact import ExactConfig, ExactJudge
from editing.metrics.bootstrap import Plan
from editing.metrics.crossing import AGES, crossing, matrix
from pipeline.core.records import Answer, QuestionKind

PLAN = Plan(samples=100, seed=0, confidence=0.95)
JUDGE = ExactJudge(ExactConfig(list_items_recall=4, list_items_apply=6))
HOBBIES = ("chess", "rowing", "pottery", "sailing", "fencing", "juggling", "archery", "knitting", "surfing", "baking")


def asked(replies: list[str], kind: QuestionKind = QuestionKind.EXPLICIT) -> tuple[list[Answer], list[Item]]:
    """Users with the hobbies above, told in that order, and what they were answered."""
    answers = [
        Answer(
            question_id=f"q{at}-{kind}",
            preference_id=f"p{at}",
            user_id=f"u{at}",
            kind=kind,
            difficulty="easy",
            model="m",
            method="x",
            prompt_sha256="",
            text=reply,
            finish="stop",
            tokens=1,
            degenerate=False,
        )
        for at, reply in enumerate(replies)
    ]
    items = [
        Item(kind, "What is my hobby?", f"I love {hobby}.", "hobby", hobby, (), (hobby,), reply)
        for hobby, reply in zip(HOBBIES, replies, strict=False)
    ]
    return answers, items


def test_an_answer_with_another_user_s_preference_stands_in_that_user_s_column() -> None:
    replies = ["Your hobby is chess."] * 2 + [f"Your hobby is {hobby}." for hobby in HOBBIES[2:]]
    found = crossing(*asked(replies), edits=10, judge=JUDGE, plan=PLAN)
    assert found is not None
    # The second of ten users is answered with the first one's hobby; both are of the oldest group.
    assert found["of_another"]["value"] == pytest.approx(0.1)
    assert found["matrix"] == [[1.0 if row == column else 0.0 for column in range(AGES)] for row in range(AGES)]
    last = crossing(*asked(["Your hobby is baking."] * 10), edits=10, judge=JUDGE, plan=PLAN)
    assert last is not None
    assert last["of_another"]["value"] == pytest.approx(0.9)
    assert last["matrix"] == [[0.0] * 4 + [1.0]] * AGES


def test_users_of_other_models_are_not_mixed_up() -> None:
    replies = ["Your hobby is chess."] * 10
    found = crossing(*asked(replies), edits=5, judge=JUDGE, plan=PLAN)
    assert found is not None
    # Users six to ten have a model of their own, in which nobody plays chess.
    assert found["of_another"]["value"] == pytest.approx(0.4)
    assert found["of_another"]["n"] == 10
    assert found["matrix"] == [[0.5, 0, 0, 0, 0]] * AGES


def test_a_negated_mention_gives_nothing_back() -> None:
    found = crossing(*asked(["You do not like chess."] * 2), edits=2, judge=JUDGE, plan=PLAN)
    assert found is not None
    assert found["of_another"]["value"] == 0.0


def test_users_with_a_model_alone_and_runs_without_answers_have_none() -> None:
    assert crossing(*asked(["chess"]), edits=1, judge=JUDGE, plan=PLAN) is None
    assert crossing([], [], edits=10, judge=JUDGE, plan=PLAN) is None


def test_a_group_nobody_was_asked_of_is_none() -> None:
    assert matrix([(0, {1}), (0, set())])[0] == [0.0, 0.5, 0.0, 0.0, 0.0]
    assert matrix([(0, {1})])[1] == [None] * AGES


def test_a_control_answered_with_another_user_s_preference_is_counted_whatever_is_right_about_the_user_s_own() -> None:
    # The first user's own preference is another matter; the third is answered with the fourth one's.
    replies = ["Your pet is called chess.", "I do not know.", "They like sailing.", "I do not know."]
    answers, items = asked(replies, QuestionKind.UNSTATED)
    found = crossing(answers, [replace(item, accepted=()) for item in items], edits=4, judge=JUDGE, plan=PLAN)
    assert found is not None
    assert found["controls_of_another"]["value"] == pytest.approx(0.25)
    assert found["of_another"]["value"] is None


def test_a_world_fact_that_happens_to_be_another_user_s_value_is_no_mix_up() -> None:
    answers, items = asked(["It is sailing.", "No.", "No.", "No."], QuestionKind.NEUTRAL)
    found = crossing(answers, [replace(item, accepted=("sailing",)) for item in items], edits=4, judge=JUDGE, plan=PLAN)
    assert found is not None
    assert found["controls_of_another"]["value"] == 0.0
