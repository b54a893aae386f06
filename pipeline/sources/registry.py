"""Names of the sources -> where their class lives. Adding a source is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from pipeline.core.errors import unknown_name
from pipeline.sources.base import Source, SourceSettings

SOURCES: Mapping[str, str] = MappingProxyType(
    {
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


def open_source(settings: SourceSettings, salt: str) -> Source:
    """The source that `settings` names, ready to read."""
    return source_class(settings.name)(settings, salt)
