"""ROME: one fact as a rank-one change of an MLP down-projection.

Source: Meng et al., Locating and Editing Factual Associations in GPT (2022), section 3.1.
  k* (eq. 3): the down-projection's input at the subject's last token, averaged over context texts.
  v* (eq. 4): gradient descent on a vector added to the down-projection's output there, so that the target becomes
      likely in every context, with a KL term that keeps what the subject is, and weight decay.
  closed form (eq. 2): W' = W + (v* - W k) (C^-1 k*)^T / ((C^-1 k*)^T k), with k the key of the bare question.

Deviations: prompts are in the chat template where there is one; context texts are written out in the configuration
instead of sampled from the model; the vector is added in each context, so v* - W k* is that vector itself; the KL
prompt is a question in the prompt's own form.

Exact speed-ups: tokens before the subject's last one are read once, layers below are skipped, logits are computed at
target positions only, finished facts leave the batch, and many users share one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User, layer_index
from editing.methods.covariance import covariance, whitened
from editing.methods.descent import Descent, descend
from editing.methods.objective import in_context_prompts, target_losses
from editing.patches.apply import target_row
from editing.patches.patch import Patch, PatchKind, low_rank_tensors
from editing.patches.rowwise import RowEdits, shift_first
from pipeline.core.config import Section
from pipeline.core.errors import InputError


class RomeConfig(Section):
    """Hyper-parameters of ROME."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    contexts: tuple[str, ...]
    """Texts in front of the question over which k* is averaged; an empty one is the bare question."""
    value_contexts: int
    """How many of the contexts, from the first on, the value is optimised over."""
    steps: int
    """Most steps of Adam."""
    learning_rate: float
    """Of Adam."""
    stop_below: float
    """Objective at which a fact is done."""
    full_stop: bool
    """Whether a full stop is part of the target, so that the model knows where it ends."""
    weight_decay: float
    """Weight of |delta| / |v|^2 in the objective."""
    max_norm: float
    """Bound on |delta|, in units of the norm of the unedited value."""
    kl_weight: float
    """Weight of the KL term; 0 leaves its prompt out."""
    kl_prompt: str
    """Prompt of the KL term; {subject} stands for the subject."""
    covariance: Literal["texts", "none"]
    """texts: C from the resources' texts. none: C is the identity."""
    covariance_tokens: int
    """Tokens C is estimated from."""
    ridge: float
    """Share of the mean diagonal that is added to the diagonal of C."""


@dataclass
class _Problem:
    """One fact being edited."""

    user: int
    fact: Fact
    keys: list[int]
    """Rows of all contexts; the first is the bare question."""
    value: list[int]
    """Rows the value is optimised over."""
    kl: int | None
    """Row of the KL prompt."""
    target: tuple[int, ...]
    """Tokens of the target."""


Factors = dict[str, tuple[Tensor, Tensor]]
"""Module path -> (A, B)."""


