"""ROME: the closed form by hand, and the fast path against the textbook loop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.textbook import rome as textbook_rome
from editing.lm.load import LM
from editing.lm.structure import frozen
from editing.methods.base import Fact, Resources, User
from editing.methods.covariance import covariance, whitened
from editing.methods.descent import Descent, descend
from editing.methods.registry import create, load_config
from editing.methods.rome import RomeConfig, divergence, rank_one
from pipeline.core.errors import ConfigError

LITTLE = {"steps": 6, "stop_below": 0.0, "layer": 1, "contexts": ("", "Hello!", "One more thing."), "value_contexts": 3}


def rome_config(**settings: Any) -> RomeConfig:
    config = load_config("rome")
    assert isinstance(config, RomeConfig)
    return config.model_copy(update={**LITTLE, **settings})


def test_the_closed_form_by_hand() -> None:
    # C = diag(1, 4), k = (2, 4): C^-1 k = (2, 1), (C^-1 k)^T k = 8, so W' - W = delta (2, 1) / 8.
    key, delta = torch.tensor([2.0, 4.0]), torch.tensor([8.0, 16.0, -8.0])
    a, b = rank_one(key, key, delta, torch.diag(torch.tensor([1.0, 4.0])), 0)
    torch.testing.assert_close(a @ b, torch.tensor([[2.0, 1.0], [4.0, 2.0], [-2.0, -1.0]]))


def test_the_closed_form_maps_the_key_of_the_bare_question_to_the_wanted_value() -> None:
    key, bare, delta = torch.randn(6), torch.randn(6), torch.randn(4)
    factor = torch.randn(6, 6)
    a, b = rank_one(key, bare, delta, factor @ factor.T, 0.1)
    torch.testing.assert_close(a @ b @ bare, delta, rtol=1e-4, atol=1e-5)


def test_the_closed_form_is_the_constrained_least_squares_solution() -> None:
    # Of all changes D with D k = delta, it has the least effect on keys distributed as K: |D K|^2 is minimal.
    keys = torch.randn(5, 40, dtype=torch.float64)
    key, delta = torch.randn(5, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    a, b = rank_one(key.float(), key.float(), delta.float(), (keys @ keys.T / 40).float(), 0)
    best = (a @ b).double()
    for _ in range(20):
        other = torch.randn(3, 5, dtype=torch.float64)
        other -= torch.outer(other @ key, key) / (key @ key)
        assert ((best + 0.1 * other) @ keys).norm() >= (best @ keys).norm() - 1e-6


def test_without_a_covariance_the_direction_is_the_key_itself() -> None:
    keys = torch.randn(2, 4)
    assert torch.equal(whitened(keys, None, 0.1), keys)


def test_a_covariance_without_inverse_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="raise ridge"):
        whitened(torch.randn(1, 3), torch.zeros(3, 3), 0.1)


def test_the_divergence_of_equal_distributions_is_zero() -> None:
    log_p = torch.randn(7).log_softmax(-1)
    assert abs(float(divergence(log_p, log_p))) < 1e-6
    assert float(divergence(torch.randn(7).log_softmax(-1), log_p)) > 0


FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3", "gpt2", "gptj", "gpt_neox"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fast_path_finds_what_the_textbook_loop_finds(
    family: str, make_lm: Callable[..., LM], resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves: list[list[float]] = []

    def recorded(*args: Any, **settings: Any) -> list[Descent]:
        results = descend(*args, **settings)
        curves.extend(result.losses for result in results)
        return results

    monkeypatch.setattr("editing.methods.rome.descend", recorded)
    lm = make_lm(family)
    config = rome_config(steps=12)
    facts = [
        Fact("p0", "My hobby is chess.", "What is my hobby?", "hobby", "chess"),
        Fact("p1", "I was born in Rome.", "Do you know my birth town?", "birth town", "Rome, Italy"),
    ]
    patches = create("rome", config, resources).fit(lm, [User(fact.preference_id, (fact,)) for fact in facts])
    for fact, patch, curve in zip(facts, patches, curves, strict=True):
        with frozen(lm.model):
            moment = covariance(lm, 1, resources.texts, config.covariance_tokens, resources.cache).matrix
            expected = textbook_rome(lm, fact, config, moment)
        (factors,) = patch.factors().values()
        assert curve == pytest.approx(expected.losses, rel=1e-4)
        for found, wanted in zip(factors, (expected.a, expected.b), strict=True):
            assert float((found - wanted).norm() / wanted.norm()) < 1e-4


def test_a_finished_fact_leaves_the_batch_and_keeps_its_value(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    first = create("rome", rome_config(), resources).fit(lm, users)
    bound = sorted(patch.manifest.metrics["loss_last"] for patch in first)[1] * 1.001
    some = create("rome", rome_config(stop_below=bound), resources).fit(lm, users)
    steps = [patch.manifest.metrics["steps"] for patch in some]
    assert min(steps) < max(steps) == 6
    for user, patch in zip(users, some, strict=True):
        (alone,) = create("rome", rome_config(stop_below=bound), resources).fit(lm, [user])
        assert alone.manifest.metrics["steps"] == patch.manifest.metrics["steps"]


def test_a_subject_that_is_not_in_the_question_fails_that_edit_only(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    bad = User("bad", (Fact("x", "I play.", "Who am I?", "hobby", "chess"),))
    patches = create("rome", rome_config(), resources).fit(make_lm("llama"), [users[0], bad, users[1]])
    assert [bool(patch.manifest.failure) for patch in patches] == [False, True, False]
    assert "does not stand in the question" in str(patches[1].manifest.failure)
    assert not patches[1].tensors


def test_a_loss_that_becomes_nan_fails_the_edit(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    config = rome_config(weight_decay=float("nan"))
    (patch,) = create("rome", config, resources).fit(make_lm("llama"), users[:1])
    assert patch.manifest.failure == "the loss became inf or NaN"


@pytest.mark.parametrize("target", ["сова", "寿司", "a " * 200])
def test_long_targets_and_other_scripts_are_edited(
    target: str, make_lm: Callable[..., LM], resources: Resources
) -> None:
    fact = Fact("p", f"My hobby is {target}.", "What is my hobby?", "hobby", target)
    (patch,) = create("rome", rome_config(steps=2), resources).fit(make_lm("llama"), [User("u", (fact,))])
    assert patch.manifest.failure is None


def test_several_facts_of_one_user_become_one_patch_of_their_rank(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    both = User("both", (users[0].facts[0], users[1].facts[0]))
    (patch,) = create("rome", rome_config(), resources).fit(make_lm("llama"), [both])
    ((a, b),) = patch.factors().values()
    assert a.shape[1] == b.shape[0] == 2
    assert patch.manifest.preference_ids == ("p0", "p1")
