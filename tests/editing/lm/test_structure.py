"""Parts of a decoder are found by what they do, on tiny random models of many families."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from editing.lm.load import LM
from editing.lm.structure import bypassed, discover, frozen, packed_head, written_out_attention
from pipeline.core.errors import InputError

EXPECTED = {
    "llama": "model.layers.1.mlp.down_proj",
    "mistral": "model.layers.1.mlp.down_proj",
    "qwen2": "model.layers.1.mlp.down_proj",
    "qwen3": "model.layers.1.mlp.down_proj",
    "gemma2": "model.layers.1.mlp.down_proj",
    "gemma3_text": "model.layers.1.mlp.down_proj",
    "olmo2": "model.layers.1.mlp.down_proj",
    "phi3": "model.layers.1.mlp.down_proj",
    "gpt2": "transformer.h.1.mlp.c_proj",
    "gptj": "transformer.h.1.mlp.fc_out",
    "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h",
}


@pytest.mark.parametrize("family", sorted(EXPECTED))
def test_the_down_projection_of_a_family_is_found(family: str, make_lm: Callable[..., LM]) -> None:
    structure = make_lm(family).structure
    down = structure.down[1]
    assert down.path == EXPECTED[family]
    assert (down.d_out, down.transposed) == (32, family == "gpt2")
    assert down.matrix.shape == (down.d_out, down.d_in)
    assert len(structure.layers) == len(structure.down) == 4
    assert structure.returns_tuple == (family == "gptj")


@pytest.mark.parametrize("family", sorted(EXPECTED))
def test_a_bypassed_layer_changes_nothing_that_passes_through(family: str, make_lm: Callable[..., LM]) -> None:
    lm = make_lm(family)
    seen: list[torch.Tensor] = []

    def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handles = [lm.structure.layers[at].register_forward_pre_hook(note, with_kwargs=True) for at in (1, 3)]
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        before = lm.model(input_ids=ids).logits
        seen.clear()
        with bypassed(lm.structure, [1, 2]):
            lm.model(input_ids=ids)
        assert torch.equal(seen[0], seen[1])
        assert torch.equal(lm.model(input_ids=ids).logits, before)
    for handle in handles:
        handle.remove()


def test_tied_embeddings_are_kept_tied(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("gpt2")
    assert lm.structure.head.weight is lm.model.get_input_embeddings().weight


def test_a_mixture_of_experts_is_refused() -> None:
    config = AutoConfig.for_model(
        "mixtral",
        num_hidden_layers=2,
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
        vocab_size=20,
    )
    with pytest.raises(InputError, match="mixture of experts"):
        discover(AutoModelForCausalLM.from_config(config))


def test_integer_weights_are_refused(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    module = lm.structure.down[0].module
    module.weight = torch.nn.Parameter(module.weight.detach().to(torch.int8), requires_grad=False)
    module.forward = lambda x: torch.zeros_like(x[..., :32])
    with pytest.raises(InputError, match=r"torch\.int8, not 16- or 32-bit"):
        discover(lm.model)


def test_frozen_puts_modes_and_gradients_back(make_lm: Callable[..., LM]) -> None:
    model = make_lm("gpt2").model
    model.train()
    next(model.parameters()).requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    with frozen(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert not model.training
    assert model.training and [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_the_head_gets_one_block_of_memory(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    seen: list[bool] = []
    ids = torch.arange(5, 25).reshape(4, 5)
    with torch.no_grad():
        plain = lm.model(input_ids=ids, logits_to_keep=1).logits
        with packed_head(lm.structure):
            handle = lm.structure.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
            packed = lm.model(input_ids=ids, logits_to_keep=1).logits
            handle.remove()
    torch.testing.assert_close(packed, plain)
    assert seen == [True]


def test_attention_is_written_out_only_for_training_in_16_bits(make_lm: Callable[..., LM]) -> None:
    model = make_lm("llama").model
    with written_out_attention(model):
        assert model.config._attn_implementation == "sdpa"
    model.to(torch.bfloat16)
    with written_out_attention(model):
        assert model.config._attn_implementation == "eager"
    with torch.no_grad(), written_out_attention(model):
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == "sdpa"
