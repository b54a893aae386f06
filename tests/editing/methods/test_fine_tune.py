"""Fine-tuning: the norm constraint, and what is not computed again."""

from collections.abc import Callable

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config


@pytest.mark.parametrize("name", ["ft_l", "ft_m"])
@pytest.mark.parametrize("bound", [1e-3, None])
def test_no_weight_moves_further_than_the_bound(
    name: str, bound: float | None, lm: LM, users: list[User], resources: Resources
) -> None:
    config = load_config(name).model_copy(update={"max_change": bound, "steps": 8})
    for patch in create(name, config, resources).fit(lm, users):
        ((path, edited),) = patch.tensors.items()
        moved = float((edited - lm.model.get_parameter(path)).abs().max())
        if bound is None:
            assert moved > 2e-3
        else:
            assert moved == pytest.approx(bound, rel=1e-3)


def test_layers_below_the_trained_one_run_once(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    calls = [0] * 4

    def count(layer: int) -> Callable[..., None]:
        def note(*_: object) -> None:
            calls[layer] += 1

        return note

    handles = [down.module.register_forward_hook(count(at)) for at, down in enumerate(lm.structure.down)]
    config = load_config("ft_m").model_copy(update={"steps": 6, "layer": 2, "stop_below": 0.0})
    try:
        create("ft_m", config, resources).fit(lm, users)
    finally:
        for handle in handles:
            handle.remove()
    # One pass to read what enters layer 2, then seven passes (six steps and the last loss) above it.
    assert calls == [1, 1, 7, 7]


def test_training_in_one_layer_is_training_the_weight_itself(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    config = load_config("ft_m").model_copy(update={"steps": 5, "layer": 2, "stop_below": 0.0})
    (patch,) = create("ft_m", config, resources).fit(lm, users[:1])
    fact = users[0].facts[0]
    prompt, target = lm.prompts.ask(fact.question).ids, lm.prompts.answer_ids(fact.target)
    ids = torch.tensor([[*prompt, *target]])
    labels = torch.tensor([[-100] * len(prompt) + list(target)])
    lm.model.requires_grad_(False)
    weight = lm.structure.down[2].parameter.requires_grad_(True)
    before = weight.detach().clone()
    optimizer = torch.optim.Adam([weight], lr=5e-4)
    for _ in range(5):
        optimizer.zero_grad()
        lm.model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    ((_, edited),) = patch.tensors.items()
    change = weight.detach() - before
    assert float((edited - before - change).norm() / change.norm()) < 1e-2
