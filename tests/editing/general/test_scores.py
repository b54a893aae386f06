import math

import pytest

from editing.general.measured import AbilityMeasured, ItemMeasured, ReplyMeasured, TaskMeasured
from editing.general.scores import drop, perplexity, read_ability, score
from editing.metrics.bootstrap import Plan
from pipeline.core.errors import InputError
from pipeline.core.tables import write_json

PLAN = Plan(samples=400, seed=1, confidence=0.95)


def reply(tokens, before, *after):
    return ReplyMeasured(exchange_id="e", tokens=tokens, before=before, after=after)


def task(pairs, better=True):
    items = tuple(ItemMeasured(item_id=str(i), before=b, after=(a,)) for i, (b, a) in enumerate(pairs))
    return TaskMeasured(task="t", metric="acc", higher_is_better=better, items=items)


def test_perplexity_is_per_token_over_all_replies_and_averages_users_in_log_space():
    found = perplexity([reply(10, 20.0, 20.0, 40.0), reply(30, 20.0, 20.0, 40.0)], PLAN)
    assert found["before"]["value"] == pytest.approx(math.exp(1))
    assert found["after"]["value"] == pytest.approx(math.exp(1.5))
    assert found["ratio"]["value"] == pytest.approx(math.exp(0.5), abs=1e-5)
    assert (found["tokens"], found["ratio"]["n"], found["ratio"]["higher_is_better"]) == (40, 2, False)


def test_a_model_that_is_not_changed_has_the_ratio_one_without_width():
    ratio = perplexity([reply(3, 5.0, 5.0), reply(4, 9.0, 9.0)], PLAN)["ratio"]
    assert (ratio["value"], ratio["low"], ratio["high"]) == (1, 1, 1)


def test_the_drop_is_paired_by_item():
    found = drop(task([(1, 1)] * 30 + [(1, 0)] * 10 + [(0, 0)] * 10), PLAN)
    assert (found["before"]["value"], found["after"]["value"], found["drop"]["value"]) == (0.8, 0.6, 0.2)
    assert 0.05 < found["drop"]["low"] < 0.2 < found["drop"]["high"] < 0.35
    unpaired = found["before"]["high"] - found["before"]["low"]
    assert found["drop"]["high"] - found["drop"]["low"] < 1.2 * unpaired
    assert (found["metric"], found["drop"]["higher_is_better"]) == ("acc", False)


def test_a_run_that_was_not_measured_has_no_scores(tmp_path):
    assert score(read_ability(tmp_path), PLAN) == {}


def test_without_tasks_there_is_perplexity_alone():
    found = score(AbilityMeasured(users=1, replies=(reply(3, 5.0, 6.0),), tasks=()), PLAN)
    assert found["tasks"] == {} and found["perplexity"]["ratio"]["value"] > 1


def test_a_damaged_file_is_refused_by_name(tmp_path):
    write_json(tmp_path / "ability.json", {"users": "two"})
    with pytest.raises(InputError, match="ability.json: damaged"):
        read_ability(tmp_path)
