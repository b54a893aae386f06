from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.records import Draft, QuestionKind
from pipeline.llm.client import Client
from pipeline.llm.config import load_llm
from pipeline.llm.testing import FakeEndpoint, fake_endpoint
from pipeline.validate.config import ReferenceConfig, ValidateConfig
from pipeline.validate.difficulty import hashed
from pipeline.validate.rows import deal, release, releaser
from pipeline.validate.solving import Posed, Rates, solve_rates, solves
from pipeline.validate.stage import Checked, check, without_guessable

CONFIG = ReferenceConfig(role="reference", samples=1, max_tokens=8, max_guess_rate=0.5, min_solve_rate=0.5)
CHESS = Posed("What is my hobby?", "In the evenings I play chess.", ("chess", "board games"))


@contextmanager
def reference(folder: Path, answer: Callable[[str], str]) -> Iterator[tuple[Client, FakeEndpoint]]:
    with fake_endpoint(lambda body: answer(body["messages"][-1]["content"])) as endpoint:
        settings = load_llm(Path("params.yaml"))
        role = settings.roles["reference"].model_copy(update={"base_url": endpoint.base_url})
        changes: dict[str, Any] = {"cache": folder / "calls.sqlite", "roles": {"reference": role}}
        with Client("reference", settings.model_copy(update=changes)) as client:
            yield client, endpoint


@pytest.mark.parametrize(
    ("reply", "solved"),
    [
        ("You like chess.", True),
        ("Board games, mostly", True),
        ("You play chessboxing.", False),
        ("In the evenings I play chess.", False),
        ("In the evenings I play", False),
        ("I do not know.", False),
    ],
)
def test_a_reply_solves_a_question_when_it_says_the_answer_and_is_no_echo(reply: str, solved: bool) -> None:
    assert solves(reply, CHESS) is solved


def test_rates_tell_what_the_statement_adds(tmp_path: Path) -> None:
    def answer(content: str) -> str:
        return "It is chess." if "evenings" in content else "I cannot know that."

    with reference(tmp_path, answer) as (client, _):
        assert solve_rates(client, [CHESS], CONFIG) == [Rates(1.0, 0.0)]


def test_rates_are_shares_over_the_samples(tmp_path: Path) -> None:
    told = iter(["chess", "tennis", "golf", "chess"])
    bare = iter(["chess", "tennis", "golf", "rugby"])
    with reference(tmp_path, lambda content: next(told if "evenings" in content else bare)) as (client, endpoint):
        (rates,) = solve_rates(client, [CHESS], CONFIG.model_copy(update={"samples": 4}))
    assert rates == Rates(0.5, 0.25)
    assert len({body["seed"] for body in endpoint.requests}) == 4


def test_the_same_bare_question_is_asked_once(tmp_path: Path) -> None:
    other = CHESS._replace(statement="I collect stamps.", accepted=("stamps",))
    with reference(tmp_path, lambda content: "chess") as (client, endpoint):
        assert solve_rates(client, [CHESS, other], CONFIG) == [Rates(1.0, 1.0), Rates(0.0, 0.0)]
    assert len(endpoint.requests) == 3


def checked(draft: Callable[..., Draft], config: ValidateConfig, folder: Path, guessed: str) -> Checked:
    def answer(content: str) -> str:
        return "chess" if content == guessed or "evenings" in content else "no idea"

    spare = draft().questions[3].model_copy(update={"text": "Which book should I buy for my Sundays?"})
    one = draft(questions=(*draft().questions, spare))
    with reference(folder, answer) as (client, _):
        return without_guessable(check([one], config), client, CONFIG, config.rules)


def test_a_question_that_is_solved_without_the_statement_is_rejected_as_guessable(
    draft: Callable[..., Draft], config: ValidateConfig, tmp_path: Path
) -> None:
    found = checked(draft, config, tmp_path, "Which present should I buy myself?")
    assert found.counts["rejected_by_reason"] == {"guessable": 1}
    assert found.counts["questions"] == {"in": 10, "out": 9, "rejected": 1}
    splits = deal(found.kept, hashed, config.split).splits
    ((_, questions),) = release(
        found.kept, splits, releaser(found.kept, {}, hashed, config.model_copy(update={"reference": CONFIG}))
    )
    assert [q.text for q in questions if q.kind is QuestionKind.PRODUCT] == ["Which book should I buy for my Sundays?"]


def test_the_rates_are_published_with_the_questions_of_the_target_kinds(
    draft: Callable[..., Draft], config: ValidateConfig, tmp_path: Path
) -> None:
    found = checked(draft, config, tmp_path, "nothing")
    splits = deal(found.kept, hashed, config.split).splits
    ((_, questions),) = release(
        found.kept, splits, releaser(found.kept, {}, hashed, config.model_copy(update={"reference": CONFIG}))
    )
    rates = {q.expects: (q.measured.solve_rate_with, q.measured.solve_rate_without) for q in questions}
    assert rates == {"recall": (1.0, 0.0), "apply": (1.0, 0.0), "abstain": (None, None)}


def test_a_draft_whose_only_question_of_a_kind_is_guessable_is_rejected_whole(
    draft: Callable[..., Draft], config: ValidateConfig, tmp_path: Path
) -> None:
    found = checked(draft, config, tmp_path, "What is my hobby?")
    (row,) = found.rejected
    assert (row.reason, Draft.model_validate_json(row.row).target) == ("missing_kind", "chess")
    assert "guessable" in row.detail
    assert found.counts["drafts"] == {"in": 1, "out": 0, "rejected": 1}
