from __future__ import annotations

from benchmarks.difficulty import Row, table
from editing.metrics.bootstrap import Plan
from pipeline.core.records import Difficulty


def row(user: str, rank: int, right: bool | None) -> Row:
    numbers = {"statement_overlap": 0.0, "attribute_overlap": 0.0, "statement_similarity": 0.0}
    return Row(
        user_id=user,
        kind="explicit",
        measured=Difficulty.model_validate({**numbers, "statement_rank": rank, "statement_pool": 9}),
        right=right,
    )


def by_rank(numbers: Difficulty) -> str:
    return {1: "easy", 2: "medium", 3: "hard"}[numbers.statement_rank]


def test_shares_and_gaps_are_those_of_the_rows_and_unscored_ones_count_nowhere() -> None:
    rows = [
        *(row(f"u{i}", 1, True) for i in range(4)),
        *(row(f"u{i}", 2, i % 2 == 0) for i in range(4)),
        *(row(f"u{i}", 3, False) for i in range(4)),
        row("u0", 3, None),
    ]
    found = {claim.claim: claim for claim in table(rows, "rule", by_rank, Plan(200, 1, 0.95))}
    assert [found[f"difficulty.rule.{name}"].value for name in ("easy", "medium", "hard")] == [1.0, 0.5, 0.0]
    assert [found[f"difficulty.rule.{name}"].n for name in ("easy", "medium", "hard")] == [4, 4, 4]
    assert found["difficulty.rule.easy_minus_medium"].value == 0.5
    assert found["difficulty.rule.easy"].extra["right_and_questions_by_kind"]["explicit"] == [4, 4]


def test_the_interval_is_wide_where_one_user_gave_all_the_wrong_answers() -> None:
    rows = [row("u0", 1, False)] * 10 + [row("u1", 1, True)] * 10
    easy = table(rows, "rule", by_rank, Plan(200, 1, 0.95))[0]
    assert (easy.low, easy.high) == (0.0, 1.0)
