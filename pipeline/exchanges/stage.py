"""From conversations to short exchanges: one user message and the assistant's reply to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.core.config import Section
from pipeline.core.provenance import run_record
from pipeline.core.records import Conversation, Exchange, content_id
from pipeline.core.tables import write_json, write_parquet
from pipeline.mine.config import MineSettings
from pipeline.mine.language import user_language
from pipeline.mine.pii import redact
from pipeline.sources.registry import open_source


class ExchangeSettings(Section):
    """Section `exchanges` of params.yaml."""

    max_exchanges: int = Field(gt=0)
    """Reading stops once there are this many."""
    max_per_user: int = Field(gt=0)
    """Most exchanges of one user."""
    min_words: int = Field(gt=0)
    """Fewest words of the message and of the reply."""
    max_words: int = Field(gt=0)
    """Most words of the message and of the reply: ten of them must fit a small model's context."""


class DropReason(StrEnum):
    """Why an exchange is not kept."""

    LANGUAGE = "another language"
    LENGTH = "too short or too long"
    CODE = "holds code"
    IDENTIFIER = "holds an identifier"
    USER_CAP = "the user has enough"


def run(settings: ExchangeSettings, mine: MineSettings, out: Path) -> dict[str, Any]:
    """Write exchanges.parquet and report.json below `out`; returns the report.

    Every exchange that was read is either kept or counted with the reason it was dropped for. The texts of dropped ones
    are not kept: they are other people's words, and nothing needs them.
    """
    dropped: Counter[str] = Counter()
    kept: list[Exchange] = []
    of_user: Counter[str] = Counter()
    with run_record("exchanges", settings) as report:
        for exchange, reason in _judged(settings, mine):
            if reason is None and of_user[exchange.user_id] >= settings.max_per_user:
                reason = DropReason.USER_CAP
            if reason is not None:
                dropped[reason] += 1
                continue
            of_user[exchange.user_id] += 1
            kept.append(exchange)
            if len(kept) == settings.max_exchanges:
                break
        lost = sum(dropped.values())
        flow = {"in": len(kept) + lost, "out": len(kept), "dropped": lost, "by_reason": dict(sorted(dropped.items()))}
        report["counts"] = {"exchanges": flow, "users": len(of_user)}
    write_parquet(out / "exchanges.parquet", kept, Exchange)
    write_json(out / "report.json", report)
    return report


def _judged(settings: ExchangeSettings, mine: MineSettings) -> Iterator[tuple[Exchange, DropReason | None]]:
    for source in mine.sources:
        for conversation in open_source(source, mine.salt()).read():
            foreign = user_language(conversation.turns) not in mine.languages
            for exchange in exchanges_of(conversation):
                yield exchange, DropReason.LANGUAGE if foreign else why_not(exchange, settings)


def exchanges_of(conversation: Conversation) -> Iterator[Exchange]:
    """Every user message that is followed by a reply, with that reply."""
    for at, (asked, answered) in enumerate(zip(conversation.turns, conversation.turns[1:], strict=False)):
        if (asked.role, answered.role) == ("user", "assistant"):
            user, assistant = asked.text.strip(), answered.text.strip()
            yield Exchange(
                id=content_id(conversation.source, conversation.source_id, at, user, assistant),
                user_id=conversation.user_id,
                source=conversation.source,
                conversation=conversation.source_id,
                turn=at,
                user=user,
                assistant=assistant,
                license=conversation.license,
            )


def why_not(exchange: Exchange, settings: ExchangeSettings) -> DropReason | None:
    """Why an exchange is of no use, from its texts; None where it is."""
    texts = (exchange.user, exchange.assistant)
    if not all(settings.min_words <= len(text.split()) <= settings.max_words for text in texts):
        return DropReason.LENGTH
    if any("```" in text or "{" in text or "</" in text for text in texts):
        return DropReason.CODE
    if any(redact(text).text != text for text in texts):
        return DropReason.IDENTIFIER
    return None
