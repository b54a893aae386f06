"""Stage edit over a tiny checkpoint and a small release."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import editing.runner as runner
from editing.lm.load import LM
from editing.lm.prompt import Prompt
from editing.methods.registry import METHODS, method_class
from editing.methods.rome import Rome
from editing.patches.patch import Patch
from editing.runner import Cell, EditSettings, edit_prompt, histories, read_split, run_cell, texts_of, user_of
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS, Answer, Preference, Question, QuestionKind
from pipeline.core.tables import read_parquet, write_parquet


@pytest.fixture
def settings(checkpoint: Path) -> EditSettings:
    return EditSettings(
        models=("tiny",),
        checkpoints={"tiny": str(checkpoint)},
        methods=("none", "in_context", "rome"),
        split="test",
        max_preferences=3,
        users_per_fit=2,
        max_new_tokens=5,
        batch_size=16,
        dtype="float32",
        device="cpu",
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
    monkeypatch.setattr("editing.patches.retrieve._vectors", lambda texts: np.ones((len(texts), 2), np.float32))
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
        patched.setattr(runner, "_fitted", fail)
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
        real, calls = runner._ask, []
        def ask(*arguments):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)
        runner._ask = ask
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


def test_a_failed_edit_is_counted_and_answers_as_the_base_model(
    settings: EditSettings, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "edit_prompt", lambda *_: "Who am I?")
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


def test_an_unknown_model_or_method_is_refused_before_anything_is_loaded(settings: EditSettings) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        Cell(settings, "tinny", "none")
    with pytest.raises(ConfigError, match="Did you mean 'rome'"):
        Cell(settings, "tiny", "rom")


def test_the_edit_prompt_is_no_evaluation_question_where_another_phrasing_exists() -> None:
    asked = {"what is my diet?"}
    assert edit_prompt("diet", "What is my diet?", asked) == "What's my diet?"
    assert edit_prompt("diet", "Which diet do I follow?", asked) == "Which diet do I follow?"
    assert edit_prompt("diet", "", {"what is my diet?", "what's my diet?"}) == "What is my diet?"


def test_statistics_never_see_the_evaluated_split(release: Path) -> None:
    preferences, questions = read_split(release, "test", 10)
    user_of(preferences[0], questions[preferences[0].id])
    texts = texts_of(release, ["train", "validation"])
    train = {q.text for q in read_parquet(release / "data" / "questions-train.parquet", Question)}
    assert train <= set(texts)
    assert len(texts) == len(set(texts))


def test_the_command_says_an_error_in_one_line_and_exits_with_1(tmp_path: Path) -> None:
    import typer

    from editing.edit import edit

    app = typer.Typer()
    app.command()(edit)
    found = CliRunner().invoke(
        app, ["--model", "smollm2-135m-instruct", "--method", "romee", "--out", str(tmp_path / "out")]
    )
    assert found.exit_code == 1
    assert "Did you mean 'rome'" in found.output


def test_a_preference_that_replaces_another_takes_no_part_in_the_ordinary_evaluation(release: Path) -> None:
    path = release / "data" / "preferences-test.parquet"
    old, new, *rest = sorted(read_parquet(path, Preference), key=lambda p: p.id)
    pair = [old.model_copy(update={"superseded_by": new.id}), new.model_copy(update={"user_id": old.user_id})]
    write_parquet(path, [*pair, *rest], Preference)
    assert [p.id for p in read_split(release, "test", 10)[0]] == [p.id for p in (old, *rest)]
    assert histories(release)[old.user_id] == (old.statement,)
