"""AdaLoRA: low-rank factors in the attention's query and value maps, whose ranks follow from what each is worth.

Source: Zhang et al., Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning (2023).
  W x + (alpha / r0) P diag(lambda) Q x (eq. 3), with |P^T P - I|^2 + |Q Q^T - I|^2 added to the loss (eq. 4).
  importance of triplet i: S_i = s(lambda_i) + mean_j s(P_ji) + mean_j s(Q_ij) (eq. 7), s = I U (eq. 11), with I the
      running mean of |w dL/dw| (eq. 8, 9) and U that of its distance from I (eq. 10).
  after each step every lambda whose triplet is not among the b most important of all maps becomes zero (eq. 6), with b
      falling as a cubic from r0 to r triplets a map (eq. 12); from `allocate_until` on the choice stands.

Deviations: the penalty is the mean over the maps, as peft has it, so that its weight does not grow with the depth of
the model; dropout takes input features away, anew at each step and alike for every token and user, so that patches do not
depend on who else is fitted. The patch holds the triplets that are left as factors A = (alpha / r0) P diag(lambda) and
B = Q: the same kind of adapter as every other low-rank patch, without dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from editing.lm.load import LM
from editing.lm.structure import Projection
from editing.methods.base import Fact
from editing.methods.training import Trainable, Trained, TrainingConfig
from editing.patches.patch import PatchKind, low_rank_tensors
from editing.patches.rowwise import RowEdits, low_rank
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError

STANDARD_DEVIATION = 0.02
"""Of the random entries of P and Q."""


class AdaLoraConfig(TrainingConfig):
    """Hyper-parameters of AdaLoRA."""

    modules: tuple[str, ...]
    """Names of the maps with factors, as a decoder layer calls them; where query, key and value are one map, that."""
    first_rank: int
    """Triplets of each map at the start."""
    rank: int
    """Triplets a map at the end, on average."""
    alpha: float
    """Scale: alpha / first_rank."""
    dropout: float
    """Share of a map's input features left out of each training step."""
    orthogonality: float
    """Weight of the penalty on P and Q that are not orthogonal."""
    sensitivity_decay: float
    """Decay of the running mean of the sensitivity, beta_1."""
    uncertainty_decay: float
    """Decay of the running mean of its change, beta_2."""
    allocate_from: int
    """Step after which ranks begin to fall."""
    allocate_until: int
    """Step at which they have fallen."""
    seed: int
    """Seed of P, Q and the dropout, the same for every user."""


class AdaLora(Trained[AdaLoraConfig]):
    """Low-rank factors with a budget of ranks that goes where it matters."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = AdaLoraConfig

    def start(self, lm: LM, facts: Sequence[Sequence[Fact]]) -> Trainable:
        """Triplets with lambda zero in every query and value map, for each user."""
        return _Triplets(lm, self.config, len(facts))


@dataclass
class _Weight:
    """A trained tensor with how much the loss depends on it."""

    tensor: Tensor
    """Trained."""
    mean: Tensor = field(init=False)
    """Running mean of |w dL/dw|."""
    spread: Tensor = field(init=False)
    """Running mean of the distance from it."""

    def __post_init__(self) -> None:
        self.mean, self.spread = torch.zeros_like(self.tensor), torch.zeros_like(self.tensor)
        self.tensor.requires_grad_(True)

    def observe(self, sensitivity_decay: float, uncertainty_decay: float) -> None:
        """Take the gradient of a step into account (eq. 8 to 10)."""
        assert self.tensor.grad is not None
        sensitivity = (self.tensor * self.tensor.grad).detach().abs()
        self.mean.lerp_(sensitivity, 1 - sensitivity_decay)
        self.spread.lerp_((sensitivity - self.mean).abs(), 1 - uncertainty_decay)

    @property
    def score(self) -> Tensor:
        """The score s of each entry (eq. 11)."""
        return self.mean * self.spread


@dataclass
class _Map:
    """One user's triplets in one map."""

    p: _Weight
    """(d_out, r0)."""
    scales: _Weight
    """lambda, (r0,)."""
    q: _Weight
    """(r0, d_in)."""

    @property
    def weights(self) -> tuple[_Weight, _Weight, _Weight]:
        return self.p, self.scales, self.q

    @property
    def importance(self) -> Tensor:
        """S of each triplet (eq. 7), (r0,)."""
        return self.scales.score + self.p.score.mean(0) + self.q.score.mean(1)

    @property
    def penalty(self) -> Tensor:
        """How far P and Q are from orthogonal (eq. 4)."""
        p, q = self.p.tensor, self.q.tensor
        identity = torch.eye(len(q), device=q.device)
        far: Tensor = (p.T @ p - identity).square().sum() + (q @ q.T - identity).square().sum()
        return far


