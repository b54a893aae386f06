"""The provider's Batch API: write, submit, poll, collect; killed between any two steps, a run goes on unbilled.

A batch is recorded before it is submitted and carries its own digest as metadata. A later run that finds a record
without a batch id first asks the provider for a batch with that digest, so the reply to "create" may get lost. More
calls than the provider takes in one file are shared out over several batches, which are all under way at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

import openai
from openai.types import Batch
from pydantic import BaseModel, ValidationError

from pipeline.llm.cache import Cache
from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import AccessError, EndpointError, RequestError
from pipeline.llm.messages import RawReply, payload_key
from pipeline.llm.wire import RETRIED_STATUS, Completion, Endpoint, as_raw_reply

DIGEST = "upqa_digest"
"""Name of the metadata field that holds a batch's digest."""
_REFUSED = {"failed", "cancelled"}
"""Ends that submitting the same lines again would not cure: the file is at fault, or somebody stopped it."""
_ENDED = {"completed", "expired", *_REFUSED}


class _Response(BaseModel):
    status_code: int
    body: dict[str, Any]


class _Line(BaseModel):
    """One line of a batch's output file; fields that are not read are ignored."""

    custom_id: str
    response: _Response | None = None


Finished = Callable[[str, RawReply | RequestError], None]
"""Told the key and the reply of each call that ended, or why the endpoint refused it for good."""


async def run_batch(
    endpoint: Endpoint,
    config: LLMConfig,
    cache: Cache,
    bodies: Mapping[str, dict[str, Any]],
    worst: Mapping[str, float],
    finished: Finished,
) -> None:
    """Have `bodies` answered through the Batch API.

    Args:
        endpoint: Where to submit.
        config: Limits; lines that fail are submitted again at most `config.attempts` times in all.
        cache: Holds the record of batches under way.
        bodies: Chat completion bodies by the key of the call.
        worst: The most each call can cost, in US dollars.
        finished: Keeps a reply; called once a key.

    Raises:
        AccessError: the endpoint refused the key.
        EndpointError: the endpoint failed, or lines kept failing; finished calls are kept.
        OverBudgetError: what is still to be submitted could exceed the budget; nothing of it is.
    """
    waiting = dict(bodies)

    def done(key: str, reply: RawReply | RequestError) -> None:
        if waiting.pop(key, None) is not None:
            finished(key, reply)

    async with openai.AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.key, max_retries=config.attempts, timeout=config.timeout_s
    ) as api:
        try:
            under_way = await _begun(api, cache, waiting.keys())
            for attempt in range(config.attempts + bool(under_way)):
                recorded = {key for batch in under_way for key in batch.keys}
                parts = _parts({key: body for key, body in waiting.items() if key not in recorded}, config)
                planned = _planned(cache, parts, attempt)
                costs = {digest: (tuple(part), sum(worst[key] for key in part)) for digest, part in planned.items()}
                cache.begin_batches(costs, config.budget_usd)
                for digest, part in planned.items():
                    under_way.append(await _submit(api, cache, digest, part))
                for batch in under_way:
                    await _collect(api, config, cache, batch, done)
                under_way = []
                if not waiting:
                    return
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise AccessError(f"{endpoint.base_url} refused the key (HTTP {error.status_code}).") from error
        except openai.APIError as error:
            raise EndpointError(
                f"{endpoint.base_url}: batch: {error}. Run again to go on with the same batch."
            ) from error
    if waiting:
        raise EndpointError(f"{endpoint.base_url}: {len(waiting)} batch lines failed {config.attempts} times.")


class _Submitted(NamedTuple):
    """A batch at the provider."""

    digest: str
    batch_id: str
    keys: tuple[str, ...]


