"""Released rows as users: what they are edited through, and what methods may read of other people."""

from pathlib import Path

from editing.methods.base import plain
from editing.scenarios import Scenario
from editing.users import edit_prompt, histories, read_cases, read_split, texts_of, users_of
from pipeline.core.records import Evidence, Preference, Question, ReleasedHistoryEntry, content_id
from pipeline.core.tables import read_parquet, write_parquet


def test_the_edit_prompt_is_no_evaluation_question_where_another_phrasing_exists() -> None:
    asked = {"what is my diet?"}
    assert edit_prompt("diet", "What is my diet?", asked) == "What's my diet?"
    assert edit_prompt("diet", "Which diet do I follow?", asked) == "Which diet do I follow?"
    assert edit_prompt("diet", "", {"what is my diet?", "what's my diet?"}) == "What is my diet?"


def test_no_edit_of_a_shared_model_is_made_on_what_any_of_its_users_is_asked(release: Path) -> None:
    (case,) = read_cases(release, Scenario(told="preference", edits=3, withdrawn=False), "test", 3)
    everything = {plain(question.text) for question in case.questions}
    for user in users_of(case, {}):
        for fact in user.facts:
            for own in (fact, *fact.cluster):
                assert own.barred == everything
                assert not own.bars(own.question)


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


def test_a_history_is_all_that_a_user_said_and_holds_the_statement_of_every_preference(release: Path) -> None:
    before = histories(release)
    first, second, *_ = read_parquet(release / "data" / "preferences-test.parquet", Preference)
    write_history(release, first, "I live by the sea.", first.statement, "I keep bees.")
    write_history(release, second, "I have a boat.")
    assert histories(release) == before | {
        first.user_id: ("I live by the sea.", first.statement, "I keep bees."),
        second.user_id: ("I have a boat.", second.statement),
    }


def test_a_case_of_a_user_can_retrieve_from_the_whole_history(release: Path) -> None:
    first = min(read_parquet(release / "data" / "preferences-test.parquet", Preference), key=lambda p: p.id)
    write_history(release, first, "I live by the sea.", first.statement)
    (case,) = read_cases(release, Scenario(told="preference", edits=1, withdrawn=False), "test", 1)
    (user,) = users_of(case, histories(release))
    assert user.history == ("I live by the sea.", first.statement)


def write_history(release: Path, of: Preference, *texts: str) -> None:
    """Add what the user of a preference said to the histories of its split."""
    path = release / "data" / f"histories-{of.split}.parquet"
    rows = list(read_parquet(path, ReleasedHistoryEntry)) if path.exists() else []
    for text in texts:
        evidence = Evidence(source="fixture", conversation="c", turn=len(rows), start=0, end=len(text))
        rows.append(
            ReleasedHistoryEntry(
                id=content_id(text),
                user_id=of.user_id,
                text=text,
                evidence=evidence,
                sensitive=(),
                license="Apache-2.0",
                split=of.split,
            )
        )
    write_parquet(path, rows, ReleasedHistoryEntry)
