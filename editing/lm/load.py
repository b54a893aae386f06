"""A checkpoint in memory: weights, tokenizer, structure, prompt builder, and the hash of what was loaded."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from editing.lm.prompt import PromptBuilder
from editing.lm.source import MODEL_CACHE, resolve
from editing.lm.structure import Structure, discover
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.provenance import sha256_file

DType = Literal["auto", "float32", "bfloat16", "float16"]
"""Number format of the weights; auto is bfloat16 on an accelerator and float32 on a processor."""


@dataclass(frozen=True)
class LM:
    """A decoder language model ready to be asked and edited."""

    name: str
    """Name of the checkpoint in params.yaml."""
    source: str
    """Where it came from, as configured."""
    model: nn.Module
    """The transformers model."""
    tokenizer: Any
    """Its fast tokenizer."""
    structure: Structure
    """Decoder layers, down-projections, final norm and head."""
    prompts: PromptBuilder
    """Renders every prompt of this model."""
    weights_sha256: str
    """Hash of the weights; a patch refuses a model with another one."""
    stop_ids: frozenset[int]
    """Tokens that end an answer."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the edited weights."""
        return self.structure.down[0].parameter.dtype

    @property
    def end_id(self) -> int:
        """The token that ends an answer: the template's end of a turn or, without one, the lowest stop token."""
        turn_end = self.prompts.turn_end()
        return min(self.stop_ids) if turn_end is None else turn_end

    @property
    def pad_id(self) -> int:
        """A token id for masked positions; which one does not matter."""
        return 0


def load(
    source: str,
    *,
    name: str = "",
    dtype: DType = "auto",
    device: str = "auto",
    form: Literal["auto", "chat", "raw"] = "auto",
    cache: Path = MODEL_CACHE,
) -> LM:
    """The checkpoint at `source` (see `editing.lm.source.resolve`), in evaluation mode.

    Code in a checkpoint is never run and pickled weights are never read.

    Raises:
        InputError: there is no usable checkpoint, or it does not fit into memory.
        ConfigError: the device is not there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    folder = resolve(source, cache)
    place = pick_device(device)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        loaded = AutoModelForCausalLM.from_pretrained(
            folder, dtype=pick_dtype(dtype, place), trust_remote_code=False, use_safetensors=True
        )
        model = cast(nn.Module, loaded).to(place)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"{source}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise InputError(f"{source}: does not fit into the memory of {place}.") from error
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(sha256_file(file).encode())
    return build(model, tokenizer, name=name or Path(source).name, source=source, sha256=digest.hexdigest(), form=form)


def build(
    model: nn.Module,
    tokenizer: Any,
    *,
    name: str,
    source: str = "memory",
    sha256: str | None = None,
    form: Literal["auto", "chat", "raw"] = "auto",
) -> LM:
    """An LM around a model that is already in memory; `sha256` None hashes its weights."""
    model.eval()
    if next(model.parameters()).device.type == "cpu":
        # Else transformers copies keys and values for every query head: a fifth of an evaluation's processor time.
        os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")
    prompts = PromptBuilder.of(tokenizer, form)
    return LM(
        name=name,
        source=source,
        model=model,
        tokenizer=tokenizer,
        structure=discover(model),
        prompts=prompts,
        weights_sha256=sha256 or hash_weights(model),
        stop_ids=_stop_ids(model, tokenizer, prompts),
    )


def pick_device(device: str) -> torch.device:
    """The device named, or with "auto" the accelerator if there is one.

    Raises:
        ConfigError: the named device is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device '{device}' is not available: {str(error).splitlines()[0]}") from error


def pick_dtype(dtype: DType, device: torch.device) -> torch.dtype:
    """The torch dtype for a configured name."""
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    found = getattr(torch, dtype)
    assert isinstance(found, torch.dtype)
    return found


def hash_weights(model: nn.Module) -> str:
    """Hex sha256 over names, shapes and bytes of all weights."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key}\0{tuple(value.shape)}\0{value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _stop_ids(model: nn.Module, tokenizer: Any, prompts: PromptBuilder) -> frozenset[int]:
    """End-of-text tokens of configuration and tokenizer, and the token that ends a turn of the chat template."""
    found: set[int] = set()
    generation = getattr(model, "generation_config", None)
    for value in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(value)
    turn_end = prompts.turn_end()
    if turn_end is not None:
        found.add(turn_end)
    return frozenset(found)
