"""Personalised answers: patches on a model for as long as a block lasts, many users in one batch where possible."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch

from editing.lm.generate import Generated, generate
from editing.lm.load import LM
from editing.lm.memory import Bound
from editing.lm.prompt import Message, Prompt
from editing.lm.replay import Replay, Row, room_for_prefixes
from editing.metrics.degenerate import is_degenerate
from editing.patches.compose import compose, converse
from editing.patches.gate import lets_in
from editing.patches.patch import Manifest, Patch, PromptPlan
from editing.patches.rowwise import RowEdits, chained, stacked_codebooks, stacked_factors, stacked_weights
from pipeline.core.errors import InputError

BARE = PromptPlan()
"""The plan of a question that is asked as it is."""
TOKENS_PER_READ = 2048
"""Upper bound of tokens read at once where logits are wanted: those of all of them may have to be held."""
ROWS_PER_PREFIX_READ = 256
"""Rows whose prompts' keys and values are held at once."""


class Reply(NamedTuple):
    """One personalised answer."""

    text: str
    """Newly generated text, thinking stripped."""
    finish: Literal["stop", "length"]
    """stop: the model ended by itself; length: the budget ran out."""
    tokens: int
    """Newly generated tokens."""
    degenerate: bool
    """Whether the text repeats itself."""
    prompt_sha256: str
    """Hash of the rendered prompt."""
    extra_prompt_tokens: int
    """Prompt tokens beyond those of the bare question."""


@contextlib.contextmanager
def applied(lm: LM, patches: Sequence[Patch]) -> Iterator[Responder]:
    """The model as each of these users should meet it; patch i is user i of the Responder.

    Users answer in one batch, through hooks: no weight of the model is changed. A question that a patch's gate does not
    let in is answered by the model as it is.

    Raises:
        InputError: a patch was made for other weights, or is of a kind that no method makes yet.
    """
    for patch in patches:
        check_fits(lm, patch)
        if patch.manifest.kind == "soft_prompt":
            raise InputError(f"{patch.manifest.method}: no method makes soft_prompt patches yet; it cannot be applied.")
    patches = [*patches, nobody(lm)]
    like = lm.structure.down[0].parameter.detach()
    factors = stacked_factors([p.factors() if p.manifest.kind == "low_rank" else {} for p in patches], like)
    weights = stacked_weights([p.tensors if p.manifest.kind == "dense" else {} for p in patches], lm)
    codebooks = stacked_codebooks([p.codebooks() if p.manifest.kind == "codebook" else {} for p in patches], like)
    edits = RowEdits(chained(weights, factors, codebooks))
    with edits.attached(lm):
        yield Responder(lm, patches, edits)


def nobody(lm: LM) -> Patch:
    """The patch of a user nothing is known about: the base model."""
    plan = Manifest(
        kind="prompt",
        method="none",
        config_sha256="",
        model=lm.name,
        weights_sha256=lm.weights_sha256,
        user_id="",
        preference_ids=(),
        plan=BARE,
    )
    return Patch(plan, {})


def check_fits(lm: LM, patch: Patch) -> None:
    """Nothing, where the patch belongs to these weights.

    Raises:
        InputError: the patch was made for other weights.
    """
    if patch.manifest.weights_sha256 != lm.weights_sha256:
        raise InputError(
            f"The patch of user {patch.manifest.user_id} was made for other weights "
            f"({patch.manifest.weights_sha256[:12]}) than those of {lm.name} ({lm.weights_sha256[:12]})."
        )


