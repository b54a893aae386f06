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
from editing.methods.base import Fact, layer_index
from editing.methods.training import Trainable, Trained, TrainingConfig
from editing.patches.patch import PatchKind, low_rank_tensors
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


class Lora(Trained[LoraConfig]):
    """Low-rank factors in several layers."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = LoraConfig

    def start(self, lm: LM, facts: Sequence[Sequence[Fact]]) -> Trainable:
        """Factors whose product is zero, in each layer of the range, for each user."""
        return _Factors(lm, self.config, len(facts))


class _Factors(Trainable):
    """Zero A (d_out, r) and random B (r, d_in) of each layer, for each user; the random numbers are the seed's own."""

    def __init__(self, lm: LM, config: LoraConfig, users: int) -> None:
        self.lm, self.scale = lm, config.alpha / config.rank
        self.layer = layer_index(config.first_layer, lm)
        downs = lm.structure.down[self.layer : layer_index(config.last_layer, lm) + 1]
        generator = torch.Generator().manual_seed(config.seed)
        first = {
            down.path: (
                torch.zeros(down.d_out, config.rank),
                (torch.rand(config.rank, down.d_in, generator=generator) * 2 - 1) / math.sqrt(down.d_in),
            )
            for down in downs
        }
        self.factors = [
            {path: tuple(t.clone().to(lm.device).requires_grad_(True) for t in pair) for path, pair in first.items()}
            for _ in range(users)
        ]
        self.parameters = [[tensor for pair in own.values() for tensor in pair] for own in self.factors]

    def edits(self, users: Sequence[int]) -> RowEdits:
        edits = {}
        for path in self.factors[0]:
            a, b = (torch.stack([self.factors[at][path][side] for at in users]) for side in (0, 1))
            edits[path] = low_rank((a * self.scale).to(self.lm.dtype), b.to(self.lm.dtype))
        return RowEdits(edits)

    def tensors(self, user: int) -> dict[str, Tensor]:
        """The factors with the scale inside A."""
        return low_rank_tensors({path: (a * self.scale, b) for path, (a, b) in self.factors[user].items()})
