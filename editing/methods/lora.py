"""LoRA: low-rank factors on the MLP down-projections of a range of layers, trained on the direct question.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2022): W x + (alpha / r) A B x, B random, A zero.

Deviations: the factors sit on down-projections instead of the attention's query and value maps, which not every
architecture keeps apart; there is no dropout, in training as in use. The scale is folded into A, so that a patch is the
same kind of adapter as every other low-rank patch.
Exact speed-ups: hidden states below the lowest layer are kept, all users train side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.structure import Projection, frozen
from editing.methods.base import Maker, Method, User, layer_index
from editing.methods.training import TrainingConfig, train
from editing.patches.patch import Patch, PatchKind, low_rank_tensors
from editing.patches.rowwise import RowEdits, low_rank
from pipeline.core.config import Section


class LoraConfig(TrainingConfig):
    """Hyper-parameters of LoRA."""

    first_layer: int | float
    """Lowest layer with factors: an index, or the share of layers below it."""
    last_layer: int | float
    """Highest layer with factors."""
    rank: int
    """Rank of each factor pair."""
    alpha: float
    """Scale: alpha / rank."""
    seed: int
    """Seed of the random factor, the same for every user."""


class Lora(Method[LoraConfig]):
    """Low-rank factors in several layers."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = LoraConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One low-rank patch a user with all the user's facts trained into it."""
        maker = Maker(lm, self.name, self.kind, self.config)
        first, last = layer_index(self.config.first_layer, lm), layer_index(self.config.last_layer, lm)
        downs = lm.structure.down[first : last + 1]
        busy = [user for user in users if user.facts]
        factors = [self._start(lm, downs) for _ in busy]
        scale = self.config.alpha / self.config.rank

        def edits_of(present: list[int]) -> RowEdits:
            edits = {}
            for down in downs:
                a = torch.stack([factors[at][down.path][0] for at in present]) * scale
                b = torch.stack([factors[at][down.path][1] for at in present])
                edits[down.path] = low_rank(a.to(lm.dtype), b.to(lm.dtype))
            return RowEdits(edits)

        parameters = [[tensor for pair in own.values() for tensor in pair] for own in factors]
        with frozen(lm.model):
            results = train(lm, busy, parameters, edits_of, first, self.config) if busy else []
        found: dict[int, Patch] = {}
        for user, own, result in zip(busy, factors, results, strict=True):
            tensors = low_rank_tensors({path: (a * scale, b) for path, (a, b) in own.items()})
            found[id(user)] = maker.patch(
                user,
                {} if result.failure else tensors,
                metrics=result.metrics,
                failure=result.failure,
                share=len(busy),
            )
        return [found.get(id(user)) or maker.patch(user) for user in users]

    def _start(self, lm: LM, downs: Sequence[Projection]) -> dict[str, tuple[Tensor, Tensor]]:
        """Zero A (d_out, r) and random B (r, d_in) of each layer; the random numbers are the seed's own."""
        generator = torch.Generator().manual_seed(self.config.seed)
        factors = {}
        for down in downs:
            b = (torch.rand(self.config.rank, down.d_in, generator=generator) * 2 - 1) / math.sqrt(down.d_in)
            a = torch.zeros(down.d_out, self.config.rank)
            factors[down.path] = (
                a.to(lm.device).requires_grad_(True),
                b.to(lm.device).requires_grad_(True),
            )
        return factors
