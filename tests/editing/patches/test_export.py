"""Exports: a LoRA folder gives the same logits as the patch, and a merged checkpoint too."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from editing.lm.load import LM, hash_weights
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.patches.export import export_merged, export_peft, merged
from editing.patches.patch import Manifest, Patch, low_rank_tensors
from pipeline.core.errors import InputError


def a_patch(lm: LM, ranks: dict[int, int]) -> Patch:
    """A random low-rank patch with a rank for each of some layers."""
    generator = torch.Generator().manual_seed(3)
    factors = {}
    for layer, rank in ranks.items():
        down = lm.structure.down[layer]
        factors[down.path] = (
            torch.randn(down.d_out, rank, generator=generator),
            torch.randn(rank, down.d_in, generator=generator) * 0.1,
        )
    manifest = Manifest(
        kind="low_rank",
        method="test",
        config_sha256="",
        model=lm.name,
        weights_sha256=lm.weights_sha256,
        user_id="u",
        preference_ids=("p",),
    )
    return Patch(manifest, low_rank_tensors(factors))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found = model(input_ids=torch.arange(2, 40)[None]).logits
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj", "phi3", "gemma3_text"])
@pytest.mark.parametrize("ranks", [{1: 1}, {0: 1, 2: 3}])
def test_peft_loads_the_folder_and_gives_the_logits_of_the_patch(
    family: str, ranks: dict[int, int], make_lm: Callable[..., LM], tmp_path: Path
) -> None:
    from peft import PeftModel

    lm = make_lm(family)
    patch = a_patch(lm, ranks)
    base = logits(lm.model)
    with merged(lm, patch):
        expected = logits(lm.model)
    assert not torch.allclose(expected, base, atol=1e-2)
    export_peft(lm, patch, tmp_path)
    adapted = PeftModel.from_pretrained(lm.model, str(tmp_path))
    assert float((logits(adapted) - expected).abs().max()) <= 1e-3
    assert float((logits(adapted.merge_and_unload()) - expected).abs().max()) <= 1e-4


def test_the_adapter_config_has_the_fields_vllm_reads(make_lm: Callable[..., LM], tmp_path: Path) -> None:
    lm = make_lm("llama")
    export_peft(lm, a_patch(lm, {0: 1, 2: 3}), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3
    assert config["bias"] == "none" and not config["use_dora"] and config["modules_to_save"] is None
    assert config["target_modules"] == ["model.layers.0.mlp.down_proj", "model.layers.2.mlp.down_proj"]


@pytest.mark.parametrize("method", ["rome", "ft_m"])
def test_a_merged_checkpoint_loads_as_the_edited_model(
    method: str, lm: LM, users: list[User], resources: Resources, tmp_path: Path
) -> None:
    config = load_config(method).model_copy(update={"steps": 3})
    (patch,) = create(method, config, resources).fit(lm, users[:1])
    before = hash_weights(lm.model)
    with merged(lm, patch):
        expected = logits(lm.model)
    export_merged(lm, patch, tmp_path)
    assert hash_weights(lm.model) == before
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), expected)


def test_a_patch_refuses_another_model(make_lm: Callable[..., LM], tmp_path: Path) -> None:
    patch = a_patch(make_lm("llama", seed=1), {0: 1})
    with pytest.raises(InputError, match="made for other weights"):
        export_peft(make_lm("llama", seed=2), patch, tmp_path)


@pytest.mark.parametrize("method", ["in_context", "grace"])
def test_a_patch_that_changes_no_weights_is_neither_adapter_nor_checkpoint(
    method: str, make_lm: Callable[..., LM], users: list[User], tmp_path: Path
) -> None:
    lm = make_lm("llama")
    (patch,) = create(method, load_config(method), Resources(())).fit(lm, users[:1])
    with pytest.raises(InputError, match="Only a low-rank patch"):
        export_peft(lm, patch, tmp_path)
    with pytest.raises(InputError, match="changes no weights"):
        export_merged(lm, patch, tmp_path)
