"""GRACE: a codebook beside one linear map, which answers for inputs near those it was edited on.

Source: Hartvigsen et al., Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors (2023). At one
layer f, with keys K, values V and deferral radii eps (eq. 1): GRACE(h) = V_i where i = argmin_i d(h, K_i) and
d(h, K_i) <= eps_i, and f(h) everywhere else. A key is the layer's input at the last token of an edit's prompt; the
value is trained by gradient descent on the edit's loss. Algorithm 1 keeps keys apart: an edit whose key is nearer to an
entry than that entry's radius and a fresh radius together widens the entry where both have one target, and otherwise
halves the distance between the two.

In the scenario `lifelong` each edit is fitted with the entries before it in place and adds entries of its own:
Algorithm 1 keeps the keys of one edit apart, not those of several.

Deviations: the map is the MLP's down-projection; a value starts as the map's own output; every position of a row asks
the codebook, not the last token of the prompt only; an edit stops once its loss is below `stop_below`.

An entry is one object, so key, value, radius and target cannot come apart. (A published implementation appends keys and
prepends targets, so that the second edit is compared with the wrong target.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.methods.base import Fact, layer_index
from editing.methods.training import Trainable, Trained, TrainingConfig
from editing.patches.patch import Codebook, PatchKind, codebook_tensors
from editing.patches.rowwise import RowEdits, stacked_codebooks
from pipeline.core.config import Section


class GraceConfig(TrainingConfig):
    """Hyper-parameters of GRACE."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    radius: float
    """Deferral radius of a new entry, Euclidean distance."""


@dataclass
class Entry:
    """One entry of a codebook."""

    key: Tensor
    """(d_in,)."""
    value: Tensor
    """(d_out,)."""
    radius: float
    """Distance up to which it answers."""
    target: str
    """What it makes the model say."""


class Grace(Trained[GraceConfig]):
    """A codebook of the user's edits."""

    kind: ClassVar[PatchKind] = "codebook"
    Config: ClassVar[type[Section]] = GraceConfig

    def start(self, lm: LM, facts: Sequence[Sequence[Fact]]) -> Trainable:
        """A codebook for each user that holds the layer's own outputs."""
        return _Books(lm, layer_index(self.config.layer, lm), facts, self.config.radius)


class _Books(Trainable):
    """A codebook for each user, at one down-projection."""

    def __init__(self, lm: LM, layer: int, facts: Sequence[Sequence[Fact]], radius: float) -> None:
        self.lm, self.layer, self.down = lm, layer, lm.structure.down[layer]
        keys, outputs = _read(lm, layer, [fact.question for own in facts for fact in own])
        read = zip(keys, outputs, strict=True)
        self.books: list[list[Entry]] = [[] for _ in facts]
        for book, own in zip(self.books, facts, strict=True):
            for fact in own:
                add(book, *next(read), fact.target, radius)
        self.parameters = [[entry.value.requires_grad_(True) for entry in book] for book in self.books]

    def edits(self, users: Sequence[int]) -> RowEdits:
        books = [{self.down.path: stacked(self.books[at])} for at in users]
        return RowEdits(stacked_codebooks(books, self.down.parameter))

    def tensors(self, user: int) -> dict[str, Tensor]:
        return codebook_tensors({self.down.path: stacked(self.books[user])})


def add(book: list[Entry], key: Tensor, output: Tensor, target: str, radius: float) -> None:
    """Take an edit into a codebook (algorithm 1); a new entry's value is `output`, still to be trained."""
    distances = [float((entry.key - key).norm()) for entry in book]
    nearest = min(range(len(book)), key=distances.__getitem__, default=None)
    if nearest is None or distances[nearest] > book[nearest].radius + radius:
        book.append(Entry(key, output.clone(), radius, target))
    elif book[nearest].target == target:
        book[nearest].radius = max(book[nearest].radius, distances[nearest])
    else:
        half = distances[nearest] / 2
        book[nearest].radius = min(book[nearest].radius, half)
        book.append(Entry(key, output.clone(), half, target))


def stacked(book: Sequence[Entry]) -> Codebook:
    """The entries as tensors, differentiable in the values."""
    keys, values = torch.stack([entry.key for entry in book]), torch.stack([entry.value for entry in book])
    return Codebook(keys, values, torch.tensor([entry.radius for entry in book], device=keys.device))


@torch.no_grad()
def _read(lm: LM, layer: int, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Input (n, d_in) and output (n, d_out) of the layer's down-projection at each prompt's last token, float32."""
    last = [lm.prompts.ask(question).ids for question in questions]
    replay = Replay(lm, [Row(ids, len(ids) - 1, (len(ids) - 1,)) for ids in last], layer)
    down = lm.structure.down[layer]
    keys = torch.empty(len(last), down.d_in, device=lm.device)
    outputs = torch.empty(len(last), down.d_out, device=lm.device)
    caught: list[tuple[Tensor, Tensor]] = []

    def catch(_: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        caught.append((args[0][:, 0].float(), output[:, 0].float()))

    handle = down.module.register_forward_hook(catch)
    try:
        for batch in replay.passes(range(len(last))):
            replay.run(batch, stop_after=layer)
            keys[batch], outputs[batch] = caught.pop()
    finally:
        handle.remove()
    return keys, outputs
