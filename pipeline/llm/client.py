"""The one client: roles to endpoints, bounded concurrency and retries, cache, budget."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.core.errors import ConfigError
from pipeline.llm.batch import run_batch
from pipeline.llm.cache import Cache, OverBudgetError
from pipeline.llm.config import LOCAL, LLMConfig
from pipeline.llm.errors import (
    FATAL,
    BudgetError,
    CutOffError,
    EndpointError,
    LLMError,
    RequestError,
    UnparsableError,
)
from pipeline.llm.local import fingerprint, local_server, weights
from pipeline.llm.messages import Message, RawReply, Reply, Request, Usage, payload_key, read_reply
from pipeline.llm.wire import Endpoint, Wire

Outcome = Reply | LLMError
"""What one request gives: a usable reply, or the error that concerns this request alone."""

CHARACTERS_PER_TOKEN = 3
"""Low estimate for English, so that a price foretold is not too small."""


@dataclass(frozen=True)
class Estimate:
    """What a set of requests would take."""

    calls: int
    """Different requests in all."""
    cached: int
    """Those the cache already holds."""
    prompt_tokens: int
    """Tokens of the prompts still to be sent, estimated from characters."""
    completion_tokens: int
    """Tokens of the replies at most."""
    usd: float
    """Price at most, in US dollars."""


@dataclass
class Spent:
    """What this client has done so far."""

    calls: int = 0
    """Replies received over the wire, unusable ones included."""
    cached: int = 0
    """Requests answered from the cache."""
    retries: int = 0
    """Attempts that failed in transport and were made again."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0


