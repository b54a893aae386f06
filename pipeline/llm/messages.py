"""What is sent to a language model and what comes back."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import jsonschema

from pipeline.llm.errors import CutOffError, UnparsableError

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Message(TypedDict):
    """One chat message in the OpenAI wire form."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One call: the messages, the schema of the reply, and which repeat of it this is."""

    messages: tuple[Message, ...]
    """The conversation, last message first to be answered."""
    schema: dict[str, Any] | None
    """JSON Schema of the reply; None for plain text."""
    max_tokens: int
    """Reply tokens at most; a reply that needs more is an error unless `keep_cut`."""
    repeat: int = 0
    """Index of the sample; each repeat has its own seed and its own place in the cache."""
    keep_cut: bool = False
    """Whether the beginning of a longer reply is a reply; only where the text is read, not parsed."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call."""

    prompt: int
    completion: int


@dataclass(frozen=True)
class RawReply:
    """A finished call as the endpoint reported it; this is what the cache keeps."""

    text: str
    finish_reason: str
    model: str
    usage: Usage


@dataclass(frozen=True)
class Reply:
    """A usable reply."""

    text: str
    """The reply, thinking stripped."""
    value: Any
    """The parsed JSON, valid against the request's schema; None for plain text."""
    model: str
    """Model name the endpoint reported."""
    usage: Usage
    """Tokens of the call."""
    cached: bool
    """Whether it came from the cache."""


def payload_key(payload: object) -> str:
    """Hex sha256 of `payload` as canonical JSON."""
    canonical = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def read_reply(raw: RawReply, request: Request, *, cached: bool) -> Reply:
    """`raw` as a usable reply to `request`.

    Raises:
        CutOffError: the reply did not end by itself, and only a whole one is of use.
        UnparsableError: it is empty, not JSON, or not valid against the schema.
    """
    if raw.finish_reason != "stop" and not (request.keep_cut and raw.finish_reason == "length"):
        raise CutOffError(
            f"The reply of {raw.model} was cut off ({raw.finish_reason}) after {raw.usage.completion} tokens."
        )
    text = _THINKING.sub("", raw.text).strip()
    if not text:
        raise UnparsableError(f"The reply of {raw.model} is empty.")
    value = None if request.schema is None else parse_json(text, request.schema)
    return Reply(text=text, value=value, model=raw.model, usage=raw.usage, cached=cached)


def parse_json(text: str, schema: dict[str, Any]) -> Any:
    """The JSON value in `text` (whole, in a code fence, or between the outermost braces), valid against `schema`.

    Raises:
        UnparsableError: there is none.
    """
    problem = "no JSON found"
    for candidate in _json_candidates(text):
        try:
            value = json.loads(candidate)
            jsonschema.validate(value, schema)
        except json.JSONDecodeError as error:
            problem = str(error)
        except jsonschema.ValidationError as error:
            problem = f"{error.json_path}: {error.message}"
        else:
            return value
    raise UnparsableError(f"Not the JSON that was asked for: {problem[:200]}")


def _json_candidates(text: str) -> list[str]:
    start, end = text.find("{"), text.rfind("}")
    braces = [text[start : end + 1]] if 0 <= start < end else []
    return [text, *_FENCE.findall(text), *braces]
