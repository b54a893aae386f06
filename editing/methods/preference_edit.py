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

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from editing.lm.generate import common_prefix, generate
from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.lm.structure import frozen
from editing.methods.base import Fact, Maker, Method, User, layer_index, unique
from editing.methods.descent import Descent, descend
from editing.methods.objective import target_losses
from editing.patches.apply import target_row
from editing.patches.patch import Patch, PatchKind, low_rank_tensors
from editing.patches.rowwise import RowEdit, RowEdits
from pipeline.core.config import Section
from pipeline.core.tables import atomic_write
from pipeline.embedding import Vectors, embed

OTHER_TOKENS = 500
"""Tokens of other text that are kept, spread evenly."""


class Topic(Section):
    """Questions a user may ask about one field of life."""

    personal: tuple[str, ...]
    """Direct questions about the user."""
    advice: tuple[str, ...]
    """Questions whose good answer may depend on the user."""


class PreferenceEditConfig(Section):
    """Hyper-parameters of preference_edit."""

    layer: int | float
    """Decoder layer: an index, or the share of layers below it."""
    ridge: float
    """Ridge of the gates, in units of the mean squared norm of standardised keys over the number of prompts."""
    other_text: float
    """Weight of tokens of other text in the regression; asked and held prompts weigh 1 each."""
    written_prompts: int
    """Asked prompts whose target tokens the gates are fitted on."""
    assistant_weight: float
    """Weight of a held prompt about the assistant, where one about another person weighs 1."""
    value_asked: int
    """Asked prompts the values are trained on."""
    value_held: int
    """Held prompts the values are trained on, half of them about the assistant."""
    open_gate: float
    """How far gate 0 is open at least at asked prompts in the training of values."""
    full_gate: float
    """How far it is open at most."""
    written_gate: float
    """How far the other gates are open at the target's tokens there."""
    shut_gate: float
    """How far gate 0 is open at held prompts in the training of values."""
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
    near_topics: int
    """Topics nearest to the preference; their questions are asked."""
    far_topics: int
    """Topics farthest from the preference; their questions are held."""
    max_noun_similarity: float
    """Nouns closer to the attribute type than this cosine are not held."""
    seed: int
    """Seed of the choice of prompts."""
    direct: tuple[str, ...]
    """Direct questions about {x}, the attribute type."""
    shopping: tuple[str, ...]
    """Shopping questions for {x}."""
    others: tuple[str, ...]
    """Questions about the {x} of a person {p}."""
    nobody: tuple[str, ...]
    """Questions about {x} that are nobody's."""
    people: tuple[str, ...]
    """Possessives of other people, for {p}."""
    assistant: tuple[str, ...]
    """Possessives of the assistant, for {p}."""
    nouns: tuple[str, ...]
    """Attributes that users seldom state."""
    neutral: tuple[str, ...]
    """Questions about the world."""
    topics: dict[str, Topic]
    """The question bank."""

    @property
    def bank(self) -> tuple[str, ...]:
        """All questions that are the same for every user."""
        own = chain.from_iterable((*topic.personal, *topic.advice) for topic in self.topics.values())
        return unique((*own, *self.neutral, *map(_asks_for, self.nouns)))


