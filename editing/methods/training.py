"""Training of row-wise edits on the direct questions of many users at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.methods.base import User
from editing.methods.descent import Descent, descend
from editing.methods.objective import target_losses
from editing.patches.apply import target_row
from editing.patches.rowwise import RowEdits
from pipeline.core.config import Section


class TrainingConfig(Section):
    """Hyper-parameters every trained method has."""

    steps: int
    """Most steps of Adam."""
    learning_rate: float
    """Of Adam."""
    stop_below: float
    """Loss (nats a token) at which an edit is done."""
    objective: Literal["target", "last_token"]
    """target: every token of the target after those before it. last_token: all tokens of the target at the prompt's
    last position, as FT-L does."""


def train(
    lm: LM,
    users: Sequence[User],
    parameters: Sequence[Sequence[Tensor]],
    edits_of: Callable[[list[int]], RowEdits],
    layer: int,
    config: TrainingConfig,
    after_step: Callable[[int], None] | None = None,
) -> list[Descent]:
    """Fit each user's own parameters to the user's targets, side by side; they are changed in place.

    `edits_of(present)` is the edit of a batch whose row users are numbered along `present`. `layer` is the lowest layer
    it touches. The loss of a user is the mean over the user's facts.
    """
    rows, targets, owner = _rows(lm, users, config.objective)
    replay = Replay(lm, rows, layer)
    weight = [1 / owner.count(at) for at in owner]

    def backward(active: list[int]) -> list[float]:
        losses = dict.fromkeys(active, 0.0)
        for batch in replay.passes([row for row in range(len(rows)) if owner[row] in losses]):
            present = sorted({owner[row] for row in batch})
            edits = edits_of(present)
            with edits.attached(lm):
                edits.select([present.index(owner[row]) for row in batch], lm.device)
                per_row = _losses(replay.run(batch), [targets[row] for row in batch], config.objective)
            weighted = per_row * per_row.new_tensor([weight[row] for row in batch])
            torch.autograd.backward(weighted.sum())
            for row, value in zip(batch, weighted.tolist(), strict=True):
                losses[owner[row]] += value
        return [losses[at] for at in active]

    return descend(
        parameters,
        backward,
        learning_rate=config.learning_rate,
        steps=config.steps,
        stop_below=config.stop_below,
        after_step=after_step,
    )


def _rows(
    lm: LM, users: Sequence[User], objective: Literal["target", "last_token"]
) -> tuple[list[Row], list[tuple[int, ...]], list[int]]:
    """Rows to train on, the target of each, and the user each belongs to."""
    rows: list[Row] = []
    targets: list[tuple[int, ...]] = []
    owner: list[int] = []
    for at, user in enumerate(users):
        for fact in user.facts:
            prompt = lm.prompts.ask(fact.question)
            targets.append(lm.prompts.answer_ids(fact.target))
            owner.append(at)
            if objective == "target":
                rows.append(target_row(prompt, targets[-1], start=0))
            else:
                rows.append(Row(prompt.ids, 0, (len(prompt.ids) - 1,)))
    return rows, targets, owner


def _losses(logits: Tensor, targets: Sequence[tuple[int, ...]], objective: Literal["target", "last_token"]) -> Tensor:
    if objective == "target":
        return target_losses(logits, targets)
    log_p = logits.float().log_softmax(-1)
    return torch.stack([-row[list(target)].mean() for row, target in zip(log_p, targets, strict=True)])
