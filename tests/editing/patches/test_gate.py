"""A gated patch is applied to the questions it lets in, and to no other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.export import export_peft, merged
from editing.patches.gate import GATE, lets_in, score
from editing.patches.patch import Patch, PromptPlan
from editing.patches.retrieve import vectors
from pipeline.core.errors import InputError

NEAR = "What is my hobby?"
FAR = "How far away is the Moon?"


def gated(patch: Patch, plan: PromptPlan | None = None) -> Patch:
    """The patch with a gate that opens near NEAR."""
    gate = torch.from_numpy(vectors((NEAR,)))
    return replace(
        patch,
        manifest=patch.manifest.model_copy(update={"gate": 0.9, "plan": plan}),
        tensors={**patch.tensors, GATE: gate},
    )


@pytest.fixture
def model(make_lm: Callable[..., LM]) -> LM:
    return make_lm("llama")


@pytest.fixture
def patches(model: LM, users: list[User], resources: Resources) -> tuple[Patch, Patch]:
    """A patch of ROME, and the empty one."""
    config = load_config("rome").model_copy(update={"steps": 8, "contexts": ("",)})
    found = [create("rome", config, resources), create("none", load_config("none"), resources)]
    rome, none = (method.fit(model, users[:1])[0] for method in found)
    return rome, none


def ask(lm: LM, patch: Patch, question: str) -> tuple[str, float]:
    with applied(lm, [patch]) as responder:
        (reply,) = responder.answer([0], [question], max_new_tokens=6, batch_size=1)
        (log_p,) = responder.log_probs([0], [question], ["chess"])
    return reply.prompt_sha256 + reply.text, log_p


def test_a_question_that_is_let_in_meets_the_patch(model: LM, patches: tuple[Patch, Patch]) -> None:
    assert ask(model, gated(patches[0]), NEAR) == ask(model, patches[0], NEAR)


def test_any_other_question_meets_the_model_as_it_is(model: LM, patches: tuple[Patch, Patch]) -> None:
    rome, none = patches
    assert ask(model, gated(rome), FAR) == ask(model, none, FAR)
    assert ask(model, rome, FAR)[1] != ask(model, none, FAR)[1]


def test_text_around_the_question_is_behind_the_gate_too(model: LM, patches: tuple[Patch, Patch]) -> None:
    plan = PromptPlan(before="About me: {memories}\n", memories=("My hobby is chess.",))
    rome, none = patches
    assert ask(model, gated(rome, plan), FAR) == ask(model, none, FAR)
    assert ask(model, gated(rome, plan), NEAR)[0] != ask(model, rome, NEAR)[0]


def test_users_with_and_without_a_gate_share_a_batch(model: LM, patches: tuple[Patch, Patch]) -> None:
    both = [gated(patches[0]), patches[0]]
    asked = [(user, question) for user in (0, 1) for question in (NEAR, FAR)]
    with applied(model, both) as responder:
        together = responder.log_probs([u for u, _ in asked], [q for _, q in asked], ["chess"] * 4)
    alone = [ask(model, both[user], question)[1] for user, question in asked]
    assert together == pytest.approx(alone, abs=1e-3)


def test_the_score_of_several_preferences_is_that_of_the_nearest(patches: tuple[Patch, Patch]) -> None:
    two = torch.from_numpy(vectors((NEAR, FAR)))
    patch = gated(patches[0])
    patch = replace(patch, tensors={**patch.tensors, GATE: two})
    assert score(patch, NEAR) == pytest.approx(1, abs=1e-4)
    assert score(patch, FAR) == pytest.approx(1, abs=1e-4)


def test_a_patch_without_a_gate_lets_everything_in(patches: tuple[Patch, Patch]) -> None:
    assert lets_in(patches[0], NEAR)
    assert lets_in(patches[0], FAR)


def test_a_gated_patch_is_not_exported(model: LM, patches: tuple[Patch, Patch], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="question by question"):
        export_peft(model, gated(patches[0]), tmp_path)
    with pytest.raises(InputError, match="question by question"), merged(model, gated(patches[0])):
        pass
