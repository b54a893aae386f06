"""The commands that import a published benchmark, and compare a release with some."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


class Benchmark(StrEnum):
    """Benchmarks that can be imported."""

    UPQA = "upqa"
    """The published UPQA: balanced_subset.json, balanced_subset_cluster9.json and files of the same form."""
    PREFEVAL = "prefeval"
    """PrefEval with subject and target: prefeval_pro_balanced.json."""


@friendly
def import_benchmark(
    benchmark: Annotated[Benchmark, typer.Option("--format", help="Which benchmark the file belongs to.")],
    file: Annotated[Path, typer.Option("--in", help="The published JSON file.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    as_published: Annotated[
        bool, typer.Option(help='Keep synonyms\' questions about the assistant ("your pastime") as they are.')
    ] = False,
    controls: Annotated[bool, typer.Option(help="Add control questions of ours; the benchmarks have none.")] = True,
    params: Annotated[Path, typer.Option(help="Settings; sections `validate` and `generate`.")] = Path("params.yaml"),
) -> None:
    """Turn a published benchmark into a data set that `upqa edit --dataset` reads.

    All its rows are test rows under CC-BY-NC-4.0.

    Example: upqa import --format upqa --in balanced_subset_cluster9.json --out build/upqa-official
    """
    from pipeline.core.config import load_section
    from pipeline.core.progress import console
    from pipeline.embedding import embed
    from pipeline.generate.config import GenerateConfig
    from pipeline.importers.controls import with_controls
    from pipeline.importers.stage import dataset, read, write
    from pipeline.validate.config import ValidateConfig
    from pipeline.validate.difficulty import hashed

    config = load_section(params, "validate", ValidateConfig)
    encode = embed if config.difficulty.encoder == "minilm" else hashed
    found = read(benchmark.value, file, first_person=not as_published)
    drafts = found.drafts
    if controls:
        drafts = with_controls(drafts, encode, load_section(params, "generate", GenerateConfig).matching, config.rules)
    rows = dataset(drafts, encode, config.rules, config.difficulty)
    manifest = write(benchmark.value, rows, file, out)
    console.print(
        f"import: {len(rows.preferences)} preferences ({found.records - len(rows.preferences)} repeated records), "
        f"{len(rows.questions)} questions, dataset {manifest['dataset_sha256'][:12]} -> {out}",
        highlight=False,
    )


@friendly
def contamination(
    dataset: Annotated[Path, typer.Option(help="Release folder.")] = Path("build/hub"),
    upqa: Annotated[list[Path] | None, typer.Option(help="File of the published UPQA; may be repeated.")] = None,
    prefeval: Annotated[list[Path] | None, typer.Option(help="PrefEval file; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Report to write.")] = Path("data/contamination/report.json"),
    params: Annotated[Path, typer.Option(help="Settings; section `release`.")] = Path("params.yaml"),
) -> None:
    """Report which rows of a release a published benchmark has too: the same words, or near-duplicates by MiniLM.

    `dvc repro -sf release` then puts the counts into the dataset card.

    Example: upqa contamination --upqa balanced_subset.json --prefeval prefeval_pro_balanced.json
    """
    from pipeline.core.config import load_section
    from pipeline.core.errors import InputError
    from pipeline.core.progress import console
    from pipeline.core.tables import write_json
    from pipeline.embedding import embed
    from pipeline.importers.contamination import report, summary
    from pipeline.importers.stage import Format
    from pipeline.release.config import ReleaseConfig

    files: list[tuple[Format, Path]] = [("upqa", path) for path in upqa or ()]
    files += [("prefeval", path) for path in prefeval or ()]
    if not files:
        raise InputError("Nothing to compare with; pass --upqa FILE or --prefeval FILE.")
    found = report(dataset, files, embed, load_section(params, "release", ReleaseConfig).near_duplicate)
    write_json(out, found)
    for line in summary(found):
        console.print(f"contamination: equal+near: {line}", highlight=False, soft_wrap=True)
    console.print(f"contamination: -> {out}", highlight=False)


if __name__ == "__main__":
    typer.run(import_benchmark)
