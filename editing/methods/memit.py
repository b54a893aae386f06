"""MEMIT and AlphaEdit: one value, written by several layers together.

Source: Meng et al., Mass-Editing Memory in a Transformer (2023), algorithm 1: the value is found at the last of the
layers (eq. 16); each layer, from the first on, takes an equal share of what is still missing (eq. 20) and solves
Delta = R K^T (lambda C + K K^T)^-1 (eq. 14).
AlphaEdit: Fang et al., Null-Space Constrained Knowledge Editing (2025), eq. 14 without earlier edits:
Delta = R K^T P (K K^T P + I)^-1, with P the projection onto the directions that C hardly uses.

Both are written as factors: with M = K^T (lambda C)^-1, Delta = R (M K + I)^-1 M; with M = K^T P the same.

Deviations: as ROME's; the missing part is measured where the last layer hands on its output. Where a layer puts its
MLP's output through a norm (Gemma, OLMo 2), it writes what the norm turns into its share, to first order. A norm fixes
the length of what it hands on, so such layers together can miss a part of a large value. lambda is small, because a
user has a handful of facts and not the thousands that the paper's lambda weighs against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from editing.lm.load import LM
from editing.lm.replay import Replay
from editing.methods.base import layer_range
from editing.methods.covariance import whitened
from editing.methods.rome import Factors, Rome, RomeConfig, ValueSearch
from editing.patches.rowwise import RowEdit, RowEdits, shift_first, stacked_factors
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError, InputError

MOST_ROUNDING = 0.5
"""Share of the values by which their effect may differ from them: a large residual stream in 16 bits is coarse."""
SMALLEST_GAIN = 0.03
"""Share of a norm's mean gain below which a coordinate counts as removed."""


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
        mine = [place[at] for at in owner]
        goal = self._goal(lm, values, replay, owner)
        for layer in layers:
            down = lm.structure.down[layer]
            edits = stacked_factors(factors, down.parameter)
            keys, size, reached = self._read(lm, replay, layer, layers[-1], owner, mine, edits)
            missing = (goal - reached) / (layers[-1] - layer + 1)
            if down.norm is not None:
                missing = before_norm(down.norm, size, missing)
            mapping = self._mapping(moments[layer], keys)
            for user, own in enumerate(factors):
                at = [fact for fact, whose in enumerate(place) if whose == user]
                own[down.path] = solved(keys[at], missing[at], mapping[at])
        return dict(zip(users, factors, strict=True))

    def _goal(self, lm: LM, values: ValueSearch, replay: Replay, owner: Sequence[int]) -> Tensor:
        """What the last layer hands on with the values in place, (facts, d_out).

        Raises:
            InputError: the layers scale what their MLPs write, so that a share of a value is no share of its effect.
        """
        last = values.layer
        down = lm.structure.down[last]
        deltas = torch.stack([delta.detach() for delta in values.deltas])
        shift = {down.path: shift_first(deltas.to(lm.dtype))}
        *_, base = self._read(lm, replay, last, last, owner, owner, {})
        *_, shifted = self._read(lm, replay, last, last, owner, owner, shift)
        if down.norm is not None:
            return shifted
        if (shifted - base - deltas).norm() > MOST_ROUNDING * deltas.norm():
            raise InputError(f"{self.name}: a value cannot be shared out in {lm.name}, whose layers scale their MLPs.")
        return base + deltas

    def _second_moments(self, lm: LM) -> tuple[dict[int, Tensor | None], int]:
        assert isinstance(self.config, MemitConfig)
        if self.config.solver == "null_space" and self.config.covariance == "none":
            raise ConfigError(f"{self.name}: solver: null_space needs a covariance; set covariance: texts.")
        return super()._second_moments(lm)

    def _mapping(self, moment: Tensor | None, keys: Tensor) -> Tensor:
        """M, (facts, d_in): K^T (lambda C)^-1, or K^T P."""
        assert isinstance(self.config, MemitConfig)
        if self.config.solver == "null_space":
            assert moment is not None
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
        edits: Mapping[str, RowEdit],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What there is at the subject's last token with `edits` in place, each fact's mean over its contexts.

        Keys at `layer` (facts, d_in), the root mean square of what enters the norm behind its down-projection, or of
        the keys where there is none (facts, 1), and what `last` hands on (facts, d_out).
        """
        down = lm.structure.down[layer]
        caught: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])

        def catch_key(_: Any, args: tuple[Tensor, ...], __: Any) -> None:
            caught[0].append(args[0][:, 0].float())

        def catch_size(_: Any, args: tuple[Tensor, ...], __: Any) -> None:
            caught[1].append(args[0][:, 0].float().square().mean(1, keepdim=True).sqrt())

        def catch_output(_: Any, __: Any, output: Any) -> None:
            caught[2].append((output if isinstance(output, Tensor) else output[0])[:, 0].float())

        handles = [
            down.module.register_forward_hook(catch_key),
            (down.norm or down.module).register_forward_hook(catch_size),
            lm.structure.layers[last].register_forward_hook(catch_output),
        ]
        owners: list[int] = []
        try:
            with RowEdits(edits).attached(lm) as attached:
                for batch in replay.passes(range(len(owner))):
                    attached.select([users[row] for row in batch], lm.device)
                    replay.run(batch, stop_after=last)
                    owners += [owner[row] for row in batch]
        finally:
            for handle in handles:
                handle.remove()
        mine = [[at for at, whose in enumerate(owners) if whose == fact] for fact in range(max(owner) + 1)]
        keys, size, reached = (torch.stack([torch.cat(found)[own].mean(0) for own in mine]) for found in caught)
        return keys, size, reached


def before_norm(norm: nn.Module, size: Tensor, wanted: Tensor) -> Tensor:
    """The change of what enters a norm that changes what it hands on by `wanted` (n, d), to first order.

    `size` (n, 1) is the root mean square of what enters. Coordinates that the norm all but removes are left alone.
    """
    # A norm keeps this probe's length, whether or not it takes the mean off; the difference is free of a bias.
    probe = torch.ones_like(next(norm.parameters()))
    probe[1::2] = -1
    with torch.no_grad():
        scale = ((norm(probe[None]) - norm(-probe[None])) * probe / 2).float()
    gain = scale / size
    entering: Tensor = wanted * gain / (gain.square() + SMALLEST_GAIN**2 * gain.square().mean(1, keepdim=True))
    return entering


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
