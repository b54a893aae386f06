"""Names of the sources -> where their class lives. Adding a source is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pipeline.core.errors import unknown_name
from pipeline.sources.base import Source, SourceSettings

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "chitchat": "pipeline.sources.chitchat:ChitChat",
        "jsonl": "pipeline.sources.jsonl:Jsonl",
        "lmsys_chat": "pipeline.sources.lmsys_chat:LmsysChat",
        "oasst": "pipeline.sources.oasst:OpenAssistant",
        "persona_chat": "pipeline.sources.persona_chat:PersonaChat",
        "sharegpt": "pipeline.sources.sharegpt:ShareGPT",
        "wildchat": "pipeline.sources.wildchat:WildChat",
    }
)
"""Source name -> "module:Class"; imported when first asked for."""


def source_class(name: str) -> type[Source]:
    """The class registered as `name`.

    Raises:
        ConfigError: no such source; the message holds the closest name.
    """
    if name not in SOURCES:
        raise unknown_name("source", name, SOURCES)
    module, _, attribute = SOURCES[name].partition(":")
    found: type[Source] = getattr(importlib.import_module(module), attribute)
    return found


def table(names: Iterable[str] = SOURCES) -> str:
    """The cards of the named sources, all unless told otherwise, as a Markdown table."""
    lines = [
        "| source | corpus | pinned | licence | may be passed on | languages | collected | consent and personal data |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(names):
        card = source_class(name).card
        where = f"https://huggingface.co/datasets/{card.hub_id}" if card.hub_id else card.url
        cells = (
            f"`{name}`",
            f"[{card.title}]({where})" if where else card.title,
            f"`{card.revision[:12]}`" if card.revision else "your file",
            card.license,
            "yes" if card.may_redistribute else "no",
            ", ".join(card.languages),
            card.collected,
            card.consent,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def open_source(settings: SourceSettings, salt: str) -> Source:
    """The source that `settings` names, ready to read."""
    return source_class(settings.name)(settings, salt)
