"""`python -m pipeline.generate`: mined statements and queries to drafts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def generate(
    mined: Annotated[Path, typer.Option(help="Folder that the mine stage wrote.")] = Path("data/mined"),
    out: Annotated[Path, typer.Option(help="Folder for drafts.jsonl, dropped.jsonl and report.json.")] = Path(
        "data/generated"
    ),
    prompts: Annotated[Path, typer.Option(help="Folder of prompt files.")] = Path("prompts"),
    params: Annotated[Path, typer.Option(help="Settings.")] = Path("params.yaml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print calls, tokens and price.")] = False,
) -> None:
    """Write questions about each mined statement.

    Example: upqa generate --mined data/mined --out data/generated
    """
    from pipeline.generate.command import dry, run

    if dry_run:
        dry(mined, prompts, params)
    else:
        run(mined, out, prompts, params)


if __name__ == "__main__":
    typer.run(generate)
