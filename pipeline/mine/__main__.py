"""`python -m pipeline.mine`: statements and queries from conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def mine(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("data/mined"),
    params: Annotated[Path, typer.Option(help="Settings; section `mine`.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Folder of finished shards of a run under way.")] = Path(".cache/mine"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only open every source and show its licence.")] = False,
) -> None:
    """Find preference statements and advice-seeking queries in conversations.

    Example: upqa mine --out data/mined

    Example: upqa mine --dry-run
    """
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.mine.config import MineSettings
    from pipeline.mine.search import previews
    from pipeline.mine.stage import run

    settings = load_section(params, "mine", MineSettings)
    if dry_run:
        for line in previews(settings):
            console.print(f"mine: {line}", highlight=False, soft_wrap=True)
        return
    report = run(settings, out, cache)
    counts = report["counts"]
    console.print(
        f"{counts['statements']} statements of {counts['users_with_statements']} users, "
        f"{counts['histories']['rows']} in their histories, {counts['queries']} queries, "
        f"{counts['candidates']['dropped']} dropped of {counts['candidates']['in']} candidates -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(mine)
