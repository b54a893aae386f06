"""Seconds, memory and throughput of `mine` over the whole sharegpt corpus, and how memory grows with the corpus.

`python -m benchmarks.mine` runs the command as a user would, in a process of its own with an empty cache. The corpus
one tenth as long is the first tenth of its conversations. `--times 10` also writes the corpus ten times into one file
(1.25 GB, with new conversation keys) and mines that: their rows are duplicates, found as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from benchmarks.claims import ROOT, Claim, write
from pipeline.sources.base import SourceSettings
from pipeline.sources.sharegpt import ShareGPT

MEGABYTE = 1_000_000
TENTH = 1767
"""Conversations in a tenth of the corpus."""


def corpus() -> Path:
    """The JSON file of the sharegpt corpus."""
    settings = SourceSettings(name="sharegpt", path=None, strict=False, license=None, max_conversations=None)
    (path,) = ShareGPT(settings, salt="").files()
    return path


def mined(folder: Path, path: Path | None, most: int | None) -> dict[str, Any]:
    """The report of one run over `path` (None: the package's file), with the seconds of the whole process."""
    folder.mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    source = {
        "name": "sharegpt",
        "path": path and str(path),
        "strict": False,
        "license": None,
        "max_conversations": most,
    }
    params["mine"]["sources"] = [source]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline.mine", "--out", str(folder / "out"), "--cache", str(folder / "cache")]
    before = os.times()
    subprocess.run([*command, "--params", str(folder / "params.yaml")], check=True, cwd=ROOT)
    after = os.times()
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    report["wall_s"] = after.elapsed - before.elapsed
    report["cpu_s"] = after.children_user + after.children_system - before.children_user - before.children_system
    return report


def repeated(path: Path, times: int, target: Path) -> None:
    """Write the whole conversations of `path` `times` times into one array, each time with other keys."""
    settings = SourceSettings(name="sharegpt", path=str(path), strict=False, license=None, max_conversations=None)
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    encoded = [
        (one.source_id, json.dumps([{"from": names[turn.role], "value": turn.text} for turn in one.turns]))
        for one in ShareGPT(settings, salt="").read()
    ]
    with target.open("w", encoding="utf-8") as file:
        file.write("[")
        for copy in range(times):
            for number, (key, turns) in enumerate(encoded):
                separator = ",\n" if copy or number else ""
                file.write(f'{separator}{{"id": "copy{copy}{key}", "conversations": {turns}}}')
        file.write("]")


def peak_mb(report: dict[str, Any]) -> float:
    """Peak memory of both processes of a run, MiB."""
    return float(report["peak_memory_mb"] + report["search_peak_memory_mb"])


def main(times: Annotated[int, typer.Option(help="Also mine the corpus this many times over.")] = 1) -> None:
    """Measure and write benchmarks/results/mine.json."""
    path = corpus()
    megabytes = path.stat().st_size / MEGABYTE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = mined(folder / "whole", None, None)
        if times > 1:
            repeated(path, times, folder / "large.json")
            large_megabytes = (folder / "large.json").stat().st_size / MEGABYTE
            small, large = whole, mined(folder / "large", folder / "large.json", None)
            grown = f"peak over {large_megabytes:.0f} MB by peak over {megabytes:.0f} MB"
        else:
            large_megabytes = megabytes
            small, large = mined(folder / "tenth", None, TENTH), whole
            grown = "peak over the corpus by peak over a tenth of it"
    extra = {"counts": whole["counts"], "processor_s": whole["processor_s"], "cpu_s": round(whole["cpu_s"], 1)}
    peaks = {
        "mib": [peak_mb(small), peak_mb(large)],
        "seconds": large["wall_s"],
        "mb_per_s": large_megabytes / large["wall_s"],
    }
    conversations = whole["counts"]["conversations"]
    claims = [
        Claim("mine.seconds_125mb", whole["wall_s"], "s", None, None, 1, "whole process, imports included", extra),
        Claim("mine.peak_mb", peak_mb(whole), "MiB", None, None, 1, "both processes"),
        Claim("mine.mb_per_s", megabytes / whole["wall_s"], "MB/s", None, None, 1, "raw JSON over wall-clock time"),
        Claim("mine.conversations_per_s", conversations / whole["wall_s"], "1/s", None, None, 1),
        Claim("mine.memory_growth_10x", peak_mb(large) / peak_mb(small), "ratio", None, None, 1, grown, peaks),
    ]
    for claim in claims:
        typer.echo(f"{claim.claim} = {claim.value:.3f} {claim.unit}")
    write("mine", "python -m benchmarks.mine" + (f" --times {times}" if times > 1 else ""), claims)


if __name__ == "__main__":
    typer.run(main)
