"""The good rate: sheets for a blind reader, the answers, and a figure only for rows that stand as they were read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import generate
from benchmarks.generate import ASPECTS, POOLS, _made_up, good_rate, good_rate_sharegpt, label, sheet, steps
from pipeline.core.records import TARGET_KINDS, Preference, Question, Statement, content_id
from pipeline.core.tables import write_json, write_parquet

LAST = len(POOLS)


def dataset(folder: Path, users: Sequence[str], product: str = "Which tools should I buy?") -> Path:
    """One nurse a user, with a question of each target kind."""
    texts = dict(zip(TARGET_KINDS, ("What is my job?", "What do I do?", "What should I learn?", product), strict=True))
    evidence = {"source": "chitchat", "conversation": "c", "turn": 0, "start": 0, "end": 13}
    numbers = dict.fromkeys(("statement_overlap", "attribute_overlap", "statement_similarity"), 0.0)
    origins = {"license": "MIT", "split": "test"}
    preferences, questions = [], []
    for user in users:
        fields = {"id": content_id(user), "user_id": user, "statement": "I am a nurse.", "attribute_type": "job"}
        more = {
            "family": "profession",
            "target": "nurse",
            "aliases": (),
            "cluster": (),
            "sensitive": (),
            "source": "chitchat",
        }
        wrote = {"evidence": evidence, "provenance": {"model": "m", "prompts": {}, "samples": 0}}
        preferences.append(Preference.model_validate({**fields, **more, **wrote, **origins}))
        for kind, text in texts.items():
            asked = {"id": content_id(user, kind), "preference_id": content_id(user), "user_id": user, "kind": kind}
            rest = {"text": text, "origin": "template", "query_id": None, "expects": "apply", "accepted": ("nurse",)}
            hard = {"difficulty": "hard", "measured": {**numbers, "statement_rank": 1, "statement_pool": 9}}
            questions.append(Question.model_validate({**asked, **rest, **hard, **origins}))
    write_parquet(folder / "preferences" / "test.parquet", preferences, Preference)
    write_parquet(folder / "questions" / "test.parquet", questions, Question)
    return folder


def answers(folder: Path, sheet_file: Path, **changes: Any) -> Path:
    """Yes to everything, but `changes` on the first line."""
    rows = [json.loads(line) for line in sheet_file.read_text().splitlines()]
    given = [{"id": row["id"], **dict.fromkeys(ASPECTS, True), "bad_kinds": []} for row in rows]
    given[0] |= changes
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of two users of the last pool and two of others, with a sheet; labels go to labels.jsonl."""
    monkeypatch.setitem(generate.LABELS, "chitchat", tmp_path / "labels.jsonl")
    dataset(tmp_path / "upqa", ["c1", "d2", "01", "42"])
    sheet(tmp_path / "upqa", out=tmp_path)
    return tmp_path


def one_row(folder: Path) -> Path:
    """A sheet with the first row of the folder's alone."""
    (folder / "one.jsonl").write_text((folder / "sheet.jsonl").read_text().splitlines()[0] + "\n")
    return folder / "one.jsonl"


def keep(folder: Path, **changes: Any) -> None:
    label(folder / "sheet.jsonl", answers(folder, folder / "sheet.jsonl", **changes), labels=folder / "labels.jsonl")


def test_the_last_sheet_holds_users_of_the_last_pool_only_and_nothing_of_what_wrote_it(read: Path) -> None:
    rows = [json.loads(line) for line in (read / "sheet.jsonl").read_text().splitlines()]
    assert sorted(row["id"] for row in rows) == sorted([content_id("c1"), content_id("d2")])
    assert set(rows[0]) == {"id", "content", "statement", "attribute_type", "target", "aliases", "questions"}
    assert set(rows[0]["questions"]) == {kind.value for kind in TARGET_KINDS}


def test_the_pools_share_no_user_and_leave_none_out() -> None:
    assert sorted("".join(dict.fromkeys(POOLS))) == sorted(generate.EVERYBODY)


