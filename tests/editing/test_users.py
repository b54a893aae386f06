"""Released rows as users: what they are edited through, and what methods may read of other people."""

from pathlib import Path

from editing.users import edit_prompt, histories, read_split, texts_of
from pipeline.core.records import Preference, Question
from pipeline.core.tables import read_parquet, write_parquet


def test_the_edit_prompt_is_no_evaluation_question_where_another_phrasing_exists() -> None:
    asked = {"what is my diet?"}
    assert edit_prompt("diet", "What is my diet?", asked) == "What's my diet?"
    assert edit_prompt("diet", "Which diet do I follow?", asked) == "Which diet do I follow?"
    assert edit_prompt("diet", "", {"what is my diet?", "what's my diet?"}) == "What is my diet?"


def test_statistics_never_see_the_evaluated_split(release: Path) -> None:
    path = release / "data" / "preferences-test.parquet"
    own = [p.model_copy(update={"statement": f"Only {p.id} says this."}) for p in read_parquet(path, Preference)]
    write_parquet(path, own, Preference)
    texts = texts_of(release, ["train", "validation"])
    train = {q.text for q in read_parquet(release / "data" / "questions-train.parquet", Question)}
    assert train <= set(texts)
    assert not {p.statement for p in own} & set(texts)
    assert len(texts) == len(set(texts))


def test_a_preference_that_replaces_another_takes_no_part_in_the_ordinary_evaluation(release: Path) -> None:
    path = release / "data" / "preferences-test.parquet"
    old, new, *rest = sorted(read_parquet(path, Preference), key=lambda p: p.id)
    pair = [old.model_copy(update={"superseded_by": new.id}), new.model_copy(update={"user_id": old.user_id})]
    write_parquet(path, [*pair, *rest], Preference)
    assert [p.id for p in read_split(release, "test", 10)[0]] == [p.id for p in (old, *rest)]
    assert histories(release)[old.user_id] == (old.statement,)
