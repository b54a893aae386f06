"""LMSYS-Chat-1M: conversations from the Vicuna demo and Chatbot Arena; its agreement forbids passing rows on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.records import Conversation
from pipeline.sources.base import turns_from
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import HubSource, is_flagged, language_code, required


class LmsysChat(HubSource):
    """A row a conversation: `conversation_id`, `conversation` (list of `{role, content}`), `language`,
    `openai_moderation` (one entry a message). There is no user key, so each conversation is a user.

    The dataset is gated: accept its terms on its page and run `hf auth login` first.
    """  # noqa: D205

    card = SourceCard(
        name="lmsys_chat",
        title="LMSYS-Chat-1M",
        hub_id="lmsys/lmsys-chat-1m",
        url=None,
        revision="200748d9d3cddcc9d782887541057aca0b18c5da",
        license="LicenseRef-LMSYS-Chat-1M",
        citation="Zheng et al., LMSYS-Chat-1M: A Large-Scale Real-World LLM Conversation Dataset, ICLR 2024 "
        "(arXiv 2309.11998)",
        languages=("mul",),
        collected="2023-04 to 2023-08",
        consent="Terms of use of the demo site; names of persons replaced by NAME_1 and so on, other identifiers may "
        "remain; unsafe conversations are kept and flagged.",
    )

    def conversations(self, row: Mapping[str, Any]) -> Iterable[Conversation]:
        """The conversation of a row; none where a message is flagged by the source's moderation."""
        if is_flagged(row.get("openai_moderation")):
            self.leave_out("flagged as toxic by the source")
            return
        key = required(row, "conversation_id")
        yield Conversation(
            source=self.card.name,
            source_id=key,
            user_id=self.user_id(key),
            turns=turns_from(row.get("conversation"), "role", "content"),
            language=language_code(row.get("language")),
            license=self.license(),
            timestamp=None,
        )
