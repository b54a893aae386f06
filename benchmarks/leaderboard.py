"""How long the leaderboard over 200 made-up runs takes, and how long its page takes to be drawn.

python -m benchmarks.leaderboard
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

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
            note = "from navigation to the end of the page's script, in headless Chromium"
            claims.append(
                Claim("leaderboard.page_seconds_200_rows", drawn, "s", None, None, MODELS * METHODS, note=note)
            )
    for claim in claims:
        console.print(f"{claim.claim} {claim.value}")
    write("leaderboard", "python -m benchmarks.leaderboard", claims)


def _page_seconds(page: Path, profile: Path) -> float | None:
    """Seconds until the page's script has run; None without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    # The page is measured by itself: a copy says its own loading time in its title.
    timed = page.with_name("timed.html")
    script = "<script>document.title = performance.now()</script></body>"
    timed.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --dump-dom".split()
    command = [chromium, *flags, f"--user-data-dir={profile}", timed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    return round(float(title) / 1000, 3)


if __name__ == "__main__":
    main()
