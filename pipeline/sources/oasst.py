"""OpenAssistant Conversations 2: message trees written by volunteers, cut into threads of one author each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.core.records import Conversation, Turn
from pipeline.sources.base import BadRecord, whole_unicode
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import HubSource, iso_time, required

FLAGS = frozenset({"spam", "pii", "not_appropriate", "hate_speech", "sexual_content", "toxicity", "violence"})
"""Reviewers' labels that leave a thread out."""
FLAGGED = 0.5
"""Mean review value (0 to 1) of a flag from which on it counts."""
_ROLES: Mapping[str, Any] = {"prompter": "user", "assistant": "assistant"}

Message = Mapping[str, Any]


class OpenAssistant(HubSource):
    """A row a message: `message_id`, `parent_id`, `user_id`, `text`, `role` (prompter or assistant), `lang`, `rank`,
    `deleted`, `review_result`, `synthetic`, `labels`, `message_tree_id`; the messages of a tree stand together.

    Different volunteers write the prompts of one tree, so a conversation here is a thread: one author's prompt, the
    best ranked reply to it, the same author's next prompt, and so on, after the reply the first prompt answers. Each
    prompt of the tree is in exactly one thread.
    """  # noqa: D205

    card = SourceCard(
        name="oasst",
        title="OpenAssistant Conversations 2",
        hub_id="OpenAssistant/oasst2",
        url=None,
        revision="179dd21fc55192153d94adb0e0ce8f69e222bf75",
        license="Apache-2.0",
        citation="Köpf et al., OpenAssistant Conversations: Democratizing Large Language Model Alignment, "
        "NeurIPS 2023 (arXiv 2304.07327)",
        languages=("mul",),
        collected="2022-12 to 2023-11",
        consent="Written by volunteers for publication; messages flagged as personal data by reviewers are left out.",
    )

    def conversations(self, row: Mapping[str, Any]) -> Iterable[Conversation]:
        """The threads of a tree of one message; whole trees are read by `from_rows`."""
        return self._threads([row])

    def from_rows(self) -> Iterator[Conversation]:
        """The threads of all trees, one tree in memory at a time."""
        for where, tree in self._trees():
            try:
                yield from self._threads(tree)
            except BadRecord as problem:
                self.skip(str(problem), where)

    def _trees(self) -> Iterator[tuple[str, list[Message]]]:
        tree: list[Message] = []
        first = ""
        for where, row in self.rows():
            if tree and row.get("message_tree_id") != tree[0].get("message_tree_id"):
                yield first, tree
                tree = []
            first = first if tree else where
            tree.append(row)
        if tree:
            yield first, tree

    def _threads(self, tree: Sequence[Message]) -> Iterator[Conversation]:
        children: dict[str | None, list[Message]] = defaultdict(list)
        messages = {required(message, "message_id"): message for message in tree}
        for message in tree:
            children[message.get("parent_id")].append(message)
        for replies in children.values():
            replies.sort(key=_rank)
        taken: set[str] = set()
        for message in tree:
            if message.get("role") == "prompter" and message["message_id"] not in taken:
                thread = _thread(message, messages, children)
                taken.update(m["message_id"] for m in thread)
                yield from self._conversation(thread, message)

    def _conversation(self, thread: Sequence[Message], start: Message) -> Iterator[Conversation]:
        if any(_is_bad(message) for message in thread):
            self.leave_out("deleted, synthetic, or flagged by the source's reviewers")
            return
        yield Conversation(
            source=self.card.name,
            source_id=start["message_id"],
            user_id=self.user_id(required(start, "user_id")),
            turns=tuple(Turn(role=_role(m), text=whole_unicode(str(m.get("text") or ""))) for m in thread),
            language=start.get("lang") or None,
            license=self.license(),
            timestamp=iso_time(start.get("created_date")),
        )


def _thread(
    start: Message, messages: Mapping[str, Message], children: Mapping[str | None, Sequence[Message]]
) -> list[Message]:
    """The reply that `start` answers, `start`, then best reply and next prompt of the same author in turn."""
    before = messages.get(str(start.get("parent_id")))
    thread = [before, start] if before else [start]
    author = start.get("user_id")
    while True:
        reply = next(iter(children.get(thread[-1]["message_id"], ())), None)
        if reply is None:
            return thread
        thread.append(reply)
        prompts = children.get(reply["message_id"], ())
        following = next((p for p in prompts if p.get("user_id") == author), None)
        if following is None:
            return thread
        thread.append(following)


def _rank(message: Message) -> int:
    rank = message.get("rank")
    return int(rank) if isinstance(rank, int | float) else 1 << 30


def _role(message: Message) -> Any:
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise BadRecord(f"unknown role {str(message.get('role'))[:30]!r}")
    return role


def _is_bad(message: Message) -> bool:
    if message.get("deleted") is True or message.get("synthetic") is True or message.get("review_result") is False:
        return True
    labels = message.get("labels")
    if not isinstance(labels, Mapping):
        return False
    values = zip(labels.get("name") or (), labels.get("value") or (), strict=False)
    return any(name in FLAGS and value >= FLAGGED for name, value in values)
