"""The `upqa` command: one sub-command per stage, in the order of the pipeline, and a few beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from editing.ability import ability
from editing.edit import app as edit
from editing.evaluate import evaluate
from editing.judge import judge
from editing.leaderboard import leaderboard
from editing.multiturn import multiturn
from editing.personalize import personalize
from editing.submit import submit, verify
from pipeline.exchanges.__main__ import exchanges
from pipeline.generate.__main__ import generate
from pipeline.importers.__main__ import contamination, import_benchmark
from pipeline.mine.__main__ import mine
from pipeline.release.__main__ import release
from pipeline.release.export import export
from pipeline.release.publish import publish
from pipeline.validate.__main__ import validate

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Build UPQA from real conversations and measure how well a model can be made to remember a user.",
    epilog="Settings live in params.yaml. `dvc repro` runs all stages in order and repeats only what changed.",
)

PANELS: dict[str, dict[str, Callable[..., object]]] = {
    "Dataset": {
        "mine": mine,
        "generate": generate,
        "validate": validate,
        "release": release,
        "exchanges": exchanges,
        "publish": publish,
        "export": export,
        "import": import_benchmark,
        "contamination": contamination,
    },
    "Evaluation": {
        "multiturn": multiturn,
        "ability": ability,
        "judge": judge,
        "leaderboard": leaderboard,
        "evaluate": evaluate,
        "submit": submit,
        "verify": verify,
    },
    "Try it": {"personalize": personalize},
}
app.add_typer(edit, name="edit", rich_help_panel="Evaluation")
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"upqa {version('upqa')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options that belong to no stage."""


def main() -> None:
    """Entry point of the `upqa` script."""
    app()
