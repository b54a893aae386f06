"""LoRA: what is trained is what peft trains."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model

from editing.lm.load import LM
from editing.methods.base import Resources, User
from editing.methods.lora import LoraConfig
from editing.methods.registry import create, load_config
from pipeline.core.errors import ConfigError

RANK, ALPHA, STEPS = 4, 8.0, 6


def config_of(**settings: object) -> LoraConfig:
    little = {"rank": RANK, "alpha": ALPHA, "steps": STEPS, "stop_below": 0.0, "first_layer": 1, "last_layer": 2}
    config = load_config("lora").model_copy(update={**little, **settings})
    assert isinstance(config, LoraConfig)
    return config


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_factors_and_losses_are_those_of_peft(
    family: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm(family)
    config = config_of()
    (patch,) = create("lora", config, resources).fit(lm, users[:1])
    fact = users[0].facts[0]
    prompt, target = lm.prompts.ask(fact.question).ids, lm.prompts.answer_ids(fact.target)
    ids, labels = torch.tensor([[*prompt, *target]]), torch.tensor([[-100] * len(prompt) + list(target)])
    paths = [lm.structure.down[layer].path for layer in (1, 2)]
    transposed = lm.structure.down[1].transposed
    model = get_peft_model(
        lm.model, PeftConfig(r=RANK, lora_alpha=ALPHA, target_modules=paths, fan_in_fan_out=transposed)
    )
    model.eval()
    modules = {path: model.base_model.model.get_submodule(path) for path in paths}
    for path, module in modules.items():
        module.lora_A["default"].weight.data.copy_(initial_b(lm, path, config))
    trained = [p for m in modules.values() for p in (m.lora_B["default"].weight, m.lora_A["default"].weight)]
    optimizer = torch.optim.Adam(trained, lr=config.learning_rate)
    losses = []
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=labels).loss
        losses.append(loss.item())
        if step < STEPS:
            loss.backward()
            optimizer.step()
    assert patch.manifest.metrics["loss_first"] == pytest.approx(losses[0], rel=1e-5)
    assert patch.manifest.metrics["loss_last"] == pytest.approx(losses[-1], rel=1e-4)
    for path, (a, b) in patch.factors().items():
        ours = a @ b
        theirs = modules[path].get_delta_weight("default").detach()
        theirs = theirs.T if transposed else theirs
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-4


def initial_b(lm: LM, path: str, config: LoraConfig) -> torch.Tensor:
    """The random factor that our training starts from."""
    trainable = create("lora", config, Resources(())).start(lm, [()])  # type: ignore[attr-defined]
    b = trainable.tensors(0)[f"{path}.B"]
    assert isinstance(b, torch.Tensor)
    return b.detach()


def test_layers_in_the_wrong_order_are_refused(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    with pytest.raises(ConfigError, match="lies above"):
        create("lora", config_of(first_layer=3), resources).fit(make_lm("llama"), users)
