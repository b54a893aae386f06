"""The provider's Batch API: write, submit, poll, collect; killed between any two steps, a run goes on unbilled.

A batch is recorded before it is submitted and carries its own digest as metadata. A later run that finds a record
without a batch id first asks the provider for a batch with that digest, so the reply to "create" may get lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

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
_ENDED = {"completed", "failed", "expired", "cancelled"}


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
    endpoint: Endpoint, config: LLMConfig, cache: Cache, bodies: Mapping[str, dict[str, Any]], finished: Finished
) -> None:
    """Have `bodies` answered through the Batch API.

    Args:
        endpoint: Where to submit.
        config: Limits; lines that fail are submitted again at most `config.attempts` times in all.
        cache: Holds the record of batches under way.
        bodies: Chat completion bodies by the key of the call.
        finished: Keeps a reply; called once a key.

    Raises:
        AccessError: the endpoint refused the key.
        EndpointError: the endpoint failed, or lines kept failing; finished calls are kept.
    """
    waiting = dict(bodies)

    def done(key: str, reply: RawReply | RequestError) -> None:
        if waiting.pop(key, None) is not None:
            finished(key, reply)

    async with openai.AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.key, max_retries=config.attempts, timeout=config.timeout_s
    ) as api:
        try:
            for record in cache.open_batches():
                if waiting.keys() & set(record.keys):
                    await _resume(api, config, cache, record.digest, record.batch_id, done)
            for attempt in range(config.attempts):
                if not waiting:
                    return
                await _submit(api, config, cache, waiting, attempt, done)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise AccessError(f"{endpoint.base_url} refused the key (HTTP {error.status_code}).") from error
        except openai.APIError as error:
            raise EndpointError(
                f"{endpoint.base_url}: batch: {error}. Run again to go on with the same batch."
            ) from error
    if waiting:
        raise EndpointError(f"{endpoint.base_url}: {len(waiting)} batch lines failed {config.attempts} times.")


async def _resume(
    api: openai.AsyncOpenAI, config: LLMConfig, cache: Cache, digest: str, batch_id: str | None, done: Finished
) -> None:
    """Go on with a recorded batch; one that never reached the provider is forgotten."""
    if batch_id is None:
        found = [batch async for batch in api.batches.list(limit=100) if (batch.metadata or {}).get(DIGEST) == digest]
        if not found:
            cache.close_batch(digest)
            return
        batch_id = found[0].id
        cache.submitted_batch(digest, batch_id)
    await _collect(api, config, cache, digest, batch_id, done)


async def _submit(
    api: openai.AsyncOpenAI,
    config: LLMConfig,
    cache: Cache,
    bodies: Mapping[str, dict[str, Any]],
    attempt: int,
    done: Finished,
) -> None:
    digest = payload_key([sorted(bodies), attempt, cache.batches_begun()])
    cache.begin_batch(digest, sorted(bodies))
    lines = (
        json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})
        for key, body in bodies.items()
    )
    uploaded = await api.files.create(file=("batch.jsonl", "\n".join(lines).encode()), purpose="batch")
    # No retry here: when the reply gets lost the batch may exist, and only a look at the provider's list can tell.
    batch = await api.with_options(max_retries=0).batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={DIGEST: digest},
    )
    cache.submitted_batch(digest, batch.id)
    await _collect(api, config, cache, digest, batch.id, done)


async def _collect(
    api: openai.AsyncOpenAI, config: LLMConfig, cache: Cache, digest: str, batch_id: str, done: Finished
) -> None:
    batch = await _ended(api, config, batch_id)
    for file_id in (batch.output_file_id, batch.error_file_id):
        content = "" if file_id is None else (await api.files.content(file_id)).text
        for line in content.splitlines():
            reply = _read_line(line)
            if reply is not None:
                done(*reply)
    cache.close_batch(digest)


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
