"""Synthetic-Persona-Chat: dialogues of two invented persons, written by a model from persona sentences."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.records import Conversation, Turn
from pipeline.sources.base import BadRecord, whole_unicode
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import HubSource, Row

_COLUMN = "Best Generated Conversation"
_LINE = re.compile(r"User ([12]): ?(.*)")
_SPEAKERS = ("1", "2")


class PersonaChat(HubSource):
    """A row a dialogue, "User 1: ..." and "User 2: ..." on lines of their own; other lines are stage directions.

    Each row gives two conversations, "<row>-1" and "<row>-2": in the first User 1 is the user and User 2 answers, in
    the second the other way round, for both of them say things about themselves. Turns and their offsets are the same
    in both. Row numbers count from 0 in the file that is read: a CSV at `path`, else the test split on the Hub.
    """

    card = SourceCard(
        name="persona_chat",
        title="Synthetic-Persona-Chat",
        hub_id="google/Synthetic-Persona-Chat",
        url=None,
        revision="a520ad7f999ca7e6dfdc25fed9f5070bf6f87b42",
        license="CC-BY-4.0",
        citation="Jandaghi et al., Faithful Persona-based Conversational Dataset Generation with Large Language Models "
        "(arXiv 2312.10007)",
        languages=("en",),
        collected="2023",
        consent="Both persons are invented and the dialogues are written by a model; no personal data.",
    )
    split = "test"

    def rows(self) -> Iterator[Row]:
        """The rows, each with its number in the column "row"."""
        path = None if self.settings.path is None else Path(self.settings.path)
        found = super().rows() if path is None else _csv_rows(path)
        for number, (where, value) in enumerate(found):
            yield Row(where, {**value, "row": number})

    def conversations(self, row: Mapping[str, Any]) -> Iterable[Conversation]:
        """The dialogue as seen by User 1, then as seen by User 2."""
        spoken = [_LINE.fullmatch(line) for line in str(row.get(_COLUMN) or "").splitlines()]
        said = [(hit[1], whole_unicode(hit[2])) for hit in spoken if hit]
        if not said:
            raise BadRecord(f"no line of `{_COLUMN}` begins with 'User 1:' or 'User 2:'")
        for speaker in _SPEAKERS:
            key = f"{row['row']}-{speaker}"
            yield Conversation(
                source=self.card.name,
                source_id=key,
                user_id=self.user_id(key),
                turns=tuple(Turn(role="user" if who == speaker else "assistant", text=text) for who, text in said),
                language="en",
                license=self.license(),
                timestamp=None,
            )


def _csv_rows(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give one CSV file of Synthetic-Persona-Chat.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            if _COLUMN not in (reader.fieldnames or ()):
                raise InputError(f"{path}: no column '{_COLUMN}'; is this a CSV of Synthetic-Persona-Chat?")
            for number, record in enumerate(reader):
                yield Row(f"{path}: row {number}", record)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: not a CSV file in UTF-8 behind line {reader.line_num} ({error}).") from error
