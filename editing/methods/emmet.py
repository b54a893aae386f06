"""EMMET: ROME for several facts at once, each written exactly.

Source: Gupta et al., A Unified Framework for Model Editing (2024): of all changes D of one down-projection with
D K = R, the one with the least effect on other keys, Delta = R (K^T C^-1 K)^-1 K^T C^-1. It is MEMIT's least squares
with the memories as constraints instead of a term of the sum; for one fact it is ROME.

Deviations: as ROME's; the constraints hold at the keys of the bare questions, as in `rome.rank_one`, so that
Delta = R (M K)^-1 M with M = K*^T C^-1, K* the mean keys over the contexts and K the bare ones. Keys that are linearly
dependent cannot all be met; they are met as nearly as possible, with the smallest factors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.methods.covariance import damped
from editing.methods.rome import Factors, Rome, ValueSearch

SINGULAR_BELOW = 1e-9
"""Share of the largest singular value below which two facts count as one key."""


class Emmet(Rome):
    """Low-rank patches with all of a user's facts solved together in one layer."""

    def _solve(self, lm: LM, values: ValueSearch, moments: dict[int, Tensor | None]) -> dict[int, Factors]:
        path, moment = lm.structure.down[values.layer].path, moments[values.layer]
        factors: dict[int, Factors] = {}
        for user in dict.fromkeys(problem.user for problem in values.problems):
            mine = [at for at, problem in enumerate(values.problems) if problem.user == user]
            factors[user] = {
                path: constrained(
                    torch.stack([values.mean_key(values.problems[at]) for at in mine]),
                    torch.stack([values.keys[values.problems[at].keys[0]] for at in mine]),
                    torch.stack([values.deltas[at].detach() for at in mine]),
                    moment,
                    self.config.ridge,
                )
            }
        return factors


def constrained(
    keys: Tensor, bare: Tensor, deltas: Tensor, second_moment: Tensor | None, ridge: float
) -> tuple[Tensor, Tensor]:
    """Factors A (d_out, n) and B (n, d_in) of D with D k = delta at each bare key, along C^-1 K*.

    `keys` and `bare` are (n, d_in), `deltas` (n, d_out), one row a fact.
    """
    mapping = keys.double()
    if second_moment is not None:
        mapping = torch.linalg.solve(damped(second_moment, ridge), mapping.T).T
    reached = mapping @ bare.double().T
    left = deltas.double().T @ torch.linalg.pinv(reached, rtol=SINGULAR_BELOW)
    return left.float(), mapping.float()