def test_a_round_that_reads_what_is_left_holds_nothing_that_was_read_before(read: Path) -> None:
    one = one_row(read)
    label(one, answers(read, one), reading=LAST - 1, labels=read / "labels.jsonl")
    sheet(read / "upqa", out=read)
    (left,) = [json.loads(line) for line in (read / "sheet.jsonl").read_text().splitlines()]
    (known,) = [json.loads(line) for line in (read / "one.jsonl").read_text().splitlines()]
    assert {left["id"], known["id"]} == {content_id("c1"), content_id("d2")}


def test_the_criteria_say_what_each_aspect_means(read: Path) -> None:
    text = (read / "criteria.md").read_text()
    assert all(name in text and meaning in text for name, meaning in ASPECTS.items())


def test_a_preference_is_good_only_when_all_four_aspects_hold(read: Path) -> None:
    keep(read, answerable=False, bad_kinds=["product"])
    claim = good_rate(read / "upqa")
    assert claim is not None
    assert (claim.value, claim.n, claim.extra["corpus"]) == (0.5, 2, "chitchat")
    assert claim.extra["failed_by_aspect"] == {"true_fact": 0, "target_right": 0, "answerable": 1, "no_leak": 0}
    assert claim.extra["not_answerable_by_kind_and_origin"]["product.template"] == [1, 2]


def test_there_is_no_figure_before_the_last_round_is_read(read: Path) -> None:
    assert good_rate(read / "upqa") is None


def test_there_is_no_figure_for_rows_that_changed_since_they_were_read(read: Path) -> None:
    keep(read)
    dataset(read / "upqa", ["c1", "d2"], product="Which shoes should I buy?")
    assert good_rate(read / "upqa") is None


def test_there_is_no_figure_where_a_row_that_was_read_is_gone(read: Path) -> None:
    keep(read)
    dataset(read / "upqa", ["c1"])
    assert good_rate(read / "upqa") is None


def test_answers_of_a_round_replace_its_earlier_ones(read: Path) -> None:
    keep(read)
    keep(read, target_right=False)
    labels = [json.loads(line) for line in (read / "labels.jsonl").read_text().splitlines()]
    assert [row["round"] for row in labels] == [LAST, LAST]
    assert sum(not row["target_right"] for row in labels) == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"id": "other"}, "answer each of the 2 lines"),
        ({"true_fact": "yes"}, "four times true or false"),
        ({"bad_kinds": ["product"]}, "as `bad_kinds` says"),
        ({"answerable": False}, "as `bad_kinds` says"),
        ({"answerable": False, "bad_kinds": ["neutral"]}, "unknown kind"),
    ],
)
def test_answers_that_are_not_whole_are_refused(read: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        keep(read, **changes)
    assert not (read / "labels.jsonl").exists()


def test_the_figure_of_sharegpt_is_that_of_its_last_round_and_says_that_the_rules_were_others() -> None:
    claim = good_rate_sharegpt()
    assert (claim.claim, claim.n, claim.extra["corpus"]) == ("generate.good_rate_sharegpt", 11, "sharegpt")
    assert claim.value == pytest.approx(6 / 11)
    assert "the rules before" in claim.note


def test_the_yield_tells_what_is_left_after_each_step(tmp_path: Path) -> None:
    dataset(tmp_path / "upqa", ["c1"])
    statements = [_made_up(job) for job in ("nurse", "baker", "whistler")]
    write_parquet(tmp_path / "mined" / "statements.parquet", statements, Statement)
    wrote = {"statements": {"out": 1}, "dropped_by_reason": {"no_attribute": 1, "not_sampled": 1}}
    samples = {"samples_rejected_by_rule": {"rephrased.ranking": 4}, "replies": 5}
    write_json(tmp_path / "generated" / "report.json", {"counts": wrote | samples})
    write_json(tmp_path / "upqa" / "report.json", {"counts": {"rejected_by_reason": {"leaks_target": 2}}})
    claim = steps(tmp_path / "mined", tmp_path / "generated", tmp_path / "upqa")
    assert list(claim.extra["left"].values()) == [3, 2, 1, 1]
    assert claim.value == pytest.approx(1 / 3)
    assert list(claim.extra["refused"].values()) == [
        wrote["dropped_by_reason"],
        {"leaks_target": 2},
        {"rephrased.ranking": 4},
    ]
