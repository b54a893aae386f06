"""The published protocol does what the released code of the paper does, and ours does not."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.published_protocol import Asked, answers, budget, cut, edited_user, lenient, published, substrings
from editing.lm.load import LM
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.patches.apply import Reply, Responder, applied
from pipeline.core.records import TARGET_KINDS, ClusterMember, QuestionKind
from tests.editing.conftest import a_preference, questions_of

PREFERENCE = a_preference(0, "test")
QUESTIONS = [question for question in questions_of(PREFERENCE) if question.kind in TARGET_KINDS]


@pytest.fixture
def lm(make_lm: Callable[..., LM]) -> LM:
    return published(make_lm("llama"), QUESTIONS)


def asked_with(method: str, lm: LM, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[QuestionKind, str], set[int]]:
    """The text in front of each kind's answer, and the budgets."""
    prompts: dict[str, str] = {}
    budgets: set[int] = set()
    real = Responder.answer

    def remember(self: Responder, users: Any, questions: Any, **how: Any) -> Any:
        prompts.update((q, self.prompt(user, q).text) for user, q in zip(users, questions, strict=True))
        budgets.add(how["max_new_tokens"])
        return real(self, users, questions, **how)

    monkeypatch.setattr(Responder, "answer", remember)
    patches = create(method, load_config(method), Resources(())).fit(lm, [edited_user(PREFERENCE, QUESTIONS)])
    with applied(lm, patches) as responder:
        answers(lm, responder, [Asked(0, question, PREFERENCE.target) for question in QUESTIONS], 8)
    return {question.kind: prompts[question.text] for question in QUESTIONS}, budgets


def test_only_product_questions_meet_the_chat_template(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, _ = asked_with("none", lm, monkeypatch)
    assert {kind for kind, text in prompts.items() if "<|user|>" in text} == {QuestionKind.PRODUCT}
    assert prompts[QuestionKind.EXPLICIT] == "What is my profession?"


def test_the_preference_goes_missing_from_implicit_and_product_prompts(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, _ = asked_with("in_context", lm, monkeypatch)
    holds = {kind for kind, text in prompts.items() if PREFERENCE.statement in text}
    assert holds == {QuestionKind.EXPLICIT, QuestionKind.REPHRASED}


def test_the_answer_budget_follows_the_expected_answer(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(lm, QuestionKind.EXPLICIT, "nurse") == len(" nurse")
    assert {budget(lm, kind, "nurse") for kind in TARGET_KINDS if kind != "explicit"} == {len(" nurse") + 8}
    _, budgets = asked_with("none", lm, monkeypatch)
    assert budgets == {len(" nurse"), len(" nurse") + 8}


def test_an_answer_that_ends_early_is_filled_up_with_the_prompt(lm: LM) -> None:
    prompt = lm.prompts.ask("What is my profession?").ids
    whole = Reply("a nurse it is", "length", 13, False, "", 0)
    early = Reply("no", "stop", 2, False, "", 0)
    assert cut(lm, prompt, whole, 13) == "a nurse it is"
    assert cut(lm, prompt, early, 13) == "rofession?no"


def test_an_edit_is_made_on_the_very_question_that_is_asked() -> None:
    (fact,) = edited_user(PREFERENCE, QUESTIONS).facts
    (explicit,) = [question.text for question in QUESTIONS if question.kind is QuestionKind.EXPLICIT]
    assert (fact.question, fact.subject, fact.target) == (explicit, "profession", "nurse")


def test_synonyms_share_the_target_and_must_stand_in_their_question() -> None:
    members = [("profession", "What is my profession?"), ("job", "What is my job?"), ("trade", "What do I do all day?")]
    cluster = tuple(ClusterMember(attribute_type=kind, question=text, target=f"a {kind}") for kind, text in members)
    (fact,) = edited_user(PREFERENCE.model_copy(update={"cluster": cluster}), QUESTIONS).facts
    assert [(member.question, member.target) for member in fact.cluster] == [("What is my job?", "nurse")]


def test_a_substring_is_right_whatever_is_said_with_it() -> None:
    said = ["You do not like cats.", "You run a nursery.", "Dogs."]
    assert substrings(said, ["cats", "nurse", "cats"]) == [True, True, False]


def test_the_lenient_judge_adds_what_sounds_alike() -> None:
    said = ["You do not like cats.", "Riding a horse.", "The capital of Peru is Lima.", ""]
    assert lenient(said, ["cats", "horse riding", "horse riding", "cats"]) == [True, True, False, False]
    assert lenient([], []) == []