class Responder:
    """Answers questions for the users of `applied`."""

    def __init__(self, lm: LM, patches: Sequence[Patch], edits: RowEdits) -> None:
        """Made by `applied`; the last patch is that of `nobody`."""
        self._lm, self._patches, self._edits = lm, list(patches), edits
        self._bound = Bound("answers in one batch")
        self._read_bound = Bound("rows read in one pass")
        self.nobody = len(self._patches) - 1
        """The user nothing is known about: the base model."""

    def answer(
        self,
        users: Sequence[int],
        questions: Sequence[str],
        *,
        max_new_tokens: int,
        batch_size: int,
        turns: Sequence[Sequence[tuple[str, str]]] | None = None,
    ) -> list[Reply]:
        """Greedy answers, in order; question i is asked as user `users[i]`, after `turns[i]` (`converse`)."""
        users = self.asking(users, questions)
        plans = [self.plan(user) for user in users]
        if turns is None:
            talks = [compose(plan, question) for plan, question in zip(plans, questions, strict=True)]
        else:
            talks = [converse(*asked) for asked in zip(plans, questions, turns, strict=True)]
        replies: list[Reply | None] = [None] * len(users)
        last_turn = max((len(plan.turns) for plan in plans), default=0)
        for turn in range(last_turn + 1):
            rows = [i for i, plan in enumerate(plans) if len(plan.turns) >= turn]
            for i in rows if turn else []:
                said = replies[i]
                assert said is not None
                talks[i] += [Message("assistant", said.text), Message("user", plans[i].turns[turn - 1])]
            prompts = [self._lm.prompts.prompt(talks[i]) for i in rows]
            bare = [len(self._lm.prompts.ask(questions[i]).ids) for i in rows]
            written = self._generate([users[i] for i in rows], prompts, max_new_tokens, batch_size)
            for i, prompt, base, (ids, finish) in zip(rows, prompts, bare, written, strict=True):
                text = self._lm.prompts.decode(ids)
                replies[i] = Reply(text, finish, len(ids), is_degenerate(text), prompt.sha256, len(prompt.ids) - base)
        return [reply for reply in replies if reply is not None]

    def log_probs(self, users: Sequence[int], questions: Sequence[str], answers: Sequence[str]) -> list[float]:
        """Log probability of each answer (summed over its tokens) after its question, as user `users[i]`."""
        targets = [self._lm.prompts.answer_ids(answer) for answer in answers]
        return [total for total, _ in self.score_answers(users, questions, targets)]

    def score_answers(
        self, users: Sequence[int], questions: Sequence[str], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, bool]]:
        """`score` of the tokens `targets[i]` as the answer to question i, asked as user `users[i]`."""
        users = self.asking(users, questions)
        prompts = [self.prompt(user, question) for user, question in zip(users, questions, strict=True)]
        rows = [target_row(prompt, target, start=0) for prompt, target in zip(prompts, targets, strict=True)]
        return self.score(users, rows, targets)

    def prompt(self, user: int, question: str) -> Prompt:
        """The prompt in which `user` asks; of plans with several turns the first."""
        return self._lm.prompts.prompt(compose(self.plan(user), question))

    def plan(self, user: int) -> PromptPlan:
        """What `user`'s patch says around a question."""
        return self._patches[user].manifest.plan or BARE

    def score(
        self, users: Sequence[int], rows: Sequence[Row], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, bool]]:
        """For each row, the summed log probability of its target tokens and whether greedy decoding writes them.

        No gate is asked here: `users` are those that `asking` gives.
        """
        found = [(0.0, False)] * len(rows)

        def add(i: int, logits: torch.Tensor) -> None:
            ids = torch.tensor(targets[i], device=logits.device)
            log_p = logits.log_softmax(-1).gather(1, ids[:, None]).sum()
            found[i] = float(log_p), bool((logits.argmax(-1) == ids).all())

        self.read(users, rows, add)
        return found

    def read(self, users: Sequence[int], rows: Sequence[Row], each: Callable[[int, torch.Tensor], None]) -> None:
        """Call `each(i, logits)` for every token row, read as user `users[i]`; logits: (kept, vocabulary)."""

        def block(index: Sequence[int], own: list[Row], *, one_model: bool) -> None:
            self._edits.select([users[index[0]]] if one_model else [], self._lm.device)
            replay = Replay(self._lm, own, layer=0)

            @torch.no_grad()
            def run(batch: Sequence[int]) -> torch.Tensor:
                self._edits.select(
                    [users[index[0]]] if one_model else [users[index[i]] for i in batch], self._lm.device
                )
                return replay.run(batch).float()

            passes = replay.passes(range(len(index)), TOKENS_PER_READ)
            for batch, logits in self._read_bound.fitting(passes, run):
                parts = torch.split(logits, [len(rows[index[i]].keep) for i in batch])
                for i, part in zip(batch, parts, strict=True):
                    each(index[i], part)

        self._refuse_training()
        everyone = range(len(rows))
        # Rows that see one model have what comes before their first kept position read once a prompt: those of one
        # user, and those of all users whose patches only say something.
        models = {user if self._patches[user].manifest.kind != "prompt" else None for user in users}
        one_model = len(models) == 1 and all(row.keep[0] > 0 for row in rows)
        if rows and not one_model:
            block(everyone, list(rows), one_model=False)
            return
        for at in range(0, len(rows), ROWS_PER_PREFIX_READ):
            part = everyone[at : at + ROWS_PER_PREFIX_READ]
            whole = [rows[i] for i in part]
            own = [replace(row, start=row.keep[0]) for row in whole]
            block(part, own if room_for_prefixes(self._lm, own) else whole, one_model=True)

    def asking(self, users: Sequence[int], questions: Sequence[str]) -> list[int]:
        """The users as `read` and `score` are to meet them: `nobody` where a gate does not let the question in."""
        pairs = zip(users, questions, strict=True)
        return [user if lets_in(self._patches[user], question) else self.nobody for user, question in pairs]

    def _generate(
        self, users: Sequence[int], prompts: Sequence[Prompt], max_new_tokens: int, batch_size: int
    ) -> list[Generated]:
        self._refuse_training()
        return generate(
            self._lm,
            [prompt.ids for prompt in prompts],
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            groups=users,
            on_rows=lambda rows: self._edits.select([users[row] for row in rows], self._lm.device),
            bound=self._bound,
        )

    def _refuse_training(self) -> None:
        if any(module.training for module in self._lm.model.modules()):
            raise RuntimeError(
                f"{self._lm.name} is in training mode; a method left it there, and answers would differ."
            )


def target_row(prompt: Prompt, target: Sequence[int], start: int) -> Row:
    """The row that scores `target` after `prompt`: its kept logits predict the target's tokens in order."""
    first = len(prompt.ids) - 1
    return Row((*prompt.ids, *target[:-1]), start, tuple(range(first, first + len(target))))


@contextlib.contextmanager
def in_place(lm: LM, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """These weights in place of the model's, by full name; the model's own values come back bit by bit."""
    parameters = dict(lm.model.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in weights}
    try:
        with torch.no_grad():
            for name, value in weights.items():
                parameters[name].copy_(value)
        yield
    finally:
        with torch.no_grad():
            for name, value in kept.items():
                parameters[name].copy_(value)
