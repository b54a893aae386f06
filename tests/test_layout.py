"""The rules of the layout: one name in five places, DVC deps that cover the imports, schemas that match the records."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.schemas import generated

ROOT = Path(__file__).resolve().parents[1]
PIPELINE_STAGES = ("mine", "generate", "validate", "release", "exchanges")
EDITING_STAGES = ("edit", "multiturn", "ability", "judge", "leaderboard")
STAGES = (*PIPELINE_STAGES, *EDITING_STAGES)


def dvc_stages() -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def module_file(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def imported(path: Path) -> set[str]:
    """Every first-party module that a file imports or names as "module:Class", at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
            names.add(node.value.split(":")[0])
    return {n for n in names if n.split(".")[0] in ("pipeline", "editing")}


def closure(start: Path) -> set[Path]:
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += [file for name in imported(path) if (file := module_file(name)) is not None]
    return {path for path in seen if not only_a_docstring(path)}


def only_a_docstring(path: Path) -> bool:
    return path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1


def entry(stage: str) -> Path:
    return ROOT / "pipeline" / stage / "__main__.py" if stage in PIPELINE_STAGES else ROOT / "editing" / f"{stage}.py"


def test_a_stage_has_one_name_in_all_places() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert list(dvc_stages()) == list(STAGES)
    assert set(params) - {"llm"} == set(STAGES)
    for stage in STAGES:
        assert entry(stage).exists()
        tests = ROOT / "tests" / entry(stage).relative_to(ROOT).parent
        assert (tests if stage in PIPELINE_STAGES else tests / f"test_{stage}.py").exists(), stage
        assert dvc_stages()[stage]["cmd"].startswith(
            f"python -m {'pipeline' if stage in PIPELINE_STAGES else 'editing'}.{stage} "
        )


@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_of_a_stage_cover_everything_it_imports(stage: str) -> None:
    deps = [ROOT / dep for dep in dvc_stages()[stage]["deps"]]
    missing = {
        path.relative_to(ROOT).as_posix()
        for path in closure(entry(stage))
        if not any(path == dep or dep in path.parents for dep in deps)
    }
    assert not missing, f"dvc.yaml: {stage}: deps lack {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_of_a_stage_stands_in_its_command(stage: str) -> None:
    described = dvc_stages()[stage]
    assert described.get("desc"), stage
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in described.get("outs", [])]
    command = described["cmd"]
    for out in outs:
        assert any(str(parent) in command for parent in (Path(out), *Path(out).parents) if str(parent) != "."), out


def test_the_committed_schemas_are_those_of_the_records() -> None:
    committed = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.json")}
    assert committed == generated(), "run `python -m pipeline.core.schemas`"
