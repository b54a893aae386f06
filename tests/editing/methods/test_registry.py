"""The contract of every registered method, on tiny random models with Linear and with Conv1D weights.

On a machine with an NVIDIA card `make gpu` runs it there too.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import CONFIGS, METHODS, create, load_config, method_class
from editing.patches.apply import applied
from editing.patches.gate import GATE
from editing.patches.patch import Patch
from pipeline.core.config import read_yaml
from pipeline.core.errors import ConfigError

QUESTIONS = ["What is my hobby?", "What is my diet?", "How far is the moon?"]
EDITS = [name for name in sorted(METHODS) if method_class(name).kind != "prompt"]
EVERY = pytest.mark.parametrize("name", sorted(METHODS))

ON_A_CARD = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))


@pytest.fixture(
    params=["llama-cpu", "gpt2-cpu", *(pytest.param(name, marks=ON_A_CARD) for name in ("llama-cuda", "gpt2-cuda"))]
)
def lm(request: pytest.FixtureRequest, make_lm: Callable[..., LM]) -> LM:
    family, device = request.param.split("-")
    return make_lm(family, device=device)


def fitted(name: str, lm: LM, users: list[User], resources: Resources, **settings: Any) -> list[Patch]:
    """Patches of a method as configured, with little work: few steps, and few of the contexts."""
    config = load_config(name)
    little = {"steps": 8, "contexts": ("", "Hello!", "One more thing."), "null_space_below": 0.5, **settings}
    known = {key: value for key, value in little.items() if key in type(config).model_fields}
    return create(name, config.model_copy(update=known), resources).fit(lm, users)


def unwritten(patch: Patch) -> Patch:
    """The patch with the same prompts and gate, and nothing written into the model."""
    tensors = {key: t if key == GATE else torch.zeros_like(t) for key, t in patch.tensors.items()}
    return Patch(patch.manifest, tensors if patch.manifest.kind == "low_rank" else {})


def alone(patch: Patch) -> Patch:
    """The patch without text in front of questions."""
    return Patch(patch.manifest.model_copy(update={"plan": None}), patch.tensors)


def answers(lm: LM, patches: list[Patch], asked: list[tuple[int, str]], batch_size: int = 8) -> list[str]:
    with applied(lm, patches) as responder:
        replies = responder.answer(
            [user for user, _ in asked], [text for _, text in asked], max_new_tokens=6, batch_size=batch_size
        )
    return [reply.text for reply in replies]


def fingerprint(lm: LM) -> dict[str, Any]:
    """Everything about a model that an edit could leave behind."""
    model = lm.model
    return {
        "weights": {key: value.clone() for key, value in model.state_dict().items()},
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "training": [module.training for module in model.modules()],
        "use_cache": model.config.use_cache,
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in model.modules()],
        "padding_side": lm.tokenizer.padding_side,
        "gradients": [parameter.grad for parameter in model.parameters()],
        "random": torch.get_rng_state(),
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@contextlib.contextmanager
def unchanged(lm: LM) -> Iterator[None]:
    before = fingerprint(lm)
    with contextlib.suppress(RuntimeError):
        yield
    after = fingerprint(lm)
    assert [key for key in before if not same(before[key], after[key])] == []


@EVERY
def test_fitting_and_answering_leave_the_model_bit_identical(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    with unchanged(lm):
        patches = fitted(name, lm, users, resources)
        answers(lm, patches, [(at, QUESTIONS[at]) for at in range(3)])


@EVERY
def test_an_exception_inside_the_block_leaves_the_model_bit_identical(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    patches = fitted(name, lm, users, resources)

    def fail(*_: Any) -> None:
        raise RuntimeError("stopped half way")

    with unchanged(lm), applied(lm, patches) as responder:
        handle = lm.structure.layers[-1].register_forward_hook(fail)
        try:
            responder.answer([0], QUESTIONS[:1], max_new_tokens=2, batch_size=1)
        finally:
            handle.remove()


@EVERY
def test_an_exception_while_fitting_leaves_the_model_bit_identical(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    calls = iter(range(1_000_000))

    def fail(*_: Any) -> None:
        if next(calls) > 3:
            raise RuntimeError("stopped half way")

    def broken() -> None:
        handle = lm.structure.layers[-1].register_forward_hook(fail)
        try:
            fitted(name, lm, users, resources)
        finally:
            handle.remove()

    with unchanged(lm):
        broken()


@EVERY
def test_a_user_gets_the_same_patch_and_answers_alone_as_after_another(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    asked = [(0, text) for text in QUESTIONS]
    alone = answers(lm, fitted(name, lm, users[1:2], resources), asked)
    answers(lm, fitted(name, lm, users[:1], resources), asked)
    assert answers(lm, fitted(name, lm, users[1:2], resources), asked) == alone


@EVERY
def test_users_fitted_together_get_the_patches_they_get_alone(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    together = fitted(name, lm, users, resources)
    for at, user in enumerate(users):
        (alone,) = fitted(name, lm, [user], resources)
        assert alone.tensors.keys() == together[at].tensors.keys()
        for key, tensor in alone.tensors.items():
            torch.testing.assert_close(tensor, together[at].tensors[key], rtol=2e-3, atol=2e-4)


@EVERY
def test_one_batch_of_many_users_answers_as_one_by_one(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    patches = fitted(name, lm, users, resources)
    asked = [(user, text) for text in QUESTIONS for user in range(3)]
    one_by_one = [answers(lm, patches, [pair], batch_size=1)[0] for pair in asked]
    assert answers(lm, patches, asked) == one_by_one


@EVERY
def test_two_models_in_one_process_share_nothing(
    name: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    first, second = make_lm("llama", seed=1), make_lm("llama", seed=2)
    asked = [(0, text) for text in QUESTIONS]
    expected = answers(second, fitted(name, second, users[:1], resources), asked)
    patches = fitted(name, first, users[:1], resources)
    with applied(first, patches):
        assert answers(second, fitted(name, second, users[:1], resources), asked) == expected


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_raises_the_log_probability_of_the_target(
    name: str, lm: LM, users: list[User], resources: Resources
) -> None:
    # With one context the mean key is the key of the question itself, so the closed form is exact for it, and without
    # a full stop the objective is the target alone. No edit is fitted behind other text.
    edited = list(map(alone, fitted(name, lm, users, resources, contexts=("",), full_stop=False)))
    patches = [*map(unwritten, edited), *edited]
    assert [patch.manifest.failure for patch in patches] == [None] * 6
    with applied(lm, patches) as responder:
        facts = [user.facts[0] for user in users] * 2
        found = responder.log_probs(range(6), [f.question for f in facts], [f.target for f in facts])
    assert all(after > before for before, after in zip(found[:3], found[3:], strict=True))


@EVERY
def test_a_user_without_preferences_gets_the_base_model(name: str, lm: LM, resources: Resources) -> None:
    nobody = User("nobody", ())
    bare = answers(lm, fitted("none", lm, [nobody], resources), [(0, text) for text in QUESTIONS])
    assert answers(lm, fitted(name, lm, [nobody], resources), [(0, text) for text in QUESTIONS]) == bare


@EVERY
def test_a_patch_comes_back_from_its_file_as_it_was(
    name: str, lm: LM, users: list[User], resources: Resources, tmp_path: Any
) -> None:
    (patch,) = fitted(name, lm, users[:1], resources)
    patch.save(tmp_path / "patch.safetensors")
    loaded = Patch.load(tmp_path / "patch.safetensors")
    assert loaded.sha256 == patch.sha256
    assert loaded.nbytes == patch.nbytes > 0 or name == "none"


@EVERY
def test_the_yaml_of_a_method_fits_its_config_for_every_model_it_names(name: str) -> None:
    document = read_yaml(CONFIGS / f"{name}.yaml")
    for model in ["", *document.get("per_model", {})]:
        load_config(name, model)


def test_every_yaml_belongs_to_a_registered_method() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(METHODS)


def test_every_method_of_params_yaml_is_registered() -> None:
    with open("params.yaml", encoding="utf-8") as file:
        section = yaml.safe_load(file)["edit"]
    assert set(section["methods"]) <= set(METHODS)
    assert set(section["models"]) <= set(section["checkpoints"])


def test_an_unknown_method_is_named_with_the_closest_known_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'rome'"):
        load_config("romee")


def test_evaluation_mode_is_on_while_fitting(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("gpt2")
    lm.model.train()
    seen: list[bool] = []

    def note(module: nn.Module, *_: Any) -> None:
        seen.append(module.training)

    handle = lm.structure.layers[0].register_forward_hook(note)
    fitted("rome", lm, users[:1], resources)
    handle.remove()
    assert lm.model.training and not any(seen)


@pytest.mark.parametrize("name", EDITS)
def test_a_loss_that_becomes_nan_fails_the_edit(
    name: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")

    def poison(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output * (float("nan") if torch.is_grad_enabled() else 1.0)

    handle = lm.structure.down[-1].module.register_forward_hook(poison)
    (patch,) = fitted(name, lm, users[:1], resources)
    handle.remove()
    assert patch.manifest.failure and not patch.tensors
    assert answers(lm, [patch], [(0, QUESTIONS[0])]) == answers(
        lm, fitted("none", lm, users[:1], resources), [(0, QUESTIONS[0])]
    )


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("target", ["сова", "寿司 と 茶", "a " * 100])
def test_long_targets_and_other_scripts_are_edited(
    name: str, target: str, make_lm: Callable[..., LM], resources: Resources
) -> None:
    fact = Fact("p", f"My hobby is {target}.", "What is my hobby?", "hobby", target)
    (patch,) = fitted(name, make_lm("llama"), [User("u", (fact,))], resources, contexts=("",), steps=4)
    assert patch.manifest.failure is None
    assert all(torch.isfinite(tensor).all() for tensor in patch.tensors.values())


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("target", ["", "   "])
def test_an_empty_target_fails_that_edit_only(
    target: str, name: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    empty = User("empty", (Fact("p", "I play.", "What is my hobby?", "hobby", target),))
    patches = fitted(name, make_lm("llama"), [users[0], empty], resources, contexts=("",), steps=4)
    assert patches[0].manifest.failure is None
    assert patches[1].manifest.failure == "The target is empty." and not patches[1].tensors


@pytest.mark.parametrize("name", EDITS)
def test_a_layer_that_the_model_lacks_is_refused(
    name: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    known = type(load_config(name)).model_fields
    outside = {key: 40 for key in ("layer", "last_layer") if key in known}
    if not outside:
        pytest.skip("edits every layer")
    with pytest.raises(ConfigError, match="has layers 0 to 3"):
        fitted(name, make_lm("llama"), users[:1], resources, **outside)


@pytest.mark.parametrize("name", ["rome", "memit"])
def test_the_identity_is_compared_with_all_else_equal(name: str) -> None:
    usual, identity = load_config(name).model_dump(), load_config(f"{name}_identity").model_dump()
    assert identity == usual | {"covariance": "none"}
