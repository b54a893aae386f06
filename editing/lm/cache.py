"""Keys and values of the tokens read so far, with room for the tokens that follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, DynamicLayer

ROOM = 32
"""Tokens a buffer has room for beyond those it was made for."""


class RoomyLayer(DynamicLayer):
    """A layer's keys and values, written in place.

    The library's own layer copies all keys and values for every token; for a small model and a large batch that is more
    memory traffic than the weights. `keys` and `values`, shape (rows, heads, tokens, width), are views of the buffers.
    """

    def __init__(self, **kwargs: Any) -> None:
        """A layer that has read nothing."""
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.buffers = (torch.empty(0), torch.empty(0))

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens, and return those of all tokens."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        keys, values = self.buffers
        before = self.get_seq_length()
        keys, self.keys = _appended(keys, self.keys, before, key_states)
        values, self.values = _appended(values, self.values, before, value_states)
        self.buffers = (keys, values)
        return self.keys, self.values


def _appended(buffer: Tensor, old: Tensor, before: int, new: Tensor) -> tuple[Tensor, Tensor]:
    """The buffer of `old`, `before` tokens, and `new`, and the view of both.

    `old` moves where `buffer` is not its own or is full.
    """
    after = before + new.shape[-2]
    rows, heads, _, width = new.shape
    own = buffer.data_ptr() == old.data_ptr() and buffer.shape[:2] == old.shape[:2]
    if not before or not own or after > buffer.shape[-2]:
        buffer = new.new_empty((rows, heads, after + ROOM, width))
        if before:
            buffer[..., :before, :] = old
    buffer[..., before:after, :] = new
    return buffer, buffer[..., :after, :]


def empty_cache(config: Any) -> DynamicCache:
    """A cache for a model of `config` before its first token; layers with a sliding window stay the library's own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def sliding_window(config: Any) -> int | None:
    """Tokens that the narrowest attention of a model of `config` looks back over; None where all see everything."""
    found = [getattr(layer, "sliding_window", None) for layer in DynamicCache(config=config).layers]
    return min((window for window in found if window), default=None)
