"""Preference clusters: which members are edited, in what order, and on what model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.clustered import ClusterConfig, chosen
from editing.methods.memit import MemitConfig
from editing.methods.registry import create, load_config
from editing.patches.apply import applied, in_place
from editing.patches.export import merged_weights
from editing.patches.patch import Patch

BASES = ["ft_m", "lora", "rome", "memit"]
LITTLE = {"steps": 8, "contexts": ("", "Hello!"), "value_contexts": 1, "layer": 1, "stop_below": 0.0}


def clustered(name: str, lm: LM, users: list[User], resources: Resources, **settings: Any) -> list[Patch]:
    config = load_config(name)
    known = {key: value for key, value in {**LITTLE, **settings}.items() if key in type(config).model_fields}
    return create(name, config.model_copy(update=known), resources).fit(lm, users)


def members(fact: Fact, **settings: Any) -> list[tuple[str, str]]:
    config = ClusterConfig(**{"members": 5, "mode": "joint", "targets": "shared", **settings})
    return [(member.subject, member.target) for member in chosen(fact, config)]


def test_the_preference_itself_comes_last(users: list[User]) -> None:
    assert members(users[0].facts[0]) == [("usual hobby", "chess"), ("own hobby", "chess"), ("hobby", "chess")]


def test_one_member_is_the_preference_alone(users: list[User]) -> None:
    assert members(users[0].facts[0], members=1) == [("hobby", "chess")]


def test_own_targets_are_kept(users: list[User]) -> None:
    found = members(users[0].facts[0], members=2, targets="own")
    assert found == [("usual hobby", "usual chess"), ("hobby", "chess")]


def test_a_preference_without_a_cluster_is_edited_alone(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    lonely = [User("u", (Fact("p0", "I play.", "What is my hobby?", "hobby", "chess"),))]
    (patch,) = clustered("pe_rome", lm, lonely, resources)
    (one,) = clustered("pe_rome", lm, users[:1], resources, members=1)
    assert patch.manifest.metrics["members"] == 1
    for name, tensor in patch.tensors.items():
        torch.testing.assert_close(tensor, one.tensors[name])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("mode", ["joint", "sequential"])
def test_one_member_in_either_mode_is_the_method_under_it(
    base: str, mode: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    for one, other in zip(
        clustered(f"pe_{base}", lm, users, resources, members=1, mode=mode),
        clustered(base, lm, users, resources, steps=8, **same_settings(base)),
        strict=True,
    ):
        assert one.manifest.failure is other.manifest.failure is None
        assert one.manifest.preference_ids == other.manifest.preference_ids
        for name, tensor in other.tensors.items():
            torch.testing.assert_close(one.tensors[name], tensor, rtol=1e-3, atol=1e-4)


def same_settings(base: str) -> dict[str, Any]:
    """What the clustered method's YAML says beyond the little that the tests set."""
    under, over = load_config(base), load_config(f"pe_{base}")
    return {key: getattr(over, key) for key in type(under).model_fields if key not in LITTLE}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("mode", ["joint", "sequential"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_every_member_becomes_likelier(
    base: str, mode: str, family: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm(family)
    patches = create("none", load_config("none"), resources).fit(lm, users[:1])
    patches += clustered(f"pe_{base}", lm, users[:1], resources, mode=mode, members=3)
    assert patches[1].manifest.failure is None
    assert patches[1].manifest.metrics["members"] == 3
    asked = [fact.question for fact in (*users[0].facts[0].cluster, users[0].facts[0])]
    with applied(lm, patches) as responder:
        before = responder.log_probs([0] * 3, asked, ["chess"] * 3)
        after = responder.log_probs([1] * 3, asked, ["chess"] * 3)
    assert all(late > early for early, late in zip(before, after, strict=True))


@pytest.mark.parametrize("base", ["rome", "memit"])
def test_a_sequential_member_is_solved_on_the_model_that_the_one_before_left(
    base: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    fact = users[0].facts[0]
    first, second = chosen(fact, ClusterConfig(members=2, mode="sequential", targets="shared"))
    (one,) = clustered(base, lm, [User("u", (first,))], resources, **same_settings(base))
    with in_place(lm, merged_weights(lm, one)):
        (two,) = clustered(base, lm, [User("u", (second,))], resources, **same_settings(base))
    (both,) = clustered(f"pe_{base}", lm, users[:1], resources, mode="sequential", members=2)
    for path, (a, b) in both.factors().items():
        (c, d), (e, f) = one.factors()[path], two.factors()[path]
        torch.testing.assert_close(a @ b, c @ d + e @ f, rtol=1e-3, atol=1e-4)


def test_the_modes_differ(make_lm: Callable[..., LM], users: list[User], resources: Resources) -> None:
    lm = make_lm("llama")
    for base in BASES:
        joint, in_turn = (
            clustered(f"pe_{base}", lm, users[:1], resources, mode=mode, members=3)[0]
            for mode in ("joint", "sequential")
        )
        name = next(iter(joint.tensors))
        assert joint.tensors[name].shape == in_turn.tensors[name].shape
        assert not torch.allclose(joint.tensors[name], in_turn.tensors[name], atol=1e-3)


def test_users_with_clusters_of_different_sizes_are_fitted_side_by_side(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    lonely = User("lonely", (Fact("p", "I play.", "What is my sport?", "sport", "golf"),))
    nobody = User("nobody", ())
    for base in BASES:
        mixed = clustered(f"pe_{base}", lm, [users[0], nobody, lonely], resources, mode="sequential", members=3)
        assert [patch.manifest.metrics.get("members") for patch in mixed] == [3, None, 1]
        (alone,) = clustered(f"pe_{base}", lm, [lonely], resources, mode="sequential", members=3)
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(mixed[2].tensors[name], tensor, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("base", BASES)
def test_the_hyper_parameters_are_those_of_the_method_under_it(base: str) -> None:
    under, over = load_config(base).model_dump(), load_config(f"pe_{base}").model_dump()
    assert {key: over[key] for key in under} == under


def test_a_name_may_carry_settings() -> None:
    config = load_config("pe_memit@members=9,mode=sequential,targets=own")
    assert isinstance(config, ClusterConfig) and isinstance(config, MemitConfig)
    assert (config.members, config.mode, config.targets) == (9, "sequential", "own")
