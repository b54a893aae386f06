"""The command `upqa edit`: personalise one checkpoint with one method and ask all questions; or export an edit."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from editing.export import export
from pipeline.core.command import friendly


class _StageOrExport(TyperGroup):
    """`upqa edit --model ...` runs the stage; before a sub-command its options are not asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in self.commands:
            for option in self.params:
                option.required = False
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_StageOrExport, invoke_without_command=True)
app.command("export")(export)


@app.callback()
@friendly
def edit(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Name of a checkpoint in params.yaml, edit.checkpoints.")],
    method: Annotated[str, typer.Option(help="Name of a method, e.g. rome.")],
    out: Annotated[Path, typer.Option(help="Folder for answers.parquet, run.json and patches/.")],
    scenario: Annotated[str | None, typer.Option(help="Name in edit.scenarios; else edit.scenario.")] = None,
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings file.")] = Path("params.yaml"),
    cache: Annotated[Path, typer.Option(help="Folder a stopped run goes on from.")] = Path(".cache"),
) -> None:
    """Fit a patch for every preference of the evaluated split and answer its questions.

    Example: upqa edit --model smollm2-135m-instruct --method rome --out results/smollm2-135m-instruct/rome
    """
    if context.invoked_subcommand is not None:
        return
    from editing.runner import Cell, EditSettings, run_cell
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    settings = load_section(params, "edit", EditSettings)
    if scenario is not None:
        settings = settings.model_copy(update={"scenario": scenario})
    record = run_cell(Cell(settings, model, method), dataset, out, cache)
    counts, cost = record["counts"], record["cost"]
    console.print(
        f"{method} on {model}: {counts['answers']} answers for {counts['preferences']} preferences, "
        f"{counts['failed_edits']} failed edits, {cost['seconds_per_edit']:.2f} s an edit -> {out}",
        highlight=False,
    )


if __name__ == "__main__":
    app()
