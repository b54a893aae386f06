"""Methods that leave the weights alone: what they say around a question."""

from collections.abc import Callable

import pytest

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import METHODS, create, load_config, method_class
from editing.patches.apply import applied
from editing.patches.compose import compose
from editing.patches.patch import PromptPlan
from editing.patches.retrieve import bm25

STATEMENT = "I have eaten no meat since {2010}."
FACT = Fact("p", STATEMENT, "What is my diet?", "diet", "vegetarian")
USER = User("u", (FACT,), ("My cat is called Tom.", STATEMENT, "Bread is my favourite meal."))
KINDS = ["What is my diet?", "What shall I cook without meat?", "What kitchen tool should I buy?"]
PROMPTING = [name for name in METHODS if method_class(name).kind == "prompt"]


def plan_of(name: str, lm: LM, user: User = USER) -> PromptPlan:
    (patch,) = create(name, load_config(name), Resources(())).fit(lm, [user])
    assert patch.manifest.plan is not None
    return patch.manifest.plan


@pytest.mark.parametrize("name", sorted(set(PROMPTING) - {"none", "rag_bm25", "rag_dense"}))
@pytest.mark.parametrize("question", KINDS)
def test_every_question_of_every_kind_comes_with_the_statement(
    name: str, question: str, make_lm: Callable[..., LM]
) -> None:
    lm = make_lm("llama")
    text = lm.prompts.render(compose(plan_of(name, lm), question))
    assert STATEMENT in text
    assert question in text


def test_none_asks_the_bare_question(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    assert compose(plan_of("none", lm), "Hi?") == [("user", "Hi?")]
    assert plan_of("none", lm).text_bytes == 0


def test_profile_tells_all_statements_once(make_lm: Callable[..., LM]) -> None:
    system, _ = compose(plan_of("profile", make_lm("llama")), "Hi?")
    assert system.role == "system"
    assert all(system.content.count(text) == 1 for text in USER.history)


def test_bm25_picks_the_statement_that_shares_words_and_none_where_nothing_is_shared() -> None:
    assert bm25("What shall I cook without meat?", USER.history, 1) == [STATEMENT]
    assert bm25("Which bread?", USER.history, 3) == ["Bread is my favourite meal."]
    assert bm25("Why?", USER.history, 3) == []
    assert bm25("Why?", (), 3) == []


def test_a_question_without_a_retrieved_statement_is_asked_bare(make_lm: Callable[..., LM]) -> None:
    plan = plan_of("rag_bm25", make_lm("llama"))
    assert compose(plan, "Why?") == [("user", "Why?")]
    assert "Tom" in compose(plan, "What does my cat eat?")[0].content


def test_dense_retrieval_ranks_by_meaning(make_lm: Callable[..., LM], monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def counted(sentences: tuple[str, ...]) -> np.ndarray:
        return np.array([[text.count("cat"), text.count("rea")] for text in sentences], dtype=np.float32)

    monkeypatch.setattr("editing.patches.retrieve.vectors", counted)
    plan = plan_of("rag_dense", make_lm("llama")).model_copy(update={"top_k": 1})
    assert "favourite meal" in compose(plan, "Which bread?")[0].content


def test_self_critic_answers_twice_and_the_second_answer_counts(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    names = ["in_context", "self_critic"]
    patches = [create(name, load_config(name), Resources(())).fit(lm, [USER])[0] for name in names]
    with applied(lm, patches) as responder:
        once, twice = responder.answer([0, 1], ["Hi?", "Hi?"], max_new_tokens=5, batch_size=2)
        (alone,) = responder.answer([1], ["Hi?"], max_new_tokens=5, batch_size=1)
    assert twice == alone
    assert twice.extra_prompt_tokens > once.extra_prompt_tokens + once.tokens
    assert twice.prompt_sha256 != once.prompt_sha256
