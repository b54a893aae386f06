"""Stage edit over a tiny checkpoint and a small release."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

import editing.runner as runner
from editing.lm.load import LM
from editing.lm.prompt import Prompt
from editing.methods.base import User
from editing.methods.registry import METHODS, method_class
from editing.methods.rome import Rome
from editing.methods.within_memory import WithinMemory
from editing.patches.gate import GATE
from editing.patches.patch import Patch
from editing.runner import Cell, EditSettings, run_cell
from editing.scenarios import Scenario
from editing.users import read_split
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS, Answer, QuestionKind
from pipeline.core.tables import read_parquet


@pytest.fixture
def settings(checkpoint: Path) -> EditSettings:
    return EditSettings(
        models=("tiny",),
        checkpoints={"tiny": str(checkpoint)},
        methods=("none", "in_context", "rome"),
        scenario="single",
        scenarios={
            "single": Scenario(told="preference", edits=1, withdrawn=False),
            "user": Scenario(told="user", edits=1, withdrawn=False),
            "lifelong-3": Scenario(told="preference", edits=3, withdrawn=False),
            "update": Scenario(told="change", edits=1, withdrawn=False),
            "delete": Scenario(told="preference", edits=1, withdrawn=True),
        },
        split="test",
        max_preferences=3,
        users_per_fit=2,
        workers=1,
        max_new_tokens=5,
        batch_size=16,
        dtype="float32",
        device="cpu",
        exchanges=None,
        seeds=(0,),
    )


def run(settings: EditSettings, method: str, release: Path, folder: Path) -> tuple[dict[str, Any], list[Answer]]:
    record = run_cell(Cell(settings, "tiny", method), release, folder / method, folder / "cache")
    return record, list(read_parquet(folder / method / "answers.parquet", Answer))


def test_every_question_of_the_chosen_preferences_is_answered_once(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    _, answers = run(settings, "none", release, tmp_path)
    _, questions = read_split(release, "test", 3)
    expected = sorted(question.id for own in questions.values() for question in own)
    assert sorted(answer.question_id for answer in answers) == expected


def test_the_run_record_holds_what_the_leaderboard_reads(settings: EditSettings, release: Path, tmp_path: Path) -> None:
    record, answers = run(settings, "rome", release, tmp_path)
    assert record == json.loads((tmp_path / "rome" / "run.json").read_text())
    assert record["status"] == "ok"
    assert record["counts"]["answers"] == len(answers) == 24
    assert set(record["cost"]) >= {"seconds_per_edit", "bytes_per_user", "extra_prompt_tokens", "peak_memory_mb"}
    assert record["model"]["dtype"] == "float32"
    assert record["method_config"]["covariance"] == "texts"


def test_the_patches_of_a_run_are_kept_and_loadable(settings: EditSettings, release: Path, tmp_path: Path) -> None:
    run(settings, "rome", release, tmp_path)
    patches = [Patch.load(path) for path in sorted((tmp_path / "rome" / "patches").iterdir())]
    assert [patch.manifest.kind for patch in patches] == ["low_rank"] * 3


def test_every_in_context_prompt_holds_the_statement(settings: EditSettings, release: Path, tmp_path: Path) -> None:
    record, answers = run(settings, "in_context", release, tmp_path)
    _, bare = run(settings, "none", release, tmp_path)
    assert record["cost"]["extra_prompt_tokens"] >= min(len("I play chess."), 13)
    told = {answer.question_id: answer.prompt_sha256 for answer in answers}
    assert all(told[answer.question_id] != answer.prompt_sha256 for answer in bare)


def test_controls_come_with_the_base_model_s_answer_and_the_unedited_model_does_not_drift(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    bare = run(settings, "none", release, tmp_path)[1]
    edited = run(settings, "rome", release, tmp_path)[1]
    for kind in QuestionKind:
        own = [answer for answer in edited if answer.kind == kind]
        assert {answer.base_text is None for answer in own} == {kind in TARGET_KINDS}
    assert [answer.base_text for answer in bare if answer.kind in CONTROL_KINDS] == [
        answer.text for answer in bare if answer.kind in CONTROL_KINDS
    ]
    assert {answer.kl for answer in bare} == {None, 0.0}
    assert all(answer.kl > 0 for answer in edited if answer.kl is not None)


def test_a_method_that_draws_numbers_is_run_once_a_seed_and_others_once(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    both = settings.model_copy(update={"seeds": (3, 4)})
    record, answers = run(both, "lora", release, tmp_path)
    assert record["seeds"] == [3, 4]
    assert [answer.seed for answer in answers] == [3] * 24 + [4] * 24
    assert len(list((tmp_path / "lora" / "patches").iterdir())) == 6
    alone = run(settings.model_copy(update={"seeds": (4,)}), "lora", release, tmp_path / "alone")[1]
    assert answers[24:] == alone
    record, answers = run(both, "rome", release, tmp_path)
    assert (record["seeds"], len(answers)) == ([3], 24)


@pytest.mark.parametrize("method", sorted(n for n in METHODS if method_class(n).kind == "prompt" and n != "none"))
def test_the_hashed_prompt_of_a_prompt_method_holds_the_statement_for_every_kind(
    method: str, settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: dict[str, str] = {}
    real = Prompt.sha256.fget
    assert real is not None

    def remember(prompt: Prompt) -> str:
        rendered[real(prompt)] = prompt.text
        return real(prompt)

    monkeypatch.setattr(Prompt, "sha256", property(remember))
    monkeypatch.setattr("editing.patches.retrieve.vectors", lambda texts: np.ones((len(texts), 2), np.float32))
    answers = run(settings, method, release, tmp_path)[1]
    preferences, questions = read_split(release, "test", 3)
    texts = {q.id: q.text for own in questions.values() for q in own}
    told = {p.id: p.statement for p in preferences}
    assert {answer.kind for answer in answers} == set(QuestionKind)
    for answer in answers:
        prompt = rendered[answer.prompt_sha256]
        assert texts[answer.question_id] in prompt
        # Retrieval by words finds nothing for a question that shares no word with any statement.
        if method != "rag_bm25":
            assert told[answer.preference_id] in prompt


def test_a_model_in_training_mode_is_not_asked(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Rome.fit

    def careless(self: Rome, lm: LM, users: Any) -> list[Patch]:
        patches = real(self, lm, users)
        lm.structure.layers[-1].train()
        return patches

    monkeypatch.setattr(Rome, "fit", careless)
    with pytest.raises(RuntimeError, match="training mode"):
        run(settings, "rome", release, tmp_path)


def test_all_methods_answer_with_the_same_format_seed_and_decoding(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    footings = [
        (record["model"]["dtype"], record["decoding"], record["max_new_tokens"], record["prompt_sha256"])
        for method in ("none", "in_context", "ft_m", "rome", "lora")
        for record, _ in [run(settings, method, release, tmp_path)]
    ]
    assert len(set(footings)) == 1


def test_two_runs_give_the_same_answers(settings: EditSettings, release: Path, tmp_path: Path) -> None:
    first = run(settings, "rome", release, tmp_path / "a")[1]
    assert run(settings, "rome", release, tmp_path / "b")[1] == first


def test_a_finished_group_is_not_fitted_again(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted again")

    expected = run(settings, "rome", release, tmp_path / "other")[1]
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(runner, "write_parquet", full)
        run(settings, "rome", release, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("editing.methods.rome.Rome.fit", fail)
        assert run(settings, "rome", release, tmp_path)[1] == expected


def test_a_complete_run_leaves_nothing_behind_that_another_could_take_for_its_own(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    run(settings, "in_context", release, tmp_path)
    assert list((tmp_path / "cache" / "edit").iterdir()) == []


def test_a_killed_run_goes_on_where_it_was(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        import editing.runner as runner
        settings = runner.EditSettings.model_validate_json(sys.argv[1])
        real, calls = runner._Desk._ask, []
        def ask(*arguments):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)
        runner._Desk._ask = ask
        cell = runner.Cell(settings, "tiny", "rome")
        runner.run_cell(cell, Path(sys.argv[2]), Path(sys.argv[3]) / "rome", Path(sys.argv[3]) / "cache")
        """
    )
    arguments = [sys.executable, "-c", script, settings.model_dump_json(), str(release), str(tmp_path)]
    killed = subprocess.run(arguments, capture_output=True, cwd=os.getcwd(), check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-500:]
    assert not (tmp_path / "rome" / "run.json").exists()

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted again: both groups were fitted before the kill")

    monkeypatch.setattr("editing.methods.rome.Rome.fit", fail)
    assert len(run(settings, "rome", release, tmp_path)[1]) == 24


