"""`python -m pipeline.exchanges`: message-and-reply pairs from the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def exchanges(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("data/exchanges"),
    params: Annotated[Path, typer.Option(help="Settings; sections `exchanges` and `mine`.")] = Path("params.yaml"),
) -> None:
    """Collect short exchanges of other people: distractor turns and held-out text for the evaluation.

    Example: upqa exchanges --out data/exchanges
    """
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.exchanges.stage import ExchangeSettings, run
    from pipeline.mine.config import MineSettings

    settings = load_section(params, "exchanges", ExchangeSettings)
    counts = run(settings, load_section(params, "mine", MineSettings), out)["counts"]["exchanges"]
    console.print(f"{counts['out']} exchanges, {counts['dropped']} dropped of {counts['in']} -> {out}", highlight=False)


if __name__ == "__main__":
    typer.run(exchanges)
