from pathlib import Path

import pytest

from benchmarks.judges import cosine, judges, measure, nearness
from editing.judges.base import Ruling
from editing.judges.calibration import read_calibration
from editing.judges.config import JudgeConfig
from editing.judges.registry import judge_sha256
from pipeline.core.config import load_section
from pipeline.core.records import CONTROL_KINDS
from pipeline.llm.config import load_llm
from pipeline.llm.testing import fake_endpoint


@pytest.fixture
def config(pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath)
    section = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    return section.model_copy(update={"bootstrap_samples": 50})


def figures(claims):
    return {claim.claim: claim for claim in claims}


def test_every_judge_of_the_settings_is_measured_beside_two_baselines(config, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.judges.read_calibration", lambda split: list(read_calibration(split))[:20])
    assert list(judges(config, None)) == ["exact", "embedding", "substring", "cosine"]
    llm = load_llm(Path("params.yaml"))
    asked = config.model_copy(update={"judges": ("exact", "llm")})
    rows = list(read_calibration("test"))[:40]
    with fake_endpoint(lambda body: "VERDICT: correct") as endpoint:
        role = llm.roles["judge"].model_copy(update={"base_url": endpoint.base_url})
        bound = llm.model_copy(update={"roles": {**llm.roles, "judge": role}, "cache": tmp_path / "calls.sqlite"})
        for _ in range(2):
            rule = judges(asked, bound)["llm"]
            found = figures(measure("llm", rule, rows, asked, bound))
    assert found["judge.llm.false_accept"].value == 1
    assert found["judge.llm.false_reject"].value == 0
    assert found["judge.llm.accuracy"].extra["judge_sha256"] == judge_sha256("llm", asked, bound)
    assert "judge.accuracy" not in found
    assert len(endpoint.requests) == len(rows)


def test_what_a_judge_leaves_unscored_is_neither_right_nor_wrong(config):
    rows = list(read_calibration("test"))[:40]
    said = [Ruling("unscored" if at % 2 else row.label, "") for at, row in enumerate(rows)]
    accuracy = figures(measure("llm", lambda items: said, rows, config))["judge.llm.accuracy"]
    assert (accuracy.value, accuracy.n, accuracy.extra["n_unscored"]) == (1, 20, 20)
    unscored = [Ruling("unscored", "")] * len(rows)
    assert measure("llm", lambda items: unscored, rows, config) == []


def test_the_cosine_baseline_has_the_best_threshold_and_is_turned_around_on_controls():
    rows = [row for row in read_calibration("development") if row.kind in CONTROL_KINDS][:30]
    rows += list(read_calibration("development"))[:90]
    items = [row.item() for row in rows]
    near = nearness(items)
    accepted = [ruling.verdict == "correct" for ruling in cosine(rows)(items)]
    target = [i for i, item in enumerate(items) if not item.is_control]
    least = min(near[i] for i in target if accepted[i])
    assert all(accepted[i] == (near[i] >= least) for i in target)
    assert all(accepted[i] == (near[i] < least) for i, item in enumerate(items) if item.kind in CONTROL_KINDS)
    right = sum(accepted[i] == (rows[i].label == "correct") for i in target)
    for other in (least - 0.1, least - 0.01, least + 0.01, least + 0.1):
        assert right >= sum((near[i] >= other) == (rows[i].label == "correct") for i in target)
