"""Seconds, memory and throughput of `mine` over the whole sharegpt corpus, and how memory grows with the corpus.

`python -m benchmarks.mine` runs the command as a user would, in a process of its own with an empty cache, over the
corpus and over the first tenth of its conversations. `--times 10` also writes the corpus ten times into one file
(1.25 GB, with new conversation keys) and mines that: their rows are duplicates, found as such. What that tells goes
into a file of its own, benchmarks/results/mine_large.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.records import Statement
from pipeline.core.tables import read_parquet
from pipeline.mine.labelled import labels_by_place
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


def read_before(path: Path) -> Counter[str]:
    """How many of the statements at `path` were labelled by reading, by label; "" counts the others."""
    label = labels_by_place("statement", "sharegpt")
    places = (statement.evidence for statement in read_parquet(path, Statement))
    return Counter(label.get((e.conversation, e.turn, e.start, e.end), "") for e in places)


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
        whole, tenth = mined(folder / "whole", None, None), mined(folder / "tenth", None, TENTH)
        read = read_before(folder / "whole" / "out" / "statements.parquet")
        if times > 1:
            repeated(path, times, folder / "large.json")
            large_megabytes = (folder / "large.json").stat().st_size / MEGABYTE
            large = mined(folder / "large", folder / "large.json", None)
    extra = {"counts": whole["counts"], "processor_s": whole["processor_s"], "cpu_s": round(whole["cpu_s"], 1)}
    conversations = whole["counts"]["conversations"]
    trained = "statements written that had been read and called positive; the detector was trained on them"
    claims = [
        Claim("mine.seconds_125mb", whole["wall_s"], "s", None, None, 1, "whole process, imports included", extra),
        Claim("mine.peak_mb", peak_mb(whole), "MiB", None, None, 1, "both processes"),
        Claim("mine.mb_per_s", megabytes / whole["wall_s"], "MB/s", None, None, 1, "raw JSON over wall-clock time"),
        Claim("mine.conversations_per_s", conversations / whole["wall_s"], "1/s", None, None, 1),
        Claim("mine.read_before", read["POSITIVE"], "rows", None, None, read.total(), trained, {"labels": dict(read)}),
        _growth("mine.memory_growth_tenth", tenth, whole, "peak over the corpus by peak over a tenth of it"),
    ]
    _publish("mine", "python -m benchmarks.mine", claims)
    if times > 1:
        over = f"peak over {large_megabytes:.0f} MB by peak over {megabytes:.0f} MB"
        claims = [
            _growth(f"mine.memory_growth_{times}x", whole, large, over),
            Claim("mine.large.seconds", large["wall_s"], "s", None, None, 1, f"{large_megabytes:.0f} MB"),
            Claim("mine.large.mb_per_s", large_megabytes / large["wall_s"], "MB/s", None, None, 1),
        ]
        _publish("mine_large", f"python -m benchmarks.mine --times {times}", claims)


def _growth(name: str, small: dict[str, Any], large: dict[str, Any], note: str) -> Claim:
    """Peak memory of both processes over the larger corpus by that over the smaller one."""
    peaks = {
        "mib": [peak_mb(small), peak_mb(large)],
        "search_mib": [r["search_peak_memory_mb"] for r in (small, large)],
    }
    return Claim(name, peak_mb(large) / peak_mb(small), "ratio", None, None, 1, note, peaks)


def _publish(name: str, command: str, claims: list[Claim]) -> None:
    for claim in claims:
        typer.echo(f"{claim.claim} = {claim.value:.3f} {claim.unit}")
    write(name, command, claims)


if __name__ == "__main__":
    typer.run(main)
