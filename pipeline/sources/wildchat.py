"""WildChat-1M: conversations with ChatGPT through a free public service, by consent, with a hashed address a user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.records import Conversation
from pipeline.sources.base import BadRecord, turns_from
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import HubSource, is_flagged, iso_time, language_code, required


class WildChat(HubSource):
    """A row a conversation: `conversation` (list of `{role, content, hashed_ip, turn_identifier, ...}`), `language`,
    `timestamp`, `toxic`, `openai_moderation`. The user key is `hashed_ip`, so one user has many conversations.

    `conversation_hash` is a hash of the content and not unique; the first turn's `turn_identifier` makes it so.
    """  # noqa: D205

    card = SourceCard(
        name="wildchat",
        title="WildChat-1M",
        hub_id="allenai/WildChat-1M",
        url=None,
        revision="7d6490e462285cf85d91eabea0f9a954fbddcd1f",
        license="ODC-By-1.0",
        citation="Zhao et al., WildChat: 1M ChatGPT Interaction Logs in the Wild, ICLR 2024 (arXiv 2405.01470)",
        languages=("mul",),
        collected="2023-04 to 2024-05",
        consent="Users agreed twice to collection and release; de-identified with Presidio, identifiers may remain; "
        "rows carry hashed addresses, country and state.",
    )

    def conversations(self, row: Mapping[str, Any]) -> Iterable[Conversation]:
        """The conversation of a row; none where the corpus flags it as toxic."""
        if row.get("toxic") is True or is_flagged(row.get("openai_moderation")):
            self.leave_out("flagged as toxic by the source")
            return
        messages = row.get("conversation")
        if not isinstance(messages, list) or not messages or not isinstance(messages[0], Mapping):
            raise BadRecord("no list `conversation`")
        first = messages[0]
        key = f"{required(row, 'conversation_hash')}-{first.get('turn_identifier')}"
        user = row.get("hashed_ip") or first.get("hashed_ip") or key
        yield Conversation(
            source=self.card.name,
            source_id=key,
            user_id=self.user_id(str(user)),
            turns=turns_from(messages, "role", "content"),
            language=language_code(row.get("language")),
            license=self.license(),
            timestamp=iso_time(row.get("timestamp")),
        )
