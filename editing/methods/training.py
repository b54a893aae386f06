"""Training of row-wise edits on the direct questions of many users at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User
from editing.methods.descent import Descent, descend
from editing.methods.objective import target_losses
from editing.patches.apply import target_row
from editing.patches.patch import Patch
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


class Trainable(ABC):
    """What the users of one fit train, and the edit it makes of the model."""

    layer: int
    """Lowest decoder layer the edit touches."""
    parameters: list[list[Tensor]]
    """Each user's own tensors; they are changed in place."""

    @abstractmethod
    def edits(self, users: Sequence[int]) -> RowEdits:
        """The edit of a batch whose row users are numbered along `users`, differentiable in the parameters."""

    @abstractmethod
    def tensors(self, user: int) -> dict[str, Tensor]:
        """The tensors of the user's patch."""

    def penalty(self, _: int) -> Tensor | None:
        """What is added to a user's objective; None for nothing."""
        return None

    def after_step(self, user: int) -> None:  # noqa: B027 most methods do nothing here
        """Called after each step on the user's tensors, their gradients still there."""


C = TypeVar("C", bound=TrainingConfig)


class Trained(Method[C], Generic[C]):
    """A method that fits tensors of each user's own to the user's targets, all users side by side."""

    @abstractmethod
    def start(self, lm: LM, facts: Sequence[Sequence[Fact]]) -> Trainable:
        """Fresh tensors for as many users as `facts` has entries, the facts of each; their edit changes nothing yet."""

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One patch a user with all the user's facts trained into it."""
        return self.fit_in_turn(lm, users, [[user.facts for user in users]])

    def fit_in_turn(self, lm: LM, users: Sequence[User], turns: Sequence[Sequence[Sequence[Fact]]]) -> list[Patch]:
        """One patch a user; `turns` holds for each turn the facts of each user that are trained into it.

        Each turn goes on from the tensors that the one before left, with a fresh optimiser. A user without facts in any
        turn gets an empty patch.
        """
        maker = Maker(lm, self.name, self.kind, self.config)
        busy = [at for at in range(len(users)) if any(turn[at] for turn in turns)]
        results: dict[int, list[Descent]] = {at: [] for at in busy}
        trainable: Trainable | None = None
        if busy:
            with frozen(lm.model):
                trainable = self.start(lm, [[fact for turn in turns for fact in turn[at]] for at in busy])
                for turn in turns:
                    facts = {place: turn[at] for place, at in enumerate(busy) if turn[at]}
                    for place, result in train(lm, facts, trainable, self.config).items():
                        results[busy[place]].append(result)
        patches = []
        for at, user in enumerate(users):
            failure = next((r.failure for r in results.get(at, ()) if r.failure), None)
            tensors = trainable.tensors(busy.index(at)) if trainable and at in results and not failure else {}
            patches.append(
                maker.patch(
                    user,
                    tensors,
                    metrics=results[at][-1].metrics if at in results else {},
                    failure=failure,
                    share=max(1, len(busy)),
                )
            )
        return patches


def train(
    lm: LM, facts: Mapping[int, Sequence[Fact]], trainable: Trainable, config: TrainingConfig
) -> dict[int, Descent]:
    """Fit the tensors of the users numbered by `facts` to their facts' targets, side by side.

    The loss of a user is the mean over the user's facts, and the penalty.
    """
    rows, targets, owner = _rows(lm, facts, config.objective)
    replay = Replay(lm, rows, trainable.layer)
    weight = [1 / owner.count(user) for user in owner]
    numbers = list(facts)

    def backward(active: list[int]) -> list[float]:
        losses = dict.fromkeys((numbers[at] for at in active), 0.0)
        for batch in replay.passes([row for row in range(len(rows)) if owner[row] in losses]):
            present = sorted({owner[row] for row in batch})
            edits = trainable.edits(present)
            with edits.attached(lm):
                edits.select([present.index(owner[row]) for row in batch], lm.device)
                per_row = _losses(replay.run(batch), [targets[row] for row in batch], config.objective)
            weighted = per_row * per_row.new_tensor([weight[row] for row in batch])
            torch.autograd.backward(weighted.sum())
            for row, value in zip(batch, weighted.tolist(), strict=True):
                losses[owner[row]] += value
        for user in losses:
            penalty = trainable.penalty(user)
            if penalty is not None:
                torch.autograd.backward(penalty)
        return list(losses.values())

    results = descend(
        [trainable.parameters[user] for user in numbers],
        backward,
        learning_rate=config.learning_rate,
        steps=config.steps,
        stop_below=config.stop_below,
        after_step=lambda at: trainable.after_step(numbers[at]),
    )
    return dict(zip(numbers, results, strict=True))


def _rows(
    lm: LM, facts: Mapping[int, Sequence[Fact]], objective: Literal["target", "last_token"]
) -> tuple[list[Row], list[tuple[int, ...]], list[int]]:
    """Rows to train on, the target of each, and the number of the user each belongs to."""
    rows: list[Row] = []
    targets: list[tuple[int, ...]] = []
    owner: list[int] = []
    for user, own in facts.items():
        for fact in own:
            prompt = lm.prompts.ask(fact.question)
            targets.append(lm.prompts.answer_ids(fact.target))
            owner.append(user)
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