@dataclass(frozen=True)
class Lesson:
    """The prompts of one fact."""

    asked: tuple[str, ...]
    """Questions to answer with the target, kinds in turn."""
    held: tuple[str, ...]
    """Questions to answer as before."""
    assistant: frozenset[str]
    """Those of them that are about the assistant."""


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
        facts = [(at, fact) for at, user in enumerate(users) for fact in user.facts]
        edits: dict[int, list[FactEdit]] = {}
        if facts:
            lessons = Lessons(self.config)
            with frozen(lm.model):
                made = [FactEdit(lm, fact, lessons.of(fact)) for _, fact in facts]
                read_gates(made, reader, bank, self.config)
                fit_values(lm, layer, made, float(bank.size), self.config)
            for (at, _), edit in zip(facts, made, strict=True):
                edits.setdefault(at, []).append(edit)
        path = lm.structure.down[layer].path
        return [self._patch(maker, user, edits.get(at, []), path, len(users)) for at, user in enumerate(users)]

    def _patch(self, maker: Maker, user: User, edits: Sequence[FactEdit], path: str, share: int) -> Patch:
        if not edits:
            return maker.patch(user, share=share)
        a = torch.cat([edit.values.detach() for edit in edits], dim=1)
        b = torch.cat([edit.gates for edit in edits])
        failure = next((edit.result.failure for edit in edits if edit.result.failure), None)
        if failure is None and not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            failure = "the factors are not finite"
        metrics = {name: max(edit.result.metrics[name] for edit in edits) for name in edits[0].result.metrics}
        tensors = {} if failure else low_rank_tensors({path: (a, b)})
        return maker.patch(user, tensors, metrics=metrics, failure=failure, share=share)

    def _bank(self, lm: LM, reader: KeyReader) -> Bank:
        """Keys of the bank's prompts and of the base model's answers, from disk where they are known."""
        parts = [
            lm.weights_sha256,
            str(lm.dtype),
            lm.prompts.sha256,
            reader.layer,
            self.config.answer_tokens,
            OTHER_TOKENS,
        ]
        key = hashlib.sha256(json.dumps([*parts, self.config.bank]).encode()).hexdigest()
        file = self.resources.cache / "preference_edit" / f"{key[:32]}.safetensors"
        if not file.is_file():
            tensors = reader.bank(self.config.bank, self.config.answer_tokens)
            with atomic_write(file) as out:
                out.write(safetensors.torch.save({name: t.cpu() for name, t in tensors.items()}))
        stored = safetensors.torch.load_file(file, device=str(lm.device))
        last = dict(zip(self.config.bank, stored["last"], strict=True))
        return Bank(last, stored["other"], stored["size"])