async def _begun(api: openai.AsyncOpenAI, cache: Cache, wanted: Set[str]) -> list[_Submitted]:
    """Recorded batches with lines that are `wanted`; one that never reached the provider is forgotten."""
    begun = []
    for record in cache.open_batches():
        if not wanted & set(record.keys):
            continue
        batch_id = record.batch_id or await _id_of(api, record.digest)
        if batch_id is None:
            cache.close_batch(record.digest)
            continue
        cache.submitted_batch(record.digest, batch_id)
        begun.append(_Submitted(record.digest, batch_id, record.keys))
    return begun


async def _id_of(api: openai.AsyncOpenAI, digest: str) -> str | None:
    async for batch in api.batches.list(limit=100):
        if (batch.metadata or {}).get(DIGEST) == digest:
            return batch.id
    return None


def _parts(bodies: Mapping[str, dict[str, Any]], config: LLMConfig) -> Iterator[dict[str, bytes]]:
    """Lines by key, in as few files as the provider's limits allow; a line that is too long alone has its own."""
    part: dict[str, bytes] = {}
    size = 0
    for key, body in bodies.items():
        line = json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()
        if part and (len(part) == config.batch_max_calls or size + len(line) + 1 > config.batch_max_mb * 10**6):
            yield part
            part, size = {}, 0
        part[key] = line
        size += len(line) + 1
    if part:
        yield part


def _planned(cache: Cache, parts: Iterable[Mapping[str, bytes]], attempt: int) -> dict[str, Mapping[str, bytes]]:
    """Lines by key of each batch to submit, by a digest that no batch had before."""
    begun = cache.batches_begun()
    return {payload_key([sorted(part), attempt, begun + at]): part for at, part in enumerate(parts)}


async def _submit(api: openai.AsyncOpenAI, cache: Cache, digest: str, lines: Mapping[str, bytes]) -> _Submitted:
    uploaded = await api.files.create(file=("batch.jsonl", b"\n".join(lines.values())), purpose="batch")
    # No retry here: when the reply gets lost the batch may exist, and only a look at the provider's list can tell.
    batch = await api.with_options(max_retries=0).batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={DIGEST: digest},
    )
    cache.submitted_batch(digest, batch.id)
    return _Submitted(digest, batch.id, tuple(lines))


async def _collect(
    api: openai.AsyncOpenAI, config: LLMConfig, cache: Cache, submitted: _Submitted, done: Finished
) -> None:
    try:
        batch = await _ended(api, config, submitted.batch_id)
        for file_id in (batch.output_file_id, batch.error_file_id):
            content = "" if file_id is None else (await api.files.content(file_id)).text
            for line in content.splitlines():
                reply = _read_line(line)
                if reply is not None:
                    done(*reply)
    except openai.NotFoundError as error:
        cache.close_batch(submitted.digest)
        raise EndpointError(
            f"{api.base_url} does not know batch {submitted.batch_id} any more, or its files: deleted, or of another "
            "key. It is forgotten: run again to submit its lines anew."
        ) from error
    cache.close_batch(submitted.digest)
    if batch.status in _REFUSED:
        told = "; ".join(f"{fault.code}: {fault.message}" for fault in (batch.errors and batch.errors.data) or ())
        raise EndpointError(
            f"{api.base_url}: batch {batch.id} is {batch.status}{': ' if told else ''}{told}. What was answered is "
            "kept; run again to submit the rest."
        )


async def _ended(api: openai.AsyncOpenAI, config: LLMConfig, batch_id: str) -> Batch:
    while True:
        batch = await api.batches.retrieve(batch_id)
        if batch.status in _ENDED:
            return batch
        await asyncio.sleep(config.batch_poll_s)


def _read_line(line: str) -> tuple[str, RawReply | RequestError] | None:
    """Key and reply of a line of the output or error file; None for one that failed and is worth another attempt."""
    try:
        read = _Line.model_validate_json(line)
        if read.response is None or read.response.status_code in RETRIED_STATUS or read.response.status_code >= 500:
            return None
        if read.response.status_code != 200:
            return read.custom_id, RequestError(f"refused in a batch (HTTP {read.response.status_code})")
        return read.custom_id, as_raw_reply(Completion.model_validate(read.response.body))
    except ValidationError:
        return None
