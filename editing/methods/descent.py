"""Gradient descent of many independent small problems at once; finished ones drop out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Descent:
    """How one problem went."""

    losses: list[float]
    """Objective before each step, and after the last."""
    steps: int = 0
    """Steps taken."""
    failure: str | None = None
    """Why it failed: the loss became inf or NaN, or ended where it began or above."""

    @property
    def metrics(self) -> dict[str, float]:
        """Steps, and the objective at the start and at the end."""
        return {"steps": self.steps, "loss_first": self.losses[0], "loss_last": self.losses[-1]}


def descend(
    problems: Sequence[Sequence[Tensor]],
    backward: Callable[[list[int]], list[float]],
    *,
    learning_rate: float,
    steps: int,
    stop_below: float,
    weight_decay: float = 0.0,
    after_step: Callable[[int], None] | None = None,
) -> list[Descent]:
    """Adam on each problem's own tensors, all problems side by side; the tensors are changed in place.

    `backward(active)` computes the objectives of the problems `active`, adds their gradients to the tensors, and
    returns the values. A problem leaves when its objective is below `stop_below`, is inf or NaN, or `steps` are done.
    Problems share nothing, so the result is that of running them one by one.
    """
    results = [Descent([]) for _ in problems]
    optimizers = [torch.optim.Adam(tensors, lr=learning_rate, weight_decay=weight_decay) for tensors in problems]
    active = list(range(len(problems)))
    for step in range(steps + 1):
        if not active:
            break
        for at in active:
            optimizers[at].zero_grad(set_to_none=True)
        going = []
        for at, loss in zip(active, backward(active), strict=True):
            results[at].losses.append(loss)
            if not math.isfinite(loss):
                results[at].failure = "the loss became inf or NaN"
            elif loss >= stop_below and step < steps:
                optimizers[at].step()
                results[at].steps += 1
                if after_step is not None:
                    after_step(at)
                going.append(at)
        active = going
    for result in results:
        # The tensors are those after the last step, whatever the loss was on the way.
        if result.failure is None and result.steps and not result.losses[-1] < result.losses[0]:
            result.failure = "the loss did not fall"
    return results
