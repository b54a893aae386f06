"""How many rows of a release the published benchmarks have too: what `upqa contamination` counts, as claims.

`python -m benchmarks.contamination --upqa balanced_subset.json --prefeval prefeval_pro_balanced.json` needs the
published files and the release of the demo; the files of the benchmarks are not part of the project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.config import load_section
from pipeline.embedding import embed
from pipeline.importers.contamination import STATEMENT, report, summary
from pipeline.release.config import ReleaseConfig


def claims_of(file: dict[str, Any], near_duplicate: float, dataset_sha256: str) -> list[Claim]:
    """Share of the release's statements, and of its questions, that one published file has too."""
    made = []
    for name, kinds in (
        ("statements", [STATEMENT]),
        ("questions", [kind for kind in file["overlap"] if kind != STATEMENT]),
    ):
        rows, equal, near = (sum(file["overlap"][kind][what] for kind in kinds) for what in ("rows", "equal", "near"))
        closest = max(file["overlap"][kind]["closest"] for kind in kinds)
        ids = {
            match: sorted(row["id"] for row in file["rows"] if row["what"] in kinds and row["match"] == match)
            for match in ("equal", "near")
        }
        made.append(
            Claim(
                f"contamination.{file['benchmark']}.{name}",
                (equal + near) / rows,
                "share",
                None,
                None,
                rows,
                f"{equal} equal, {near} near, closest {closest:.2f}; {file['records']} published records",
                {
                    "file_sha256": file["sha256"],
                    "dataset_sha256": dataset_sha256,
                    "near_duplicate": near_duplicate,
                    "by_kind": {kind: file["overlap"][kind] for kind in kinds},
                    "ids": ids,
                },
            )
        )
    return made


def main(
    upqa: Annotated[Path, typer.Option(help="File of the published UPQA.")],
    prefeval: Annotated[Path, typer.Option(help="PrefEval file.")],
    dataset: Annotated[Path, typer.Option(help="Release folder.")] = ROOT / "build" / "hub",
) -> None:
    """Measure and write benchmarks/results/contamination.json."""
    threshold = load_section(ROOT / "params.yaml", "release", ReleaseConfig).near_duplicate
    found = report(dataset, [("upqa", upqa), ("prefeval", prefeval)], embed, threshold)
    for line in summary(found):
        typer.echo(line)
    claims = [claim for file in found["files"] for claim in claims_of(file, threshold, found["dataset_sha256"])]
    write("contamination", f"python -m benchmarks.contamination --upqa {upqa.name} --prefeval {prefeval.name}", claims)


if __name__ == "__main__":
    typer.run(main)
