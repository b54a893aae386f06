"""What preference_edit costs beside lora: seconds a user, both in one process on the same users.

`python -m benchmarks.preference_edit_cost [--users 8]`. The users are the made-up ones of `benchmarks.editing`, each
with another attribute type, so the cold figure is the worst case: no question that names one was read before.
What is read once for a model (its own answers, and the bank's questions) is timed apart. All three ways take turns.

- `edit.preference_edit_cost_warm`: seconds over `lora`'s where questions of the same attribute types were read before.
- `edit.preference_edit_cost_cold`: the same where none was.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.editing import FACTS, MODEL, timed, users
from editing.lm.load import load
from editing.methods.base import Method, Resources
from editing.methods.registry import create, load_config
from editing.runner import EditSettings
from pipeline.core.config import load_section

OURS = "preference_edit"
REPEATS = 5


def main(
    count: Annotated[int, typer.Option("--users", help=f"Users fitted together, {len(FACTS)} at most.")] = 8,
) -> None:
    """Write benchmarks/results/preference_edit_cost.json."""
    settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device="cpu")
    people = users(min(count, len(FACTS)))

    def ours(folder: Path) -> Method[Any]:
        return create(OURS, load_config(OURS, MODEL), Resources((), folder))

    lora = create("lora", load_config("lora", MODEL), Resources(()))
    lora.fit(lm, people[:1])
    seconds: dict[str, list[float]] = {"cold": [], "warm": [], "lora": []}
    with tempfile.TemporaryDirectory() as folder:
        prepared, own = Path(folder) / "prepared", Path(folder) / "own"
        once = timed(lambda: ours(prepared).prepare(lm)).wall
        for _ in range(REPEATS):
            shutil.rmtree(own, ignore_errors=True)
            shutil.copytree(prepared, own)
            fit = partial(ours(own).fit, lm, people)
            seconds["cold"].append(timed(fit).wall)
            seconds["warm"].append(timed(fit).wall)
            seconds["lora"].append(timed(lambda: lora.fit(lm, people)).wall)
    each = {name: median(walls) / len(people) for name, walls in seconds.items()} | {"once_a_model": once}
    note = f"{len(people)} users of as many attribute types fitted together, float32; range over {REPEATS} runs"
    claims = []
    for how in ("warm", "cold"):
        ratios = sorted(own / beside for own, beside in zip(seconds[how], seconds["lora"], strict=True))
        name = f"edit.{OURS}_cost_{how}"
        claims.append(Claim(name, median(ratios), "ratio", ratios[0], ratios[-1], len(people), note, {"seconds": each}))
    for claim in claims:
        typer.echo(f"{claim.claim}: {claim.value:.3g} {claim.extra}")
    write("preference_edit_cost", "python -m benchmarks.preference_edit_cost", claims)


if __name__ == "__main__":
    typer.run(main)
