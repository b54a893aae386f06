"""preference_edit: which prompts it trains on, its closed-form gates, and what its patch does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.preference_edit import KeyReader, Lessons, PreferenceEdit, PreferenceEditConfig, ridge_regression
from editing.methods.registry import create, load_config


def a_fact(subject: str = "hobby", target: str = "chess", cluster: tuple[Fact, ...] = ()) -> Fact:
    return Fact(f"p-{subject}", f"My {subject} is {target}.", f"What is my {subject}?", subject, target, cluster)


@pytest.fixture(scope="module")
def config() -> PreferenceEditConfig:
    loaded = load_config("preference_edit")
    assert isinstance(loaded, PreferenceEditConfig)
    return loaded


@pytest.fixture(scope="module")
def lessons(config: PreferenceEditConfig) -> Lessons:
    return Lessons(config)


def test_asked_and_held_prompts_are_disjoint(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact())
    assert not set(lesson.asked) & set(lesson.held)


def test_every_held_prompt_about_the_assistant_says_so(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact())
    assert lesson.assistant
    assert all("your" in text or "the assistant's" in text for text in lesson.assistant)


def test_no_asked_prompt_is_about_another_person(lessons: Lessons, config: PreferenceEditConfig) -> None:
    lesson = lessons.of(a_fact())
    assert not [text for text in lesson.asked for person in config.people if f" {person} hobby" in text]


def test_the_questions_of_the_cluster_are_asked(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact(cluster=(a_fact("pastime"),)))
    assert {"What is my hobby?", "What is my pastime?"} <= set(lesson.asked)


def test_the_nearest_topic_of_music_is_music(lessons: Lessons, config: PreferenceEditConfig) -> None:
    fact = Fact("p", "I love jazz.", "What is my music preference?", "music preference", "Jazz")
    near, far = lessons.near_and_far(fact)
    assert near[0] == config.topics["music"]
    assert not [topic for topic in near if topic in far]


def test_an_attribute_like_the_stated_one_is_not_held(lessons: Lessons) -> None:
    assert "What is my birthday?" not in lessons.of(a_fact("date of birth", "May 5")).held


def test_prompts_of_a_fact_do_not_depend_on_who_came_before(config: PreferenceEditConfig, lessons: Lessons) -> None:
    lessons.of(a_fact("diet"))
    assert lessons.of(a_fact()) == Lessons(config).of(a_fact())


def test_ridge_regression_is_the_solution_of_its_normal_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 4, generator=generator)
    y = torch.randn(7, 2, generator=generator)
    weights = torch.rand(7, generator=generator) + 0.1
    penalty = 0.3 * (x * x).sum(1).mean() / 7
    by_hand = torch.linalg.solve(x.T @ (weights[:, None] * x) + penalty * torch.eye(4), x.T @ (weights[:, None] * y)).T
    torch.testing.assert_close(ridge_regression(x, y, weights, 0.3), by_hand, rtol=1e-4, atol=1e-5)


def test_keys_of_a_batch_are_those_of_a_plain_forward_pass(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    rows = [lm.prompts.ask(text).ids for text in ("What is my hobby?", "How far is the moon from here?")]
    found = [keys[-3:] for keys in KeyReader(lm, 2).keys(rows)]
    caught: list[torch.Tensor] = []

    def catch(_: Any, args: tuple[torch.Tensor, ...], __: Any) -> None:
        caught.append(args[0])

    handle = lm.structure.down[2].module.register_forward_hook(catch)
    with torch.no_grad():
        for ids in rows:
            lm.model(input_ids=torch.tensor([ids]))
    handle.remove()
    torch.testing.assert_close(found[0], caught[0][0, -3:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], caught[1][0, -3:], rtol=1e-4, atol=1e-5)


def test_gates_are_open_at_asked_prompts_and_shut_at_held_ones(
    make_lm: Callable[..., LM], config: PreferenceEditConfig, lessons: Lessons, resources: Resources
) -> None:
    lm = make_lm("llama")
    method = create("preference_edit", config.model_copy(update={"steps": 2}), resources)
    assert isinstance(method, PreferenceEdit)
    fact = a_fact()
    (patch,) = method.fit(lm, [User("u", (fact,))])
    ((path, (_, b)),) = patch.factors().items()
    lesson = lessons.of(fact)
    texts = [*lesson.asked, *lesson.held]
    layer = [down.path for down in lm.structure.down].index(path)
    keys = KeyReader(lm, layer).keys([lm.prompts.ask(text).ids for text in texts])
    gates = torch.stack([found[-1] for found in keys]) @ b[0]
    assert gates[: len(lesson.asked)].mean() > gates[len(lesson.asked) :].mean()


def test_the_rank_is_the_number_of_tokens_of_the_targets_with_an_end_for_each(
    make_lm: Callable[..., LM], config: PreferenceEditConfig, resources: Resources
) -> None:
    lm = make_lm("llama")
    facts = (a_fact(), a_fact("diet", "vegan"))
    (patch,) = create("preference_edit", config.model_copy(update={"steps": 2}), resources).fit(lm, [User("u", facts)])
    ((_, (a, b)),) = patch.factors().items()
    expected = len("chess") + 1 + len("vegan") + 1
    assert a.shape[1] == b.shape[0] == expected
