"""Stage ability over a tiny checkpoint and a small release."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import editing.general.measure as measure
from editing.general.measure import AbilitySettings, held_out, measure_run
from editing.general.measured import AbilityMeasured
from editing.lm.load import LM
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.gate import GATE
from editing.patches.retrieve import vectors
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.records import Exchange, Preference
from pipeline.core.tables import read_parquet, write_parquet
from tests.editing.conftest import a_user
from tests.editing.test_exchanges import POOL, an_exchange
from tests.editing.test_multiturn import edited


@pytest.fixture
def settings(tmp_path: Path) -> AbilitySettings:
    write_parquet(tmp_path / "exchanges.parquet", POOL, Exchange)
    return AbilitySettings(
        users=2,
        exchanges=tmp_path / "exchanges.parquet",
        replies=5,
        tasks=(),
        task_folders=(),
        task_items=None,
        batch_size=8,
        seed=0,
    )


def measured(method: str, settings: AbilitySettings, release: Path, checkpoint: Path, folder: Path) -> AbilityMeasured:
    return measure_run(settings, release, edited(method, release, checkpoint, folder))


def test_the_unedited_model_loses_nothing_and_an_edited_one_is_measured_for_every_user(
    settings: AbilitySettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    bare = measured("none", settings, release, checkpoint, tmp_path)
    assert len(bare.replies) == 5
    for reply in bare.replies:
        assert reply.after == pytest.approx((reply.before, reply.before), rel=1e-5)
    edit = measured("ft_m", settings, release, checkpoint, tmp_path)
    assert [reply.exchange_id for reply in edit.replies] == [reply.exchange_id for reply in bare.replies]
    assert all(reply.after[0] != reply.before and reply.after[0] != reply.after[1] for reply in edit.replies)
    saved = json.loads((tmp_path / "ft_m" / "ability.json").read_text())
    assert AbilityMeasured.model_validate(saved) == edit


def test_a_prompt_method_keeps_its_prompt(
    settings: AbilitySettings, release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    found = measured("in_context", settings, release, checkpoint, tmp_path)
    assert all(reply.after[0] != pytest.approx(reply.before, rel=1e-4) for reply in found.replies)


def test_a_message_that_a_gate_does_not_let_in_meets_the_base_model(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    patch = create("in_context", load_config("in_context"), Resources(("A text.",))).fit(lm, [a_user(0)])[0]
    near, far = an_exchange(0), an_exchange(1)
    near = near.model_copy(update={"user": "What is my hobby?"})
    far = far.model_copy(update={"user": "How far away is the Moon?"})
    gate = torch.from_numpy(vectors((near.user,)))
    gated = replace(patch, manifest=patch.manifest.model_copy(update={"gate": 0.9}), tensors={GATE: gate})
    with applied(lm, [gated]) as responder:
        let_in, kept_out = measure.measured_replies(lm, responder, [0], [near, far])
    assert kept_out.after[0] == pytest.approx(kept_out.before, rel=1e-5)
    assert let_in.after[0] != pytest.approx(let_in.before, rel=1e-4)


def test_replies_of_evaluated_users_are_never_used(settings: AbilitySettings, release: Path, tmp_path: Path) -> None:
    user = next(read_parquet(release / "data" / "preferences-test.parquet", Preference)).user_id
    pool = [*POOL[:2], *(an_exchange(100 + n, user) for n in range(30))]
    write_parquet(settings.exchanges, pool, Exchange)
    assert {exchange.id for exchange in held_out(settings, release, "test")} == {"e0", "e1"}
    write_parquet(settings.exchanges, pool[2:], Exchange)
    with pytest.raises(InputError, match="every exchange is of an evaluated user"):
        held_out(settings, release, "test")


def test_tasks_without_the_harness_are_refused_with_the_command(
    settings: AbilitySettings, release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run = edited("none", release, checkpoint, tmp_path)
    monkeypatch.setattr(measure.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'upqa\[eval\]'"):
        measure_run(settings.model_copy(update={"tasks": ("world_facts",)}), release, run)
