"""Patches in forms that other software loads: a PEFT LoRA folder, or the edited checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from editing.lm.load import LM
from editing.patches.apply import check_fits, in_place
from editing.patches.patch import Patch
from pipeline.core.errors import InputError
from pipeline.core.tables import atomic_write, write_json

PREFIX = "base_model.model."
"""In front of a module's path in an adapter file."""


def export_peft(lm: LM, patch: Patch, out: Path) -> None:
    """Write a low-rank patch as a LoRA adapter: the same factors, no decomposition.

    All modules get one rank R (smaller ones are filled with zeros) and lora_alpha = R, so that the scale is 1 for every
    reader, also for those that know no rank pattern.

    Raises:
        InputError: the patch is not low-rank, is empty, has a gate, or was made for other weights.
    """
    check_fits(lm, patch)
    _refuse_gate(patch)
    factors = patch.factors()
    if patch.manifest.kind != "low_rank" or not factors:
        why = patch.manifest.failure or f"its kind is {patch.manifest.kind}"
        raise InputError(f"Only a low-rank patch is a LoRA adapter ({why}); export it as merged instead.")
    rank = max(a.shape[1] for a, _ in factors.values())
    tensors = {}
    for path, (a, b) in factors.items():
        missing = rank - a.shape[1]
        tensors[f"{PREFIX}{path}.lora_A.weight"] = torch.nn.functional.pad(b, (0, 0, 0, missing)).contiguous()
        tensors[f"{PREFIX}{path}.lora_B.weight"] = torch.nn.functional.pad(a, (0, missing)).contiguous()
    with atomic_write(out / "adapter_model.safetensors") as file:
        file.write(safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_json(out / "adapter_config.json", _adapter_config(lm, sorted(factors), rank))
    write_json(out / "patch.json", patch.manifest.model_dump(mode="json"))


def _refuse_gate(patch: Patch) -> None:
    if patch.manifest.gate is not None:
        raise InputError(
            f"A patch of {patch.manifest.method} is applied question by question, which weights alone cannot do; "
            "export one of preference_edit instead."
        )


def _adapter_config(lm: LM, paths: list[str], rank: int) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": lm.source,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(down.transposed for down in lm.structure.down),
        "target_modules": paths,
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
    }


def export_merged(lm: LM, patch: Patch, out: Path) -> None:
    """Write the edited checkpoint as safetensors with its tokenizer; the model in memory stays as it is.

    Raises:
        InputError: the patch changes no weights, has a gate, or was made for other weights.
    """
    with merged(lm, patch):
        cast(PreTrainedModel, lm.model).save_pretrained(out)
    lm.tokenizer.save_pretrained(out)
    write_json(out / "patch.json", patch.manifest.model_dump(mode="json"))


@contextlib.contextmanager
def merged(lm: LM, patch: Patch) -> Iterator[None]:
    """The patch inside the weights until the block ends; then they are as before, bit by bit.

    Raises:
        InputError: the patch changes no weights, has a gate, or was made for other weights.
    """
    check_fits(lm, patch)
    _refuse_gate(patch)
    if patch.manifest.kind not in ("dense", "low_rank") or not patch.tensors:
        raise InputError(f"The patch changes no weights ({patch.manifest.failure or patch.manifest.kind}).")
    with in_place(lm, merged_weights(lm, patch)):
        yield


def merged_weights(lm: LM, patch: Patch) -> dict[str, torch.Tensor]:
    """New values of the weights that the patch changes, by full name, as stored."""
    if patch.manifest.kind == "dense":
        return dict(patch.tensors)
    parameters = dict(lm.model.named_parameters())
    found = {}
    for path, (a, b) in patch.factors().items():
        weight = parameters[f"{path}.weight"].detach()
        change = (a @ b).to(weight)
        found[f"{path}.weight"] = weight + (change.T if isinstance(lm.model.get_submodule(path), Conv1D) else change)
    return found
