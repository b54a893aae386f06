"""What must not creep into the tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = [path for folder in ("pipeline", "editing", "benchmarks") for path in (ROOT / folder).rglob("*.py")]

FORBIDDEN = {
    "a home path": re.compile(r"/(?:home|Users|root)/\w"),
    "a device literal": re.compile(r"[\"']cuda(?::\d+)?[\"']"),
    "a hub model id": re.compile(
        r"[\"'][A-Za-z0-9-]+/[A-Za-z0-9.-]*(?:\d[Bb]|Instruct|[Ll]lama|[Qq]wen|gpt)[A-Za-z0-9.-]*[\"']"
    ),
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_the_code_holds_no(what: str) -> None:
    allowed = {"editing/lm/load.py"} if what == "a device literal" else set()
    found = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in CODE
        if path.relative_to(ROOT).as_posix() not in allowed
        for match in [FORBIDDEN[what].search(path.read_text())]
        if match
    ]
    assert not found, found


def test_no_file_is_a_catch_all() -> None:
    names = {"utils", "common", "helpers", "misc"}
    assert not [path for path in CODE if path.stem in names or path.parent.name in names]


def test_no_data_of_a_corpus_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert not [name for name in tracked if name.endswith((".parquet", ".safetensors", ".gguf"))]
