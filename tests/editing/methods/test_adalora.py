"""AdaLoRA: the budget, the choice of triplets against peft's, and the patch that comes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig as PeftConfig
from peft import PeftModel, get_peft_model

from editing.lm.load import LM
from editing.methods.adalora import AdaLoraConfig, budget, most_important
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.export import export_peft
from editing.patches.patch import Patch
from pipeline.core.errors import ConfigError

LITTLE = {"steps": 12, "first_rank": 3, "rank": 1, "allocate_from": 2, "allocate_until": 9, "learning_rate": 0.02}


def config_of(**settings: Any) -> AdaLoraConfig:
    config = load_config("adalora").model_copy(update={**LITTLE, **settings})
    assert isinstance(config, AdaLoraConfig)
    return config


def fitted(lm: LM, users: list[User], resources: Resources, **settings: Any) -> list[Patch]:
    return create("adalora", config_of(**settings), resources).fit(lm, users)


def test_the_budget_falls_as_a_cubic_and_then_stands() -> None:
    config = config_of(first_rank=12, rank=8, allocate_from=10, allocate_until=50)
    found = [budget(step, 10, config) for step in (0, 10, 20, 30, 50, 70)]
    assert found == [120, 120, 80 + int(40 * 0.75**3), 80 + int(40 * 0.5**3), 80, 80]


def test_triplets_compete_across_maps() -> None:
    kept = most_important({"q": torch.tensor([3.0, 1.0]), "v": torch.tensor([2.0, 5.0])}, 3)
    assert {path: own.tolist() for path, own in kept.items()} == {"q": [1.0, 0.0], "v": [1.0, 1.0]}


def test_as_many_triplets_are_left_as_the_budget_allows(lm: LM, users: list[User], resources: Resources) -> None:
    maps = 2 * 4 if lm.name == "tiny-llama" else 4
    for patch in fitted(lm, users, resources):
        assert sum(a.shape[1] for a, _ in patch.factors().values()) == maps
        assert len({a.shape[1] for a, _ in patch.factors().values()}) > 1 or lm.name == "tiny-gpt2"


def test_losses_and_factors_are_those_of_peft(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    # peft adds the norm of the difference from orthogonal, the paper its square; without the penalty both agree.
    config = config_of(orthogonality=0.0, dropout=0.0)
    lm = make_lm("llama")
    (patch,) = fitted(lm, users[:1], resources, orthogonality=0.0, dropout=0.0)
    start = create("adalora", config, resources).start(lm, [()])  # type: ignore[attr-defined]
    fact = users[0].facts[0]
    prompt, target = lm.prompts.ask(fact.question).ids, lm.prompts.answer_ids(fact.target)
    ids, labels = torch.tensor([[*prompt, *target]]), torch.tensor([[-100] * len(prompt) + list(target)])
    model = get_peft_model(
        lm.model,
        PeftConfig(
            init_r=config.first_rank,
            target_r=config.rank,
            lora_alpha=config.alpha,
            target_modules=["q_proj", "v_proj"],
            tinit=config.allocate_from,
            tfinal=config.steps - config.allocate_until,
            deltaT=1,
            beta1=config.sensitivity_decay,
            beta2=config.uncertainty_decay,
            orth_reg_weight=1e-12,
            total_step=config.steps,
        ),
    )
    model.eval()
    modules = {path: model.base_model.model.get_submodule(path) for path in start.users[0]}
    for path, module in modules.items():
        own = start.users[0][path]
        module.lora_B["default"].data.copy_(own.p.tensor.detach())
        module.lora_A["default"].data.copy_(own.q.tensor.detach())
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=config.learning_rate)
    losses = []
    for step in range(config.steps + 1):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=labels).loss
        losses.append(loss.item())
        if step < config.steps:
            loss.backward()
            optimizer.step()
            model.base_model.update_and_allocate(step + 1)
    assert patch.manifest.metrics["loss_first"] == pytest.approx(losses[0], rel=1e-5)
    assert patch.manifest.metrics["loss_last"] == pytest.approx(losses[-1], rel=1e-3)
    factors = patch.factors()
    for path, module in modules.items():
        theirs = module.get_delta_weight("default").detach()
        a, b = factors.get(path, (torch.zeros(len(theirs), 0), torch.zeros(0, theirs.shape[1])))
        assert float((a @ b - theirs).norm()) <= 1e-3 * float(theirs.norm()) + 1e-6


def test_dropout_is_on_while_training_and_off_in_the_patch(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    (with_dropout,), (without,) = (
        fitted(lm, users[:1], resources, dropout=0.5),
        fitted(lm, users[:1], resources, dropout=0.0),
    )
    assert with_dropout.manifest.metrics["loss_last"] != without.manifest.metrics["loss_last"]
    fact = users[0].facts[0]
    with applied(lm, [with_dropout]) as responder:
        twice = [responder.log_probs([0], [fact.question], [fact.target]) for _ in range(2)]
    assert twice[0] == twice[1]


def test_the_patch_is_a_lora_adapter(
    make_lm: Callable[..., LM], users: list[User], resources: Resources, tmp_path: Path
) -> None:
    lm = make_lm("llama")
    (patch,) = fitted(lm, users[:1], resources)
    fact = users[0].facts[0]
    bare = create("none", load_config("none"), resources).fit(lm, users[:1])
    with applied(lm, [patch]) as responder:
        expected = responder.log_probs([0], [fact.question], [fact.target])
    export_peft(lm, patch, tmp_path)
    adapted = PeftModel.from_pretrained(lm.model, str(tmp_path))
    adapted.merge_and_unload()
    with applied(lm, bare) as responder:
        assert responder.log_probs([0], [fact.question], [fact.target]) == pytest.approx(expected, abs=1e-3)


def test_a_model_without_such_maps_is_refused_with_the_names_it_has(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    with pytest.raises(ConfigError, match="has none of query; its layers have q_proj, k_proj"):
        fitted(make_lm("llama"), users, resources, modules=("query",))
