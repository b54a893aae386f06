"""One call over the OpenAI wire format: bounded retries with jitter, typed errors."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from types import TracebackType
from typing import Annotated, Any, NamedTuple, Self

import openai
from pydantic import BaseModel, Field, ValidationError

from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import AccessError, EndpointError, RequestError
from pipeline.llm.messages import RawReply, Usage

RETRIED_STATUS = frozenset([408, 409, 425, 429])
"""Statuses below 500 that may be gone at the next attempt."""


class Endpoint(NamedTuple):
    """Where to send calls, and the key."""

    base_url: str
    key: str


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class Completion(BaseModel):
    """The part of a chat completion that is read; anything else a server adds is ignored."""

    model: str
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage


class BrokenReplyError(Exception):
    """The body of a 200 reply is not a chat completion; treated like a transport fault."""


class Wire:
    """Sends chat completion bodies to one endpoint; use as an async context manager."""

    def __init__(self, endpoint: Endpoint, config: LLMConfig, jitter: random.Random) -> None:
        """Prepare the connection pool; nothing is sent yet."""
        self.retries = 0
        self._base_url = endpoint.base_url
        self._config = config
        self._jitter = jitter
        self._api = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.key, max_retries=0, timeout=config.timeout_s
        )

    async def __aenter__(self) -> Self:
        """Return the wire itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._api.close()

    async def send(self, body: dict[str, Any]) -> RawReply:
        """The endpoint's reply to `body`.

        Raises:
            AccessError: 401, 403, or the account is out of credit.
            RequestError: the endpoint refuses this request.
            EndpointError: all attempts failed, or the endpoint asks for a longer pause than is allowed; the message
                holds the last failure.
        """
        last: Exception = BrokenReplyError("no attempt made")
        for attempt in range(self._config.attempts):
            if attempt:
                pause = self.pause(attempt, last)
                self.retries += 1
                await asyncio.sleep(pause)
            try:
                return await self._once(body)
            except openai.APIStatusError as error:
                self._refuse(error)
                last = error
            except (openai.APIConnectionError, BrokenReplyError) as error:
                last = error
        raise EndpointError(
            f"{self._base_url} gave no usable reply in {self._config.attempts} attempts; last: {_words(last)}. "
            "Finished calls are kept: run again to go on."
        ) from last

    async def _once(self, body: dict[str, Any]) -> RawReply:
        raw = await self._api.chat.completions.with_raw_response.create(**body)
        try:
            completion = Completion.model_validate_json(raw.content)
        except ValidationError as error:
            raise BrokenReplyError(f"the body is no chat completion ({error.error_count()} problems)") from error
        return as_raw_reply(completion)

    def _refuse(self, error: openai.APIStatusError) -> None:
        """Raise for a status that no retry can cure."""
        if error.status_code in (401, 403):
            raise AccessError(
                f"{self._base_url} refused the key (HTTP {error.status_code}); check `api_key_env` of the role in "
                "params.yaml and the variable it names."
            ) from error
        if error.code == "insufficient_quota":
            raise AccessError(f"{self._base_url}: the account is out of credit.") from error
        if error.status_code < 500 and error.status_code not in RETRIED_STATUS:
            raise RequestError(
                f"{self._base_url} refused the request (HTTP {error.status_code}): {_words(error)}"
            ) from error

    def pause(self, attempt: int, last: Exception) -> float:
        """Seconds to wait: never less than Retry-After asks for, and exponential with jitter where there is none.

        Raises:
            EndpointError: Retry-After asks for more than `retry_after_max_s`.
        """
        asked = retry_after(last)
        if asked is None:
            doubled = self._config.backoff_s * 2.0 ** (attempt - 1)
            return min(self._config.backoff_max_s, doubled) * self._jitter.uniform(0.75, 1.0)
        if asked > self._config.retry_after_max_s:
            raise EndpointError(
                f"{self._base_url} asks to wait {asked:.0f} s, more than llm.retry_after_max_s allows; last: "
                f"{_words(last)}. Finished calls are kept: run again then."
            )
        return asked + self._jitter.uniform(0.0, self._config.backoff_s)


def as_raw_reply(completion: Completion) -> RawReply:
    """The first choice of a completion; a refusal is a reply that did not end by itself."""
    choice = completion.choices[0]
    usage = Usage(completion.usage.prompt_tokens, completion.usage.completion_tokens)
    finish = "refusal" if choice.message.refusal else choice.finish_reason
    return RawReply(choice.message.content or "", finish, completion.model, usage)


def retry_after(error: Exception) -> float | None:
    """Seconds the endpoint asks to wait, from a Retry-After header in seconds or as a date; None without one."""
    header = error.response.headers.get("retry-after") if isinstance(error, openai.APIStatusError) else None
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        moment = email.utils.parsedate_to_datetime(header) if _is_date(header) else None
        return None if moment is None else max(0.0, moment.timestamp() - time.time())


def _is_date(header: str) -> bool:
    return email.utils.parsedate_tz(header) is not None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
