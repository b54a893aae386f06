"""preference_edit: a preference as a gated low-rank change of one late down-projection, with all else held in place.

Single-fact editors store one sentence; fine-tuned ones answer everything with it. This edit learns where a preference
matters and where it ends from two sets of prompts, none of them an evaluation question:

- *asked*: direct questions of the preference cluster, phrasings of the attribute type and its synonyms, shopping
  questions, and questions about the topics of a bank that lie nearest to the preference;
- *held*: the same questions about other people, about the assistant and about nobody, attributes the user never
  stated, questions about the farthest topics, world facts.

The change is W' = W + A B with one rank for each token of the target and one for the end of the answer.
B, (k, d_in), are gates in closed form: a class-balanced ridge regression on the keys that the layer reads. Gate 0 is 1
  at the last token of asked prompts, gate j at the j-th token of the target behind them, and all are 0 at held prompts
  and at tokens of other text.
A, (d_out, k), are values by gradient descent: with gates as far open as they are for prompts nobody trained on, asked
  prompts must say the target and end; with gates as far open as they are for the worst held prompts, held prompts
  must not begin with it.

A down-projection's own keys do not depend on what is added to its output, so the gates are exact for the edited model
too. Gradients run through the layers above only, at the few positions where a gate is open; what is read below is
read once. Keys of the bank are the same for all users and kept on disk. Users are independent of each other.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, ClassVar, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from editing.lm.generate import common_prefix, generate
from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User, layer_index, unique
from editing.methods.descent import Descent, descend
from editing.methods.lessons import Lesson, LessonConfig, Lessons, question_bank
from editing.methods.objective import target_losses
from editing.patches.apply import target_row
from editing.patches.gate import GATE
from editing.patches.patch import Patch, PatchKind, PromptPlan, low_rank_tensors
from editing.patches.rowwise import RowEdit, RowEdits
from pipeline.core.config import Section
from pipeline.core.tables import atomic_write

OTHER_TOKENS = 1000
"""Tokens of other text that are kept, spread evenly."""
ANSWERED_EVERY = 5
"""Of how many questions of the bank one has its answer read as other text."""


class PreferenceEditConfig(LessonConfig):
    """Hyper-parameters of preference_edit."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    ridge: float
    """Ridge of the gates, in units of the mean squared norm of standardised keys over the number of prompts."""
    weights: dict[str, float]
    """Weight of each kind of question in the regression, shared among its questions; others weigh 1."""
    other_text: float
    """Weight of tokens of other text in the regression; asked and held prompts weigh 1 each."""
    spoken_text: float
    """Weight of tokens of the unedited model's own answers to held questions of this user."""
    answered_prompts: int
    """Held questions about others, and as many about the assistant, whose answers are read for that."""
    written_prompts: int
    """Asked prompts whose target tokens the gates are fitted on."""
    value_ranks: tuple[float, ...]
    """Which prompts of each kind values are trained on: their places in the order by gate, the most wrong at 0."""
    written_gate: float
    """How far the gates of the target's tokens are open in the training of values."""
    hold_margin: float
    """Log odds against the target's first token at held prompts from which on they count little."""
    steps: int
    """Most steps of Adam."""
    learning_rate: float
    """Of Adam, in units of the root mean square of the layer's outputs."""
    stop_below: float
    """Objective at which a user is done."""
    hold_weight: float
    """Weight of held prompts in the objective."""
    answer_tokens: int
    """Tokens of the base model's own answers that count as other text."""
    sentence_gate: float | None
    """Score of a question's sentence embedding from which on the patch is applied; null applies it always."""
    before: str
    """Text in front of a question the patch is applied to; {memories} stands for the user's nearest statements."""
    top_k: int
    """How many statements that is."""


