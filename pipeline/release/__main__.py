"""The release command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def release(
    dataset: Annotated[Path, typer.Option(help="Folder of validated Parquet.")] = Path("data/upqa"),
    histories: Annotated[Path, typer.Option(help="Histories that `mine` wrote.")] = Path(
        "data/mined/histories.parquet"
    ),
    reports: Annotated[Path, typer.Option(help="Folder with <stage>/report.json of the stages before.")] = Path("data"),
    results: Annotated[Path, typer.Option(help="Folder with measured figures of quality, for the card.")] = Path(
        "benchmarks/results"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings; section `release`.")] = Path("params.yaml"),
) -> None:
    """Build the Hugging Face folder: Parquet, dataset card, manifest.

    Example: upqa release --dataset data/upqa --out build/hub
    """
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.release.config import ReleaseConfig
    from pipeline.release.inputs import read_background, read_dataset
    from pipeline.release.stage import build

    config = load_section(params, "release", ReleaseConfig)
    rows = read_dataset(dataset, histories, config.allowed_licenses)
    manifest = build(rows, read_background(reports, results), out, config)
    refused = sum(rows.refused.values())
    console.print(
        f"release: {len(rows.preferences)} preferences, {len(rows.questions)} questions, {len(rows.histories)} rows "
        f"of history, {refused} rows refused for their licence, dataset {manifest.dataset_sha256[:12]} -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(release)
