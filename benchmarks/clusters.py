"""What the size of a preference cluster changes, and whether its members are edited one after another or at once.

`python -m benchmarks.clusters --dataset FOLDER [--preferences 12] [--method ft_m ...]`. Personalization Editing over
each method, with 1, 3, 5, 7 and 9 members, `sequential` as published and `joint`; asked and judged (`exact`) by the
stages. FOLDER is a release or a published benchmark as `upqa import` writes it.

- `cluster.<measure>.<method>_<mode>`: the measure by number of members in `cells`, with intervals over users; `value`
  is that of the most members. Measures are the question kinds, `recall`, `specificity` and `headline`.

Every user starts from the unedited model, so cluster size is not confounded with the number of edits. With one member
both modes are the method itself, which is run once. Runs are kept below .cache/clusters; methods and sizes measured
before keep their cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.claims import write
from benchmarks.kept_runs import MODEL, PARAMS, claims, edit_settings, measures
from editing.judges.config import JudgeConfig
from editing.runner import Cell
from pipeline.core.config import load_section

CACHE = Path(".cache/clusters")
METHODS = ("ft_m", "lora", "rome", "memit")
MODES = ("sequential", "joint")
SIZES = (1, 3, 5, 7, 9)
USERS_PER_FIT = 6
"""Users fitted together; what a stopped run keeps."""


def main(
    dataset: Annotated[Path, typer.Option(help="A release folder.")] = Path("build/hub"),
    exchanges: Annotated[Path, typer.Option(help="Text for covariances.")] = Path("data/exchanges/exchanges.parquet"),
    preferences: Annotated[int, typer.Option(help="Preferences of the test split, by the order of their ids.")] = 12,
    method: Annotated[list[str], typer.Option(help="Methods under the clusters.")] = list(METHODS),  # noqa: B006
    mode: Annotated[list[str], typer.Option(help="sequential, joint.")] = list(MODES),  # noqa: B006
    size: Annotated[list[int], typer.Option(help="Members of a cluster.")] = list(SIZES),  # noqa: B006
) -> None:
    """Write benchmarks/results/clusters.json."""
    judging = load_section(PARAMS, "judge", JudgeConfig)
    edit = edit_settings(preferences, exchanges, USERS_PER_FIT)
    for name in method:
        for how in mode:
            found = {}
            for members in size:
                settings = f"members={members},mode={how if members > 1 else MODES[0]}"
                cell = Cell(edit, MODEL, f"pe_{name}@{settings}")
                found[str(members)] = measures(cell, dataset, judging, CACHE)
            command = f"python -m benchmarks.clusters --dataset FOLDER --preferences {preferences}"
            made = claims("cluster", f"{name}_{how}", found, list(map(str, SIZES)))
            write("clusters", command, made, keep_others=True)


if __name__ == "__main__":
    typer.run(main)
