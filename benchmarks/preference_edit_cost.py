"""What preference_edit costs beside lora: seconds a user, both in one process on the same users.

`python -m benchmarks.preference_edit_cost [--users 8]`. The users are the made-up ones of `benchmarks.editing`, each
with another attribute type, so the cold figure is the worst case: no question of any type was read before. What is
read once for a model (the statistics of its own answers) is timed apart.

- `edit.preference_edit_cost_warm`: seconds over `lora`'s where questions of the same attribute types were read before.
- `edit.preference_edit_cost_cold`: the same where none was.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.editing import FACTS, MODEL, timed, users
from editing.lm.load import load
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import create, load_config
from editing.runner import EditSettings
from pipeline.core.config import load_section

REPEATS = 3
STRANGER = User("u", (Fact("p", "My shoe size is 41.", "What is my shoe size?", "shoe size", "41"),))
"""A user of a type that no other has, whose fit reads what is the same for all."""


def main(
    count: Annotated[int, typer.Option("--users", help=f"Users fitted together, {len(FACTS)} at most.")] = 8,
) -> None:
    """Write benchmarks/results/preference_edit_cost.json."""
    settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device="cpu")
    people = users(min(count, len(FACTS)))
    with tempfile.TemporaryDirectory() as folder:
        ours = create("preference_edit", load_config("preference_edit", MODEL), Resources((), Path(folder)))
        lora = create("lora", load_config("lora", MODEL), Resources(()))
        once = timed(lambda: ours.fit(lm, [STRANGER])).wall
        lora.fit(lm, [STRANGER])
        cold = timed(lambda: ours.fit(lm, people)).wall
        pairs = [
            (timed(lambda: ours.fit(lm, people)).wall, timed(lambda: lora.fit(lm, people)).wall) for _ in range(REPEATS)
        ]
    warm = sorted(own / other for own, other in pairs)
    quickest, beside = (median(side) for side in zip(*pairs, strict=True))
    note = f"{len(people)} users of as many attribute types fitted together, float32"
    seconds = {"lora": beside / len(people), "once_a_model": once}
    claims = [
        Claim(
            "edit.preference_edit_cost_warm", median(warm), "ratio", warm[0], warm[-1], len(people),
            f"{note}; range over {REPEATS} runs", {"seconds": seconds | {"preference_edit": quickest / len(people)}},
        ),
        Claim(
            "edit.preference_edit_cost_cold", cold / beside, "ratio", None, None, len(people),
            note, {"seconds": seconds | {"preference_edit": cold / len(people)}},
        ),
    ]  # fmt: skip
    for claim in claims:
        typer.echo(f"{claim.claim}: {claim.value:.3g} {claim.extra}")
    write("preference_edit_cost", "python -m benchmarks.preference_edit_cost", claims)


if __name__ == "__main__":
    typer.run(main)