class PreferenceEdit(Method[PreferenceEditConfig]):
    """Low-rank patches; the rank is the number of tokens of the user's targets, with the end of each."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = PreferenceEditConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One low-rank patch a user, with all the user's facts in it."""
        layer = layer_index(self.config.layer, lm)
        with frozen(lm.model):
            reader = KeyReader(lm, layer)
            bank = self._bank(lm, reader)
        maker = Maker(lm, self.name, self.kind, self.config)
        empty = {at for at, user in enumerate(users) if any(not fact.target.strip() for fact in user.facts)}
        facts = [(at, fact) for at, user in enumerate(users) if at not in empty for fact in user.facts]
        edits: dict[int, list[FactEdit]] = {}
        if facts:
            with frozen(lm.model):
                made = [FactEdit(lm, fact, self._lessons.of(fact)) for _, fact in facts]
                read_gates(made, reader, bank, self.config)
                fit_values(lm, layer, made, float(bank.size), self.config)
            for (at, _), edit in zip(facts, made, strict=True):
                edits.setdefault(at, []).append(edit)
        path = lm.structure.down[layer].path
        return [
            maker.patch(user, failure="The target is empty.", share=len(users))
            if at in empty
            else self._patch(maker, user, edits.get(at, []), path, len(users))
            for at, user in enumerate(users)
        ]

    def _patch(self, maker: Maker, user: User, edits: Sequence[FactEdit], path: str, share: int) -> Patch:
        if not edits:
            return maker.patch(user, share=share)
        a = torch.cat([edit.values.detach() for edit in edits], dim=1)
        b = torch.cat([edit.gates for edit in edits])
        failure = next((edit.result.failure for edit in edits if edit.result.failure), None)
        if failure is None and not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            failure = "the factors are not finite"
        metrics = {name: max(edit.result.metrics[name] for edit in edits) for name in edits[0].result.metrics}
        if failure:
            return maker.patch(user, metrics=metrics, failure=failure, share=share)
        tensors = low_rank_tensors({path: (a, b)})
        if self.config.sentence_gate is not None:
            tensors[GATE] = torch.stack([self._sentence_gate(edit) for edit in edits])
        plan = None
        if self.config.before:
            statements = unique((*(fact.statement for fact in user.facts), *user.history))
            plan = PromptPlan(
                before=self.config.before, memories=statements, retriever="dense", top_k=self.config.top_k
            )
        return maker.patch(user, tensors, plan=plan, gate=self.config.sentence_gate, metrics=metrics, share=share)

    def _sentence_gate(self, edit: FactEdit) -> Tensor:
        """The regression of gate 0 on sentence embeddings instead of keys, (width,)."""
        x = torch.from_numpy(self._lessons.embedded([*edit.asked, *edit.held]))
        y = torch.zeros(len(x), 1)
        y[: len(edit.asked)] = 1
        scale = _scale(x[len(edit.asked) :])
        found = ridge_regression(x / scale, y, prompt_weights(edit, self.config), self.config.ridge, 0)
        return found.coefficients[0] / scale

    @functools.cached_property
    def _lessons(self) -> Lessons:
        return Lessons(self.config, question_bank())

    def _bank(self, lm: LM, reader: KeyReader) -> Bank:
        """Keys of the bank's prompts and of the base model's answers, from disk where they are known."""
        parts = [
            lm.weights_sha256,
            str(lm.dtype),
            lm.prompts.sha256,
            reader.layer,
            self.config.answer_tokens,
            OTHER_TOKENS,
            ANSWERED_EVERY,
        ]
        texts = question_bank().fixed
        key = hashlib.sha256(json.dumps([*parts, texts]).encode()).hexdigest()
        file = self.resources.cache / "preference_edit" / f"{key[:32]}.safetensors"
        if not file.is_file():
            tensors = reader.bank(texts, self.config.answer_tokens)
            with atomic_write(file) as out:
                out.write(safetensors.torch.save({name: t.cpu() for name, t in tensors.items()}))
        stored = safetensors.torch.load_file(file, device=str(lm.device))
        last = dict(zip(texts, stored["last"], strict=True))
        return Bank(last, stored["other"], stored["size"])


@dataclass(frozen=True)
class Bank:
    """Keys that are the same for every user."""

    last: Mapping[str, Tensor]
    """Key (d_in,) at the last token of each of the bank's prompts."""
    other: Tensor
    """(n, d_in): keys at other tokens of those prompts and at those of the base model's answers."""
    size: Tensor
    """(): root mean square of the layer's outputs."""


