"""The parts of a decoder language model, found by what they do and not by what they are called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from pipeline.core.errors import InputError


@dataclass(frozen=True)
class Projection:
    """The down-projection of one decoder layer's MLP: the matrix that edits change."""

    path: str
    """Full module path in the model."""
    module: nn.Module
    """The Linear or Conv1D module."""
    transposed: bool
    """Whether the weight is stored as (d_in, d_out), as Conv1D does."""
    norm: nn.Module | None = None
    """What the layer puts the output through before it adds it to the residual stream; None in most families."""

    @property
    def parameter(self) -> nn.Parameter:
        """The weight as stored."""
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def parameter_path(self) -> str:
        """Full name of the weight in the state dict."""
        return f"{self.path}.weight"

    @property
    def matrix(self) -> Tensor:
        """A view of the weight, (d_out, d_in)."""
        return self.parameter.T if self.transposed else self.parameter

    @property
    def d_out(self) -> int:
        """Width of the residual stream."""
        return int(self.matrix.shape[0])

    @property
    def d_in(self) -> int:
        """Width of the MLP's inner layer."""
        return int(self.matrix.shape[1])


@dataclass(frozen=True)
class Structure:
    """What the engine must know about an architecture."""

    layers: tuple[nn.Module, ...]
    """Decoder layers, first to last."""
    returns_tuple: bool
    """Whether a layer returns a tuple that starts with the hidden states, instead of the hidden states."""
    down: tuple[Projection, ...]
    """MLP down-projection of each layer."""
    norm: nn.Module
    """The norm between the last layer and the head."""
    head: nn.Module
    """The output embedding."""


def discover(model: nn.Module) -> Structure:
    """The structure of a causal language model, from one forward pass over two tokens.

    Decoder layers are the shallowest ModuleList with `num_hidden_layers` members; the down-projection is the last
    linear map in a layer's execution that ends in the residual stream; the final norm is the first module that
    runs after the last layer.

    Raises:
        InputError: it is a mixture of experts, its linear maps are quantized, or no such parts exist.
    """
    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    layers = _decoder_layers(model, int(config.num_hidden_layers))
    names = {module: name for name, module in model.named_modules()}
    for layer in layers:
        _refuse_experts(layer)
    called, tuples = _trace(model)
    position = {id(module): at for at, module in enumerate(called)}
    down = tuple(_down_projection(layer, position, int(config.hidden_size), names) for layer in layers)
    after = called[position[id(layers[-1])] + 1 :]
    head = model.get_output_embeddings()  # type: ignore[operator]
    norm = next((m for m in after if m is not head and any(True for _ in m.parameters())), None)
    if norm is None or head is None:
        raise InputError(f"{type(model).__name__}: found no norm and head after the last decoder layer.")
    return Structure(tuple(layers), id(layers[0]) in tuples, down, norm, head)


def _decoder_layers(model: nn.Module, count: int) -> Sequence[nn.Module]:
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not lists:
        raise InputError(f"{type(model).__name__}: found no list of {count} decoder layers.")
    return list(min(lists, key=lambda item: item[0].count("."))[1])


def _refuse_experts(layer: nn.Module) -> None:
    stacked = any(parameter.ndim == 3 for parameter in layer.parameters())
    listed = any(isinstance(m, nn.ModuleList) and len(m) > 1 for m in layer.modules())
    if stacked or listed:
        raise InputError("The model is a mixture of experts: no single down-projection to edit. Use a dense model.")


def _trace(model: nn.Module) -> tuple[list[nn.Module], set[int]]:
    """Modules in the order in which they finish for two tokens, and the ids of those that return tuples."""
    finished: list[nn.Module] = []
    tuples: set[int] = set()

    def note(module: nn.Module, _: Any, output: Any) -> None:
        finished.append(module)
        if isinstance(output, tuple):
            tuples.add(id(module))

    handles = [m.register_forward_hook(note) for m in model.modules() if not isinstance(m, nn.ModuleList)]
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return finished, tuples


def _down_projection(
    layer: nn.Module, position: dict[int, int], hidden_size: int, names: dict[nn.Module, str]
) -> Projection:
    found: list[Projection] = []
    for module in layer.modules():
        if isinstance(module, nn.Linear | Conv1D) and id(module) in position:
            projection = Projection(names[module], module, isinstance(module, Conv1D))
            if not projection.parameter.is_floating_point():
                raise InputError(f"{projection.path}: weights are {projection.parameter.dtype}, not 16- or 32-bit.")
            if projection.d_out == hidden_size:
                found.append(projection)
    if not found:
        raise InputError(f"{type(layer).__name__}: no linear map ends in the residual stream; cannot be edited.")
    last = max(found, key=lambda projection: position[id(projection.module)])
    after = [m for m in layer.modules() if position.get(id(m), -1) > position[id(last.module)]]
    return replace(last, norm=next((m for m in after if any(True for _ in m.parameters(recurse=False))), None))


@contextlib.contextmanager
def bypassed(structure: Structure, layers: Sequence[int]) -> Iterator[None]:
    """Decoder layers that hand their input on unchanged and compute nothing, until the block ends."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states,) if structure.returns_tuple else hidden_states

    try:
        for layer in layers:
            structure.layers[layer].forward = forward
        yield
    finally:
        for layer in layers:
            structure.layers[layer].__dict__.pop("forward", None)


@contextlib.contextmanager
def packed_head(structure: Structure) -> Iterator[None]:
    """The head gets its input as one block of memory, until the block ends.

    A model that is asked for the last logits only hands its head a slice, and torch then multiplies row by row with a
    copy of the head, the widest matrix of all, for every row.
    """

    def pack(_: Any, args: tuple[Any, ...]) -> Any:
        return (args[0].contiguous(), *args[1:])

    handle = structure.head.register_forward_pre_hook(pack)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def written_out_attention(model: nn.Module) -> Iterator[None]:
    """Attention as plain products where torch's fused one is slow, until the block ends.

    On a processor, the backward pass of fused attention in 16 bits takes half of an edit's time. Models that cap their
    attention scores keep their own way.
    """
    config: Any = model.config
    weight = next(model.parameters())
    slow = weight.device.type == "cpu" and weight.dtype != torch.float32 and torch.is_grad_enabled()
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    if not slow or capped or config._attn_implementation != "sdpa":
        yield
        return
    try:
        config._attn_implementation = "eager"
        yield
    finally:
        config._attn_implementation = "sdpa"


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode with no parameter asking for a gradient; both are put back at the end."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.requires_grad_(False)
        model.eval()
        yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)
        for module, training in modes:
            module.training = training
