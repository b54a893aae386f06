"""MEMIT and AlphaEdit: one value, written by several layers together.

Source: Meng et al., Mass-Editing Memory in a Transformer (2023), algorithm 1: the value is found at the last of the
layers (eq. 16); each layer, from the first on, takes an equal share of what is still missing (eq. 20) and solves
Delta = R K^T (lambda C + K K^T)^-1 (eq. 14).
AlphaEdit: Fang et al., Null-Space Constrained Knowledge Editing (2025), eq. 14 without earlier edits:
Delta = R K^T P (K K^T P + I)^-1, with P the projection onto the directions that C hardly uses.

Both are written as factors: with M = K^T (lambda C)^-1, Delta = R (M K + I)^-1 M; with M = K^T P the same.

Deviations: as ROME's; the missing part is measured where the last layer hands on its output. lambda is small, because a
user has a handful of facts and not the thousands that the paper's lambda weighs against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay
from editing.methods.base import layer_range
from editing.methods.covariance import whitened
from editing.methods.rome import Factors, Rome, RomeConfig, ValueSearch
from editing.patches.rowwise import RowEdits, stacked_factors
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError


class MemitConfig(RomeConfig):
    """Hyper-parameters of ROME, with `layer` as the last of the layers, and these."""

    first_layer: int | float
    """First of the changed layers: an index, or the share of layers below it."""
    solver: Literal["least_squares", "null_space"]
    """least_squares: MEMIT. null_space: AlphaEdit."""
    covariance_weight: float
    """lambda of the least squares; unused by the null space."""
    null_space_below: float
    """Directions whose variance is below this share of the mean are the null space; unused by the least squares."""


class Memit(Rome):
    """Low-rank patches over several layers."""

    Config: ClassVar[type[Section]] = MemitConfig

    def _layers(self, lm: LM) -> list[int]:
        assert isinstance(self.config, MemitConfig)
        return layer_range(self.config.first_layer, self.config.layer, lm)

    def _solve(self, lm: LM, values: ValueSearch, moments: dict[int, Tensor | None]) -> dict[int, Factors]:
        layers = self._layers(lm)
        rows = [values.replay.rows[row] for problem in values.problems for row in problem.keys]
        owner = [at for at, problem in enumerate(values.problems) for _ in problem.keys]
        replay = Replay(lm, rows, layers[0])
        users = sorted({problem.user for problem in values.problems})
        factors: list[Factors] = [{} for _ in users]
        place = [users.index(problem.user) for problem in values.problems]
        wanted = torch.stack([delta.detach() for delta in values.deltas])
        base: Tensor | None = None
        for layer in layers:
            keys, reached = self._read(lm, replay, layer, layers[-1], owner, [place[at] for at in owner], factors)
            base = reached if base is None else base
            missing = (wanted - (reached - base)) / (layers[-1] - layer + 1)
            mapping = self._mapping(moments[layer], keys)
            for user, own in enumerate(factors):
                mine = [at for at, whose in enumerate(place) if whose == user]
                own[lm.structure.down[layer].path] = solved(keys[mine], missing[mine], mapping[mine])
        return dict(zip(users, factors, strict=True))

    def _mapping(self, moment: Tensor | None, keys: Tensor) -> Tensor:
        """M, (facts, d_in): K^T (lambda C)^-1, or K^T P."""
        assert isinstance(self.config, MemitConfig)
        if self.config.solver == "null_space":
            if moment is None:
                raise ConfigError("solver: null_space needs a covariance; set covariance: texts.")
            return (keys.double() @ null_space(moment, self.config.null_space_below)).float()
        return whitened(keys, moment, self.config.ridge) / self.config.covariance_weight

    @torch.no_grad()
    def _read(
        self,
        lm: LM,
        replay: Replay,
        layer: int,
        last: int,
        owner: Sequence[int],
        users: Sequence[int],
        factors: Sequence[Factors],
    ) -> tuple[Tensor, Tensor]:
        """Mean key of each fact at `layer` (facts, d_in) and what `last` hands on (facts, d_out), as edited so far."""
        keys: dict[int, Tensor] = {}
        reached: dict[int, Tensor] = {}
        caught: list[Tensor] = []

        def catch_key(_: Any, args: tuple[Tensor, ...], __: Any) -> None:
            caught.append(args[0][:, 0].float())

        def catch_output(_: Any, __: Any, output: Any) -> None:
            caught.append((output if isinstance(output, Tensor) else output[0])[:, 0].float())

        edits = RowEdits(stacked_factors(factors, lm.structure.down[layer].parameter))
        handles = [
            lm.structure.down[layer].module.register_forward_hook(catch_key),
            lm.structure.layers[last].register_forward_hook(catch_output),
        ]
        try:
            with edits.attached(lm):
                for batch in replay.passes(range(len(owner))):
                    edits.select([users[row] for row in batch], lm.device)
                    replay.run(batch, stop_after=last)
                    keys.update(zip(batch, caught[0], strict=True))
                    reached.update(zip(batch, caught[1], strict=True))
                    caught.clear()
        finally:
            for handle in handles:
                handle.remove()
        facts = range(max(owner) + 1)
        mine = [[row for row, whose in enumerate(owner) if whose == fact] for fact in facts]
        return (
            torch.stack([torch.stack([keys[row] for row in own]).mean(0) for own in mine]),
            torch.stack([torch.stack([reached[row] for row in own]).mean(0) for own in mine]),
        )


def solved(keys: Tensor, residuals: Tensor, mapping: Tensor) -> tuple[Tensor, Tensor]:
    """Factors A (d_out, n) and B (n, d_in) of R (M K + I)^-1 M.

    `keys` and `mapping` are (n, d_in), `residuals` (n, d_out), one row a fact.
    """
    gram = mapping.double() @ keys.double().T + torch.eye(len(keys), dtype=torch.float64, device=keys.device)
    left: Tensor = torch.linalg.solve(gram.T, residuals.double())
    return left.T.float(), mapping


def null_space(second_moment: Tensor, below: float) -> Tensor:
    """Projection (d_in, d_in), float64, onto eigenvectors of C with eigenvalues below `below` times their mean."""
    eigenvalues, vectors = torch.linalg.eigh(second_moment.double())
    unused = vectors[:, eigenvalues < below * eigenvalues.mean()]
    projection: Tensor = unused @ unused.T
    return projection
