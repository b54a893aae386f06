"""preference_edit: its closed-form gates, and what its patch does."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.lessons import Lessons, question_bank
from editing.methods.preference_edit import KeyReader, PreferenceEdit, PreferenceEditConfig, ridge_regression
from editing.methods.registry import create, load_config


def a_fact(subject: str = "hobby", target: str = "chess", cluster: tuple[Fact, ...] = ()) -> Fact:
    return Fact(f"p-{subject}", f"My {subject} is {target}.", f"What is my {subject}?", subject, target, cluster)


@pytest.fixture(scope="module")
def config() -> PreferenceEditConfig:
    loaded = load_config("preference_edit")
    assert isinstance(loaded, PreferenceEditConfig)
    return loaded


def test_ridge_regression_is_the_solution_of_its_normal_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 4, generator=generator)
    y = torch.randn(7, 2, generator=generator)
    weights = torch.rand(7, generator=generator) + 0.1
    penalty = 0.3 * (x * x).sum(1).mean() / 7
    by_hand = torch.linalg.solve(x.T @ (weights[:, None] * x) + penalty * torch.eye(4), x.T @ (weights[:, None] * y)).T
    torch.testing.assert_close(ridge_regression(x, y, weights, 0.3, 5).coefficients, by_hand, rtol=1e-4, atol=1e-5)


def test_left_out_predictions_are_those_of_a_regression_without_the_row() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 4, generator=generator)
    y = torch.randn(9, 2, generator=generator)
    weights = torch.rand(9, generator=generator) + 0.1
    found = ridge_regression(x, y, weights, 0.3, 3).left_out
    penalty = 0.3 * (x * x).sum(1).mean() / 9
    for row in range(3):
        rest = torch.arange(9) != row
        xs, ys, ws = x[rest], y[rest], weights[rest, None]
        without = torch.linalg.solve(xs.T @ (ws * xs) + penalty * torch.eye(4), xs.T @ (ws * ys)).T
        torch.testing.assert_close(found[row], without @ x[row], rtol=1e-4, atol=1e-5)


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
    make_lm: Callable[..., LM], config: PreferenceEditConfig, resources: Resources
) -> None:
    lm = make_lm("llama")
    method = create("preference_edit", config.model_copy(update={"steps": 2}), resources)
    assert isinstance(method, PreferenceEdit)
    fact = a_fact()
    (patch,) = method.fit(lm, [User("u", (fact,))])
    ((path, (_, b)),) = patch.factors().items()
    lesson = Lessons(config, question_bank()).of(fact)
    asked, held = (list(chain.from_iterable(kinds.values())) for kinds in (lesson.asked, lesson.held))
    layer = [down.path for down in lm.structure.down].index(path)
    keys = KeyReader(lm, layer).keys([lm.prompts.ask(text).ids for text in asked + held])
    gates = torch.stack([found[-1] for found in keys]) @ b[0]
    assert gates[: len(asked)].mean() > gates[len(asked) :].mean()


def test_the_rank_is_the_number_of_tokens_of_the_targets_with_an_end_for_each(
    make_lm: Callable[..., LM], config: PreferenceEditConfig, resources: Resources
) -> None:
    lm = make_lm("llama")
    facts = (a_fact(), a_fact("diet", "vegan"))
    (patch,) = create("preference_edit", config.model_copy(update={"steps": 2}), resources).fit(lm, [User("u", facts)])
    ((_, (a, b)),) = patch.factors().items()
    expected = len("chess") + 1 + len("vegan") + 1
    assert a.shape[1] == b.shape[0] == expected