def test_two_processes_write_the_patches_and_answers_of_one(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    both = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        run(settings.model_copy(update={"workers": workers, "users_per_fit": 1}), "rome", release, folder)
        files = [folder / "rome" / "answers.parquet", *sorted((folder / "rome" / "patches").iterdir())]
        both[workers] = [(file.name, file.read_bytes()) for file in files]
    assert len(both[1]) == 4
    assert both[1] == both[2]


def test_a_failed_edit_is_counted_and_answers_as_the_base_model(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editing.users.edit_prompt", lambda *_: "Who am I?")
    record, answers = run(settings, "rome", release, tmp_path)
    monkeypatch.undo()
    bare = run(settings, "none", release, tmp_path)[1]
    assert record["counts"]["failed_edits"] == 3
    assert all("does not stand in the question" in reason for reason in record["failures"].values())
    assert [answer.text for answer in answers] == [answer.text for answer in bare]


def test_a_run_that_cannot_start_leaves_a_record_that_says_failed(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    (release / "data" / "preferences-test.parquet").unlink()
    with pytest.raises(InputError, match="no such file"):
        run(settings, "none", release, tmp_path)
    record = json.loads((tmp_path / "none" / "run.json").read_text())
    assert record["status"] == "failed" and "preferences-test.parquet" in record["error"]


def test_an_error_nobody_foresaw_leaves_a_failed_record_and_is_raised(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any) -> list[Patch]:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(Rome, "fit", fit)
    with pytest.raises(RuntimeError, match="no such kernel"):
        run(settings, "rome", release, tmp_path)
    record = json.loads((tmp_path / "rome" / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: no such kernel")


def test_an_unknown_model_or_method_is_refused_before_anything_is_loaded(settings: EditSettings) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        Cell(settings, "tinny", "none")
    with pytest.raises(ConfigError, match="Did you mean 'rome'"):
        Cell(settings, "tiny", "rom")
    with pytest.raises(ConfigError, match="Did you mean 'lifelong-3'"):
        Cell(settings.model_copy(update={"scenario": "lifelong"}), "tiny", "rome")


def test_the_command_says_an_error_in_one_line_and_exits_with_1(tmp_path: Path) -> None:
    from editing.edit import app

    found = CliRunner().invoke(
        app, ["--model", "smollm2-135m-instruct", "--method", "romee", "--out", str(tmp_path / "out")]
    )
    assert found.exit_code == 1
    assert "Did you mean 'rome'" in found.output


def in_scenario(settings: EditSettings, name: str) -> EditSettings:
    return settings.model_copy(update={"scenario": name})


@pytest.mark.parametrize("method", ["in_context", "ft_m", "rome", "memit", "lora", "grace"])
@pytest.mark.parametrize("name", ["user", "lifelong-3", "update"])
def test_answers_and_record_say_their_scenario(
    name: str, method: str, settings: EditSettings, changing: Path, tmp_path: Path
) -> None:
    record, answers = run(in_scenario(settings, name), method, changing, tmp_path)
    assert record["scenario"]["name"] == name
    assert {answer.scenario for answer in answers} == {name}
    assert record["counts"]["models"] == len(list((tmp_path / method / "patches").iterdir()))


@pytest.mark.parametrize("method", ["preference_edit_gated", "rag_edit"])
def test_a_gated_edit_keeps_its_gate_from_the_fit_to_the_file(
    method: str, settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    record, answers = run(settings, method, release, tmp_path)
    patches = [Patch.load(file) for file in (tmp_path / method / "patches").iterdir()]
    assert len(answers) == record["counts"]["answers"] == 24
    assert all(patch.manifest.gate is not None and GATE in patch.tensors for patch in patches)


def test_a_lifelong_model_holds_the_edits_of_all_its_users_in_one_patch(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    record, answers = run(in_scenario(settings, "lifelong-3"), "rome", release, tmp_path)
    (file,) = (tmp_path / "rome" / "patches").iterdir()
    patch = Patch.load(file)
    preferences, _ = read_split(release, "test", 3)
    assert patch.manifest.preference_ids == tuple(preference.id for preference in preferences)
    ((a, b),) = patch.factors().values()
    assert a.shape[1] == b.shape[0] == record["counts"]["edits"] == 3
    assert len(answers) == 24


@pytest.mark.parametrize("method", ["rome", "memit", "pe_rome", "preference_edit"])
def test_statistics_that_are_gone_are_taken_from_the_unedited_model_again(
    method: str, settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that stopped after the first edit goes on without the files of its statistics."""
    told = in_scenario(settings, "lifelong-3")
    run(told, method, release, tmp_path / "whole")
    real = WithinMemory.fit
    fitted: list[int] = []

    def stops(self: WithinMemory, users: Sequence[User]) -> list[Patch]:
        if fitted:
            raise KeyboardInterrupt
        fitted.append(len(users))
        return real(self, users)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(WithinMemory, "fit", stops)
        run(told, method, release, tmp_path / "resumed")
    for statistics in ("covariance", "preference_edit"):
        shutil.rmtree(tmp_path / "resumed" / "cache" / statistics, ignore_errors=True)
    run(told, method, release, tmp_path / "resumed")
    files = [next((tmp_path / name / method / "patches").iterdir()) for name in ("whole", "resumed")]
    whole, resumed = (Patch.load(file).factors() for file in files)
    for path, pair in whole.items():
        for one, other in zip(pair, resumed[path], strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_an_update_is_fitted_on_a_model_that_holds_the_old_value(
    settings: EditSettings, changing: Path, tmp_path: Path
) -> None:
    run(in_scenario(settings, "update"), "in_context", changing, tmp_path)
    preferences, _ = read_split(changing, "test", 3)
    known = {preference.id: preference for preference in preferences}
    patches = [Patch.load(file) for file in (tmp_path / "in_context" / "patches").iterdir()]
    assert patches
    for patch in patches:
        old, new = patch.manifest.preference_ids
        assert new in known and old not in known
        assert patch.manifest.plan is not None
        assert patch.manifest.plan.memories[-1] == known[new].statement
        assert len(patch.manifest.plan.memories) == 2


@pytest.mark.parametrize("method", ["in_context", "ft_m", "rome", "grace", "preference_edit_gated", "rag_edit"])
def test_a_withdrawn_preference_leaves_the_answers_of_the_base_model(
    method: str, settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    answers = run(in_scenario(settings, "delete"), method, release, tmp_path)[1]
    bare = run(settings, "none", release, tmp_path)[1]
    assert [answer.text for answer in answers] == [answer.text for answer in bare]
    assert [answer.prompt_sha256 for answer in answers] == [answer.prompt_sha256 for answer in bare]


@pytest.mark.parametrize("name", ["lifelong-3", "update"])
@pytest.mark.parametrize("method", ["preference_edit_gated", "rag_edit"])
def test_a_gated_method_is_refused_by_name_where_patches_would_stack(
    method: str, name: str, settings: EditSettings
) -> None:
    with pytest.raises(ConfigError, match=f"{method}, scenario {name}: .* do not stack in one model"):
        Cell(in_scenario(settings, name), "tiny", method)


def test_a_scenario_that_needs_more_users_than_there_are_is_refused(
    settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    few = in_scenario(settings, "lifelong-3").model_copy(update={"max_preferences": 2})
    with pytest.raises(InputError, match=r"needs 3 x preference .* raise edit\.max_preferences"):
        run(few, "none", release, tmp_path)


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import editing.runner as runner
    from editing.patches.patch import Patch
    settings = runner.EditSettings.model_validate_json(sys.argv[1])
    real, saved = Patch.save, []
    def save(self, path):
        real(self, path)
        saved.append(path)
        if len(saved) == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
    Patch.save = save
    cell = runner.Cell(settings, "tiny", "rome")
    runner.run_cell(cell, Path(sys.argv[2]), Path(sys.argv[3]) / "rome", Path(sys.argv[3]) / "cache")
    """
)


@pytest.mark.parametrize(("name", "after"), [("single", 1), ("lifelong-3", 2)])
def test_a_run_killed_after_any_edit_ends_with_the_same_bytes(
    name: str, after: int, settings: EditSettings, release: Path, tmp_path: Path
) -> None:
    chosen = in_scenario(settings, name)
    run(chosen, "rome", release, tmp_path / "whole")
    arguments = [
        sys.executable,
        "-c",
        KILLED,
        chosen.model_dump_json(),
        str(release),
        str(tmp_path / "cut"),
        str(after),
    ]
    killed = subprocess.run(arguments, capture_output=True, cwd=os.getcwd(), check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-500:]
    run(chosen, "rome", release, tmp_path / "cut")
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "rome").rglob("*.*"))
    assert len(files) > 2
    for file in files:
        if file.name != "run.json":
            assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_the_command_exports_a_patch_and_refuses_another_model(
    settings: EditSettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    from editing.edit import app

    run(settings, "rome", release, tmp_path)
    patch = next((tmp_path / "rome" / "patches").iterdir())
    arguments = ["export", "--patch", str(patch), "--format", "peft", "--out", str(tmp_path / "adapter")]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()
    unknown = CliRunner().invoke(app, [*arguments[:4], "pef", *arguments[5:]])
    assert unknown.exit_code == 1 and "Did you mean 'peft'" in unknown.output
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    weights = safetensors.torch.load_file(other / "model.safetensors")
    changed = {name: tensor + 0.1 for name, tensor in weights.items()}
    safetensors.torch.save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    refused = CliRunner().invoke(app, [*arguments, "--model", str(other)])
    assert refused.exit_code == 1 and "made for other weights" in " ".join(refused.output.split())