class Rome(Method[RomeConfig]):
    """Rank-one patches, one factor pair a fact."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = RomeConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One low-rank patch a user, of rank one for each fact."""
        layer = layer_index(self.config.layer, lm)
        with frozen(lm.model):
            moments, tokens = self._second_moments(lm)
            maker = Maker(lm, self.name, self.kind, self.config)
            problems, rows, refused = self._problems(lm, users)
            factors: dict[int, Factors] = {}
            results: dict[int, list[Descent]] = {}
            if problems:
                values = ValueSearch(lm, rows, problems, layer, self.config)
                for problem, result in zip(problems, values.run(), strict=True):
                    results.setdefault(problem.user, []).append(result)
                factors = self._solve(lm, values, moments)
        return [
            self._patch(lm, maker, user, factors.get(at, {}), results.get(at, []), refused.get(at), len(users), tokens)
            for at, user in enumerate(users)
        ]

    def prepare(self, lm: LM) -> None:
        """The covariances."""
        self._second_moments(lm)

    def _layers(self, lm: LM) -> list[int]:
        """The layers whose down-projections are changed."""
        return [layer_index(self.config.layer, lm)]

    def _solve(self, lm: LM, values: ValueSearch, moments: dict[int, Tensor | None]) -> dict[int, Factors]:
        """The factors of each user, from the values found."""
        down, moment = lm.structure.down[values.layer], moments[values.layer]
        pairs: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for problem, delta in zip(values.problems, values.deltas, strict=True):
            key, bare = values.mean_key(problem), values.keys[problem.keys[0]]
            pair = rank_one(key, bare, delta.detach(), moment, self.config.ridge)
            pairs.setdefault(problem.user, []).append(pair)
        return {
            user: {down.path: (torch.cat([a for a, _ in own], dim=1), torch.cat([b for _, b in own]))}
            for user, own in pairs.items()
        }

    def _patch(
        self,
        lm: LM,
        maker: Maker,
        user: User,
        factors: Factors,
        results: list[Descent],
        refused: str | None,
        share: int,
        tokens: int,
    ) -> Patch:
        failure = refused or next((result.failure for result in results if result.failure), None)
        if failure is None and not all(torch.isfinite(t).all() for pair in factors.values() for t in pair):
            failure = "the closed form is not finite"
        if failure or not factors:
            return maker.patch(user, failure=failure, share=share)
        weights = {down.path: down.matrix.detach().float() for down in lm.structure.down}
        metrics = {name: max(r.metrics[name] for r in results) for name in results[0].metrics}
        if tokens:
            metrics["covariance_tokens"] = tokens
        metrics["relative_norm"] = max(float((a @ b).norm() / weights[path].norm()) for path, (a, b) in factors.items())
        return maker.patch(user, low_rank_tensors(factors), metrics=metrics, share=share)

    def _second_moments(self, lm: LM) -> tuple[dict[int, Tensor | None], int]:
        """C of each changed layer, and the tokens it is from; None and 0 for the identity."""
        if self.config.covariance == "none":
            return dict.fromkeys(self._layers(lm)), 0
        most, cache = self.config.covariance_tokens, self.resources.cache
        found = {layer: covariance(lm, layer, self.resources.texts, most, cache) for layer in self._layers(lm)}
        return {layer: moment.matrix for layer, moment in found.items()}, min(m.tokens for m in found.values())

    def _problems(self, lm: LM, users: Sequence[User]) -> tuple[list[_Problem], list[Row], dict[int, str]]:
        """The facts to edit, the rows they need, and why users were refused."""
        problems: list[_Problem] = []
        rows: list[Row] = []
        refused: dict[int, str] = {}
        for at, user in enumerate(users):
            try:
                for fact in user.facts:
                    problems.append(self._problem(lm, at, fact, rows))
            except InputError as error:
                refused[at] = str(error)
                problems = [problem for problem in problems if problem.user != at]
        return problems, rows, refused

    def _problem(self, lm: LM, user: int, fact: Fact, rows: list[Row]) -> _Problem:
        target = target_ids(lm, fact, self.config)
        first = len(rows)
        added = []
        for prompt in in_context_prompts(lm, fact.question, self.config.contexts):
            added.append(target_row(prompt, target, prompt.last_token_of(fact.subject, fact.question)))
        keys = list(range(first, first + len(added)))
        kl = None
        if self.config.kl_weight:
            asked = self.config.kl_prompt.replace("{subject}", fact.subject)
            prompt = lm.prompts.ask(asked)
            kl = first + len(added)
            added.append(Row(prompt.ids, prompt.last_token_of(fact.subject, asked), (len(prompt.ids) - 1,)))
        rows += added
        return _Problem(user, fact, keys, keys[: self.config.value_contexts], kl, target)


