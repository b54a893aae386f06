"""Chit-Chat Challenge: students who chat with each other, not with an assistant; the PyPI package chitchat-dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.records import Conversation, Turn
from pipeline.sources.base import BadRecord, whole_unicode
from pipeline.sources.card import SourceCard
from pipeline.sources.hub import iso_time
from pipeline.sources.json_array import object_members
from pipeline.sources.packaged import JsonFiles, json_files

PACKAGE = "chitchat_dataset"
INSTALL = "pip install --no-deps chitchat-dataset==0.9.0"


class ChitChat(JsonFiles):
    """A JSON object of `{"<id>": {"messages": [[{"text": ..., "timestamp": ..., "sender": ...}, ...], ...], ...}}`.

    An inner list holds what one participant wrote before the other replied, and is one turn here, a line a message.
    Each chat gives a conversation for each of its one or two participants, "<id>-1" for who wrote first and "<id>-2":
    in it that participant is the user and the partner, a person too, stands where the assistant would. Turns and
    their offsets are the same in both.
    """

    card = SourceCard(
        name="chitchat",
        title="Chit-Chat Challenge (people chat with each other)",
        hub_id=None,
        url="https://pypi.org/project/chitchat-dataset/0.9.0/",
        revision="d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a",
        license="MIT",
        citation="Myers, Etchart and Fulda, Conversational Scaffolding: An Analogy-Based Approach to Response "
        "Prioritization in Open-Domain Dialogs, 2020 (myers2020conversational)",
        languages=("en",),
        collected="2018-04 to 2018-11",
        consent="Partners are people, not an assistant: students of one university chatted for prizes, knowing that "
        "their chats are collected. The rules forbade surnames, addresses and account names, but nobody removed them; "
        "first names, home towns and facts about the partner are there. Participants bear random ids.",
    )

    def files(self) -> list[Path]:
        """The JSON files to read, sorted.

        Raises:
            InputError: the package is not installed (the message holds the command) or the path has no JSON file.
        """
        return json_files(self.settings.path, PACKAGE, "", INSTALL)

    def records(self, path: Path) -> Iterator[tuple[int, str, Any]]:
        """Byte, id and value of each chat."""
        return iter(object_members(path))

    def conversations(self, name: int | str, value: Any) -> list[Conversation]:
        """The chat as seen by each of its participants."""
        if not isinstance(value, Mapping) or not isinstance(value.get("messages"), list):
            raise BadRecord("no list `messages`")
        said = [_said(messages) for messages in value["messages"]]
        return [
            Conversation(
                source=self.card.name,
                source_id=f"{name}-{number}",
                user_id=self.user_id(person),
                turns=tuple(Turn(role="user" if s.person == person else "assistant", text=s.text) for s in said),
                language=None,
                license=self.license(),
                timestamp=iso_time(value.get("start")),
            )
            for number, person in enumerate(dict.fromkeys(s.person for s in said), 1)
        ]


class _Said(NamedTuple):
    """What one participant wrote before the other replied."""

    person: str
    text: str


def _said(messages: Any) -> _Said:
    if not isinstance(messages, list) or not messages or not all(isinstance(m, Mapping) for m in messages):
        raise BadRecord("an entry of `messages` is not a list of objects")
    people = {message.get("sender") for message in messages}
    person = people.pop()
    if people or not isinstance(person, str):
        raise BadRecord("an entry of `messages` has not one `sender`")
    texts = [message.get("text") for message in messages]
    if not all(isinstance(text, str) for text in texts):
        raise BadRecord("a message text is not a string")
    return _Said(person, whole_unicode("\n".join(texts)))
