import itertools

import pytest

from editing.dialogue.answers import TurnAnswer
from editing.dialogue.scores import DERIVED, check, derived, rule, score
from editing.judges.base import Item, Ruling
from editing.judges.llm import CHECKS
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import KINDS
from pipeline.core.records import QuestionKind

PLAN = Plan(samples=100, seed=1, confidence=0.95)


def an_answer(user, kind, turns, overflow=False):
    return TurnAnswer(
        question_id=f"{user}-{kind}",
        preference_id=user,
        user_id=user,
        kind=QuestionKind(kind),
        difficulty="easy",
        model="m",
        method="x",
        prompt_sha256="",
        text="" if overflow else "Some advice.",
        finish="stop",
        tokens=0,
        degenerate=False,
        turns=turns,
        overflow=overflow,
        distractors=(),
    )


ANSWERS = [
    an_answer(f"u{u}", kind, turns, turns == 4 and u == 0) for turns in (0, 4) for u in range(4) for kind in KINDS
]
ITEMS = [Item(a.kind, "q", "s", "a", "t", (), (), a.text) for a in ANSWERS]


class Agreeing:
    name = "exact"

    def rule(self, items):
        assert all(item.reply for item in items)
        return [Ruling("correct", "said so") for _ in items]


def test_a_question_that_was_not_asked_is_unscored_and_no_judge_sees_it():
    rulings = rule(Agreeing(), ANSWERS, ITEMS, chunk=5)
    for answer, ruling in zip(ANSWERS, rulings, strict=True):
        assert ruling == (("unscored", "context overflow", None) if answer.overflow else ("correct", "said so", None))


def test_scores_stand_by_number_of_turns_with_overflow_counted():
    found = score(ANSWERS, {"exact": rule(Agreeing(), ANSWERS, ITEMS, 99)}, {}, PLAN)
    assert found["turns"] == [0, 4]
    none, four = found["by_turns"]["0"], found["by_turns"]["4"]
    assert (none["overflow_rate"]["value"], four["overflow_rate"]["value"]) == (0, 0.25)
    assert four["judges"]["exact"]["headline"]["n"] == 24
    assert four["judges"]["exact"]["headline"]["n_unscored"] == 8
    assert set(four["judges"]["exact"]) == {"by_kind", "recall", "specificity", "headline"}
    assert none["judges"]["exact"]["recall"]["value"] == 1


def test_no_turns_give_no_scores():
    assert score([], {}, {}, PLAN) == {"turns": [], "by_turns": {}}


@pytest.mark.parametrize("values", list(itertools.product([True, False], repeat=4)))
def test_the_errors_of_prefeval_exclude_one_another_and_following(values):
    found = derived(dict(zip(CHECKS, values, strict=True)))
    violated = dict(zip(CHECKS, values, strict=True))["violate"]
    errors = [found[name] for name in ("unaware_violation", "hallucinated_violation", "inconsistent_violation")]
    assert sum(errors) == violated
    assert found["preference_following"] == (found["helpful"] and not violated)
    assert not (found["preference_following"] and any(errors))


def test_what_needs_an_unscored_check_is_unscored():
    found = derived({"acknowledge": True, "violate": None, "hallucinate": False, "helpful": True})
    assert found["preference_following"] is None and found["inconsistent_violation"] is None
    assert found["acknowledged"] is True
    assert tuple(found) == DERIVED


def test_checks_are_shares_over_implicit_answers_of_one_number_of_turns():
    yes = {"acknowledge": True, "violate": False, "hallucinate": False, "helpful": True}
    implicit = [a for a in ANSWERS if a.kind is QuestionKind.IMPLICIT]
    checked = [
        dict.fromkeys(CHECKS) if a.overflow else yes if a.turns == 0 else {**yes, "helpful": False} for a in implicit
    ]
    by_turns = score(ANSWERS, {}, {"local": checked}, PLAN)["by_turns"]
    assert by_turns["0"]["checks"]["local"]["preference_following"]["value"] == 1
    four = by_turns["4"]["checks"]["local"]["preference_following"]
    assert (four["value"], four["n"], four["n_unscored"]) == (0, 3, 1)
    assert by_turns["4"]["checks"]["local"]["violated"]["higher_is_better"] is False


def test_a_judge_of_another_kind_brings_no_checks():
    assert check(Agreeing(), ANSWERS, ITEMS) is None
