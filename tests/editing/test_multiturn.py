"""Stage multiturn over a tiny checkpoint and a small release."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import editing.dialogue.asking as asking
from editing.dialogue.answers import TurnAnswer
from editing.dialogue.asking import MultiturnSettings, ask_run
from editing.lm.load import LM
from editing.lm.prompt import Prompt
from editing.runner import Cell, EditSettings, run_cell
from editing.scenarios import Scenario
from pipeline.core.errors import InputError
from pipeline.core.records import CONTROL_KINDS, Exchange, QuestionKind
from pipeline.core.tables import read_parquet, write_parquet
from tests.editing.conftest import FACTS
from tests.editing.test_exchanges import POOL


@pytest.fixture
def settings(tmp_path: Path) -> MultiturnSettings:
    write_parquet(tmp_path / "exchanges.parquet", POOL, Exchange)
    return MultiturnSettings(
        turns=(0, 2, 4),
        exchanges=tmp_path / "exchanges.parquet",
        kinds=tuple(QuestionKind),
        max_preferences=2,
        batch_size=8,
        seed=0,
    )


ALONE = Scenario(told="preference", edits=1, withdrawn=False)


def edited(method: str, release: Path, checkpoint: Path, folder: Path, scenario: Scenario = ALONE) -> Path:
    edit = EditSettings(
        models=("tiny",),
        checkpoints={"tiny": str(checkpoint)},
        methods=(method,),
        scenario="single",
        scenarios={"single": scenario},
        split="test",
        max_preferences=3,
        users_per_fit=2,
        workers=1,
        max_new_tokens=4,
        batch_size=16,
        dtype="float32",
        device="cpu",
        exchanges=None,
        seeds=(0,),
    )
    run_cell(Cell(edit, "tiny", method), release, folder / method, folder / "cache")
    return folder / method


def rendered(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Texts of all prompts that are hashed from here on, by hash."""
    found: dict[str, str] = {}
    real: Any = Prompt.sha256.fget

    def remember(prompt: Prompt) -> str:
        found[real(prompt)] = prompt.text
        return str(real(prompt))

    monkeypatch.setattr(Prompt, "sha256", property(remember))
    return found


