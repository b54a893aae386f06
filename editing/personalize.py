"""The command `upqa personalize`: say something about yourself, ask something, see the answer before and after."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def personalize(
    say: Annotated[str, typer.Option(help="A statement about yourself.")],
    ask: Annotated[list[str], typer.Option(help="A question; may be given several times.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Name in edit.checkpoints, Hub id, folder or GGUF file; the first of edit.models if not given."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="Name of a method.")] = "preference_edit",
    attribute: Annotated[str | None, typer.Option(help="What the statement is about, e.g. diet.")] = None,
    target: Annotated[str | None, typer.Option(help="Your value for it, e.g. vegetarian.")] = None,
    dataset: Annotated[
        Path, typer.Option(help="Released dataset, for a covariance where there are no edit.exchanges.")
    ] = Path("build/hub"),
    params: Annotated[Path, typer.Option(help="Settings file.")] = Path("params.yaml"),
    save: Annotated[Path | None, typer.Option(help="Keep the patch in this file.")] = None,
) -> None:
    """Answer before and after the model was told about you, side by side.

    Example: upqa personalize --say "I'm vegetarian" --ask "What should I cook tonight?"
    """
    from rich.table import Table

    from editing.runner import EditSettings
    from editing.statement import before_and_after, read_statement
    from pipeline.core.config import load_section
    from pipeline.core.progress import console

    settings = load_section(params, "edit", EditSettings)
    fact = read_statement(say, attribute, target)
    console.print(f"Remembering: {fact.subject} = {fact.target}", highlight=False)
    rows, patch = before_and_after(settings, model or settings.models[0], method, fact, ask, dataset)
    table = Table("question", "before", f"after ({method})", show_lines=True)
    for question, before, after in rows:
        table.add_row(question, before, after)
    console.print(table)
    if patch.manifest.failure:
        console.print(f"The edit failed: {patch.manifest.failure}", highlight=False)
    if save is not None:
        patch.save(save)
        console.print(f"Patch of {patch.nbytes} bytes -> {save}", highlight=False)


if __name__ == "__main__":
    typer.run(personalize)
