from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.records import Draft, Dropped, Preference, Question
from pipeline.core.schemas import generated
from pipeline.core.tables import read_parquet
from pipeline.validate import stage
from pipeline.validate.config import ValidateConfig
from pipeline.validate.difficulty import hashed
from pipeline.validate.rows import deal, release, releaser, write_dataset
from pipeline.validate.splits import SPLITS
from pipeline.validate.stage import check, check_lines
from pipeline.validate.workers import processes

SCHEMA = generated()["draft.schema.json"]
Released = tuple[Preference, list[Question]]


def released(drafts: Iterable[Draft | Dropped], licenses: dict[str, str], config: ValidateConfig) -> list[Released]:
    kept = check(drafts, config).kept
    return list(release(kept, deal(kept, hashed, config.split).splits, releaser(kept, licenses, hashed, config)))


def test_a_question_made_of_two_texts_carries_the_stricter_licence(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    ((_, questions),) = released([draft()], {"q1": "CC-BY-NC-4.0"}, config)
    licenses = {q.query_id: q.license for q in questions}
    assert licenses == {None: "CC-BY-4.0", "q1": "CC-BY-NC-4.0"}


def test_a_mined_question_whose_licence_is_not_known_is_unknown(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    ((_, questions),) = released([draft()], {}, config)
    assert {q.license for q in questions if q.origin == "mined"} == {"unknown"}


def pair(draft: Callable[..., Draft]) -> tuple[Draft, Draft]:
    old, new = draft(), draft(text="I used to play chess, but now I do pottery.", target="pottery", origin="template")
    return old.model_copy(update={"superseded_by": new.id}), new


def test_an_update_is_released_with_the_preference_it_replaces(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    old, new = pair(draft)
    preferences = {preference.target: preference for preference, _ in released([old, new], {}, config)}
    assert preferences["chess"].superseded_by == preferences["pottery"].id
    assert preferences["pottery"].origin == "template"
    assert preferences["chess"].split == preferences["pottery"].split


def test_an_update_never_takes_the_rank_of_the_statement_it_replaces(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    alone = {q.id: q.measured for q in released([draft()], {}, config)[0][1]}
    with_update = {q.id: q.measured for _, questions in released(pair(draft), {}, config) for q in questions}
    assert alone.items() <= with_update.items()


def test_a_preference_whose_update_was_rejected_still_holds(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    old, new = pair(draft)
    ((kept, _),) = released([old, new.model_copy(update={"target": "golf"})], {}, config)
    assert kept.superseded_by is None


def test_no_draft_gives_an_empty_dataset(config: ValidateConfig) -> None:
    assert released([], {}, config) == []


def written(drafts: list[Draft], config: ValidateConfig, out: Path, count: int) -> dict[str, Any]:
    """What the stage writes with `count` processes, and what it reports."""
    lines = [draft.model_dump_json().encode() for draft in drafts]
    with processes(count) as in_order:
        checked = check_lines(lines, SCHEMA, config, in_order)
        splits = deal(checked.kept, hashed, config.split).splits
        make = releaser(checked.kept, {}, hashed, config)
        return {**checked.counts, **write_dataset(out, checked.kept, splits, make, in_order)}


def test_the_written_dataset_is_the_released_one(
    draft: Callable[..., Draft], config: ValidateConfig, tmp_path: Path
) -> None:
    drafts = [draft(f"u{i}") for i in range(12)]
    rows = released(drafts, {}, config)
    counts = written(drafts, config, tmp_path, 1)
    preferences = [p for s in SPLITS for p in read_parquet(tmp_path / "preferences" / f"{s}.parquet", Preference)]
    questions = [q for s in SPLITS for q in read_parquet(tmp_path / "questions" / f"{s}.parquet", Question)]
    assert sorted(preferences, key=lambda p: p.id) == [p for p, _ in rows]
    assert {q.id: q for q in questions} == {q.id: q for _, asked in rows for q in asked}
    assert counts["users"] == 12
    assert sum(counts["by_kind"].values()) == len(questions)
    assert all(p.split == s for s in SPLITS for p in read_parquet(tmp_path / f"preferences/{s}.parquet", Preference))


def test_the_bytes_do_not_depend_on_how_many_processes_there_are(
    draft: Callable[..., Draft], config: ValidateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = [draft(f"u{i}", text=f"In the evenings I play chess with {i} friends.") for i in range(60)]
    drafts += [drafts[0], draft("u1", target="tennis")]
    alone = written(drafts, config, tmp_path / "one", 1)
    monkeypatch.setattr(stage, "CHUNK", 7)
    assert written(drafts, config, tmp_path / "two", 2) == alone
    for path in sorted((tmp_path / "one").rglob("*.parquet")):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()