def test_every_question_is_asked_after_every_number_of_turns(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = edited("rome", release, checkpoint, tmp_path)
    answers = ask_run(settings, release, run, tmp_path / "cache")
    assert list(read_parquet(run / "multiturn.parquet", TurnAnswer)) == answers
    assert [answer.turns for answer in answers] == [0] * 16 + [2] * 16 + [4] * 16
    assert [len(answer.distractors) for answer in answers] == [answer.turns for answer in answers]
    by_turns = {t: {a.question_id: a for a in answers if a.turns == t} for t in (0, 2, 4)}
    for question, longest in by_turns[4].items():
        assert by_turns[2][question].distractors == longest.distractors[:2]


@pytest.mark.parametrize("method", ["in_context", "reminder", "profile"])
def test_a_prompt_method_states_the_preference_before_the_other_turns(
    method: str, settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited(method, release, checkpoint, tmp_path)
    prompts = rendered(monkeypatch)
    statements = [statement for _, _, statement in FACTS]
    for answer in ask_run(settings, release, run, tmp_path / "cache"):
        text = prompts[answer.prompt_sha256]
        (told,) = [statement for statement in statements if statement in text]
        assert text.count(told) == 1
        assert text.endswith("<|end|><|assistant|>")
        turns = [text.index(f"<|user|>Question {number[1:]}?<|end|><|assistant|>") for number in answer.distractors]
        assert turns == sorted(turns)
        assert all(text.index(told) < turn for turn in turns)
        if method == "reminder":
            assert text.rindex("Keep in mind what I told you") > max(turns, default=0)


def test_a_weight_edit_meets_the_same_turns_without_any_statement(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    told = ask_run(settings, release, edited("in_context", release, checkpoint, tmp_path), tmp_path / "cache")
    run = edited("rome", release, checkpoint, tmp_path)
    prompts = rendered(monkeypatch)
    answers = ask_run(settings, release, run, tmp_path / "cache")
    assert [answer.distractors for answer in answers] == [answer.distractors for answer in told]
    for answer in answers:
        text = prompts[answer.prompt_sha256]
        assert not any(statement in text for _, _, statement in FACTS)
        assert text.count("<|user|>") == answer.turns + 1


def test_a_conversation_that_does_not_fit_is_counted_and_not_asked(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    monkeypatch.setattr(asking, "context_tokens", lambda _: 80)
    answers = ask_run(settings, release, run, tmp_path / "cache")
    assert {a.overflow for a in answers if a.turns == 0} == {False}
    assert {(a.overflow, a.text, a.tokens) for a in answers if a.turns == 4} == {(True, "", 0)}


def test_the_context_is_that_of_the_configuration(lm: LM) -> None:
    assert asking.context_tokens(lm) == 1024


def test_a_stopped_run_goes_on_where_it_was(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    expected = ask_run(settings, release, run, tmp_path / "other")
    real, calls = asking._ask, []

    def stop(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(asking, "_ask", stop)
    with pytest.raises(KeyboardInterrupt):
        ask_run(settings, release, run, tmp_path / "cache")
    assert ask_run(settings, release, run, tmp_path / "cache") == expected
    assert len(calls) == 3 + 1
    assert not list((tmp_path / "cache" / "multiturn").iterdir())


def test_no_turns_ask_nothing_and_load_nothing(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    monkeypatch.setattr(asking, "load", None)
    assert ask_run(settings.model_copy(update={"turns": ()}), release, run, tmp_path / "cache") == []
    assert list(read_parquet(run / "multiturn.parquet", TurnAnswer)) == []


def test_a_missing_patch_or_distractor_file_is_an_error(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    gone = settings.model_copy(update={"exchanges": tmp_path / "gone.parquet"})
    with pytest.raises(InputError, match="gone.parquet: no such file"):
        ask_run(gone, release, run, tmp_path / "cache")
    for patch in (run / "patches").iterdir():
        patch.unlink()
    with pytest.raises(InputError, match="no such patch; run `edit` again"):
        ask_run(settings, release, run, tmp_path / "cache")


def test_a_model_that_several_users_share_is_asked_about_as_many_of_them_as_wanted(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited("in_context", release, checkpoint, tmp_path, Scenario(told="preference", edits=3, withdrawn=False))
    prompts = rendered(monkeypatch)
    answers = ask_run(settings, release, run, tmp_path / "cache")
    assert len({answer.preference_id for answer in answers}) == settings.max_preferences
    assert len(answers) == 3 * 2 * 8
    told = [sum(statement in prompts[answer.prompt_sha256] for _, _, statement in FACTS) for answer in answers]
    assert set(told) == {3}


@pytest.mark.parametrize("method", ["in_context", "rome"])
def test_what_was_withdrawn_is_not_known_after_other_turns_either(
    method: str, settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = edited(method, release, checkpoint, tmp_path, Scenario(told="preference", edits=1, withdrawn=True))
    bare = ask_run(settings, release, edited("none", release, checkpoint, tmp_path), tmp_path / "cache")
    answers = ask_run(settings, release, run, tmp_path / "cache")
    assert [(a.prompt_sha256, a.text) for a in answers] == [(a.prompt_sha256, a.text) for a in bare]


def test_controls_are_asked_too(settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    kinds = {answer.kind for answer in ask_run(settings, release, run, tmp_path / "cache")}
    assert set(CONTROL_KINDS) < kinds


def test_only_the_kinds_that_are_wanted_are_asked(
    settings: MultiturnSettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    fewer = settings.model_copy(update={"kinds": (QuestionKind.EXPLICIT, QuestionKind.IMPLICIT)})
    answers = ask_run(fewer, release, run, tmp_path / "cache")
    assert {answer.kind for answer in answers} == {QuestionKind.EXPLICIT, QuestionKind.IMPLICIT}
    assert len(answers) == 2 * 2 * 3


def test_the_command_says_an_error_in_one_line(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    import typer

    from editing.multiturn import multiturn

    app = typer.Typer()
    app.command()(multiturn)
    (tmp_path / "run.json").write_text(json.dumps({"status": "ok", "dataset_sha256": "", "prompt_sha256": ""}))
    done = CliRunner().invoke(app, ["--run", str(tmp_path), "--params", str(pytestconfig.rootpath / "params.yaml")])
    assert done.exit_code == 1
    assert "made under version 1 of docs/protocol.md" in done.output
