"""Prompts as files: prompts/<stage>/<name>.md with YAML front matter, strict rendering, user text inert."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml
from pydantic import ConfigDict, Field

from pipeline.core.config import Section, parse_section
from pipeline.core.errors import ConfigError
from pipeline.llm.messages import Message

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
_BLOCK = re.compile(r"^=== (system|user)\n", re.MULTILINE)
_CONTROL = re.compile(
    r"<[|｜].*?[|｜]?>|<[^<>|｜\s]*[|｜]>"  # <|im_end|>, <｜User｜>, <|turn>, <turn|>
    r"|</?(?:s|bos|eos|pad|unk|mask|think|tool|image|audio)>|<</?SYS>>"
    r"|</?[a-z]+(?:[_▁][a-z0-9]+)+>"  # <start_of_turn>, <tool_call>
    r"|\[/?(?:INST|IMG(?:_BREAK|_END)?|THINK|ARGS|CALL_ID|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|"
    r"SYSTEM_PROMPT|MODEL_SETTINGS)\]"
)
"""Tokens by which the chat templates of common model families mark turns, tools and thoughts."""
_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False)


class Example(Section):
    """One worked example: the variables of the user block, and the reply."""

    variables: dict[str, str]
    """Values of the prompt's variables."""
    reply: dict[str, Any]
    """The reply a good model gives; valid against the prompt's schema."""


class FrontMatter(Section):
    """What stands above a prompt's text."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str
    """`<stage>/<name>`, the same as its path."""
    version: int = Field(ge=1)
    """Raised with each change of meaning."""
    variables: tuple[str, ...]
    """Names that must be given, no more and no less."""
    output: dict[str, Any] = Field(alias="schema")
    """JSON Schema of the reply."""
    examples: tuple[Example, ...]
    """Worked examples, shown as earlier turns."""


@dataclass(frozen=True)
class Prompt:
    """A prompt file."""

    id: str
    version: int
    variables: tuple[str, ...]
    schema: dict[str, Any]
    examples: tuple[Example, ...]
    system: str
    user: str
    sha256: str
    """Hash of the file's bytes."""

    def render(self, values: dict[str, str], examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """The messages: system, then each example as a user and an assistant turn, then the question.

        Args:
            values: The variables; user text in them stays inert.
            examples: Which examples to show; all of them when None.

        Raises:
            ConfigError: a variable is missing or unknown.
        """
        if set(values) != set(self.variables):
            raise ConfigError(f"prompt {self.id} takes {sorted(self.variables)}, was given {sorted(values)}.")
        messages: list[Message] = [{"role": "system", "content": self.system}]
        for example in self.examples if examples is None else examples:
            messages.append({"role": "user", "content": self._user(example.variables)})
            messages.append({"role": "assistant", "content": json.dumps(example.reply, ensure_ascii=False)})
        messages.append({"role": "user", "content": self._user(values)})
        return tuple(messages)

    def _user(self, values: dict[str, str]) -> str:
        return _ENVIRONMENT.from_string(self.user).render({name: inert(text) for name, text in values.items()})


def inert(text: str) -> str:
    """`text` on one line, with every chat-template token broken so that no tokenizer reads it as one.

    Braces and JSON need nothing: values are never parsed as templates.
    """
    broken = _CONTROL.sub(lambda match: " ".join(match.group()), text)
    return " ".join(broken.split())


def load_prompt(root: Path, prompt_id: str) -> Prompt:
    """The prompt `<root>/<prompt_id>.md`.

    Raises:
        ConfigError: the file is missing or ill-formed, its id differs from its path, or its variables differ from
            those its text uses.
    """
    path = root / f"{prompt_id}.md"
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such prompt.") from None
    match = _FRONT_MATTER.match(source)
    if match is None:
        raise ConfigError(f"{path}: no front matter between two lines of three dashes.")
    front = parse_section(_yaml(match.group(1), path), FrontMatter, where=str(path))
    blocks = dict(zip(*[iter(_BLOCK.split(match.group(2))[1:])] * 2, strict=True))
    if set(blocks) != {"system", "user"}:
        raise ConfigError(f"{path}: needs one block '=== system' and one '=== user'.")
    used = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(blocks["user"]))
    if front.id != prompt_id or used != set(front.variables):
        raise ConfigError(f"{path}: id or variables do not match: id {front.id}, text uses {sorted(used)}.")
    return Prompt(
        id=front.id,
        version=front.version,
        variables=front.variables,
        schema=front.output,
        examples=front.examples,
        system=blocks["system"].strip(),
        user=blocks["user"].strip(),
        sha256=hashlib.sha256(source.encode()).hexdigest(),
    )


def _yaml(text: str, path: Path) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: the front matter is not YAML: {error}") from error
