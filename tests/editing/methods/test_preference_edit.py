"""preference_edit: its closed-form gates, and what its patch does."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.lessons import Lessons, question_bank
from editing.methods.preference_edit import (
    KeyReader,
    PreferenceEdit,
    PreferenceEditConfig,
    penalised_regression,
    whitened,
)
from editing.methods.registry import create, load_config


def a_fact(subject: str = "hobby", target: str = "chess", cluster: tuple[Fact, ...] = ()) -> Fact:
    return Fact(f"p-{subject}", f"My {subject} is {target}.", f"What is my {subject}?", subject, target, cluster)


@pytest.fixture(scope="module")
def config() -> PreferenceEditConfig:
    loaded = load_config("preference_edit")
    assert isinstance(loaded, PreferenceEditConfig)
    return loaded


@pytest.fixture
def regression() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, y, weights and the factor of a penalty."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 4, generator=generator), torch.randn(9, 2, generator=generator)
    root = torch.randn(4, 4, generator=generator).double()
    factor = torch.linalg.cholesky(root @ root.T + 0.1 * torch.eye(4))
    return x, y, torch.rand(9, generator=generator) + 0.1, factor


def by_hand(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """The solution of the normal equations."""
    weighted = x.T * weights
    return torch.linalg.solve(weighted @ x + (factor @ factor.T).float(), weighted @ y).T


def test_penalised_regression_solves_its_normal_equations(regression: tuple[torch.Tensor, ...]) -> None:
    x, y, weights, factor = regression
    found = penalised_regression(whitened(x, factor), y, weights, factor, 5).coefficients
    torch.testing.assert_close(found, by_hand(x, y, weights, factor), rtol=1e-4, atol=1e-5)


def test_left_out_predictions_are_those_of_a_regression_without_the_row(
    regression: tuple[torch.Tensor, ...],
) -> None:
    x, y, weights, factor = regression
    found = penalised_regression(whitened(x, factor), y, weights, factor, 3).left_out
    for row in range(3):
        rest = torch.arange(9) != row
        without = by_hand(x[rest], y[rest], weights[rest], factor)
        torch.testing.assert_close(found[row], without @ x[row], rtol=1e-4, atol=1e-5)


def test_keys_come_from_disk_once_they_were_read(
    make_lm: Callable[..., LM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = make_lm("llama")
    read = KeyReader(lm, 2, tmp_path).last(["What is my hobby?", "What is a noun?"])
    again = KeyReader(lm, 2, tmp_path)
    monkeypatch.setattr(again, "_read", lambda rows, _: pytest.fail(f"{len(rows)} rows were read again"))
    for question, key in again.last(["What is a noun?", "What is my hobby?"]).items():
        assert torch.equal(key, read[question])


def test_keys_that_are_not_asked_for_stay_on_disk(make_lm: Callable[..., LM], tmp_path: Path) -> None:
    reader = KeyReader(make_lm("llama"), 2, tmp_path)
    reader.folder.mkdir(parents=True)
    # Without the tensor that a read of the keys would take.
    safetensors.torch.save_file({"x": torch.zeros(1)}, reader.folder / "keys-a.safetensors", {"questions": '["Who?"]'})
    assert set(reader.last(["What is my hobby?"])) == {"What is my hobby?"}


def test_keys_of_another_layer_are_not_taken_from_disk(make_lm: Callable[..., LM], tmp_path: Path) -> None:
    lm = make_lm("llama")
    low, high = (KeyReader(lm, layer, tmp_path).last(["What is my hobby?"])["What is my hobby?"] for layer in (1, 2))
    assert not torch.allclose(low, high)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_keys_read_on_from_shared_beginnings_are_those_of_plain_forward_passes(
    family: str, make_lm: Callable[..., LM], tmp_path: Path
) -> None:
    lm = make_lm(family)
    texts = ["What is my hobby?", "What is my home?", "What is my home town?", "How far is the moon from here?", "What"]
    found = KeyReader(lm, 2, tmp_path).last(texts)
    caught: list[torch.Tensor] = []

    def catch(_: Any, args: tuple[torch.Tensor, ...], __: Any) -> None:
        caught.append(args[0])

    handle = lm.structure.down[2].module.register_forward_hook(catch)
    with torch.no_grad():
        for text in texts:
            lm.model(input_ids=torch.tensor([lm.prompts.ask(text).ids]))
    handle.remove()
    for text, plain in zip(texts, caught, strict=True):
        torch.testing.assert_close(found[text], plain[0, -1], rtol=1e-4, atol=1e-5)


def test_what_is_prepared_for_a_model_is_not_read_for_a_user(
    make_lm: Callable[..., LM], config: PreferenceEditConfig, tmp_path: Path
) -> None:
    method = create("preference_edit", config.model_copy(update={"steps": 1}), Resources((), tmp_path))
    method.prepare(lm := make_lm("llama"))
    method.fit(lm, [User("u", (a_fact(),))])
    bank, own = (
        json.loads(safetensors.safe_open(file, framework="pt").metadata()["questions"])
        for file in sorted(tmp_path.rglob("keys-*.safetensors"), key=lambda file: -file.stat().st_size)
    )
    assert set(bank) == set(question_bank().fixed)
    assert own and not set(own) & set(bank)


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
    keys = KeyReader(lm, layer, resources.cache / "preference_edit").last(asked + held)
    gates = torch.stack([keys[text] for text in asked + held]) @ b[0]
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


def test_keys_that_are_not_finite_fail_the_edit(make_lm: Callable[..., LM], users: list[User], tmp_path: Path) -> None:
    lm = make_lm("llama")
    config = load_config("preference_edit")
    with torch.no_grad():
        lm.structure.down[0].parameter.fill_(float("nan"))
    patches = create("preference_edit", config, Resources((), tmp_path)).fit(lm, users[:2])
    assert [patch.manifest.failure for patch in patches] == ["The keys that the layer reads are not finite."] * 2
    assert not any(patch.tensors for patch in patches)


@pytest.mark.parametrize("name", ["preference_edit_gated", "rag_edit"])
@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "another"])
def test_variants_differ_in_when_they_apply_and_what_stands_in_front_alone(name: str, model: str) -> None:
    apart = ("sentence_gate", "before", "top_k")
    variant, base = (load_config(one, model).model_dump(exclude=set(apart)) for one in (name, "preference_edit"))
    assert variant == base
