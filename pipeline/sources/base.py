"""What every source offers: a card, a stream of conversations, and an honest account of what it could not read."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pipeline.core.config import Section
from pipeline.core.errors import InputError
from pipeline.core.records import Conversation, Turn
from pipeline.sources.card import SourceCard

ROLES: Mapping[str, Any] = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "tool": "assistant",
    "function": "assistant",
    "system": "system",
    "developer": "system",
}
"""Speaker names of the corpora -> role. What a tool returned is not said by the user."""


class SourceSettings(Section):
    """One entry of `mine.sources` in params.yaml."""

    name: str
    """Name of a registered source."""
    path: str | None
    """File or folder to read; null: the package or Hub dataset the source's card names."""
    strict: bool
    """Whether a damaged record or a cut-off file is an error (true) or is reported and passed over (false)."""
    license: str | None
    """SPDX id of your own files, where a row states none; null for every other source, whose card names its licence."""
    max_conversations: int | None
    """Stop after this many conversations; null: read all."""


@dataclass
class ReadReport:
    """What a source read, filled while its stream is consumed."""

    conversations: int = 0
    """Whole conversations yielded."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Damaged records passed over, by problem."""
    first_skipped: dict[str, str] = field(default_factory=dict)
    """Where the first record of each problem stands."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Sound conversations left out on purpose, by reason (e.g. the corpus flags them as toxic)."""
    damage: str | None = None
    """How the input is cut off, e.g. "input ends inside a record at byte 125509632"; None when it is whole."""

    def summary(self) -> str:
        """One line for a person: conversations read, damage, records passed over."""
        parts = [f"{self.conversations} conversations read"]
        if self.damage:
            parts.append(self.damage)
        parts += [f"{n} records passed over: {p} (first: {self.first_skipped[p]})" for p, n in self.skipped.items()]
        parts += [f"{n} left out: {reason}" for reason, n in self.left_out.items()]
        return ", ".join(parts)


class BadRecord(Exception):
    """One record does not have the form of its corpus; the message says what is wrong with it."""


class Source(ABC):
    """A corpus. A subclass declares `card` and yields conversations from `read`."""

    card: ClassVar[SourceCard]

    def __init__(self, settings: SourceSettings, salt: str) -> None:
        """A source that has read nothing yet; `salt` goes into every user id.

        Raises:
            InputError: `settings` give a licence to a corpus that has its own.
        """
        if settings.license is not None and not self.card.brought_by_the_user:
            raise InputError(
                f"mine.sources: {self.card.name}: `license: {settings.license}` cannot be set, for the licence of this "
                f"corpus is {self.card.license}. Set license: null; your own files are read by the source `jsonl`."
            )
        self.settings = settings
        self.report = ReadReport()
        self._salt = salt

    @abstractmethod
    def read(self) -> Iterator[Conversation]:
        """The conversations in the order of the corpus, one in memory at a time.

        Raises:
            InputError: a file is missing, cannot be read, is not UTF-8, not the expected format; with `strict` also
                when a record is damaged or the file is cut off. The message names file, byte and record.
        """

    def user_id(self, key: str) -> str:
        """Salted hash of the corpus's own user key, 16 hex digits."""
        return hashlib.sha256(f"{self._salt}\0{self.card.name}\0{key}".encode("utf-8", "replace")).hexdigest()[:16]

    def license(self) -> str:
        """SPDX id for rows that state none: the setting where it is given, else the card's."""
        return self.settings.license or self.card.license

    def skip(self, problem: str, where: str) -> None:
        """Count a damaged record, or stop.

        Raises:
            InputError: under `strict: true`.
        """
        if self.settings.strict:
            raise InputError(f"{where}: {problem}. Repair the record, or set strict: false to pass over such records.")
        self.report.skipped[problem] = self.report.skipped.get(problem, 0) + 1
        self.report.first_skipped.setdefault(problem, where)

    def leave_out(self, reason: str) -> None:
        """Count a sound conversation that is left out on purpose."""
        self.report.left_out[reason] = self.report.left_out.get(reason, 0) + 1

    def cut_off(self, where: str, damage: str) -> None:
        """Note that the input ends inside a record, or stop.

        Raises:
            InputError: under `strict: true`.
        """
        if self.settings.strict:
            read = self.report.conversations
            raise InputError(f"{where}: {read} conversations read, {damage}. Set strict: false to keep what is whole.")
        self.report.damage = damage

    def counted(self, conversations: Iterator[Conversation]) -> Iterator[Conversation]:
        """`conversations`, counted in the report and stopped at `max_conversations`.

        Raises:
            InputError: the disk does not give a file out.
        """
        try:
            for conversation in conversations:
                if self.report.conversations == self.settings.max_conversations:
                    return
                self.report.conversations += 1
                yield conversation
        except OSError as error:  # its text names the file
            raise InputError(
                f"{self.card.name}: cannot be read after {self.report.conversations} conversations ({error}). "
                "Check that the file is there and may be read, and the disk it lies on."
            ) from error


def turns_from(messages: object, role_key: str, text_key: str) -> tuple[Turn, ...]:
    """The turns in a list of `{role_key: speaker, text_key: text}` mappings.

    Raises:
        BadRecord: it is no such list, or a speaker is unknown.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise BadRecord("the messages are not a list")
    return tuple(_turn(message, role_key, text_key) for message in messages)


def _turn(message: object, role_key: str, text_key: str) -> Turn:
    if not isinstance(message, (dict, Mapping)):  # the check of an abstract class takes longer than all the rest
        raise BadRecord("a message is not an object")
    role = ROLES.get(str(message.get(role_key)).lower())
    if role is None:
        raise BadRecord(f"unknown speaker {str(message.get(role_key))[:30]!r}")
    return Turn(role=role, text=_text(message.get(text_key)))


def _text(content: object) -> str:
    if isinstance(content, str):
        return whole_unicode(content)
    if content is None:
        return ""
    if not isinstance(content, Sequence):
        raise BadRecord("a message text is not a string")
    parts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return whole_unicode("\n".join(part for part in parts if isinstance(part, str)))


def whole_unicode(text: str) -> str:
    """`text` with each lone surrogate (half of an escaped pair) replaced by "?": same length, encodable as UTF-8."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