class _Triplets(Trainable):
    """P, lambda and Q of each map, for each user."""

    layer = 0

    def __init__(self, lm: LM, config: AdaLoraConfig, users: int) -> None:
        self.lm, self.config, self.scale = lm, config, config.alpha / config.first_rank
        self.maps = attention_maps(lm, config.modules)
        generator = torch.Generator().manual_seed(config.seed)
        first = {
            found.path: [
                torch.randn(found.d_out, config.first_rank, generator=generator) * STANDARD_DEVIATION,
                torch.zeros(config.first_rank),
                torch.randn(config.first_rank, found.d_in, generator=generator) * STANDARD_DEVIATION,
            ]
            for found in self.maps
        }
        self.users = [
            {path: _Map(*(_Weight(t.clone().to(lm.device)) for t in own)) for path, own in first.items()}
            for _ in range(users)
        ]
        self.parameters = [[w.tensor for own in maps.values() for w in own.weights] for maps in self.users]
        self.steps = [0] * users
        self.kept = [{path: torch.ones(config.first_rank, dtype=torch.bool) for path in first} for _ in range(users)]
        self.masks: dict[int, dict[str, Tensor]] = {}

    def edits(self, users: Sequence[int]) -> RowEdits:
        edits = {}
        for found in self.maps:
            own = [self.users[at][found.path] for at in users]
            a = torch.stack([m.p.tensor * m.scales.tensor for m in own]) * self.scale
            masks = torch.stack([self._mask(self.steps[at])[found.path] for at in users])[:, None]
            b = torch.stack([m.q.tensor for m in own]) * masks
            edits[found.path] = low_rank(a.to(self.lm.dtype), b.to(self.lm.dtype))
        return RowEdits(edits)

    def penalty(self, user: int) -> Tensor:
        own = [m.penalty for m in self.users[user].values()]
        return self.config.orthogonality * torch.stack(own).mean()

    @torch.no_grad()
    def after_step(self, user: int) -> None:
        maps, config = self.users[user], self.config
        for own in maps.values():
            for weight in own.weights:
                weight.observe(config.sensitivity_decay, config.uncertainty_decay)
        self.steps[user] += 1
        step = self.steps[user]
        if config.allocate_from < step <= config.allocate_until:
            kept = most_important({path: own.importance for path, own in maps.items()}, budget(step, len(maps), config))
            self.kept[user] = kept
        for path, own in maps.items():
            own.scales.tensor.mul_(self.kept[user][path])

    def tensors(self, user: int) -> dict[str, Tensor]:
        """The triplets that are left, as factors."""
        factors = {}
        for path, own in self.users[user].items():
            left = own.scales.tensor.nonzero()[:, 0]
            if len(left):
                a = self.scale * own.p.tensor[:, left] * own.scales.tensor[left]
                factors[path] = (a, own.q.tensor[left])
        return low_rank_tensors(factors)

    def _mask(self, step: int) -> dict[str, Tensor]:
        """What the input features of each map are multiplied with in a step, (d_in,)."""
        if step not in self.masks:
            generator = torch.Generator().manual_seed(self.config.seed + 1 + step)
            share = 1 - self.config.dropout
            masks = {m.path: (torch.rand(m.d_in, generator=generator) < share) / share for m in self.maps}
            self.masks = {step: {path: mask.to(self.lm.device) for path, mask in masks.items()}}
        return self.masks[step]


def attention_maps(lm: LM, names: Sequence[str]) -> list[Projection]:
    """The linear maps of all decoder layers that are called one of `names`.

    Raises:
        ConfigError: a layer has none.
    """
    paths = {module: path for path, module in lm.model.named_modules()}
    found = []
    for layer in lm.structure.layers:
        linear = {n.rpartition(".")[2]: m for n, m in layer.named_modules() if isinstance(m, nn.Linear | Conv1D)}
        here = [Projection(paths[m], m, isinstance(m, Conv1D)) for name, m in linear.items() if name in names]
        if not here:
            raise ConfigError(
                f"modules: {lm.name} has none of {', '.join(names)}; its layers have {', '.join(linear)}."
            )
        found += here
    return found


def budget(step: int, maps: int, config: AdaLoraConfig) -> int:
    """Triplets left in all maps together after a step (eq. 12)."""
    first, last = config.first_rank * maps, config.rank * maps
    if step <= config.allocate_from:
        return first
    if step >= config.allocate_until:
        return last
    ahead = 1 - (step - config.allocate_from) / (config.allocate_until - config.allocate_from)
    return int(last + (first - last) * ahead**3)


def most_important(importance: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Which triplets of each map are among the `count` most important of all."""
    every = torch.cat(list(importance.values()))
    kept = torch.zeros(len(every), dtype=torch.bool, device=every.device)
    kept[every.argsort(descending=True, stable=True)[:count]] = True
    return dict(zip(importance, torch.split(kept, [len(own) for own in importance.values()]), strict=True))
