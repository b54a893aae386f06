"""The evaluation of Huang et al. (arXiv 2512.13676) as their released code carries it out, to stand beside ours.

It is written from a reading of that code, and kept apart so that nothing else uses it by accident. What it does:

- **Prompts.** Questions are asked as raw text, without the model's chat template, except product questions. An edit is
  made on the explicit question itself, the very one that is asked afterwards.
- **In-context baseline.** The preference stands in front of explicit and rephrased questions only. For implicit and
  product questions the prompt with the preference is built and then dropped, so the bare question is asked.
- **Budget.** As many new tokens as the expected answer has, and eight more for all kinds but explicit.
- **Cut.** The answer is read as the last N tokens of prompt and answer together, N being the budget. When the model
  ends early, the tail of the prompt becomes part of the answer.
- **Judge.** A reply that holds the target as a substring is right before any judge is asked; the rest goes to a lenient
  language model judge that sees neither question nor rubric. `lenient` stands in for it: MiniLM similarity of reply and
  target. The paper's judge (Claude 3.7 Sonnet) cannot be run here, so `substring` is reported beside it.

Not carried over: clusters of more than one member edited one shared model that was never restored, so that the last of
100 users was measured under 900 edits. Here every user starts from the unedited model. The synonyms' questions ask the
user about themself ("my pastime"), where those of the file ask the assistant ("your pastime").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from editing.lm.load import LM
from editing.lm.prompt import Message, Prompt, PromptBuilder
from editing.methods.base import Fact, User
from editing.patches.apply import BARE, Reply, Responder
from pipeline.core.records import Preference, Question, QuestionKind
from pipeline.embedding import embed

EXTRA_TOKENS = 8
"""Budget beyond the expected answer, for every kind but explicit."""
WITH_PREFERENCE = frozenset({QuestionKind.EXPLICIT, QuestionKind.REPHRASED})
"""Kinds whose prompt holds the preference under the in-context baseline."""
LENIENT = 0.5
"""From this cosine of reply and target on the stand-in judge says right."""


@dataclass(frozen=True)
class PublishedPrompts(PromptBuilder):
    """Raw text for every question but product questions, which get the chat template."""

    chat: PromptBuilder | None = None
    """The builder with the template."""
    products: frozenset[str] = field(default_factory=frozenset)
    """Texts of the product questions."""

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The conversation rendered and tokenized; see `PromptBuilder.prompt`."""
        if self.chat is not None and messages[-1].content in self.products:
            return self.chat.prompt(messages)
        return super().prompt(messages)


def published(lm: LM, questions: Sequence[Question]) -> LM:
    """The same model behind the published prompts."""
    products = frozenset(question.text for question in questions if question.kind is QuestionKind.PRODUCT)
    return replace(lm, prompts=PublishedPrompts(lm.tokenizer, "raw", lm.prompts, products))


def edited_user(preference: Preference, questions: Sequence[Question]) -> User:
    """The user, to be edited on the explicit question that is asked later; the cluster's questions as published."""
    (explicit,) = [question.text for question in questions if question.kind is QuestionKind.EXPLICIT]
    synonyms = tuple(
        Fact(preference.id, preference.statement, member.question, member.attribute_type, preference.target)
        for member in preference.cluster[1:]
        if member.attribute_type.casefold() in member.question.casefold()
    )
    fact = Fact(preference.id, preference.statement, explicit, preference.attribute_type, preference.target, synonyms)
    return User(preference.user_id, (fact,), ())


def budget(lm: LM, kind: QuestionKind, target: str) -> int:
    """New tokens allowed: those of the expected answer, and EXTRA_TOKENS more for all kinds but explicit."""
    return len(lm.prompts.answer_ids(target)) + (0 if kind is QuestionKind.EXPLICIT else EXTRA_TOKENS)


class Asked(NamedTuple):
    """One question put to one user."""

    user: int
    """User of the responder."""
    question: Question
    """The question."""
    target: str
    """The expected answer, which decides the budget."""


def answers(lm: LM, responder: Responder, rows: Sequence[Asked], batch_size: int) -> list[str]:
    """The texts that are judged, in order.

    Args:
        lm: the model behind the published prompts.
        responder: the personalised model.
        rows: what is asked.
        batch_size: questions answered in one batch.
    """
    by_budget: dict[int, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        by_budget[budget(lm, row.question.kind, row.target)].append(at)
    found = [""] * len(rows)
    for tokens, chosen in by_budget.items():
        users = [_asking(responder, rows[at]) for at in chosen]
        questions = [rows[at].question.text for at in chosen]
        replies = responder.answer(users, questions, max_new_tokens=tokens, batch_size=batch_size)
        for at, user, reply in zip(chosen, users, replies, strict=True):
            prompt = responder.prompt(user, rows[at].question.text).ids
            found[at] = cut(lm, prompt, reply, tokens)
    return found


def _asking(responder: Responder, row: Asked) -> int:
    """Who asks: nobody in particular where a prompt with the preference is built and dropped."""
    dropped = responder.plan(row.user) != BARE and row.question.kind not in WITH_PREFERENCE
    return responder.nobody if dropped else row.user


def cut(lm: LM, prompt: Sequence[int], reply: Reply, tokens: int) -> str:
    """The last `tokens` tokens of prompt and answer: with an early stop, part of the prompt, then the answer."""
    # The token that ended the answer stands in the window too, and decodes to nothing.
    missing = tokens - reply.tokens - 1 if reply.finish == "stop" else 0
    tail = prompt[-missing:] if missing > 0 else ()
    return str(lm.tokenizer.decode(list(tail), skip_special_tokens=True)) + reply.text


def substrings(replies: Sequence[str], targets: Sequence[str]) -> list[bool]:
    """Whether the target stands in the reply, anywhere, letter case ignored."""
    return [target.casefold() in reply.casefold() for reply, target in zip(replies, targets, strict=True)]


def lenient(replies: Sequence[str], targets: Sequence[str]) -> list[bool]:
    """Substring, or else a MiniLM cosine of at least LENIENT: the stand-in for the paper's language model judge."""
    if not replies:
        return []
    near = (embed(list(replies)) * embed(list(targets))).sum(axis=1) >= LENIENT
    return [inside or bool(close) for inside, close in zip(substrings(replies, targets), near, strict=True)]
