"""Fine-tuning of one MLP down-projection: FT-M (loss on the target's tokens).

Source: Zhang et al., A Comprehensive Study of Knowledge Editing for Large Language Models (2024): cross-entropy on all
target tokens, the rest masked; after FT-L of Meng et al., Locating and Editing Factual Associations in GPT (2022).
Optional L-inf constraint: Zhu et al., Modifying Memories in Transformer Models (2020).

Deviations: the prompt is in the chat template; a user's edit stops once its loss is below `stop_below`.
Exact speed-ups: hidden states below the layer are kept, all users train side by side as row-wise deltas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User, layer_index
from editing.methods.descent import Descent, descend
from editing.methods.objective import in_context_prompts, target_losses
from editing.patches.apply import target_row
from editing.patches.patch import Patch, PatchKind
from editing.patches.rowwise import RowEdits, dense
from pipeline.core.config import Section


class FineTuneConfig(Section):
    """Hyper-parameters of fine-tuning."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    steps: int
    """Most steps of Adam."""
    learning_rate: float
    """Of Adam."""
    stop_below: float
    """Loss (nats a token) at which an edit is done."""
    max_change: float | None
    """L-inf bound on the change of a weight; null for none."""


class FineTune(Method[FineTuneConfig]):
    """Dense change of one down-projection, trained on the direct question."""

    kind: ClassVar[PatchKind] = "dense"
    Config: ClassVar[type[Section]] = FineTuneConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One dense patch a user: the layer's down-projection with all the user's facts trained into it."""
        maker = Maker(lm, self.name, self.kind, self.config)
        down = lm.structure.down[layer_index(self.config.layer, lm)]
        busy = [user for user in users if user.facts]
        deltas = [torch.zeros_like(down.matrix, dtype=torch.float32, requires_grad=True) for _ in busy]
        with frozen(lm.model):
            results = self._train(lm, busy, deltas) if busy else []
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

    def _train(self, lm: LM, users: Sequence[User], deltas: Sequence[Tensor]) -> list[Descent]:
        rows, targets, owner = self._rows(lm, users)
        layer = layer_index(self.config.layer, lm)
        replay = Replay(lm, rows, layer)
        count = [owner.count(at) for at in range(len(users))]

        def backward(active: list[int]) -> list[float]:
            losses = dict.fromkeys(active, 0.0)
            for batch in replay.passes([row for row in range(len(rows)) if owner[row] in losses]):
                present = sorted({owner[row] for row in batch})
                edits = RowEdits({lm.structure.down[layer].path: dense(_stacked(deltas, present, lm))})
                with edits.attached(lm):
                    edits.select([present.index(owner[row]) for row in batch], lm.device)
                    per_row = target_losses(replay.run(batch), [targets[row] for row in batch])
                weights = per_row.new_tensor([1 / count[owner[row]] for row in batch])
                torch.autograd.backward((per_row * weights).sum())
                for row, value in zip(batch, (per_row * weights).tolist(), strict=True):
                    losses[owner[row]] += value
            return [losses[at] for at in active]

        def clamp(at: int) -> None:
            if self.config.max_change is not None:
                deltas[at].data.clamp_(-self.config.max_change, self.config.max_change)

        return descend(
            [[delta] for delta in deltas],
            backward,
            learning_rate=self.config.learning_rate,
            steps=self.config.steps,
            stop_below=self.config.stop_below,
            after_step=clamp,
        )

    def _rows(self, lm: LM, users: Sequence[User]) -> tuple[list[Row], list[tuple[int, ...]], list[int]]:
        """Rows to train on, the target of each, and the user each belongs to."""
        rows: list[Row] = []
        targets: list[tuple[int, ...]] = []
        owner: list[int] = []
        for at, user in enumerate(users):
            for fact in user.facts:
                rows_of, target = _fact_rows(lm, fact)
                rows += rows_of
                targets += [target] * len(rows_of)
                owner += [at] * len(rows_of)
        return rows, targets, owner


def _fact_rows(lm: LM, fact: Fact) -> tuple[list[Row], tuple[int, ...]]:
    target = lm.prompts.answer_ids(fact.target)
    return [target_row(prompt, target, start=0) for prompt in in_context_prompts(lm, fact.question, [""])], target


def _stacked(deltas: Sequence[Tensor], users: Sequence[int], lm: LM) -> Tensor:
    return torch.stack([deltas[at] for at in users]).to(lm.dtype)