class Client:
    """Calls the model of one role; use as a context manager."""

    def __init__(self, role: str, config: LLMConfig) -> None:
        """Bind `role`; nothing is started or sent yet.

        Raises:
            ConfigError: unknown role, or its key variable is not set.
            InputError: the weights package of a local model is missing.
        """
        self.role = config.role(role)
        self.spent = Spent()
        self._name = role
        self._config = config
        self._weights: Path | None = None
        self._identity = {"endpoint": self.role.base_url, "model": self.role.model}
        if self.role.base_url == LOCAL:
            self._weights = weights(config.local, self.role.model, config.cache.parent)
            self._identity["weights"] = fingerprint(self._weights)
            template = config.local.models[self.role.model].chat_template
            if template is not None:
                self._identity["chat_template"] = template
        self._cache = Cache(config.cache)
        self._stack = contextlib.ExitStack()
        self._base_url: str | None = None

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the embedded server and close the cache."""
        self._stack.close()
        self._cache.close()

    def run(self, requests: Sequence[Request], advance: Callable[[float], None] = lambda done: None) -> list[Outcome]:
        """One outcome a request, in order. Finished calls come from the cache and are never made again.

        Args:
            requests: What to ask; equal requests are asked once.
            advance: Told of each request that is done.

        Raises:
            EndpointError: the endpoint stayed down, busy or silent through all attempts, for more than
                `llm.max_unanswered` requests; fewer are returned as outcomes, and asked again by the next run.
            AccessError: the endpoint refused the key.
            BudgetError: the next call could exceed the budget.
        """
        keys = [payload_key(self._payload(request)) for request in requests]
        outcomes: dict[str, Outcome] = {}
        missing: dict[str, Request] = {}
        for key, request in zip(keys, requests, strict=True):
            raw = self._cache.get(key)
            if raw is None:
                missing.setdefault(key, request)
                continue
            self.spent.cached += 1
            outcomes[key] = _outcome(raw, request, cached=True)
            advance(1)
        if missing:
            outcomes |= asyncio.run(self._send(missing, advance))
        repaired = self._repair(dict(zip(keys, requests, strict=True)), outcomes)
        return [repaired.get(key, outcomes[key]) for key in keys]

    def estimate(self, requests: Sequence[Request]) -> Estimate:
        """What `run` would take for `requests`, without sending anything; equal requests count once."""
        distinct = {payload_key(self._payload(request)): request for request in requests}
        missing = [request for key, request in distinct.items() if self._cache.get(key) is None]
        prompt = sum(_prompt_tokens(request) for request in missing)
        completion = sum(request.max_tokens for request in missing)
        usd = sum(self._worst(request) for request in missing)
        return Estimate(len(distinct), len(distinct) - len(missing), prompt, completion, usd)

    def _payload(self, request: Request) -> dict[str, Any]:
        return {
            **self._identity,
            "messages": list(request.messages),
            "schema": request.schema,
            "schema_mode": self.role.json_schema,
            "sampling": self.role.sampling.model_dump(),
            "max_tokens": request.max_tokens,
            "repeat": request.repeat,
        }

    async def _send(self, missing: dict[str, Request], advance: Callable[[float], None]) -> dict[str, Outcome]:
        if self.role.mode == "online":
            return await self._run_missing(missing, advance)
        outcomes: dict[str, Outcome] = {}

        def finished(key: str, reply: RawReply | RequestError) -> None:
            if isinstance(reply, RequestError):
                outcomes[key] = reply
            else:
                # A run that was killed while it collected bills no line again.
                if self._cache.put_billed(key, self._payload(missing[key]), reply, self._price(reply.usage)):
                    self._count(reply)
                outcomes[key] = _outcome(reply, missing[key], cached=False)
            advance(1)

        bodies = {key: self._body(request) for key, request in missing.items()}
        worst = {key: self._worst(request) for key, request in missing.items()}
        try:
            await run_batch(self._endpoint(), self._config, self._cache, bodies, worst, finished)
        except OverBudgetError as error:
            raise self._over_budget(error) from error
        return outcomes

    def _worst(self, request: Request) -> float:
        """The most one call can cost, in US dollars."""
        return self._price(Usage(_prompt_tokens(request), request.max_tokens))

    async def _run_missing(self, missing: dict[str, Request], advance: Callable[[float], None]) -> dict[str, Outcome]:
        """Outcomes by key. After a fatal error none is begun; those in flight end, for they may be billed already.

        A request that gets no reply in all its attempts does not keep the others from being made: the endpoint is taken
        to be down only when as many in a row get none as are in flight together.
        """
        gate = asyncio.Semaphore(self._config.concurrency)
        outcomes: dict[str, Outcome] = {}
        fatal: list[LLMError] = []
        in_a_row = 0

        async def one(wire: Wire, key: str, request: Request) -> None:
            nonlocal in_a_row
            async with gate:
                if fatal:
                    return
                try:
                    outcomes[key] = await self._call(wire, key, request)
                    in_a_row = 0
                except EndpointError as error:
                    outcomes[key] = error
                    in_a_row += 1
                    if in_a_row >= self._config.concurrency:
                        fatal.append(error)
                except FATAL as error:
                    fatal.append(error)
            advance(1)

        async with Wire(self._endpoint(), self._config, random.Random()) as wire:
            try:
                async with asyncio.TaskGroup() as group:
                    for key, request in missing.items():
                        group.create_task(one(wire, key, request))
            finally:
                self.spent.retries += wire.retries
        if fatal:
            raise fatal[0]
        unanswered = [outcome for outcome in outcomes.values() if isinstance(outcome, EndpointError)]
        if len(unanswered) > self._config.max_unanswered:
            raise EndpointError(
                f"{len(unanswered)} of {len(missing)} requests got no usable reply (llm.max_unanswered is "
                f"{self._config.max_unanswered}). The first: {unanswered[0]}"
            )
        return outcomes

    async def _call(self, wire: Wire, key: str, request: Request) -> Outcome:
        """The outcome of one request; the last reply is cached even where it is unusable, so it is not asked again."""
        payload = self._payload(request)
        outcome: Outcome = UnparsableError("no reply")
        raw: RawReply | None = None
        for _ in range(self.role.reply_attempts):
            with self._reserve(self._worst(request)):
                try:
                    raw = await wire.send(self._body(request))
                except FATAL:
                    raise
                except LLMError as error:
                    return error
                self._cache.bill(key, raw, self._price(raw.usage))
                self._count(raw)
            outcome = _outcome(raw, request, cached=False)
            if isinstance(outcome, Reply):
                break
        if raw is not None:
            self._cache.put(key, payload, raw)
        return outcome

    def _repair(self, requests: dict[str, Request], outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        """Ask once more for the replies that are not JSON, showing the model what was wrong."""
        if self.role.json_schema != "prompt":
            return {}
        broken = {
            key: outcome
            for key, outcome in outcomes.items()
            if isinstance(outcome, UnparsableError) and requests[key].schema is not None
        }
        repairs: dict[str, Request] = {}
        repaired: dict[str, Outcome] = {}
        again: dict[str, str] = {}
        for key, error in broken.items():
            raw = self._cache.get(key)
            request = _repair_request(requests[key], "" if raw is None else raw.text, str(error))
            again[key] = payload_key(self._payload(request))
            stored = self._cache.get(again[key])
            if stored is None:
                repairs[again[key]] = request
            else:
                repaired[again[key]] = _outcome(stored, request, cached=True)
        if repairs:
            repaired |= asyncio.run(self._send(repairs, lambda done: None))
        return {key: repaired[again[key]] for key in broken}

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = self.role.sampling
        body: dict[str, Any] = {
            "model": self.role.model,
            "messages": list(request.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": request.max_tokens,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed + request.repeat
        if request.schema is not None and self.role.json_schema == "native":
            schema = {"name": "reply", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None:
            body["messages"] = _with_schema(request.messages, request.schema)
        return body

    def _endpoint(self) -> Endpoint:
        if self._base_url is None:
            self._base_url = self._started() if self._weights else self.role.base_url
        return Endpoint(self._base_url, self._key())

    def _started(self) -> str:
        assert self._weights is not None
        return self._stack.enter_context(local_server(self._config.local, self.role.model, self._weights))

    def _key(self) -> str:
        name = self.role.api_key_env
        if name is None:
            return "none"
        if not os.environ.get(name):
            raise ConfigError(f"llm.roles.{self._name}: the environment variable {name} is not set.")
        return os.environ[name]

    def _price(self, usage: Usage) -> float:
        prices = self.role.prices
        return (usage.prompt * prices.input + usage.completion * prices.output) / 1e6

    @contextlib.contextmanager
    def _reserve(self, usd: float) -> Iterator[None]:
        """Hold `usd` of the budget while a call is in flight, so that parallel calls cannot overshoot together.

        All roles, stages and processes on one cache share the budget.
        """
        if not usd:
            yield
            return
        try:
            held = self._cache.hold(usd, self._config.budget_usd)
        except OverBudgetError as error:
            raise self._over_budget(error) from error
        try:
            yield
        finally:
            self._cache.release(held)

    def _over_budget(self, error: OverBudgetError) -> BudgetError:
        return BudgetError(
            f"llm.budget_usd is {self._config.budget_usd:.4f}; {error.spent:.4f} is spent, calls under way may cost "
            f"{error.held:.4f} and the next {error.wanted:.4f}. Finished calls are kept: raise the budget and run "
            "again."
        )

    def _count(self, raw: RawReply) -> None:
        self.spent.calls += 1
        self.spent.prompt_tokens += raw.usage.prompt
        self.spent.completion_tokens += raw.usage.completion
        self.spent.usd += self._price(raw.usage)


def _outcome(raw: RawReply, request: Request, *, cached: bool) -> Outcome:
    try:
        return read_reply(raw, request, cached=cached)
    except (CutOffError, UnparsableError) as error:
        return error


def _prompt_tokens(request: Request) -> int:
    characters = sum(len(message["content"]) for message in request.messages)
    if request.schema is not None:
        characters += len(json.dumps(request.schema))
    return characters // CHARACTERS_PER_TOKEN + 8


def _with_schema(messages: Sequence[Message], schema: dict[str, Any]) -> list[Message]:
    """The messages with the schema in the last one, for servers that cannot enforce it."""
    *before, last = messages
    asked = (
        f"{last['content']}\n\nReply with one JSON object only, valid against this JSON Schema:\n{json.dumps(schema)}"
    )
    return [*before, {"role": last["role"], "content": asked}]


def _repair_request(request: Request, bad: str, problem: str) -> Request:
    correction: tuple[Message, ...] = (
        {"role": "assistant", "content": bad or "(empty)"},
        {"role": "user", "content": f"{problem} Reply again with the corrected JSON object only."},
    )
    return Request(request.messages + correction, request.schema, request.max_tokens, request.repeat)
