"""The whole DAG in a fresh clone: seconds, peak memory, rows, the no-op run, and what adding a method re-runs.

`python -m benchmarks.demo` clones the committed tree into an empty folder, uses this environment, and runs what
`make demo` runs after the downloads.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import typer
import yaml

from benchmarks.claims import ROOT, Claim, write


def peak_of_tree(process: psutil.Process, stop: threading.Event) -> list[float]:
    """Largest resident memory of `process` and its descendants together, in MiB, sampled five times a second."""
    peak = [0.0]

    def sample() -> None:
        while not stop.wait(0.2):
            total = 0
            for member in [process, *children(process)]:
                try:
                    total += member.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total / 2**20)

    threading.Thread(target=sample, daemon=True).start()
    return peak


def children(process: psutil.Process) -> list[psutil.Process]:
    """All descendants that still live."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def run(command: list[str], folder: Path, log: Path) -> tuple[float, float, str]:
    """Seconds, peak MiB of the whole process tree, and output of a command that must succeed."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1"}
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        stop = threading.Event()
        peak = peak_of_tree(psutil.Process(child.pid), stop)
        code = child.wait()
        stop.set()
    text = log.read_text(encoding="utf-8")
    if code:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return time.monotonic() - started, peak[0], text


def main() -> None:
    """Measure and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="Run in this empty folder and keep it.")
    parser.add_argument("--new-method", default="ft_l", help="Method added for the incremental run.")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="upqa-demo-"))
    clone = folder / "upqa"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    seconds, peak, _ = run(["dvc", "repro"], clone, folder / "first.log")
    typer.echo(f"dvc repro: {seconds:.0f} s, {peak:.0f} MiB")
    again = [run(["dvc", "repro"], clone, folder / "again.log")[0] for _ in range(3)]
    typer.echo(f"dvc repro with nothing changed: {sorted(again)[1]:.1f} s")

    report = json.loads((clone / "data/upqa/report.json").read_text())["counts"]
    cells = [json.loads(path.read_text()) for path in sorted((clone / "results").glob("*/*/run.json"))]
    evaluated = {cell["method"]: cell["counts"]["preferences"] for cell in cells}
    answers = sum(pq.ParquetFile(path).metadata.num_rows for path in (clone / "results").glob("*/*/answers.parquet"))
    stages = {
        stage: json.loads((clone / "data" / name / "report.json").read_text())["seconds"]
        for stage, name in (("mine", "mined"), ("generate", "generated"), ("validate", "upqa"))
    }
    stages |= {f"edit {cell['method']}": cell["seconds"] for cell in cells}

    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["edit"]["methods"].append(options.new_method)
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    _, _, log = run(["dvc", "repro"], clone, folder / "added.log")
    ran = sorted(set(re.findall(r"Running stage '([^']+)'", log)))
    typer.echo(f"adding {options.new_method} ran {ran}")

    command = "python -m benchmarks.demo"
    write(
        "demo",
        command,
        [
            Claim("demo.seconds", round(seconds, 1), "s", None, None, 1, "dvc repro in a fresh clone", stages),
            Claim("demo.peak_mb", round(peak), "MiB", None, None, 1, "all processes together"),
            Claim("demo.preferences", report["drafts"]["out"], "rows", None, None, 1, "validated"),
            Claim("demo.users", report["users"], "users", None, None, 1, "of the validated preferences"),
            Claim(
                "demo.evaluated_per_method", min(evaluated.values()), "rows", None, None, len(evaluated), "", evaluated
            ),
            Claim("demo.answers", answers, "rows", None, None, len(cells)),
            Claim("demo.unchanged_seconds", round(sorted(again)[1], 2), "s", min(again), max(again), len(again)),
            Claim(
                "demo.stages_run_for_a_new_method", len(ran), "stages", None, None, 1, options.new_method, {"ran": ran}
            ),
        ],
    )


if __name__ == "__main__":
    main()
