"""The multi-turn benchmark runs from end to end on a tiny model, keeps its runs, and pairs what it compares."""

from pathlib import Path

import pytest

import benchmarks.multiturn as script
from benchmarks import kept_runs
from benchmarks.multiturn import COLUMNS, KINDS, TURNS, asked, curve_claims, draw, finding_claims, judged
from editing.dialogue.asking import MultiturnSettings
from editing.judges.config import JudgeConfig
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import Counts, count
from editing.runner import EditSettings
from pipeline.core.config import load_section
from pipeline.core.records import Exchange
from pipeline.core.tables import write_parquet

PLAN = Plan(samples=400, seed=0, confidence=0.95)


def exchange(number: int) -> Exchange:
    return Exchange(
        id=f"e{number}",
        user_id=f"other{number}",
        source="fixture",
        conversation=str(number),
        turn=0,
        user=f"Question {number}?",
        assistant=f"Answer {number}.",
        license="Apache-2.0",
    )


def test_a_method_is_asked_after_all_numbers_of_turns_and_only_once(
    release: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "exchanges.parquet", [exchange(number) for number in range(12)], Exchange)
    monkeypatch.setattr(script, "MODEL", "tiny")
    edit = load_section(script.PARAMS, "edit", EditSettings).model_copy(
        update={"checkpoints": {"tiny": str(checkpoint)}, "max_preferences": 2, "max_new_tokens": 4}
    )
    settings = load_section(script.PARAMS, "multiturn", MultiturnSettings).model_copy(
        update={"turns": TURNS, "exchanges": tmp_path / "exchanges.parquet", "kinds": KINDS, "max_preferences": 2}
    )
    answers = asked("in_context", release, edit, settings, tmp_path / "cache")
    assert len(answers) == 2 * len(KINDS) * len(TURNS)
    monkeypatch.setattr(kept_runs, "run_cell", None)
    monkeypatch.setattr(script, "ask_run", None)
    assert asked("in_context", release, edit, settings, tmp_path / "cache") == answers

    judging = load_section(script.PARAMS, "judge", JudgeConfig)
    found = judged(answers, release, edit, judging)
    assert set(found) == {*((j, str(k)) for j in script.JUDGES for k in KINDS), ("local", "following")}
    assert all(counts.scored.shape == (2, len(TURNS)) and counts.scored.all() for counts in found.values())
    table = {(judge, kind, "in_context"): counts for (judge, kind), counts in found.items()}
    draw(table, PLAN, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    assert len(curve_claims(table, PLAN)) == len(table)


def right_of(users: int, by_turns: dict[str, int]) -> Counts:
    """Counts of `users` users, of whom the first `by_turns[k]` were answered right after k turns."""
    return count([(f"u{u:02}", k, u < by_turns.get(k, 0)) for k in COLUMNS for u in range(users)], COLUMNS)


def test_prompting_that_fades_is_a_positive_difference_and_an_edit_that_lasts_none() -> None:
    fading, lasting = right_of(20, {"0": 20, "10": 2}), right_of(20, dict.fromkeys(COLUMNS, 20))
    table = {("exact", "explicit", "in_context"): fading, ("exact", "explicit", "ft_m"): lasting}
    claims = {claim.claim.rpartition(".")[2]: claim for claim in finding_claims(table, PLAN)}
    assert set(claims) == {"in_context_fades", "in_context_fades_more_than_ft_m"}
    for claim in claims.values():
        value, low, _ = claim.extra["cells"]["explicit/exact/holds?"]
        assert value == pytest.approx(0.9)
        assert low > 0.5
        assert claim.n == 20
    (curve,) = [c for c in curve_claims(table, PLAN) if c.claim == "multiturn.exact.explicit.in_context"]
    assert curve.value == pytest.approx(0.1)
    assert curve.extra["cells"]["0"][0] == 1.0
