"""What personalization costs elsewhere: perplexity and world facts before and after, on a few users of the demo's data.

python -m benchmarks.general_ability [--users 4] [--methods none in_context ft_m rome preference_edit]

Rows of the result file of methods that are not run stay as they are.

Needs the release in build/hub and the exchanges in data/exchanges (`dvc repro exchanges`), and upqa[eval].
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.claims import Claim, write
from editing.general.measure import AbilitySettings, measure_run
from editing.general.scores import score
from editing.judges.config import JudgeConfig
from editing.metrics.bootstrap import Plan
from editing.runner import Cell, EditSettings, run_cell
from pipeline.core.config import load_section
from pipeline.core.progress import console

PARAMS = Path("params.yaml")
REPLIES = 64
"""Held-out replies: more than a demo reads, for a narrower interval."""


def main() -> None:
    """Measure every method and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path("build/hub"))
    parser.add_argument("--exchanges", type=Path, default=Path("data/exchanges/exchanges.parquet"))
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--methods", nargs="+", default=["none", "in_context", "ft_m", "rome", "preference_edit"])
    arguments = parser.parse_args()
    ability = load_section(PARAMS, "ability", AbilitySettings).model_copy(
        update={
            "users": arguments.users,
            "exchanges": arguments.exchanges,
            "replies": REPLIES,
            "tasks": ("world_facts",),
        }
    )
    edit = load_section(PARAMS, "edit", EditSettings).model_copy(
        update={"max_preferences": arguments.users, "exchanges": arguments.exchanges}
    )
    judge = load_section(PARAMS, "judge", JudgeConfig)
    plan = Plan(judge.bootstrap_samples, judge.seed, judge.confidence)
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory() as folder:
        for method in arguments.methods:
            run = Path(folder) / edit.models[0] / method
            run_cell(Cell(edit, edit.models[0], method), arguments.dataset, run, Path(folder) / "cache")
            started = time.perf_counter()
            scores = score(measure_run(ability, arguments.dataset, run), plan)
            claims += claims_of(method, scores, time.perf_counter() - started, arguments.users)
    write("general_ability", "python -m benchmarks.general_ability", claims, keep_others=True)


def claims_of(method: str, scores: dict[str, Any], seconds: float, users: int) -> list[Claim]:
    """Perplexity ratio and drop of one method."""
    ratio, facts = scores["perplexity"]["ratio"], scores["tasks"]["world_facts"]
    note = f"{users} users"
    found = [
        Claim(
            f"ability.{method}.perplexity_ratio",
            ratio["value"],
            "ratio",
            ratio["low"],
            ratio["high"],
            ratio["n"],
            f"{note}, {scores['perplexity']['tokens']} tokens of held-out replies, after / before",
            {"before": scores["perplexity"]["before"]["value"], "seconds": round(seconds, 1)},
        ),
        Claim(
            f"ability.{method}.world_facts_drop",
            facts["drop"]["value"],
            "share",
            facts["drop"]["low"],
            facts["drop"]["high"],
            facts["drop"]["n"],
            f"{note}, accuracy before minus after, paired by item",
            {"before": facts["before"]["value"], "after": facts["after"]["value"]},
        ),
    ]
    for claim in found:
        console.print(f"{claim.claim:44} {claim.value:.3f} [{claim.low:.3f}, {claim.high:.3f}] n={claim.n}")
    return found


if __name__ == "__main__":
    main()