class KeyReader:
    """Reads the keys of one layer; nothing above it is run."""

    def __init__(self, lm: LM, layer: int) -> None:
        """A reader for decoder layer `layer`."""
        self.lm, self.layer = lm, layer
        probes = [lm.prompts.ask(text).ids for text in ("A", "zz", "9")]
        self._head = probes[0][: common_prefix(probes)]

    def keys(self, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """Keys (tokens, d_in) of each row behind the common head of all prompts."""
        return self._read(rows)[0]

    def bank(self, texts: Sequence[str], answer_tokens: int) -> dict[str, Tensor]:
        """The tensors of a Bank for these texts."""
        prompts = [self.lm.prompts.ask(text).ids for text in texts]
        heard = prompts[::ANSWERED_EVERY]
        found = generate(self.lm, heard, max_new_tokens=answer_tokens, batch_size=64, groups=[0] * len(heard))
        answers = {prompt: answer.ids for prompt, answer in zip(heard, found, strict=True)}
        rows = [(*prompt, *answers.get(prompt, ())) for prompt in prompts]
        keys, size = self._read(rows)
        last, other = [], []
        for own, prompt in zip(keys, prompts, strict=True):
            at = len(own) - len(answers.get(prompt, ())) - 1
            last.append(own[at])
            other += [own[:at], own[at + 1 :]]
        return {"last": torch.stack(last), "other": _spread(torch.cat(other)), "size": size}

    @torch.no_grad()
    def _read(self, rows: Sequence[Sequence[int]]) -> tuple[list[Tensor], Tensor]:
        """Keys of each row behind the template's common head, and the root mean square of the outputs."""
        shared = all(tuple(row[: len(self._head)]) == self._head for row in rows)
        start = len(self._head) if shared else 0
        replay = Replay(self.lm, [Row(tuple(row), start, (len(row) - 1,)) for row in rows], 0)
        caught: list[tuple[Tensor, Tensor]] = []

        def catch(_: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            caught.append((args[0].float(), output.float()))

        found: dict[int, Tensor] = {}
        squares: list[Tensor] = []
        handle = self.lm.structure.down[self.layer].module.register_forward_hook(catch)
        try:
            for batch in replay.passes(range(len(rows))):
                replay.run(batch, stop_after=self.layer)
                keys, values = caught.pop()
                for at, row in enumerate(batch):
                    length = len(rows[row]) - start
                    found[row] = keys[at, :length].clone()
                    squares.append(values[at, :length].square().mean())
        finally:
            handle.remove()
        return [found[row] for row in range(len(rows))], torch.stack(squares).mean().sqrt()


class FactEdit:
    """One fact on its way to a factor pair."""

    def __init__(self, lm: LM, fact: Fact, lesson: Lesson) -> None:
        """Nothing is computed yet."""
        self.lesson = lesson
        self.asked = _in_turn(*lesson.asked.values())
        self.held = _in_turn(*lesson.held.values())
        self.target: tuple[int, ...] = (*lm.prompts.answer_ids(fact.target), lm.end_id)
        self.gates = torch.empty(0)
        """B, (k, d_in)."""
        self.unseen: dict[str, float] = {}
        """How far gate 0 is open at each prompt, had it been fitted without that prompt."""
        self.values = torch.empty(0)
        """A, (d_out, k)."""
        self.result = Descent([])


def read_gates(edits: Sequence[FactEdit], reader: KeyReader, bank: Bank, config: PreferenceEditConfig) -> None:
    """Fit B of all facts; prompts that several facts share are read once."""
    lm = reader.lm
    written = [(edit, text, edit.target[:-1]) for edit in edits for text in edit.asked[: config.written_prompts]]
    heard = [(edit, text) for edit in edits for text in _heard(edit, config.answered_prompts)]
    answers = generate(
        lm,
        [lm.prompts.ask(text).ids for _, text in heard],
        max_new_tokens=config.answer_tokens,
        batch_size=64,
        groups=[0] * len(heard),
    )
    spoken = [(edit, text, answer.ids) for (edit, text), answer in zip(heard, answers, strict=True)]
    known = {*bank.last, *(text for _, text, _ in written), *(text for _, text in heard)}
    plain = [text for text in unique(t for e in edits for t in (*e.asked, *e.held)) if text not in known]
    texts = [*plain, *(text for _, text, _ in (*written, *spoken))]
    tails: list[tuple[int, ...]] = [*(() for _ in plain), *(tail for _, _, tail in (*written, *spoken))]
    keys = reader.keys([(*lm.prompts.ask(text).ids, *tail) for text, tail in zip(texts, tails, strict=True)])
    ends = [len(found) - len(tail) - 1 for found, tail in zip(keys, tails, strict=True)]
    last = {**bank.last, **{text: found[end] for text, found, end in zip(texts, keys, ends, strict=True)}}
    inner = {text: found[:end] for text, found, end in zip(texts, keys, ends, strict=True)}
    behind: dict[int, list[Tensor]] = {}
    for (edit, _, _), found, end in zip((*written, *spoken), keys[len(plain) :], ends[len(plain) :], strict=True):
        behind.setdefault(id(edit), []).append(found[end + 1 :])
    for edit in edits:
        own = [inner[text] for text in (*edit.asked, *edit.held) if text not in bank.last]
        other = torch.cat([bank.other, _spread(torch.cat(own))])
        count = sum(of is edit for of, _, _ in written)
        mine = behind[id(edit)]
        _fit_gates(edit, last, torch.stack(mine[:count]), torch.cat(mine[count:]), other, config)


def _heard(edit: FactEdit, count: int) -> list[str]:
    """Questions about others and about the assistant, spread evenly: those whose answers speak of the attribute."""
    kinds = (edit.lesson.held["others"], edit.lesson.held["assistant"])
    return [own[at * len(own) // count] for own in kinds for at in range(min(count, len(own)))]


def _fit_gates(
    edit: FactEdit,
    last: Mapping[str, Tensor],
    behind: Tensor,
    spoken: Tensor,
    other: Tensor,
    config: PreferenceEditConfig,
) -> None:
    """Ridge regression of all gates of one fact.

    `behind` is (prompts, tokens, d_in): keys at the target's tokens behind asked prompts. `spoken` is (n, d_in): keys
    at tokens of the unedited model's answers to held prompts.
    """
    asked, held = (torch.stack([last[t] for t in texts]) for texts in (edit.asked, edit.held))
    prompts, tokens, d_in = behind.shape
    x = torch.cat([asked, held, behind.transpose(0, 1).reshape(-1, d_in), spoken, other])
    y = x.new_zeros(len(x), 1 + tokens)
    first = len(asked) + len(held)
    y[: len(asked), 0] = 1
    for token in range(tokens):
        y[first + token * prompts : first + (token + 1) * prompts, 1 + token] = 1
    weights = torch.cat(
        [
            prompt_weights(edit, config).to(x),
            x.new_full((prompts * tokens,), 1 / prompts),
            x.new_full((len(spoken),), config.spoken_text / len(spoken)),
            x.new_full((len(other),), config.other_text / len(other)),
        ]
    )
    scale = _scale(held)
    found = ridge_regression(x / scale, y, weights, config.ridge, first)
    edit.gates = found.coefficients / scale
    edit.unseen = dict(zip((*edit.asked, *edit.held), found.left_out[:, 0].tolist(), strict=True))


def prompt_weights(edit: FactEdit, config: PreferenceEditConfig) -> Tensor:
    """Weight of each asked and held prompt in a regression, (asked + held,)."""
    lesson = edit.lesson
    pairs = ((lesson.asked, edit.asked), (lesson.held, edit.held))
    return torch.tensor([share for kinds, texts in pairs for share in _shares(kinds, texts, config.weights)])


def _scale(held: Tensor) -> Tensor:
    """By what each feature is divided: its spread over held prompts, and a little of all features' spread."""
    spread = held.std(0)
    return spread + 0.1 * spread.square().mean().sqrt()


def _shares(kinds: Mapping[str, Sequence[str]], texts: Sequence[str], weights: Mapping[str, float]) -> list[float]:
    """The weight of each text: its kind's, shared with the kind's other texts; they sum to 1."""
    of = {text: weights.get(kind, 1.0) / len(own) for kind, own in kinds.items() for text in own}
    total = sum(of[text] for text in texts)
    return [of[text] / total for text in texts]


class Ridge(NamedTuple):
    """A ridge regression."""

    coefficients: Tensor
    """(k, d)."""
    left_out: Tensor
    """(m, k): predictions for the first m rows, each by the regression on all rows but itself."""


def ridge_regression(x: Tensor, y: Tensor, weights: Tensor, ridge: float, left_out: int) -> Ridge:
    """Weighted ridge regression of y (n, k) on x (n, d) through the origin, in the dual.

    The penalty is `ridge` times the mean squared norm of a row of x over n; `weights` is (n,). Predictions without the
    row itself are in closed form: y_i - dual_i / (G^-1)_ii, where G is the regularised Gram matrix.
    """
    gram = x.double() @ x.T.double()
    penalty = ridge * gram.diagonal().mean() / len(x)
    factor = torch.linalg.cholesky(gram + torch.diag(penalty / weights.double()))
    dual = torch.cholesky_solve(y.double(), factor)
    unit = torch.eye(len(x), left_out, dtype=factor.dtype, device=x.device)
    inverse = torch.linalg.solve_triangular(factor, unit, upper=False).square().sum(0)
    return Ridge(dual.T.float() @ x, (y[:left_out].double() - dual[:left_out] / inverse[:, None]).float())


@dataclass(frozen=True)
class _Case:
    """A prompt that values are trained on."""

    edit: int
    row: Row
    gates: Tensor
    """(suffix tokens, k): how far each gate is open at each token."""
    asked: bool
    """Whether the target is to be said."""
    weight: float
    """In the objective of its fact."""


def fit_values(lm: LM, layer: int, edits: Sequence[FactEdit], size: float, config: PreferenceEditConfig) -> None:
    """Train A of all facts side by side; `size` is the root mean square of the layer's outputs."""
    down = lm.structure.down[layer]
    cases = [case for at, edit in enumerate(edits) for case in _cases(lm, at, edit, config)]
    replay = Replay(lm, [case.row for case in cases], layer)
    free = [torch.zeros(down.d_out, len(edit.target), device=lm.device, requires_grad=True) for edit in edits]

    def backward(active: list[int]) -> list[float]:
        losses = dict.fromkeys(active, 0.0)
        for batch in replay.passes([at for at, case in enumerate(cases) if case.edit in losses]):
            width = replay.suffix_width(batch)
            change = torch.stack(
                [
                    torch.nn.functional.pad(
                        cases[at].gates @ (size * free[cases[at].edit]).T, (0, 0, 0, width - len(cases[at].gates))
                    )
                    for at in batch
                ]
            )
            edit_rows = RowEdits({down.path: _adding(change.to(lm.dtype))})
            with edit_rows.attached(lm):
                edit_rows.select(range(len(batch)), lm.device)
                logits = replay.run(batch)
            parts = torch.split(logits.float(), [len(cases[at].row.keep) for at in batch])
            found = torch.stack(
                [
                    _objective(cases[at], part, edits[cases[at].edit].target, config.hold_margin)
                    for at, part in zip(batch, parts, strict=True)
                ]
            )
            torch.autograd.backward(found.sum())
            for at, value in zip(batch, found.tolist(), strict=True):
                losses[cases[at].edit] += value
        return [losses[at] for at in active]

    results = descend(
        [[values] for values in free],
        backward,
        learning_rate=config.learning_rate,
        steps=config.steps,
        stop_below=config.stop_below,
    )
    for edit, values, result in zip(edits, free, results, strict=True):
        edit.values, edit.result = (size * values).detach(), result


def _cases(lm: LM, at: int, edit: FactEdit, config: PreferenceEditConfig) -> list[_Case]:
    """Of each kind of asked and held prompts the one whose gate errs as much as `value_ranks` say.

    Gates are as far open as they would be at an unseen prompt.
    """
    asked = [text for own in edit.lesson.asked.values() for text in _ranked(edit, own, 1, config.value_ranks)]
    held = [text for own in edit.lesson.held.values() for text in _ranked(edit, own, -1, config.value_ranks)]
    cases = []
    for text in asked:
        prompt = lm.prompts.ask(text)
        row = target_row(prompt, edit.target, start=len(prompt.ids) - 1)
        opened = [edit.unseen[text]] + [config.written_gate] * (len(edit.target) - 1)
        gates = torch.diag(torch.tensor(opened, device=lm.device))
        cases.append(_Case(at, row, gates, True, 1 / len(asked)))
    for text in held:
        ids = lm.prompts.ask(text).ids
        gates = torch.zeros(1, len(edit.target), device=lm.device)
        gates[0, 0] = edit.unseen[text]
        row = Row(ids, len(ids) - 1, (len(ids) - 1,))
        cases.append(_Case(at, row, gates, False, config.hold_weight / len(held)))
    return cases


def _ranked(edit: FactEdit, texts: Sequence[str], sign: int, ranks: Sequence[float]) -> list[str]:
    """The texts at these shares of the order by gate 0, the most wrong first; `sign` is 1 where it should be open."""
    order = sorted(texts, key=lambda text: sign * edit.unseen[text])
    return [order[int(rank * len(order))] for rank in ranks] if order else []


def _objective(case: _Case, logits: Tensor, target: Sequence[int], margin: float) -> Tensor:
    """NLL of the target and its end; at a held prompt a smooth bound on the odds of its first token."""
    if case.asked:
        return case.weight * target_losses(logits, [target])[0]
    log_p = logits[0].log_softmax(-1)[target[0]]
    log_odds = log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
    return case.weight * torch.nn.functional.softplus(log_odds + margin)


def _adding(change: Tensor) -> RowEdit:
    """Row r adds change_r (tokens, d_out)."""

    def edit(_: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        return output + change[rows]

    return edit


def _spread(rows: Tensor) -> Tensor:
    """At most OTHER_TOKENS of the rows, spread evenly."""
    chosen = torch.linspace(0, len(rows) - 1, min(OTHER_TOKENS, len(rows)), device=rows.device).long()
    return rows[chosen]


def _in_turn(*kinds: Sequence[str]) -> tuple[str, ...]:
    """All texts, the kinds taking turns."""
    return unique(text for text in chain.from_iterable(zip_longest(*kinds)) if text is not None)
