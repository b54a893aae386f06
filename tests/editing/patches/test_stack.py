"""Patches on top of one another, and taken back."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from editing.lm.load import LM, hash_weights
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.patch import Patch
from editing.patches.stack import holding, stacked, withdrawn
from pipeline.core.errors import InputError


@pytest.fixture
def tiny(make_lm: Callable[..., LM]) -> LM:
    return make_lm("llama")


def told(lm: LM, user: User, before: list[Patch]) -> Patch:
    """A codebook patch fitted with those before it in place."""
    config = load_config("grace").model_copy(update={"steps": 30})
    with holding(lm, before):
        return create("grace", config, Resources(())).fit(lm, [user])[0]


def log_prob(lm: LM, patch: Patch, user: User) -> float:
    with applied(lm, [patch]) as responder:
        return responder.log_probs([0], [user.facts[0].question], [user.facts[0].target])[0]


def test_a_stack_of_codebooks_has_all_entries_and_knows_every_user(tiny: LM, users: list[User]) -> None:
    patches: list[Patch] = []
    for user in users:
        patches.append(told(tiny, user, patches))
    stack = stacked(patches)
    ((path, book),) = stack.codebooks().items()
    assert [len(part) for part in book] == [3, 3, 3]
    assert stack.manifest.preference_ids == ("p0", "p1", "p2")
    for user, patch in zip(users, patches, strict=True):
        assert log_prob(tiny, stack, user) == pytest.approx(log_prob(tiny, patch, user), abs=1e-3)


def test_of_two_codebook_values_for_one_question_the_newest_answers(tiny: LM, users: list[User]) -> None:
    changed = replace(users[0], facts=(replace(users[0].facts[0], target="tennis"),))
    old = told(tiny, users[0], [])
    new = told(tiny, changed, [old])
    assert log_prob(tiny, stacked([old, new]), changed) == pytest.approx(log_prob(tiny, new, changed), abs=1e-3)
    assert log_prob(tiny, old, changed) < log_prob(tiny, new, changed) - 1


def test_a_held_codebook_is_met_until_the_block_ends(tiny: LM, users: list[User]) -> None:
    patch = told(tiny, users[0], [])
    prompt = torch.tensor([tiny.prompts.ask(users[0].facts[0].question).ids])

    def last() -> torch.Tensor:
        with torch.no_grad():
            return tiny.model(input_ids=prompt).logits[0, -1]

    before, weights = last(), hash_weights(tiny.model)
    with holding(tiny, [patch]):
        assert not torch.allclose(last(), before)
    assert torch.equal(last(), before) and hash_weights(tiny.model) == weights


@pytest.mark.parametrize("name", ["grace", "preference_edit_gated", "ft_m", "in_context"])
def test_what_is_withdrawn_lets_the_base_model_answer(
    name: str, tiny: LM, users: list[User], resources: Resources
) -> None:
    config = load_config(name)
    short = {key: value for key, value in {"steps": 3}.items() if key in type(config).model_fields}
    (patch,) = create(name, config.model_copy(update=short), resources).fit(tiny, users[:1])
    with applied(tiny, [withdrawn(tiny, patch)]) as responder:
        mine, base = responder.answer(
            [0, responder.nobody], [users[0].facts[0].question] * 2, max_new_tokens=6, batch_size=2
        )
    assert mine == base


def test_gated_patches_do_not_stack(tiny: LM, users: list[User]) -> None:
    patch = told(tiny, users[0], [])
    gated = Patch(patch.manifest.model_copy(update={"gate": 0.4}), patch.tensors)
    with pytest.raises(InputError, match="grace: .* do not stack"):
        stacked([gated, gated])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_stack_names_the_edits_that_failed_and_holds_the_others(
    order: tuple[int, int], tiny: LM, users: list[User]
) -> None:
    good = told(tiny, users[0], [])
    bad = told(tiny, users[1], [])
    bad = Patch(bad.manifest.model_copy(update={"failure": "the loss did not fall"}), {})
    stack = stacked([(good, bad)[at] for at in order])
    assert (stack.manifest.preference_ids, stack.manifest.failed_ids) == (("p0",), ("p1",))
    assert stack.manifest.failure is None
    assert stack.tensors.keys() == good.tensors.keys()
    assert stacked([bad, bad]).manifest.failure == "the loss did not fall"
