"""preference_edit: a preference as a gated low-rank change of one late down-projection, with all else held in place.

Single-fact editors store one sentence; fine-tuned ones answer everything with it. This edit learns where a preference
matters and where it ends from two sets of prompts, none of them a question that the evaluation asks:

- *asked*: direct questions of the preference cluster, phrasings of the attribute type and its synonyms, shopping
  questions, and questions about the topics of a bank that lie nearest to the preference;
- *held*: the same questions about other people, about the assistant and about nobody, attributes the user never
  stated, questions about the farthest topics, world facts.

The change is W' = W + A B with one rank for each token of the target and one for the end of the answer.
B, (k, d_in), are gates in closed form: a class-balanced regression on the keys that the layer reads. Gate 0 is 1 at the
  last token of asked prompts, gate j at the j-th token of the target behind them, and all are 0 at held prompts. Their
  penalty is the second moment of keys at tokens of other text, as in ROME's covariance, so they are shut there too.
A, (d_out, k), are values by gradient descent: with gates as far open as they are for prompts nobody trained on, asked
  prompts must say the target and end.

A down-projection's own keys do not depend on what is added to its output, so the gates are exact for the edited model
too. Gradients run through the layers above only, at the few positions where a gate is open; what is read below is
read once. Keys of a question are the same for all users and kept on disk. Users are independent of each other.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from editing.lm.generate import common_prefix, generate, shared_prefixes
from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User, layer_index, unique
from editing.methods.descent import Descent, descend
from editing.methods.lessons import Lesson, LessonConfig, Lessons, in_turn, question_bank
from editing.methods.objective import target_losses
from editing.patches.apply import target_row
from editing.patches.gate import GATE
from editing.patches.patch import Patch, PatchKind, PromptPlan, low_rank_tensors
from editing.patches.rowwise import RowEdit, RowEdits
from pipeline.core.config import Section
from pipeline.core.tables import atomic_write

ANSWERED_EVERY = 5
"""Of how many questions of the bank one has its answer read as other text."""


NOT_FINITE = "The keys that the layer reads are not finite."
"""Why no regression on them has a solution."""


class PreferenceEditConfig(LessonConfig):
    """Hyper-parameters of preference_edit."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    ridge: float
    """Ridge of the gates, in units of the mean squared norm of a standardised key."""
    other_text: float
    """Weight of other text in the penalty; asked and held prompts weigh 1 each."""
    answer_tokens: int
    """Tokens of the unedited model's answers to the bank's questions, which are the other text."""
    value_prompts: int
    """Asked prompts of each kind that values and the gates of the target's tokens are fitted on."""
    value_gate: float
    """How far gate 0 is open in the training of values: this quantile of asked prompts, each left out of its fit."""
    written_gate: float
    """How far the gates of the target's tokens are open in the training of values."""
    steps: int
    """Most steps of Adam."""
    learning_rate: float
    """Of Adam, in units of the root mean square of the layer's outputs."""
    stop_below: float
    """Objective (nats a token) at which a user is done."""
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
        maker = Maker(lm, self.name, self.kind, self.config)
        layer = layer_index(self.config.layer, lm)
        empty = {at for at, user in enumerate(users) if any(not fact.target.strip() for fact in user.facts)}
        facts = [(at, fact) for at, user in enumerate(users) if at not in empty for fact in user.facts]
        edits: dict[int, list[FactEdit]] = {}
        if facts:
            with frozen(lm.model):
                made = [FactEdit(lm, fact, self._lessons.of(fact), self.config.value_prompts) for _, fact in facts]
                try:
                    fit_edits(made, self._reader(lm), self.config)
                except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                    return [maker.patch(user, failure=NOT_FINITE, share=len(users)) for user in users]
            for (at, _), edit in zip(facts, made, strict=True):
                edits.setdefault(at, []).append(edit)
        path = lm.structure.down[layer].path
        return [
            maker.patch(user, failure="The target is empty.", share=len(users))
            if at in empty
            else self._patch(maker, user, edits.get(at, []), path, len(users))
            for at, user in enumerate(users)
        ]

    def prepare(self, lm: LM) -> None:
        """The keys of other text, and those of the questions in which nothing of a user stands."""
        reader = self._reader(lm)
        other_text(reader, self.config)
        reader.last(question_bank().fixed)

    def _reader(self, lm: LM) -> KeyReader:
        return KeyReader(lm, layer_index(self.config.layer, lm), self.resources.cache / "preference_edit")

    def _patch(self, maker: Maker, user: User, edits: Sequence[FactEdit], path: str, share: int) -> Patch:
        if not edits:
            return maker.patch(user, share=share)
        a = torch.cat([edit.values for edit in edits], dim=1)
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
        factor = torch.diag(self.config.ridge**0.5 * _floored(x[len(edit.asked) :].std(0))).double()
        return penalised_regression(whitened(x, factor), edit.opened[:, None], edit.weights, factor, 0).coefficients[0]

    @functools.cached_property
    def _lessons(self) -> Lessons:
        return Lessons(self.config, question_bank())


