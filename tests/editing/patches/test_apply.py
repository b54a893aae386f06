"""Patches of several kinds on one model at once."""

from collections.abc import Callable

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied, in_place
from editing.patches.patch import Patch
from pipeline.core.errors import InputError
from tests.editing.conftest import tiny_config

QUESTION = "What is my hobby?"


def patch_of(name: str, lm: LM, user: User, resources: Resources) -> Patch:
    config = load_config(name)
    short = {"steps": 6, "contexts": ("",)}
    known = {key: value for key, value in short.items() if key in type(config).model_fields}
    return create(name, config.model_copy(update=known), resources).fit(lm, [user])[0]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_users_of_all_kinds_share_one_batch_and_keep_apart(
    family: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm(family)
    names = ["none", "rome", "ft_m", "in_context", "lora", "grace", "adalora"]
    patches = [patch_of(name, lm, users[at % 3], resources) for at, name in enumerate(names)]
    everyone = range(len(names))
    with applied(lm, patches) as responder:
        together = responder.answer(everyone, [QUESTION] * len(names), max_new_tokens=6, batch_size=8)
        scores = responder.log_probs(everyone, [QUESTION] * len(names), ["chess"] * len(names))
    for at, patch in enumerate(patches):
        with applied(lm, [patch]) as responder:
            assert responder.answer([0], [QUESTION], max_new_tokens=6, batch_size=1) == [together[at]]
            assert responder.log_probs([0], [QUESTION], ["chess"])[0] == pytest.approx(scores[at], abs=1e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj"])
def test_a_dense_patch_answers_as_the_model_with_its_weights_put_in(
    family: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm(family)
    bare, dense = patch_of("none", lm, users[0], resources), patch_of("ft_m", lm, users[0], resources)
    with applied(lm, [dense]) as responder:
        (found,) = responder.log_probs([0], [QUESTION], ["chess"])
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    with in_place(lm, dense.tensors), applied(lm, [bare]) as responder:
        (expected,) = responder.log_probs([0], [QUESTION], ["chess"])
    assert found == pytest.approx(expected, abs=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())


def test_weights_put_in_are_taken_out_bit_by_bit_after_an_exception(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    dense = patch_of("ft_m", lm, users[0], resources)
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="half way"), in_place(lm, dense.tensors):
        raise RuntimeError("half way")
    assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())


def test_a_patch_refuses_other_weights(make_lm: Callable[..., LM], users: list[User], resources: Resources) -> None:
    patch = patch_of("in_context", make_lm("llama", seed=1), users[0], resources)
    with pytest.raises(InputError, match="made for other weights"), applied(make_lm("llama", seed=2), [patch]):
        pass


@pytest.mark.parametrize("method", ["in_context", "ft_m", "rome_identity"])
def test_answers_of_one_user_are_scored_as_among_those_of_others(method: str, lm: LM, users: list[User]) -> None:
    made = create(method, load_config(method), Resources(())).fit(lm, users[:2])
    questions, answers = ["What is my hobby?", "What is my hobby?", "Hi!"], ["chess", "tennis and golf", "no"]
    with applied(lm, made) as responder:
        among = responder.log_probs([0, 0, 0, 1], [*questions, "Hi!"], [*answers, "yes"])[:3]
        alone = responder.log_probs([0, 0, 0], questions, answers)
    assert alone == pytest.approx(among, abs=1e-3)


def test_a_kind_that_no_method_makes_is_refused(make_lm: Callable[..., LM], users: list[User]) -> None:
    lm = make_lm("llama")
    (bare,) = create("none", load_config("none"), Resources(())).fit(lm, users[:1])
    soft = Patch(bare.manifest.model_copy(update={"kind": "soft_prompt"}), {"embedding": torch.randn(4, 32)})
    with pytest.raises(InputError, match="no method makes soft_prompt patches yet"), applied(lm, [soft]):
        pass


def test_answers_beyond_a_sliding_window_are_scored_as_in_whole_passes(
    make_lm: Callable[..., LM], users: list[User]
) -> None:
    config = tiny_config("gemma3_text")
    config.sliding_window = 16
    lm = make_lm("gemma3_text", config=config)
    made = create("in_context", load_config("in_context"), Resources(())).fit(lm, users[:2])
    questions, answer = ["What is my hobby?", "What is my hobby these days, would you say?"], "chess"
    target = lm.prompts.answer_ids(answer)
    with applied(lm, made) as responder:
        found = responder.log_probs([0, 1], questions, [answer] * 2)
        prompts = [responder.prompt(at, question).ids for at, question in enumerate(questions)]
    for ids, value in zip(prompts, found, strict=True):
        with torch.no_grad():
            logits = lm.model(input_ids=torch.tensor([[*ids, *target]]), use_cache=False).logits[0]
        log_p = logits[len(ids) - 1 : -1].log_softmax(-1)
        assert value == pytest.approx(float(log_p[range(len(target)), list(target)].sum()), abs=1e-3)


def test_a_batch_that_memory_did_not_hold_is_not_tried_again(
    make_lm: Callable[..., LM], users: list[User], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = make_lm("llama")
    real = lm.model.forward
    failed: list[int] = []

    def small(*args: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if len(input_ids) > 1:
            failed.append(len(input_ids))
            raise torch.OutOfMemoryError("out of memory")
        return real(*args, input_ids=input_ids, **kwargs)

    made = create("none", load_config("none"), Resources(())).fit(lm, [users[0]] * 4)
    monkeypatch.setattr(lm.model, "forward", small)
    with applied(lm, made) as responder:
        for _ in range(2):
            responder.answer(range(4), [QUESTION] * 4, max_new_tokens=2, batch_size=4)
    assert failed == [4, 2]
    assert capsys.readouterr().err.count("Out of memory") == 1


def test_a_read_that_memory_does_not_hold_goes_on_in_smaller_passes_with_the_same_result(
    make_lm: Callable[..., LM], users: list[User], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = make_lm("llama")
    made = create("none", load_config("none"), Resources(())).fit(lm, [users[0]] * 4)
    asked = ([0, 1, 2, 3], [QUESTION] * 4, ["chess", "go", "tennis", "rowing"])
    with applied(lm, made) as responder:
        whole = responder.log_probs(*asked)
    real = lm.model.forward
    sizes: list[int] = []

    def small(*args: object, **kwargs: object) -> object:
        (batch, *_) = next(v for v in kwargs.values() if isinstance(v, torch.Tensor)).shape
        sizes.append(batch)
        if batch > 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(*args, **kwargs)

    monkeypatch.setattr(lm.model, "forward", small)
    with applied(lm, made) as responder:
        assert responder.log_probs(*asked) == pytest.approx(whole, abs=1e-4)
    assert max(sizes) > 1
    assert capsys.readouterr().err.count("Out of memory") == 1


def test_a_dense_patch_fits_the_model_in_another_number_format(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    patch = patch_of("ft_m", lm, users[0], resources)
    half = Patch(patch.manifest, {name: tensor.bfloat16() for name, tensor in patch.tensors.items()})
    found = []
    for own in (patch, half):
        with applied(lm, [own]) as responder:
            found += responder.log_probs([0], [QUESTION], ["chess"])
    assert found[1] == pytest.approx(found[0], abs=0.5)
