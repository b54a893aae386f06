"""Fine-tuning of one MLP down-projection: FT-M and FT-L.

Source: FT-M of Zhang et al., A Comprehensive Study of Knowledge Editing for Large Language Models (2024): cross-entropy
on all target tokens, the rest masked. FT-L of Meng et al., Locating and Editing Factual Associations in GPT (2022), as
Huang et al. (2025) ran it: all tokens of the target at the prompt's last position. Optional L-inf constraint: Zhu et
al., Modifying Memories in Transformer Models (2020).

Deviations: the prompt is in the chat template; a user's edit stops once its loss is below `stop_below`.
Exact speed-ups: hidden states below the layer are kept, all users train side by side as row-wise deltas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.methods.base import Fact, layer_index
from editing.methods.training import Trainable, Trained, TrainingConfig
from editing.patches.patch import PatchKind
from editing.patches.rowwise import RowEdits, dense
from pipeline.core.config import Section


class FineTuneConfig(TrainingConfig):
    """Hyper-parameters of fine-tuning."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    max_change: float | None
    """L-inf bound on the change of a weight; null for none."""


class FineTune(Trained[FineTuneConfig]):
    """Dense change of one down-projection, trained on the direct question."""

    kind: ClassVar[PatchKind] = "dense"
    Config: ClassVar[type[Section]] = FineTuneConfig

    def start(self, lm: LM, facts: Sequence[Sequence[Fact]]) -> Trainable:
        """No change of the layer's down-projection yet, for each user."""
        return _Change(lm, layer_index(self.config.layer, lm), len(facts), self.config.max_change)


class _Change(Trainable):
    """A change (d_out, d_in) of one down-projection for each user, float32."""

    def __init__(self, lm: LM, layer: int, users: int, bound: float | None) -> None:
        self.lm, self.layer, self.bound = lm, layer, bound
        self.down = lm.structure.down[layer]
        self.deltas = [
            torch.zeros_like(self.down.matrix, dtype=torch.float32, requires_grad=True) for _ in range(users)
        ]
        self.parameters = [[delta] for delta in self.deltas]

    def edits(self, users: Sequence[int]) -> RowEdits:
        return RowEdits({self.down.path: dense(torch.stack([self.deltas[at] for at in users]).to(self.lm.dtype))})

    def after_step(self, user: int) -> None:
        if self.bound is not None:
            self.deltas[user].data.clamp_(-self.bound, self.bound)

    def tensors(self, user: int) -> dict[str, Tensor]:
        """The whole edited matrix, as stored."""
        edited = (self.down.matrix.detach().float() + self.deltas[user].detach()).to(self.down.parameter.dtype)
        return {self.down.parameter_path: edited.T if self.down.transposed else edited}