class OtherText(NamedTuple):
    """What the keys of one layer are like apart from the questions of a lesson; the same for every user."""

    moment: Tensor
    """(d_in, d_in): second moment of keys at tokens of the unedited model's own answers to the bank."""
    spread: Tensor
    """(d_in,): standard deviation of keys at the last token of the bank's questions."""
    size: Tensor
    """(): root mean square of the layer's outputs."""


class KeyReader:
    """Reads the keys of one layer, from disk where they are known; nothing above the layer is run."""

    def __init__(self, lm: LM, layer: int, cache: Path) -> None:
        """A reader for decoder layer `layer` that keeps what it read below `cache`."""
        self.lm, self.layer = lm, layer
        self.folder = cache / _sha256([lm.weights_sha256, str(lm.dtype), lm.prompts.sha256, layer])

    def last(self, questions: Sequence[str], read: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Key (d_in,) at the last token of the prompt of each question; those in `read` are not read again."""
        known = dict(read or {})
        for file in sorted(self.folder.glob("keys-*.safetensors")):
            with safetensors.safe_open(file, framework="pt") as stored:
                kept = {text: at for at, text in enumerate(json.loads(stored.metadata()["questions"]))}
                own = [text for text in unique(questions) if text in kept]
                if own:
                    keys = stored.get_tensor("keys")[[kept[text] for text in own]].to(self.lm.device)
                    known.update(zip(own, keys, strict=True))
        new = [question for question in questions if question not in known]
        if new:
            rows = [self.lm.prompts.ask(text).ids for text in new]
            keys = torch.stack([own[-1] for own in self._read(rows, shared_prefixes(rows))[0]])
            self._save(f"keys-{_sha256(new)}", {"keys": keys}, {"questions": json.dumps(new)})
            known.update(zip(new, keys, strict=True))
        return {question: known[question] for question in questions}

    def other_text(self, questions: Sequence[str], answer_tokens: int) -> OtherText:
        """The statistics of the unedited model's answers to `questions`, of at most `answer_tokens` tokens."""
        name = f"other-{_sha256([answer_tokens, questions])}"
        file = self.folder / f"{name}.safetensors"
        if not file.is_file():
            prompts = [self.lm.prompts.ask(text).ids for text in questions]
            answers = generate(self.lm, prompts, max_new_tokens=answer_tokens, batch_size=64, groups=[0] * len(prompts))
            rows = [(*prompt, *answer.ids) for prompt, answer in zip(prompts, answers, strict=True)]
            keys, size = self._read(rows, [common_prefix(prompts)] * len(rows))
            ends = [len(own) - len(answer.ids) for own, answer in zip(keys, answers, strict=True)]
            said = torch.cat([own[end:] for own, end in zip(keys, ends, strict=True)])
            last = torch.stack([own[end - 1] for own, end in zip(keys, ends, strict=True)])
            found = OtherText(said.T @ said / max(1, len(said)), last.std(0), size)
            self._save(name, found._asdict())
        return OtherText(**safetensors.torch.load_file(file, device=str(self.lm.device)))

    def _read(self, rows: Sequence[Sequence[int]], starts: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """`suffixes` of rows from their starts on; what is before is read once."""
        own = [Row(tuple(row), start, (len(row) - 1,)) for row, start in zip(rows, starts, strict=True)]
        return self.suffixes(Replay(self.lm, own, 0, stop_after=self.layer))

    @torch.no_grad()
    def suffixes(self, replay: Replay) -> tuple[list[Tensor], Tensor]:
        """Keys (suffix tokens, d_in) of each row of a replay, and the root mean square of the layer's outputs."""
        found: dict[int, Tensor] = {}
        squares: list[Tensor] = []
        for batch in replay.passes(range(len(replay.rows))):
            with caught(self.lm, self.layer) as seen:
                replay.run(batch, stop_after=self.layer)
            ((keys, values),) = seen
            for at, row in enumerate(batch):
                length = replay.suffix_width([row])
                found[row] = keys[at, :length].clone()
                squares.append(values[at, :length].square().mean())
        return [found[row] for row in range(len(replay.rows))], torch.stack(squares).mean().sqrt()

    def _save(self, name: str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
        found = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
        with atomic_write(self.folder / f"{name}.safetensors") as out:
            out.write(safetensors.torch.save(found, metadata))


@contextlib.contextmanager
def caught(lm: LM, layer: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Inputs and outputs of a layer's down-projection in the passes of the block."""
    seen: list[tuple[Tensor, Tensor]] = []

    def catch(_: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((args[0].float(), output.float()))

    handle = lm.structure.down[layer].module.register_forward_hook(catch)
    try:
        yield seen
    finally:
        handle.remove()


class FactEdit:
    """One fact on its way to a factor pair."""

    def __init__(self, lm: LM, fact: Fact, lesson: Lesson, value_prompts: int) -> None:
        """Nothing is computed yet."""
        self.asked = in_turn(*lesson.asked.values())
        self.held = in_turn(*lesson.held.values())
        self.weights = torch.tensor([*_shares(lesson.asked, self.asked), *_shares(lesson.held, self.held)])
        """Weight of each asked and held prompt in the regressions: each kind's is the same."""
        self.target: tuple[int, ...] = (*lm.prompts.answer_ids(fact.target), lm.end_id)
        self.taught = [text for texts in lesson.asked.values() for text in texts[:value_prompts]]
        """Asked questions that the target is written behind."""
        prompts = [lm.prompts.ask(text) for text in self.taught]
        self.rows = [target_row(prompt, self.target, len(prompt.ids) - 1) for prompt in prompts]
        """Their prompts with the target behind them."""
        self.gates = torch.empty(0)
        """B, (k, d_in)."""
        self.opening = torch.empty(0)
        """(k,): how far each gate is open in the training of values."""
        self.values = torch.empty(0)
        """A, (d_out, k)."""
        self.result = Descent([])

    @property
    def opened(self) -> Tensor:
        """What gate 0 is to be at each asked and held prompt, (asked + held,)."""
        return (torch.arange(len(self.weights)) < len(self.asked)).float()


def other_text(reader: KeyReader, config: PreferenceEditConfig) -> OtherText:
    """The statistics of what the unedited model says to some of the bank's questions."""
    return reader.other_text(question_bank().fixed[::ANSWERED_EVERY], config.answer_tokens)


def fit_edits(edits: Sequence[FactEdit], reader: KeyReader, config: PreferenceEditConfig) -> None:
    """Gates and values of all facts side by side; a prompt that several facts share is read once."""
    other = other_text(reader, config)
    replay = Replay(reader.lm, [row for edit in edits for row in edit.rows], reader.layer)
    written, _ = reader.suffixes(replay)
    taught = [text for edit in edits for text in edit.taught]
    read = {text: own[0] for text, own in zip(taught, written, strict=True)}
    last = reader.last(unique(chain.from_iterable((*edit.asked, *edit.held) for edit in edits)), read)
    penalty = config.other_text * other.moment + config.ridge * torch.diag(_floored(other.spread).square())
    factor = torch.linalg.cholesky(penalty.double())
    white = dict(zip(last, whitened(torch.stack(list(last.values())), factor), strict=True))
    for edit in edits:
        own, written = torch.stack(written[: len(edit.rows)]), written[len(edit.rows) :]
        prompts = torch.stack([white[text] for text in (*edit.asked, *edit.held)])
        _fit_gates(edit, prompts, own[:, 1:], factor, config)
    _fit_values(edits, replay, float(other.size), config)


def _fit_gates(edit: FactEdit, prompts: Tensor, written: Tensor, factor: Tensor, config: PreferenceEditConfig) -> None:
    """All gates of one fact.

    `prompts` is (asked + held, d_in): whitened keys; `written` is (value prompts, tokens, d_in): keys at the target's
    tokens.
    """
    rows, tokens, d_in = written.shape
    white = torch.cat([prompts, whitened(written.reshape(-1, d_in), factor)])
    y = white.new_zeros(len(white), 1 + tokens)
    y[: len(prompts), 0] = edit.opened.to(y)
    y[len(prompts) :, 1:] = torch.eye(tokens).to(y).repeat(rows, 1)
    weights = torch.cat([edit.weights.to(white), white.new_full((rows * tokens,), 1 / rows)])
    found = penalised_regression(white, y, weights, factor, len(edit.asked))
    edit.gates = found.coefficients
    edit.opening = torch.full((1 + tokens,), config.written_gate).to(written)
    edit.opening[0] = found.left_out[:, 0].quantile(config.value_gate)


class Regression(NamedTuple):
    """A penalised regression."""

    coefficients: Tensor
    """(k, d)."""
    left_out: Tensor
    """(m, k): predictions for the first m rows, each by the regression on all rows but itself."""


def whitened(x: Tensor, factor: Tensor) -> Tensor:
    """factor^-1 x_i for each row of `x` (n, d), in float64."""
    solved: Tensor = torch.linalg.solve_triangular(factor, x.T.double(), upper=False)
    return solved.T


def penalised_regression(white: Tensor, y: Tensor, weights: Tensor, factor: Tensor, left_out: int) -> Regression:
    """The b (k, d) that minimises sum_i w_i |y_i - b x_i|^2 + tr(b P b^T), in the dual; P = factor factor^T.

    `white` is (n, d), x whitened by the factor; `y` is (n, k), `weights` (n,). Predictions without the row itself are
    in closed form: y_i - dual_i / (G^-1)_ii, where G is the Gram matrix with 1 / w on its diagonal.
    """
    lower = torch.linalg.cholesky(white @ white.T + torch.diag(1 / weights.double()))
    dual = torch.cholesky_solve(y.double(), lower)
    unit = torch.eye(len(white), left_out, dtype=lower.dtype, device=white.device)
    inverse = torch.linalg.solve_triangular(lower, unit, upper=False).square().sum(0)
    coefficients = torch.linalg.solve_triangular(factor.T, white.T @ dual, upper=True).T
    return Regression(coefficients.float(), (y[:left_out].double() - dual[:left_out] / inverse[:, None]).float())


def _fit_values(edits: Sequence[FactEdit], replay: Replay, size: float, config: PreferenceEditConfig) -> None:
    """Train A of all facts side by side; `size` is the root mean square of the layer's outputs."""
    lm, down = replay.lm, replay.lm.structure.down[replay.layer]
    owner = [at for at, edit in enumerate(edits) for _ in edit.rows]
    free = [torch.zeros(len(edit.target), down.d_out, device=lm.device, requires_grad=True) for edit in edits]

    def backward(active: list[int]) -> list[float]:
        losses = dict.fromkeys(active, 0.0)
        for batch in replay.passes([row for row, of in enumerate(owner) if of in losses]):
            width = replay.suffix_width(batch)
            added = [size * edits[owner[row]].opening[:, None] * free[owner[row]] for row in batch]
            change = torch.stack([torch.nn.functional.pad(own, (0, 0, 0, width - len(own))) for own in added])
            with RowEdits({down.path: _adding(change.to(lm.dtype))}).attached(lm) as attached:
                attached.select(range(len(batch)), lm.device)
                logits = replay.run(batch)
            found = target_losses(logits, [edits[owner[row]].target for row in batch])
            found = found / found.new_tensor([len(edits[owner[row]].rows) for row in batch])
            torch.autograd.backward(found.sum())
            for row, value in zip(batch, found.tolist(), strict=True):
                losses[owner[row]] += value
        return [losses[at] for at in active]

    results = descend(
        [[values] for values in free],
        backward,
        learning_rate=config.learning_rate,
        steps=config.steps,
        stop_below=config.stop_below,
    )
    for edit, values, result in zip(edits, free, results, strict=True):
        edit.values, edit.result = (size * values).detach().T, result


def _adding(change: Tensor) -> RowEdit:
    """Row r adds change_r (tokens, d_out)."""

    def edit(_: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        return output + change[rows]

    return edit


def _shares(kinds: Mapping[str, Sequence[str]], texts: Sequence[str]) -> list[float]:
    """The weight of each text: its kind's, shared with the kind's other texts; they sum to 1."""
    of = {text: 1 / len(own) for own in kinds.values() for text in own}
    total = sum(of[text] for text in texts)
    return [of[text] / total for text in texts]


def _floored(spread: Tensor) -> Tensor:
    """The spread of each feature, and a little of all features'."""
    return spread + 0.1 * spread.square().mean().sqrt()


def _sha256(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
