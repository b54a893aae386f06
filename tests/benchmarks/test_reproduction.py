"""The reproduction keeps what it asked, asks nothing twice, and reads its findings off paired differences."""

from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.reproduction as script
from benchmarks import claims
from benchmarks.reproduction import Case, Protocol, Reproduction, Said, finding_claims, judged, method_claims
from editing.judges.config import JudgeConfig
from editing.lm.load import LM
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import KINDS, Counts, count
from editing.runner import EditSettings
from editing.users import read_split
from pipeline.core.config import load_section
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS

PLAN = Plan(samples=400, seed=0, confidence=0.95)


@pytest.fixture
def reproduction(
    make_lm: Callable[..., LM], release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reproduction:
    monkeypatch.setattr(script, "GROUP", 2)
    preferences, questions = read_split(release, "test", 3)
    settings = load_section(script.PARAMS, "edit", EditSettings).model_copy(update={"max_new_tokens": 4})
    cases = [Case(preference, questions[preference.id]) for preference in preferences]
    return Reproduction(make_lm("llama"), cases, settings, tmp_path / "cache")


@pytest.mark.parametrize("protocol", Protocol)
def test_every_question_of_a_protocol_is_answered(protocol: Protocol, reproduction: Reproduction) -> None:
    assert reproduction.said("in_context", protocol) == []
    reproduction.ask("in_context", protocol)
    kinds = (*TARGET_KINDS, *CONTROL_KINDS) if protocol is Protocol.OURS else TARGET_KINDS
    wanted = {q.id for case in reproduction.cases for q in case.questions if q.kind in kinds}
    assert {said.question_id for said in reproduction.said("in_context", protocol)} == wanted


def test_a_stopped_run_goes_on_where_it_was(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fitted = script.create, []

    def stop(*arguments: object) -> object:
        fitted.append(1)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(script, "create", stop)
    with pytest.raises(KeyboardInterrupt):
        reproduction.ask("ft_m", Protocol.PUBLISHED)
    assert reproduction.said("ft_m", Protocol.PUBLISHED) == []
    reproduction.ask("ft_m", Protocol.PUBLISHED)
    reproduction.ask("ft_m", Protocol.PUBLISHED)
    assert len(fitted) == 3
    assert len(reproduction.said("ft_m", Protocol.PUBLISHED)) == 3 * len(TARGET_KINDS)


def test_answers_of_fewer_cases_do_not_stand_in_for_those_of_more(reproduction: Reproduction) -> None:
    fewer = Reproduction(reproduction.lm, reproduction.cases[:1], reproduction.settings, reproduction.cache)
    fewer.ask("none", Protocol.OURS)
    assert fewer.said("none", Protocol.OURS)
    assert reproduction.said("none", Protocol.OURS) == []


def test_the_judges_of_both_protocols_rule_on_the_same_answers(reproduction: Reproduction) -> None:
    case = reproduction.cases[0]
    target = case.preference.target
    said = [Said(question_id=question.id, text=f"You do not like {target}.") for question in case.questions]
    found = judged(said, reproduction.cases, load_section(script.PARAMS, "judge", JudgeConfig))
    explicit = KINDS.index("explicit")
    # A denied target passes for the published judges, and not for ours.
    assert {judge: counts.right[0, explicit] for judge, counts in found.items()} == {
        "lenient": 1,
        "substring": 1,
        "embedding": 0,
        "exact": 0,
    }
    assert found["substring"].scored.sum() == len(TARGET_KINDS)
    assert found["exact"].scored.sum() == len(KINDS)


def shares(users: int, **right: int) -> Counts:
    """Counts of `users` users, of whom the first `right[kind]` were answered right."""
    rows = [(f"u{u:02}", kind, u < right.get(kind, 0)) for kind in KINDS for u in range(users)]
    return count(rows, KINDS)


def table(**methods: Counts) -> dict[tuple[Protocol, str, str], Counts]:
    return {(Protocol.OURS, "exact", name): counts for name, counts in methods.items()}


def test_a_finding_is_a_paired_difference_with_its_interval() -> None:
    controls = {str(kind): 20 for kind in CONTROL_KINDS}
    rows = table(rome=shares(20, explicit=20, rephrased=4, **controls), none=shares(20, **controls))
    (claim,) = finding_claims(rows, PLAN)
    assert claim.claim == "reproduction.finding.rome_does_not_generalise"
    value, low, high = claim.extra["cells"]["ours/exact/holds?"]
    assert value == pytest.approx(1 - 0.2 / 3, abs=1e-4)
    assert 0.7 < low < value < high <= 1.0
    assert claim.n == 20


def test_the_best_method_is_held_against_the_next_best_one() -> None:
    targets = {str(kind): 12 for kind in TARGET_KINDS}
    others = {name: shares(20) for name in script.SINGLE}
    rows = table(**others | {"ft_m": shares(20, **targets), "lora": shares(20, explicit=20)})
    (recall,) = [claim for claim in finding_claims(rows, PLAN) if claim.claim.endswith("ft_m_has_the_best_recall")]
    assert recall.value == pytest.approx(0.6 - 0.25)


def test_a_method_that_is_missing_leaves_its_findings_out() -> None:
    assert finding_claims(table(ft_m=shares(20)), PLAN) == []


def test_recall_and_specificity_stand_beside_one_another_under_our_protocol_only() -> None:
    counts = shares(20, explicit=10)
    ours, published = method_claims(
        {(Protocol.OURS, "exact", "ft_m"): counts, (Protocol.PUBLISHED, "lenient", "ft_m"): counts}, PLAN
    )
    assert ours.value == published.value == 0.125
    assert ours.extra["cells"]["specificity"][0] == 0.0
    assert not {"specificity", "headline"} & published.extra["cells"].keys()


def test_a_handful_of_users_leaves_a_finding_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    for users, word in ((5, "open"), (6, "holds")):
        found = claims.Claim("x.a", 0.2, "share", 0.1, 0.3, users, extra={"cells": {"up/holds?": [0.2, 0.1, 0.3]}})
        claims.write("a", "python -m benchmarks.a", [found])
        assert f"| {word}: +0.20" in claims.fill("<!-- cells: x. up/holds? -->\n<!-- end -->")


def test_the_page_says_what_an_interval_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    cells = {
        "up/holds?": [0.2, 0.1, 0.3],
        "down/holds?": [-0.2, -0.3, -0.1],
        "level/holds?": [0.0, -0.1, 0.1],
        "one/holds?": [1.0, 1.0, 1.0],
    }
    claims.write(
        "a", "python -m benchmarks.a", [claims.Claim("x.a_b", 0.2, "share", 0.1, 0.3, 9, extra={"cells": cells})]
    )
    page = claims.fill("<!-- cells: x. up/holds? down/holds? level/holds? one/holds? gone -->\nold\n<!-- end -->")
    (line,) = [line for line in page.splitlines() if line.startswith("| a b |")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "a b",
        "holds: +0.20 (+0.10 to +0.30)",
        "does not hold: -0.20 (-0.30 to -0.10)",
        "open: +0.00 (-0.10 to +0.10)",
        "all agree: +1.00 (+1.00 to +1.00)",
        "",
    ]
    assert "\nold\n" not in page
    assert (
        claims.fill("<!-- cells: y. up -->\n<!-- end -->") == "<!-- cells: y. up -->\nNot measured yet.\n<!-- end -->"
    )
