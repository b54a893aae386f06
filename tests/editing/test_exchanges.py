import json
from pathlib import Path

import pytest

from editing.exchanges import draw, is_held_out, read_exchanges, statistics_texts
from pipeline.core.errors import InputError
from pipeline.core.records import Exchange


def an_exchange(number: int, user: str | None = None) -> Exchange:
    return Exchange(
        id=f"e{number}",
        user_id=user or f"other{number}",
        source="s",
        conversation=str(number),
        turn=0,
        user=f"Question {number}?",
        assistant=f"Reply {number}.",
        license="MIT",
    )


POOL = [an_exchange(number) for number in range(12)]


def test_the_same_seed_draws_the_same_and_questions_differ() -> None:
    assert draw(POOL, "me", "q1", 6, 0) == draw(POOL, "me", "q1", 6, 0)
    assert draw(POOL, "me", "q1", 6, 0) != draw(POOL, "me", "q2", 6, 0)
    assert draw(POOL, "me", "q1", 6, 0) != draw(POOL, "me", "q1", 6, 1)


def test_no_turn_is_the_user_s_own_and_none_comes_twice() -> None:
    pool = [*POOL, *(an_exchange(100 + number, "me") for number in range(50))]
    drawn = draw(pool, "me", "q", 12, 0)
    assert "me" not in {exchange.user_id for exchange in drawn}
    assert len({exchange.id for exchange in drawn}) == 12


def test_too_few_turns_of_others_are_an_error_that_names_the_fix() -> None:
    with pytest.raises(InputError, match="10 distractor turns .* there are 2 .*dvc repro exchanges"):
        draw([*POOL[:2], *(an_exchange(9, "me") for _ in range(20))], "me", "q", 10, 0)


def test_statistics_never_read_held_out_text_nor_an_evaluated_user() -> None:
    pool = [*POOL, *(an_exchange(100 + number, f"other{number}") for number in range(12))]
    texts = statistics_texts(pool, {"other1"})
    lent = [e for e in pool if f"{e.user}\n{e.assistant}" in texts]
    assert 0 < len(lent) < len(pool)
    assert not any(is_held_out(e) or e.user_id == "other1" for e in lent)
    assert {e.user_id for e in lent}.isdisjoint({e.user_id for e in pool if is_held_out(e)})


def test_a_missing_file_is_an_error_that_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.parquet: no such file; run `dvc repro exchanges`"):
        read_exchanges(tmp_path / "none.parquet")


def test_prefeval_s_form_is_read_as_pairs(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    talk = [("user", "Hi"), ("assistant", "Hello"), ("assistant", "More"), ("user", "Why?"), ("assistant", "So.")]
    row = {"conversation_id": "c1", "model": "x", "conversation": [{"role": r, "content": c} for r, c in talk]}
    path.write_text(json.dumps([row]))
    assert [(e.user_id, e.user, e.assistant) for e in read_exchanges(path)] == [
        ("c1", "Hi", "Hello"),
        ("c1", "Why?", "So."),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not valid JSON"), ("{}", "expected a list"), ('[{"conversation_id": 1}]', "row 0"), ("[]", "no exchange")],
)
def test_another_form_is_an_error_that_names_the_row(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "turns.json").write_text(text)
    with pytest.raises(InputError, match=says):
        read_exchanges(tmp_path / "turns.json")
