"""The validate command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly

WORTH_PROCESSES = 8_000_000
"""Bytes of drafts.jsonl from which on starting processes pays."""


@friendly
def validate(
    generated: Annotated[Path, typer.Option(help="Folder with drafts.jsonl.")] = Path("data/generated"),
    mined: Annotated[Path, typer.Option(help="Folder with queries.parquet, for their licences.")] = Path("data/mined"),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("data/upqa"),
    schemas: Annotated[Path, typer.Option(help="Folder with the JSON Schemas.")] = Path("schemas"),
    params: Annotated[Path, typer.Option(help="Settings; section `validate`.")] = Path("params.yaml"),
) -> None:
    """Check drafts against the schema and the semantic rules, measure difficulty, split by user.

    Example: upqa validate --generated data/generated --out data/upqa
    """
    import dataclasses

    from pipeline.core.config import load_section
    from pipeline.core.errors import InputError
    from pipeline.core.progress import console
    from pipeline.core.provenance import cores, run_record
    from pipeline.core.records import Dropped, Query
    from pipeline.core.schemas import load
    from pipeline.core.tables import read_parquet, write_json, write_parquet
    from pipeline.embedding import embed
    from pipeline.llm.client import Client
    from pipeline.llm.config import load_llm
    from pipeline.validate.config import ValidateConfig
    from pipeline.validate.difficulty import hashed
    from pipeline.validate.rows import deal, releaser, write_dataset
    from pipeline.validate.stage import check_lines, without_guessable
    from pipeline.validate.workers import processes

    config = load_section(params, "validate", ValidateConfig)
    drafts = generated / "drafts.jsonl"
    if not drafts.exists():
        raise InputError(f"{drafts}: no such file; run `upqa generate` first.")
    encode = embed if config.difficulty.encoder == "minilm" else hashed
    # One process embeds with all cores; bags of words, and a few drafts, need no second one.
    many = config.difficulty.encoder == "hashed" and drafts.stat().st_size > WORTH_PROCESSES
    with (
        run_record("validate", config, ("sentence-transformers", "pyarrow")) as record,
        drafts.open("rb") as lines,
        processes(cores() if many else 1) as in_order,
    ):
        licenses = {query.id: query.license for query in read_parquet(mined / "queries.parquet", Query)}
        checked = check_lines(lines, load(schemas, "draft"), config, in_order)
        if config.reference is not None:
            with Client(config.reference.role, load_llm(params)) as client:
                checked = without_guessable(checked, client, config.reference, config.rules)
                record["llm"] = {"role": client.role.model_dump(), **dataclasses.asdict(client.spent)}
        write_parquet(out / "rejected.parquet", checked.rejected, Dropped)
        dealt = deal(checked.kept, encode, config.split)
        make = releaser(checked.kept, licenses, encode, config)
        written = write_dataset(out, checked.kept, dealt.splits, make, in_order)
        record["counts"] = {**checked.counts, **written, "splits": dealt.counts}
    write_json(out / "report.json", record)
    kept, asked = checked.counts["drafts"], checked.counts["questions"]
    console.print(
        f"validate: {kept['out']} of {kept['in']} preferences and {asked['out']} of {asked['in']} of their questions "
        f"are valid, {record['counts']['users']} users -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(validate)
