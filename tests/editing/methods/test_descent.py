"""Descent: what fails a problem."""

from collections.abc import Iterator

import pytest
import torch

from editing.methods.descent import Descent, descend


def descent_of(losses: list[float]) -> Descent:
    tensor = torch.zeros(1, requires_grad=True)
    told: Iterator[float] = iter(losses)

    def backward(_: list[int]) -> list[float]:
        torch.autograd.backward(tensor.sum())
        return [next(told)]

    (result,) = descend([[tensor]], backward, learning_rate=0.1, steps=len(losses) - 1, stop_below=0.0)
    return result


@pytest.mark.parametrize(
    ("losses", "failure"),
    [
        ([5.0, 4.9, 50.0, 300.0], "the loss did not fall"),
        ([5.0, 5.0], "the loss did not fall"),
        ([5.0, 9.0, 4.9], None),
        ([5.0, float("nan"), 1.0], "the loss became inf or NaN"),
        ([5.0], None),
    ],
)
def test_a_problem_fails_by_the_loss_of_the_tensors_it_is_left_with(losses: list[float], failure: str | None) -> None:
    assert descent_of(losses).failure == failure
