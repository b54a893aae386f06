"""How long the leaderboard over 200 made-up runs takes, and how long its page takes to be drawn.

python -m benchmarks.leaderboard
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.chromium import CHROMIUM, Page
from benchmarks.claims import Claim, write
from benchmarks.synthetic_results import write_dataset, write_run
from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan
from pipeline.core.config import load_section
from pipeline.core.progress import console

MODELS, METHODS, PREFERENCES = 10, 20, 100
LOADS = 5
"""Times the page is loaded."""


def main() -> None:
    """Make the runs, judge them with `exact`, time the leaderboard, and write the claims."""
    params = Path("params.yaml")
    judging = load_section(params, "judge", JudgeConfig)
    quick = judging.model_copy(update={"judges": ("exact",), "bootstrap_samples": 100})
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    config = load_section(params, "leaderboard", LeaderboardConfig).model_copy(update={"judge": "exact"})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = write_dataset(root / "hub", PREFERENCES, 1)
        for i in range(MODELS * METHODS):
            run = write_run(root / "results", root / "hub", made, f"model-{i % MODELS}", f"method-{i // MODELS:02}", 1)
            judge_run(root / "hub", run, quick, root / "cache")
        started = time.perf_counter()
        write_board(root / "results", root / "board", root / "hub", root / "none.json", config, plan)
        seconds = round(time.perf_counter() - started, 2)
        claims = [Claim("leaderboard.seconds_200_runs", seconds, "s", None, None, MODELS * METHODS)]
        drawn = _page_seconds(root / "board" / "index.html", root / "profile")
        if drawn is not None:
            note = f"from navigation until all rows are drawn, in headless Chromium; median and range of {LOADS} loads"
            claims.append(
                Claim(
                    "leaderboard.page_seconds_200_rows",
                    statistics.median(drawn),
                    "s",
                    min(drawn),
                    max(drawn),
                    MODELS * METHODS,
                    note=note,
                )
            )
    for claim in claims:
        console.print(f"{claim.claim} {claim.value}")
    write("leaderboard", "python -m benchmarks.leaderboard", claims)


def _page_seconds(page: Path, profile: Path) -> list[float] | None:
    """Seconds from navigation until every row and chart is there, for each of LOADS loads; None without Chromium."""
    if CHROMIUM is None:
        return None
    drawn = f"document.querySelectorAll('#table tr.run').length === {MODELS * METHODS}"
    # The page is timed by its own clock, by a script that looks at every frame.
    timer = (
        "<script>(function look() { if (document.readyState === 'complete' && "
        f"{drawn}) window.drawnAfter = performance.now(); else requestAnimationFrame(look); }})()</script></body>"
    )
    timed = page.with_name("timed.html")
    timed.write_text(page.read_text(encoding="utf-8").replace("</body>", timer), encoding="utf-8")
    found = []
    with Page(profile) as tab:
        for _ in range(LOADS):
            tab.open("about:blank#")
            tab.open(timed.as_uri())
            tab.wait("window.drawnAfter !== undefined")
            found.append(round(float(tab.run("window.drawnAfter")) / 1000, 3))
    return found


if __name__ == "__main__":
    main()