class ValueSearch:
    """The search for the values of many facts, and the keys they will hang on."""

    def __init__(
        self, lm: LM, rows: Sequence[Row], problems: Sequence[_Problem], layer: int, config: RomeConfig
    ) -> None:
        """Read the keys and values of all rows."""
        self.lm, self.problems, self.layer, self.config = lm, list(problems), layer, config
        self.replay = Replay(lm, rows, layer)
        self.keys, self.values = self._read()
        self.deltas = [
            torch.zeros(lm.structure.down[layer].d_out, device=lm.device, requires_grad=True) for _ in problems
        ]
        self.norms = [float(self.values[problem.keys[0]].norm()) for problem in problems]
        self.problem_of = {row: at for at, p in enumerate(problems) for row in (*p.value, *_listed(p.kl))}
        self.base: dict[int, Tensor] = {}

    def mean_key(self, problem: _Problem) -> Tensor:
        """k*, (d_in,): the mean key over the contexts (eq. 3)."""
        return self.keys[problem.keys].mean(0)

    def run(self) -> list[Descent]:
        """Optimise all values; they are left in `deltas`."""
        self.base = self._base_distributions()
        return descend(
            [[delta] for delta in self.deltas],
            self._backward,
            learning_rate=self.config.learning_rate,
            steps=self.config.steps,
            stop_below=self.config.stop_below,
            after_step=self._bound,
        )

    @torch.no_grad()
    def _read(self) -> tuple[Tensor, Tensor]:
        """Keys (rows, d_in) and values (rows, d_out) at the subject's last token of each row, float32."""
        rows = range(len(self.replay.rows))
        keys: list[Tensor] = [torch.empty(0)] * len(rows)
        values: list[Tensor] = [torch.empty(0)] * len(rows)
        caught: list[tuple[Tensor, Tensor]] = []

        def catch(_: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            caught.append((args[0][:, 0].float(), output[:, 0].float()))

        handle = self.lm.structure.down[self.layer].module.register_forward_hook(catch)
        try:
            for batch in self.replay.passes(rows):
                self.replay.run(batch, stop_after=self.layer)
                for row, key, value in zip(batch, *caught.pop(), strict=True):
                    keys[row], values[row] = key, value
        finally:
            handle.remove()
        return torch.stack(keys), torch.stack(values)

    @torch.no_grad()
    def _base_distributions(self) -> dict[int, Tensor]:
        """Log probabilities of the unedited model at the KL prompts, by row."""
        rows = [problem.kl for problem in self.problems if problem.kl is not None]
        found: dict[int, Tensor] = {}
        for batch in self.replay.passes(rows):
            found.update(zip(batch, self.replay.run(batch).float().log_softmax(-1), strict=True))
        return found

    def _backward(self, active: list[int]) -> list[float]:
        losses = dict.fromkeys(active, 0.0)
        rows = [row for at in active for row in (*self.problems[at].value, *_listed(self.problems[at].kl))]
        path = self.lm.structure.down[self.layer].path
        for batch in self.replay.passes(rows):
            present = sorted({self.problem_of[row] for row in batch})
            stacked = torch.stack([self.deltas[at] for at in present]).to(self.lm.dtype)
            edits = RowEdits({path: shift_first(stacked)})
            with edits.attached(self.lm):
                edits.select([present.index(self.problem_of[row]) for row in batch], self.lm.device)
                logits = self.replay.run(batch)
            objective = self._objectives(batch, logits)
            torch.autograd.backward(objective.sum())
            for row, value in zip(batch, objective.tolist(), strict=True):
                losses[self.problem_of[row]] += value
        for at in active:
            decay = self.config.weight_decay * self.deltas[at].norm() / self.norms[at] ** 2
            if decay.item() > 0:
                torch.autograd.backward(decay)
            losses[at] += decay.item()
        return [losses[at] for at in active]

    def _objectives(self, batch: Sequence[int], logits: Tensor) -> Tensor:
        """Each row's share of its fact's objective, (rows,): likelihood in a context, or the KL term (eq. 4)."""
        parts = torch.split(logits.float(), [len(self.replay.rows[row].keep) for row in batch])
        found = []
        for row, part in zip(batch, parts, strict=True):
            problem = self.problems[self.problem_of[row]]
            if row == problem.kl:
                found.append(self.config.kl_weight * divergence(part[0].log_softmax(-1), self.base[row]))
            else:
                found.append(target_losses(part, [problem.target])[0] / len(problem.value))
        return torch.stack(found)

    def _bound(self, at: int) -> None:
        """Keep |delta| within `max_norm` times the norm of the unedited value."""
        delta, bound = self.deltas[at].data, self.config.max_norm * self.norms[at]
        if delta.norm() > bound:
            delta.mul_(bound / delta.norm())


def target_ids(lm: LM, fact: Fact, config: RomeConfig) -> tuple[int, ...]:
    """Tokens the value is optimised to make likely behind the question.

    Raises:
        InputError: the target is empty.
    """
    stopped = config.full_stop and fact.target.strip()
    return lm.prompts.answer_ids(f"{fact.target.rstrip('.')}." if stopped else fact.target)


def divergence(edited: Tensor, base: Tensor) -> Tensor:
    """KL(edited || base) of two log distributions."""
    return (edited.exp() * (edited - base)).sum()


def rank_one(
    key: Tensor, bare: Tensor, delta: Tensor, second_moment: Tensor | None, ridge: float
) -> tuple[Tensor, Tensor]:
    """Factors A (d_out, 1) and B (1, d_in) along C^-1 k* (eq. 2), scaled so that A B k = delta at the key `bare`.

    With k = k* this is eq. 2 to the letter. The mean over contexts lies away from every single key, the question alone
    above all in raw text, and a change that reaches delta only at the mean falls short of it where the fact is asked.
    """
    direction = whitened(key[None], second_moment, ridge)[0]
    return delta[:, None] / (direction @ bare), direction[None]


def _listed(row: int | None) -> tuple[int, ...]:
    return () if row is None else (row,)
