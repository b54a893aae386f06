"""Your own conversations: JSONL or Parquet in the OpenAI messages form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import Conversation, content_id
from pipeline.sources.base import BadRecord, Source, turns_from
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import parquet_rows

SUFFIXES = (".jsonl", ".ndjson", ".parquet")


class Jsonl(Source):
    """One conversation a row: `{"messages": [{"role": "user", "content": ...}, ...]}`.

    Optional fields: `id` (else a hash of the messages), `user` (the user key; else the conversation), `language`,
    `license`, `timestamp`. An `id` may name somebody, so rows carry `conversation_key` of it.
    """

    card = SourceCard(
        name="jsonl",
        title="Your own chat files",
        hub_id=None,
        url=None,
        revision=None,
        license="unknown",
        citation="",
        languages=("und",),
        collected="unknown",
        consent="You answer for it; set `license` on the source, and expect every kind of personal data.",
    )

    def read(self) -> Iterator[Conversation]:
        """The conversations of all files at `path`; see `Source.read`."""
        return self.counted(self._conversations())

    def _conversations(self) -> Iterator[Conversation]:
        for path in self._files():
            for where, value in _records(path) if path.suffix == ".parquet" else self._lines(path):
                try:
                    yield self._conversation(value)
                except BadRecord as problem:
                    self.skip(str(problem), where)

    def _files(self) -> list[Path]:
        if self.settings.path is None:
            raise ConfigError("mine.sources: the source 'jsonl' needs a path to a .jsonl or .parquet file or folder.")
        root = Path(self.settings.path)
        found = [p for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES] if root.is_dir() else [root]
        if not found or not all(p.is_file() for p in found):
            raise InputError(f"{root}: no such file, or no {', '.join(SUFFIXES)} file in this folder.")
        return found

    def _lines(self, path: Path) -> Iterator[tuple[str, Any]]:
        byte = 0
        with path.open("rb") as file:
            for number, line in enumerate(file):
                where = f"{path}: byte {byte}, record {number}"
                byte += len(line)
                if line.strip():
                    yield from self._parsed(line, where, path, byte)

    def _parsed(self, line: bytes, where: str, path: Path, end: int) -> Iterator[tuple[str, Any]]:
        try:
            value = json.loads(line.decode("utf-8").lstrip("\ufeff"))
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: not UTF-8 ({error.reason}); convert the file first.") from error
        except json.JSONDecodeError as error:
            if line.endswith(b"\n"):
                self.skip(f"malformed JSON: {error.msg}", where)
            else:
                self.cut_off(str(path), f"input ends inside a record at byte {end}")
        except RecursionError:
            self.skip("nested too deeply", where)
        else:
            yield where, value

    def _conversation(self, value: object) -> Conversation:
        if not isinstance(value, Mapping) or "messages" not in value:
            raise BadRecord("no field `messages`")
        turns = turns_from(value["messages"], "role", "content")
        key = str(value.get("id") or content_id(self.card.name, [turn.model_dump() for turn in turns]))
        return Conversation(
            source=self.card.name,
            source_id=conversation_key(self._salt, key),
            user_id=self.user_id(str(value.get("user") or key)),
            turns=turns,
            language=_string(value, "language"),
            license=_string(value, "license") or self.license(),
            timestamp=_string(value, "timestamp"),
        )


def conversation_key(salt: str, id: str) -> str:
    """What evidence holds for the conversation with this `id`, under this `mine.user_salt`: 16 hex digits."""
    return hashlib.sha256(f"{salt}\0conversation\0{id}".encode("utf-8", "replace")).hexdigest()[:16]


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(parquet_rows(path)):
        yield f"{path}: record {number}", row


def _string(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise BadRecord(f"`{name}` is not a string")
    return found or None
