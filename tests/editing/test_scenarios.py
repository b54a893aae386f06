"""Scenarios arrange preferences into what a model is told and asked."""

from pathlib import Path

import pytest
import yaml

from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
from editing.dialogue.asking import MultiturnSettings, ask_run
from editing.general.measure import AbilitySettings, measure_run
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan
from editing.runner import Cell, EditSettings, run_cell
from editing.scenarios import Scenario, arrange, replaced_value
from pipeline.core.config import load_section
from pipeline.core.errors import InputError
from pipeline.core.records import Exchange, Preference, Question
from pipeline.core.tables import write_parquet
from tests.editing.conftest import a_preference, questions_of
from tests.editing.test_exchanges import POOL

PARAMS = Path(__file__).parents[2] / "params.yaml"


def scenario(**changes: object) -> Scenario:
    return Scenario.model_validate({"told": "preference", "edits": 1, "withdrawn": False, **changes})


def of_user(preference: Preference, user: str) -> Preference:
    return preference.model_copy(update={"user_id": user})


FOUR = [of_user(a_preference(number, "test"), f"u{number // 2}") for number in range(4)]
ASKED: dict[str, list[Question]] = {preference.id: questions_of(preference) for preference in FOUR}


def test_alone_every_preference_is_a_case_named_by_its_id() -> None:
    cases = arrange(scenario(), FOUR, ASKED)
    assert [case.id for case in cases] == [preference.id for preference in FOUR]
    assert [case.told for case in cases] == [((preference,),) for preference in FOUR]
    assert [list(case.questions) for case in cases] == list(ASKED.values())


def test_a_user_s_preferences_are_one_edit() -> None:
    cases = arrange(scenario(told="user"), FOUR, ASKED)
    assert [case.told for case in cases] == [((FOUR[0], FOUR[1]),), ((FOUR[2], FOUR[3]),)]
    assert {question.preference_id for question in cases[1].questions} == {FOUR[2].id, FOUR[3].id}


def test_users_of_one_model_are_told_one_after_another_and_all_asked() -> None:
    (case,) = arrange(scenario(edits=3), FOUR, ASKED)
    assert case.told == tuple((preference,) for preference in FOUR[:3])
    assert list(dict.fromkeys(question.preference_id for question in case.questions)) == [p.id for p in FOUR[:3]]


def test_a_model_that_cannot_be_filled_is_refused() -> None:
    with pytest.raises(InputError, match="needs 5 x preference for a model, and 4 preferences give 4"):
        arrange(scenario(edits=5), FOUR, ASKED)


def test_a_made_up_change_replaces_another_user_s_value_of_the_same_attribute() -> None:
    now = FOUR[0]
    other = a_preference(6, "train").model_copy(update={"target": "teacher", "statement": "I teach."})
    assert other.attribute_type == now.attribute_type
    (case,) = arrange(scenario(told="change"), [now], ASKED, [*FOUR, other])
    (old,), (new,) = case.told
    assert (old.target, old.user_id, new) == ("teacher", now.user_id, now)
    assert old.id not in (other.id, now.id)
    assert {question.preference_id for question in case.questions} == {now.id}


def test_a_value_is_never_replaced_by_its_own_alias_or_the_user_s_own() -> None:
    now = FOUR[0].model_copy(update={"aliases": ("RN",)})
    alias = a_preference(6, "train").model_copy(update={"target": "rn"})
    own = of_user(a_preference(6, "train").model_copy(update={"target": "teacher"}), now.user_id)
    assert replaced_value(now, [alias, own]) is None


def test_a_change_that_the_release_records_is_taken_from_it() -> None:
    class Changing(Preference):
        superseded_by: str | None = None

    old = Changing(**{**FOUR[0].model_dump(), "superseded_by": FOUR[1].id})
    (case,) = arrange(scenario(told="change"), [old], ASKED, [old, FOUR[1]])
    assert case.told == ((old,), (FOUR[1],))
    assert {question.preference_id for question in case.questions} == {FOUR[1].id}


def test_what_is_withdrawn_is_so_in_every_case() -> None:
    assert all(case.withdrawn for case in arrange(scenario(withdrawn=True), FOUR, ASKED))


@pytest.mark.parametrize("name", yaml.safe_load(PARAMS.read_text())["edit"]["scenarios"])
@pytest.mark.parametrize("method", ["in_context", "rome"])
def test_every_scenario_runs_from_edit_to_leaderboard(
    name: str, method: str, changing: Path, checkpoint: Path, tmp_path: Path
) -> None:
    edit = load_section(PARAMS, "edit", EditSettings)
    known = edit.scenarios[name]
    small = known.model_copy(update={"edits": min(known.edits, 2)})
    changes = {"checkpoints": {"tiny": str(checkpoint)}, "scenario": name, "scenarios": {name: small}}
    sizes = {"max_preferences": 4, "workers": 1, "max_new_tokens": 4, "device": "cpu", "exchanges": None}
    judging = load_section(PARAMS, "judge", JudgeConfig)
    judging = judging.model_copy(update={"judges": ("exact",), "bootstrap_samples": 50})
    pool = tmp_path / "exchanges.parquet"
    write_parquet(pool, POOL, Exchange)
    multiturn = load_section(PARAMS, "multiturn", MultiturnSettings)
    multiturn = multiturn.model_copy(update={"turns": (2,), "exchanges": pool, "max_preferences": 2})
    ability = load_section(PARAMS, "ability", AbilitySettings)
    ability = ability.model_copy(update={"users": 2, "exchanges": pool, "replies": 3})

    run, cache = tmp_path / "results" / "tiny" / method, tmp_path / "cache"
    run_cell(Cell(edit.model_copy(update=changes | sizes), "tiny", method), changing, run, cache)
    later = ask_run(multiturn, changing, run, cache)
    measured = measure_run(ability, changing, run)
    scores = judge_run(changing, run, judging, cache)
    plan = Plan(50, 1, 0.95)
    config = LeaderboardConfig(judge="exact", samples=1, significance=0.05)
    board = write_board(tmp_path / "results", tmp_path / "board", changing, tmp_path / "none.json", config, plan)

    assert {answer.scenario for answer in later} == {name}
    assert len({answer.preference_id for answer in later}) == 2
    assert len(measured.replies) == 3
    assert scores["multiturn"]["turns"] == [2]
    assert len([*board["rows"], *board["dirty"]]) == 1
