"""Files to rows and back for the generate command."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pipeline.core.config import load_section
from pipeline.core.progress import console
from pipeline.core.provenance import run_record
from pipeline.core.records import Dropped, Query, Statement
from pipeline.core.tables import read_parquet, write_json, write_jsonl
from pipeline.embedding import embed
from pipeline.generate.composer import Composer, model_kinds
from pipeline.generate.config import GenerateConfig
from pipeline.generate.stage import generate_drafts
from pipeline.generate.topics import find_topics
from pipeline.generate.updates import with_earlier
from pipeline.generate.validator import Validator
from pipeline.generate.writer import Writer
from pipeline.llm.client import Client, Estimate
from pipeline.llm.config import load_llm
from pipeline.validate.config import ValidateConfig


def run(mined: Path, out: Path, prompts: Path, params: Path) -> None:
    """Write drafts.jsonl, dropped.jsonl and report.json to `out`."""
    config = load_section(params, "generate", GenerateConfig)
    rules = load_section(params, "validate", ValidateConfig).rules
    statements = list(read_parquet(mined / "statements.parquet", Statement))
    queries = list(read_parquet(mined / "queries.parquet", Query))
    encode = partial(embed, dtype=config.encoder_dtype)
    with run_record("generate", config, ("openai", "xllamacpp")) as record:
        with Client(config.role, load_llm(params)) as client, _asked(config, params) as other:
            writer, validator = Writer(client, prompts, config), Validator(other, prompts) if other else None
            generated = generate_drafts(
                statements, queries, remarks(mined, queries), writer, encode, config, rules, validator
            )
            for name, used in (("llm", client), ("validator", other)):
                if used is not None:
                    record[name] = {"role": used.role.model_dump(), **dataclasses.asdict(used.spent)}
        record["counts"] = generated.counts
        write_jsonl(out / "drafts.jsonl", generated.drafts)
        write_jsonl(out / "dropped.jsonl", generated.dropped)
    write_json(out / "report.json", record)
    console.print(f"generate: {len(generated.drafts)} drafts, {len(generated.dropped)} statements dropped")


def _asked(config: GenerateConfig, params: Path) -> contextlib.AbstractContextManager[Client | None]:
    """A client for the validator, where there is to be one."""
    role = config.matching.validator
    return contextlib.nullcontext() if role is None else Client(role, load_llm(params))


def remarks(mined: Path, queries: Iterable[Query]) -> dict[str, list[str]]:
    """By user, the sentences of dropped.parquet and the queries: what they wrote besides the mined statements."""
    said: dict[str, list[str]] = defaultdict(list)
    for query in queries:
        said[query.user_id].append(query.text)
    for dropped in read_parquet(mined / "dropped.parquet", Dropped):
        row = json.loads(dropped.row)
        said[row["user_id"]].append(row["text"])
    return said


def dry(mined: Path, prompts: Path, params: Path) -> None:
    """Print what the calls would take; sends nothing."""
    config = load_section(params, "generate", GenerateConfig)
    rules = load_section(params, "validate", ValidateConfig).rules
    statements = list(read_parquet(mined / "statements.parquet", Statement))
    topics = with_earlier(find_topics(statements, config.max_statements, rules).kept, rules)
    with _asked(config, params) as other:
        if other is not None:
            queries = list(read_parquet(mined / "queries.parquet", Query))
            encode = partial(embed, dtype=config.encoder_dtype)
            pairs = Composer(topics, statements, queries, {}, encode, config, rules).matches
            console.print(f"matching: {_said(Validator(other, prompts).estimate(pairs))}.", soft_wrap=True)
    with Client(config.role, load_llm(params)) as client:
        first = Writer(client, prompts, config).estimate([(topic, model_kinds(config)) for topic in topics])
    console.print(
        f"generate: {_said(first)}; up to {config.samples} times that where the rules reject samples.", soft_wrap=True
    )


def _said(estimate: Estimate) -> str:
    return (
        f"{estimate.calls} calls, {estimate.cached} of them cached; about {estimate.prompt_tokens} prompt tokens, at "
        f"most {estimate.completion_tokens} reply tokens, at most ${estimate.usd:.4f}"
    )
