import ast
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from editing.judges import registry
from editing.judges.base import Item
from editing.judges.config import JudgeConfig
from editing.judges.registry import judge_sha256, load_judge
from pipeline.core.config import load_section
from pipeline.core.errors import ConfigError
from pipeline.core.records import QuestionKind


@pytest.fixture
def config(pytestconfig):
    return load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)


def test_an_unknown_judge_is_refused_with_the_closest_name(config):
    with pytest.raises(ConfigError, match="Did you mean 'exact'"):
        load_judge("exakt", config)


def test_settings_of_one_judge_do_not_change_what_identifies_another(config):
    longer = config.model_copy(update={"embedding": config.embedding.model_copy(update={"max_sentences": 99})})
    assert judge_sha256("exact", longer) == judge_sha256("exact", config)
    assert judge_sha256("embedding", longer) != judge_sha256("embedding", config)


def item(reply, kind="explicit"):
    return Item(
        kind=QuestionKind(kind),
        question="What do I do for a living?",
        statement="I work nights as a nurse.",
        attribute_type="profession",
        target="nurse",
        aliases=(),
        accepted=(),
        reply=reply,
    )


def test_a_paraphrase_without_shared_words_is_correct_and_another_value_is_not(config):
    judge = load_judge("embedding", config)
    rulings = judge.rule(
        [
            item("You are employed as a hospital nurse."),
            item("You are a truck driver."),
            item("I don't know what you do."),
            item("You are not a nurse."),
            item(""),
        ]
    )
    assert [r.verdict for r in rulings] == ["correct", "incorrect", "incorrect", "incorrect", "incorrect"]


def test_a_refusal_is_not_saved_by_what_follows_it(config):
    (ruling,) = load_judge("embedding", config).rule(
        [item("I don't know what you do. You might ask at your hospital, where you care for patients.")]
    )
    assert (ruling.verdict, ruling.reason) == ("incorrect", "refusal")


def test_on_a_control_a_paraphrase_of_the_target_shows_up(config):
    judge = load_judge("embedding", config)
    asked = [
        replace(item(reply, kind="neutral"), question="What is the longest river in Africa?")
        for reply in ("The Nile.", "The Nile. You may sail it after your nights of looking after patients on the ward.")
    ]
    assert [r.verdict for r in judge.rule(asked)] == ["correct", "incorrect"]


def test_other_weights_are_another_judge(config, monkeypatch, tmp_path):
    before = judge_sha256("embedding", config)
    folder = tmp_path / "judges"
    shutil.copytree(Path(registry.__file__).parent, folder)
    head = folder / "embedding_head.json"
    head.write_text(head.read_text().replace('"bias": ', '"bias": 1'))
    monkeypatch.setattr(registry, "__file__", str(folder / "registry.py"))
    assert judge_sha256("embedding", config) != before


@pytest.mark.parametrize("module", registry.RULES, ids=lambda module: module.__name__)
def test_other_rules_that_verdicts_depend_on_are_another_judge(config, monkeypatch, tmp_path, module):
    before = judge_sha256("exact", config)
    changed = tmp_path / Path(module.__file__).name
    changed.write_text(Path(module.__file__).read_text() + "\n# changed\n")
    monkeypatch.setattr(module, "__file__", str(changed))
    assert judge_sha256("exact", config) != before


def test_other_packaged_weights_are_another_embedding_judge_and_the_same_exact_one(config, monkeypatch):
    before = {name: judge_sha256(name, config) for name in ("exact", "embedding")}
    monkeypatch.setattr(registry, "versions", lambda *packages: dict.fromkeys(packages, "0"))
    assert judge_sha256("exact", config) == before["exact"]
    assert judge_sha256("embedding", config) != before["embedding"]


def test_whatever_the_judges_import_for_their_verdicts_is_a_part_of_what_identifies_them():
    covered = {module.__name__ for module in registry.RULES}
    aside = ("editing.judges", "pipeline.core.records", "pipeline.core.errors", "pipeline.core.config", "pipeline.llm")
    used = set()
    for path in Path(registry.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and path.name != "registry.py":
                used.add(node.module)
    ours = {name for name in used if name.startswith(("editing.", "pipeline.")) and not name.startswith(aside)}
    assert ours <= covered


def test_a_verdict_does_not_depend_on_what_is_judged_with_it(config):
    judge = load_judge("embedding", config)
    alone = judge.rule([item("You care for sick people.")])
    among = judge.rule([item("You care for sick people."), *(item(f"Number {i} is long, " * 5) for i in range(20))])
    assert alone[0].verdict == among[0].verdict
    assert np.isclose(alone[0].score, among[0].score, atol=2e-4)
