"""What other people talked about: distractor turns, held-out text, and text for the statistics of a model."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.records import Exchange, content_id
from pipeline.core.tables import read_parquet

FIX = "run `dvc repro exchanges`, or name a JSON file in PrefEval's form in multiturn.exchanges of params.yaml"
"""What to do where there are no exchanges."""


def read_exchanges(path: Path) -> list[Exchange]:
    """The exchanges in a file of stage `exchanges`, or in a JSON file in PrefEval's form.

    The latter is a list of {"conversation_id": ..., "conversation": [{"role": ..., "content": ...}, ...]}.

    Raises:
        InputError: the file is missing, empty or of another form; names file, row and the fix.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; {FIX}.")
    found = list(_from_json(path) if path.suffix == ".json" else read_parquet(path, Exchange))
    if not found:
        raise InputError(
            f"{path}: holds no exchange; loosen the lengths in section exchanges of params.yaml, or {FIX}."
        )
    return found


def _from_json(path: Path) -> Iterator[Exchange]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of conversations; {FIX}.")
    for number, row in enumerate(rows):
        try:
            key, messages = str(row["conversation_id"]), [(m["role"], str(m["content"])) for m in row["conversation"]]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: row {number}: no conversation in PrefEval's form ({error!r}); it needs conversation_id and "
                "conversation, a list of messages with role and content."
            ) from error
        yield from _pairs(key, messages)


def _pairs(key: str, messages: Sequence[tuple[Any, str]]) -> Iterator[Exchange]:
    for at, ((first, said), (second, replied)) in enumerate(zip(messages, messages[1:], strict=False)):
        if (first, second) == ("user", "assistant"):
            yield Exchange(
                id=content_id("file", key, at, said, replied),
                user_id=key,
                source="file",
                conversation=key,
                turn=at,
                user=said,
                assistant=replied,
                license="unknown",
            )


def is_held_out(exchange: Exchange) -> bool:
    """Whether an exchange is for measuring what an edit does to other text; the other people's lends statistics.

    Every person's exchanges are on one side, so that no edit is held to the text it is measured on.
    """
    return int(content_id("held out", exchange.user_id), 16) % 2 == 0


def statistics_texts(exchanges: Sequence[Exchange], evaluated: Collection[str]) -> tuple[str, ...]:
    """What is not held out, as texts, without the users `evaluated`: every message with its reply."""
    lent = [e for e in exchanges if e.user_id not in evaluated and not is_held_out(e)]
    return tuple(f"{exchange.user}\n{exchange.assistant}" for exchange in lent)


def draw(exchanges: Sequence[Exchange], user_id: str, question_id: str, count: int, seed: int) -> list[Exchange]:
    """`count` exchanges of other people for one question, without replacement; the same for every method.

    Raises:
        InputError: there are too few.
    """
    others = [exchange for exchange in exchanges if exchange.user_id != user_id]
    if len(others) < count:
        raise InputError(f"{count} distractor turns are asked for, but there are {len(others)} of other people; {FIX}.")
    return random.Random(f"{seed}/{question_id}").sample(others, count)
