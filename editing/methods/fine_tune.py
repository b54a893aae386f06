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

from editing.lm.load import LM
from editing.lm.structure import frozen
from editing.methods.base import Maker, Method, User, layer_index
from editing.methods.training import TrainingConfig, train
from editing.patches.patch import Patch, PatchKind
from editing.patches.rowwise import RowEdits, dense
from pipeline.core.config import Section


class FineTuneConfig(TrainingConfig):
    """Hyper-parameters of fine-tuning."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    max_change: float | None
    """L-inf bound on the change of a weight; null for none."""


class FineTune(Method[FineTuneConfig]):
    """Dense change of one down-projection, trained on the direct question."""

    kind: ClassVar[PatchKind] = "dense"
    Config: ClassVar[type[Section]] = FineTuneConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One dense patch a user: the layer's down-projection with all the user's facts trained into it."""
        maker = Maker(lm, self.name, self.kind, self.config)
        layer, bound = layer_index(self.config.layer, lm), self.config.max_change
        down = lm.structure.down[layer]
        busy = [user for user in users if user.facts]
        deltas = [torch.zeros_like(down.matrix, dtype=torch.float32, requires_grad=True) for _ in busy]

        def edits_of(present: list[int]) -> RowEdits:
            return RowEdits({down.path: dense(torch.stack([deltas[at] for at in present]).to(lm.dtype))})

        def clamp(at: int) -> None:
            if bound is not None:
                deltas[at].data.clamp_(-bound, bound)

        with frozen(lm.model):
            results = train(lm, busy, [[d] for d in deltas], edits_of, layer, self.config, clamp) if busy else []
        found: dict[int, Patch] = {}
        for user, delta, result in zip(busy, deltas, results, strict=True):
            edited = (down.matrix.detach().float() + delta.detach()).to(down.parameter.dtype)
            tensors = {down.parameter_path: edited.T if down.transposed else edited}
            found[id(user)] = maker.patch(
                user,
                {} if result.failure else tensors,
                metrics=result.metrics,
                failure=result.failure,
                share=len(busy),
            )
        return [found.get(id(user)) or maker.patch(user) for user in users]
