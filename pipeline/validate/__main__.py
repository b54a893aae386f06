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
    from functools import partial

    from pipeline.core.config import load_section
    from pipeline.core.errors import InputError
    from pipeline.core.progress import console
    from pipeline.core.provenance import run_record
    from pipeline.core.records import Dropped, Preference, Query, Question
    from pipeline.core.schemas import load
    from pipeline.core.tables import read_parquet, write_json, write_parquet
    from pipeline.embedding import embed
    from pipeline.validate.config import ValidateConfig
    from pipeline.validate.splits import SPLITS
    from pipeline.validate.stage import parse_drafts, validate_drafts

    config = load_section(params, "validate", ValidateConfig)
    drafts = generated / "drafts.jsonl"
    if not drafts.exists():
        raise InputError(f"{drafts}: no such file; run `upqa generate` first.")
    with run_record("validate", config, ("sentence-transformers", "pyarrow")) as record, drafts.open("rb") as lines:
        licenses = {query.id: query.license for query in read_parquet(mined / "queries.parquet", Query)}
        parsed = parse_drafts(lines, load(schemas, "draft"))
        result = validate_drafts(parsed, licenses, partial(embed, dtype=config.encoder_dtype), config)
        for split in SPLITS:
            rows = (p for p in result.preferences if p.split == split)
            write_parquet(out / "preferences" / f"{split}.parquet", rows, Preference)
            asked = (q for q in result.questions if q.split == split)
            write_parquet(out / "questions" / f"{split}.parquet", asked, Question)
        write_parquet(out / "rejected.parquet", result.rejected, Dropped)
        record["counts"] = result.counts
    write_json(out / "report.json", record)
    kept, asked_count = result.counts["drafts"], result.counts["questions"]
    console.print(
        f"validate: {kept['out']} of {kept['in']} preferences and {asked_count['out']} of {asked_count['in']} of their "
        f"questions are valid, {result.counts['users']} users -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(validate)