class Lessons:
    """Chooses prompts for facts; every text is embedded once."""

    def __init__(self, config: PreferenceEditConfig) -> None:
        """Embed the bank."""
        self.config = config
        self._vectors: dict[str, Any] = {}
        self._embed([*config.bank, *config.nouns])

    def of(self, fact: Fact) -> Lesson:
        """The prompts that teach `fact`, the same whoever else is taught."""
        config = self.config
        draw = random.Random(f"{config.seed} {fact.preference_id}")
        names = unique([fact.subject, *(member.subject for member in fact.cluster)])
        direct = [fact.question, *(member.question for member in fact.cluster)]
        direct += _filled(config.direct, names, draw)
        shopping = _filled(config.shopping, names, draw)
        near, far = self.near_and_far(fact)
        personal = _shuffled(chain.from_iterable(topic.personal for topic in near), draw)
        advice = _shuffled(chain.from_iterable(topic.advice for topic in near), draw)
        asked = _in_turn(direct, personal, advice, shopping)
        others, assistant = _others([*direct, *shopping], names, config, draw)
        held = chain(
            others,
            assistant,
            (text.replace("{x}", name) for text, name in zip(config.nobody, names, strict=False)),
            chain.from_iterable((*topic.personal, *topic.advice) for topic in far),
            map(_asks_for, self._distant_nouns(names)),
            config.neutral,
        )
        taken = set(asked)
        return Lesson(asked, tuple(text for text in unique(held) if text not in taken), frozenset(assistant))

    def near_and_far(self, fact: Fact) -> tuple[list[Topic], list[Topic]]:
        """The topics nearest to a fact and those farthest from it, by mean cosine of their questions."""
        topics = list(self.config.topics.values())
        own = self._embed([f"{fact.subject}: {fact.statement}", _asks_for(fact.subject)])
        scores = [float((self._embed([*topic.personal, *topic.advice]) @ own.T).mean()) for topic in topics]
        order = sorted(range(len(topics)), key=lambda at: -scores[at])
        near, far = order[: self.config.near_topics], order[len(order) - self.config.far_topics :]
        return [topics[at] for at in near], [topics[at] for at in far]

    def _distant_nouns(self, names: Sequence[str]) -> list[str]:
        """The attributes that are none of `names`."""
        closest = (self._embed(self.config.nouns) @ self._embed(names).T).max(axis=1)
        limit = self.config.max_noun_similarity
        return [noun for noun, score in zip(self.config.nouns, closest, strict=True) if score < limit]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        new = [text for text in unique(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


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
        answers = generate(self.lm, prompts, max_new_tokens=answer_tokens, batch_size=64, groups=[0] * len(prompts))
        rows = [(*prompt, *answer.ids) for prompt, answer in zip(prompts, answers, strict=True)]
        keys, size = self._read(rows)
        last, other = [], []
        for found, answer in zip(keys, answers, strict=True):
            at = len(found) - len(answer.ids) - 1
            last.append(found[at])
            other += [found[:at], found[at + 1 :]]
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
        self.target: tuple[int, ...] = (*lm.prompts.answer_ids(fact.target), lm.end_id)
        self.gates = torch.empty(0)
        """B, (k, d_in)."""
        self.values = torch.empty(0)
        """A, (d_out, k)."""
        self.result = Descent([])


def read_gates(edits: Sequence[FactEdit], reader: KeyReader, bank: Bank, config: PreferenceEditConfig) -> None:
    """Fit B of all facts; prompts that several facts share are read once."""
    ask = reader.lm.prompts.ask
    written = [(edit, text) for edit in edits for text in edit.lesson.asked[: config.written_prompts]]
    known = {*bank.last, *(text for _, text in written)}
    plain = [t for t in unique(t for e in edits for t in (*e.lesson.asked, *e.lesson.held)) if t not in known]
    rows = [*(ask(text).ids for text in plain), *((*ask(text).ids, *edit.target[:-1]) for edit, text in written)]
    counts = [*(1 for _ in plain), *(len(edit.target) for edit, _ in written)]
    whole = reader.keys(rows)
    keys = [found[len(found) - count :] for found, count in zip(whole, counts, strict=True)]
    last = {**bank.last, **{text: found[0] for text, found in zip(plain, keys, strict=False)}}
    behind: dict[int, list[Tensor]] = {}
    for (edit, text), found in zip(written, keys[len(plain) :], strict=True):
        last[text] = found[0]
        behind.setdefault(id(edit), []).append(found[1:])
    asked_of = [*plain, *(text for _, text in written)]
    inner = {text: found[:-count] for text, found, count in zip(asked_of, whole, counts, strict=True)}
    for edit in edits:
        own = [inner[text] for text in (*edit.lesson.asked, *edit.lesson.held) if text not in bank.last]
        other = torch.cat([bank.other, _spread(torch.cat(own))])
        _fit_gates(edit, last, torch.stack(behind[id(edit)]), other, config)


def _fit_gates(
    edit: FactEdit, last: Mapping[str, Tensor], behind: Tensor, other: Tensor, config: PreferenceEditConfig
) -> None:
    """Ridge regression of all gates of one fact.

    `behind` is (prompts, tokens, d_in): keys at the target's tokens behind asked prompts.
    """
    asked, held = (torch.stack([last[t] for t in texts]) for texts in (edit.lesson.asked, edit.lesson.held))
    prompts, tokens, d_in = behind.shape
    x = torch.cat([asked, held, behind.transpose(0, 1).reshape(-1, d_in), other])
    y = x.new_zeros(len(x), 1 + tokens)
    y[: len(asked), 0] = 1
    first = len(asked) + len(held)
    for token in range(tokens):
        y[first + token * prompts : first + (token + 1) * prompts, 1 + token] = 1
    heavy = [config.assistant_weight if text in edit.lesson.assistant else 1.0 for text in edit.lesson.held]
    weights = torch.cat(
        [
            x.new_full((len(asked),), 1 / len(asked)),
            x.new_tensor(heavy) / sum(heavy),
            x.new_full((prompts * tokens,), 1 / prompts),
            x.new_full((len(other),), config.other_text / len(other)),
        ]
    )
    spread = held.std(0)
    scale = spread + 0.1 * spread.square().mean().sqrt()
    edit.gates = ridge_regression(x / scale, y, weights, config.ridge) / scale


def ridge_regression(x: Tensor, y: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Coefficients (k, d) of a weighted ridge regression of y (n, k) on x (n, d) through the origin, in the dual.

    The penalty is `ridge` times the mean squared norm of a row of x over n; `weights` is (n,).
    """
    gram = (x @ x.T).double()
    penalty = ridge * gram.diagonal().mean() / len(x)
    dual = torch.linalg.solve(gram + torch.diag(penalty / weights.double()), y.double())
    found: Tensor = dual.T.float() @ x
    return found


@dataclass(frozen=True)
class _Case:
    """A prompt that values are trained on."""

    edit: int
    row: Row
    gates: Tensor
    """(suffix tokens, k): how far each gate is open at each token."""
    asked: bool
    weight: float


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
            pairs = zip([cases[at] for at in batch], parts, strict=True)
            found = torch.stack(
                [_objective(case, part, edits[case.edit].target, config.hold_margin) for case, part in pairs]
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
    """The first asked prompts; and of the held prompts those with the largest gates, and others."""
    asked = edit.lesson.asked[: config.value_asked]
    half = config.value_held // 2
    others = [text for text in edit.lesson.held if text not in edit.lesson.assistant]
    held = [*_every(sorted(edit.lesson.assistant), half), *_every(others, config.value_held - half)]
    cases = []
    reach = torch.linspace(config.open_gate, config.full_gate, len(asked)).tolist()
    for text, gate in zip(asked, reach, strict=True):
        prompt = lm.prompts.ask(text)
        row = target_row(prompt, edit.target, start=len(prompt.ids) - 1)
        opened = [gate] + [config.written_gate] * (len(edit.target) - 1)
        gates = torch.diag(torch.tensor(opened, device=lm.device))
        cases.append(_Case(at, row, gates, True, 1 / len(asked)))
    for text in held:
        ids = lm.prompts.ask(text).ids
        gates = torch.zeros(1, len(edit.target), device=lm.device)
        gates[0, 0] = config.shut_gate
        row = Row(ids, len(ids) - 1, (len(ids) - 1,))
        cases.append(_Case(at, row, gates, False, config.hold_weight / len(held)))
    return cases


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


def _every(texts: Sequence[str], count: int) -> list[str]:
    """At most `count` of the texts, spread evenly."""
    return [texts[at * len(texts) // count] for at in range(count)] if len(texts) > count else list(texts)


def _asks_for(noun: str) -> str:
    return f"What is my {noun}?"


def _others(
    texts: Sequence[str], names: Sequence[str], config: PreferenceEditConfig, draw: random.Random
) -> tuple[list[str], list[str]]:
    """The user's questions asked about other people and about the assistant, and questions that name these."""
    people = _shuffled([*config.people, *config.assistant], draw)
    turned = [text for text in texts if "my " in text]
    pairs = [(people[i % len(people)], text.replace("my ", "{p} ", 1)) for i, text in enumerate(turned)]
    for i, person in enumerate(people):
        pairs.append((person, config.others[i % len(config.others)].replace("{x}", names[i % len(names)])))
    found: tuple[list[str], list[str]] = ([], [])
    for person, text in pairs:
        found[person in config.assistant].append(text.replace("{p}", person))
    return found


def _filled(templates: Sequence[str], names: Sequence[str], draw: random.Random) -> list[str]:
    """Each template with several of the names, every name in turn."""
    count = max(len(names), len(templates))
    found = [templates[i % len(templates)].replace("{x}", names[i % len(names)]) for i in range(count)]
    return _shuffled(found, draw)


def _shuffled(texts: Iterable[str], draw: random.Random) -> list[str]:
    found = list(unique(texts))
    draw.shuffle(found)
    return found


def _in_turn(*kinds: Sequence[str]) -> tuple[str, ...]:
    """All texts, the kinds taking turns."""
    return unique(text for text in chain.from_iterable(zip_longest(*kinds)) if text is not None)
