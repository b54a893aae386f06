"""The one prompt builder: the same rendering for evaluation, for edits and for judges of a checkpoint."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from jinja2 import TemplateError

from pipeline.core.errors import InputError

FIXED_DATE = "01 Jan 2026"
"""Templates that state the date state this one, so that a prompt is the same tomorrow."""

_MARK = "\u2020answer\u2020"
_THINKING = {"<think>": "</think>", "[THINK]": "[/THINK]"}
_CHANNEL = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:channel|start|end|return|call)\|>|\Z)", re.DOTALL
)


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said."""


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation, ending where the answer starts."""

    text: str
    """The whole prompt."""
    ids: tuple[int, ...]
    """Its tokens."""
    spans: tuple[tuple[int, int], ...]
    """Characters [start, end) of `text` that each token covers."""

    @property
    def sha256(self) -> str:
        """Hex sha256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    def last_token_of(self, phrase: str, within: str) -> int:
        """Position of the last token of the last character of `phrase` in the last occurrence of `within`.

        Letter case is ignored. In a question that names the phrase more than once, the last one counts.

        Raises:
            InputError: `within` is not in the prompt, or `phrase` not in `within`.
        """
        base = self.text.rfind(within.strip())
        found = list(re.finditer(re.escape(phrase.strip()), within.strip(), re.IGNORECASE))
        if base < 0 or not found or not phrase.strip():
            raise InputError(f"'{phrase}' does not stand in the question '{within}', so there is no token to edit at.")
        last = base + found[-1].end() - 1
        # A character of several bytes may be spread over several tokens, which then all cover it.
        holding = [position for position, (start, end) in enumerate(self.spans) if start <= last < end]
        if not holding:
            raise InputError(f"'{phrase}': the tokenizer gives no token for its last character.")
        return holding[-1]


@dataclass(frozen=True)
class PromptBuilder:
    """Renders conversations for one tokenizer, with its chat template or, where it has none, as plain text."""

    tokenizer: Any
    """A fast tokenizer."""
    form: Literal["chat", "raw"]
    """chat: the tokenizer's template. raw: the messages' texts, one a line."""

    @classmethod
    def of(cls, tokenizer: Any, form: Literal["auto", "chat", "raw"] = "auto") -> PromptBuilder:
        """The builder for a tokenizer; auto means chat where there is a template.

        Raises:
            InputError: the tokenizer is not a fast one, or chat is asked for without a template.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise InputError("The checkpoint has no fast tokenizer (tokenizer.json), so tokens have no offsets.")
        template = getattr(tokenizer, "chat_template", None)
        if form == "chat" and not template:
            raise InputError("The checkpoint's tokenizer has no chat template; use the raw form.")
        return cls(tokenizer, ("chat" if template else "raw") if form == "auto" else form)

    @property
    def sha256(self) -> str:
        """Hex sha256 of everything that decides the form of a prompt: form, template, fixed date."""
        template = getattr(self.tokenizer, "chat_template", None) if self.form == "chat" else None
        return hashlib.sha256(json.dumps([self.form, template, FIXED_DATE], default=str).encode()).hexdigest()

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The conversation rendered and tokenized, ending where the answer starts."""
        text = self.render(messages)
        encoded = self.tokenizer(text, add_special_tokens=self.form == "raw", return_offsets_mapping=True)
        return Prompt(text, tuple(encoded["input_ids"]), tuple((int(a), int(b)) for a, b in encoded["offset_mapping"]))

    def ask(self, question: str) -> Prompt:
        """The prompt of a bare question."""
        return self.prompt([Message("user", question)])

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation, ending where the answer starts.

        A template that refuses the system role gets the system message in front of the first user message.
        """
        if self.form == "raw":
            return "\n".join(message.content for message in messages)
        try:
            return self._template(messages)
        except TemplateError:
            return self._template(_without_system(messages))

    def _template(self, messages: Sequence[Message]) -> str:
        rendered = self.tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
            date_string=FIXED_DATE,
        )
        assert isinstance(rendered, str)
        return rendered

    def answer_ids(self, answer: str) -> tuple[int, ...]:
        """Tokens of an answer as they follow a prompt: after a template as it is, after raw text with a space."""
        if not answer.strip():
            raise InputError("The target is empty.")
        text = answer if self.form == "chat" else f" {answer}"
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of newly generated tokens: thinking stripped, special tokens dropped, ends trimmed.

        Where the template opens the thinking in the prompt, all up to its end is thinking.
        """
        # The marks of thinking are special tokens in some tokenizers.
        written = self._opened + self.tokenizer.decode(list(ids))
        answer = strip_thinking(written)
        if answer == written:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
        for token in self.tokenizer.added_tokens_decoder.values():
            answer = answer.replace(token.content, "") if token.special else answer
        return answer.strip()

    @functools.cached_property
    def _opened(self) -> str:
        """The mark of thinking that every prompt ends inside of; empty where it ends outside."""
        tail = self.render([Message("user", _MARK)]).rpartition(_MARK)[2]
        return next((mark for mark, end in _THINKING.items() if mark in tail.rpartition(end)[2]), "")

    def turn_end(self) -> int | None:
        """The token that the template puts after an assistant's turn; None in raw form or where it is no token."""
        if self.form == "raw":
            return None
        conversation = [Message("user", "x"), Message("assistant", _MARK)]
        rendered = self.tokenizer.apply_chat_template([m._asdict() for m in conversation], tokenize=False)
        tail = self.tokenizer(rendered.rpartition(_MARK)[2], add_special_tokens=False)["input_ids"]
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        return int(tail[0]) if tail and tail[0] in special else None


def strip_thinking(text: str) -> str:
    """`text` without its <think> or [THINK] part; of text in channels the last `final` one.

    A part that is never closed is thinking to the end, and channels without a `final` one are nothing.
    """
    if "<|channel|>" in text:
        return next((said for name, said in reversed(_CHANNEL.findall(text)) if name == "final"), "")
    for mark, end in _THINKING.items():
        text = text.rpartition(end)[2].partition(mark)[0]
    return text


def _without_system(messages: Sequence[Message]) -> list[Message]:
    system = "\n".join(m.content for m in messages if m.role == "system")
    rest = [m for m in messages if m.role != "system"]
    if system and rest:
        rest[0] = Message(rest[0].role, f"{system}\n{rest[0].content}")
    return rest
