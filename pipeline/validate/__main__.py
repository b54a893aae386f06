"""The validate command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


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
    from pipeline.core.provenance import run_record
    from pipeline.core.records import Dropped, Query
    from pipeline.core.schemas import load
    from pipeline.core.tables import read_parquet, write_json, write_parquet
    from pipeline.embedding import embed
    from pipeline.llm.client import Client
    from pipeline.llm.config import load_llm
    from pipeline.validate.config import ValidateConfig
    from pipeline.validate.difficulty import hashed
    from pipeline.validate.stage import check, deal, parse_drafts, release, without_guessable, write_dataset

    config = load_section(params, "validate", ValidateConfig)
    drafts = generated / "drafts.jsonl"
    if not drafts.exists():
        raise InputError(f"{drafts}: no such file; run `upqa generate` first.")
    encode = embed if config.difficulty.encoder == "minilm" else hashed
    with run_record("validate", config, ("sentence-transformers", "pyarrow")) as record, drafts.open("rb") as lines:
        licenses = {query.id: query.license for query in read_parquet(mined / "queries.parquet", Query)}
        checked = check(parse_drafts(lines, load(schemas, "draft")), config)
        if config.reference is not None:
            with Client(config.reference.role, load_llm(params)) as client:
                checked = without_guessable(checked, client, config.reference, config.rules)
                record["llm"] = {"role": client.role.model_dump(), **dataclasses.asdict(client.spent)}
        write_parquet(out / "rejected.parquet", checked.rejected, Dropped)
        dealt = deal(checked.kept, encode, config.split)
        rows = release(checked.kept, dealt.splits, licenses, encode, config)
        written = write_dataset(out, rows, total=len(checked.kept))
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
