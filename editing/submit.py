"""The commands `upqa submit` and `upqa verify`: a judged run as one file, and the check of one from somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly

SHOWN = 20
"""Most differences that are printed."""


@friendly
def submit(
    run: Annotated[Path, typer.Argument(help="Folder of one judged run, e.g. results/my-model/rome.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("build/bundle.zip"),
) -> None:
    """Bundle answers, verdicts, scores and hashes of one run into one file that others can verify.

    Example: upqa submit results/smollm2-135m-instruct/rome --out build/rome.zip
    """
    from editing.submission import write_bundle
    from pipeline.core.progress import console

    manifest = write_bundle(run, out)
    console.print(f"{out}: {len(manifest.files)} files, judges {', '.join(manifest.judges)}", highlight=False)


@friendly
def verify(
    bundle: Annotated[Path, typer.Argument(help="A file that `upqa submit` wrote.")],
    dataset: Annotated[Path, typer.Option(help="The released data set the run was evaluated on.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="The settings file; section `judge`.")] = Path("params.yaml"),
) -> None:
    """Score the answers of a bundle again with the local judges; exit code 1 where anything differs.

    Example: upqa verify build/rome.zip --dataset build/hub
    """
    from editing.judges.config import JudgeConfig
    from editing.submission import check_bundle
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    found = check_bundle(bundle, dataset, load_section(params, "judge", JudgeConfig))
    for name in found.unchecked:
        console.print(f"{bundle}: {name}: asks an endpoint, its verdicts are not checked", highlight=False)
    if found.differences:
        for line in found.differences[:SHOWN]:
            typer.secho(f"differs: {line}", fg="red", err=True)
        more = len(found.differences) - SHOWN
        typer.secho(
            f"{bundle}: {len(found.differences)} differences" + (", the first shown" if more > 0 else ""), err=True
        )
        raise typer.Exit(1)
    for name, scores in found.scores["judges"].items():
        headline = scores["headline"]
        value = "none" if headline["value"] is None else f"{headline['value']:.3f}"
        console.print(f"{bundle}: {name}: headline {value} over {headline['n']} answers, as submitted", highlight=False)
    record, code = found.record, found.record["code"]
    changed = "" if code["dirty"] is False else ", with uncommitted changes or outside Git"
    console.print(
        f"{bundle}: {record['method']} on {record['model']['source']}, {record['counts']['preferences']} preferences, "
        f"made with commit {str(code['commit'])[:12]}{changed}",
        highlight=False,
    )
