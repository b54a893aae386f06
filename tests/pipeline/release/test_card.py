from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.core.provenance import dataset_sha256
from pipeline.core.records import QuestionKind
from pipeline.release.inputs import Background, Dataset, Measured
from pipeline.release.stage import build

Make = Callable[..., Any]
Card = Callable[..., str]
MINED = {"counts": {"candidates": {"in": 10, "out": 3}, "dropped_by_reason": {"unlikely": 2, "duplicate": 5}}}


@pytest.fixture
def dataset(preference: Make, question: Make, entry: Make) -> Dataset:
    """A preference of train; one of test, with an update that we wrote, of a user who said one thing more."""
    old = preference("old", superseded_by="new")
    new = preference("new", user_id=old.user_id, origin="template", target="go", cluster=())
    rows = [preference("a", split="train"), old, new]
    told = [entry(rows[0]), entry(old), entry(old, id="more", text="I have asthma.", sensitive=("health",))]
    return Dataset(rows, [question(row) for row in rows], {}, told)


@pytest.fixture
def card(dataset: Dataset, config: Make, tmp_path: Path) -> Card:
    """The card of a release of these rows, or of others."""

    def render(background: Background | None = None, rows: Dataset = dataset, **changes: Any) -> str:
        build(rows, background or Background(), tmp_path / "hub", config(**changes))
        return (tmp_path / "hub" / "README.md").read_text()

    return render


def front_matter(text: str) -> dict[str, Any]:
    front: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return front


def blocks(text: str) -> list[Any]:
    """The JSON examples in a card."""
    return [json.loads(part.split("\n```")[0]) for part in text.split("```json\n")[1:]]


def test_the_sizes_are_those_of_the_files_and_empty_splits_are_left_out(card: Card, tmp_path: Path) -> None:
    (histories, preferences, questions) = front_matter(card())["dataset_info"]
    files = [tmp_path / "hub" / "data" / f"preferences-{split}.parquet" for split in ("train", "test")]
    names = [info["config_name"] for info in (histories, preferences, questions)]
    assert names == ["histories", "preferences", "questions"]
    assert [(s["name"], s["num_examples"]) for s in preferences["splits"]] == [("train", 1), ("test", 2)]
    assert preferences["download_size"] == sum(path.stat().st_size for path in files)
    assert preferences["dataset_size"] == sum(split["num_bytes"] for split in preferences["splits"])


def test_the_features_name_every_column_of_the_files(card: Card, tmp_path: Path) -> None:
    for info in front_matter(card())["dataset_info"]:
        schema = pq.read_schema(tmp_path / "hub" / "data" / f"{info['config_name']}-test.parquet")
        assert [feature["name"] for feature in info["features"]] == schema.names


def test_the_counts_come_from_the_rows_and_the_reports(card: Card) -> None:
    text = card(Background({"mine": MINED}))
    assert "| preferences | 3 |" in text
    assert "| of these really stated | 2 |" in text
    assert "| mine (candidates) | 10 | 3 | 7 |" in text
    assert "- mine: duplicate 5, unlikely 2" in text
    assert "| test | 2 | 1 | 2 | 2 |" in text
    assert "| statements in the users' histories | 3 |" in text
    assert "1 of 2 users have more than one." in text
    assert "tagged in `sensitive` (health 1)" in text


def test_what_was_read_is_told_with_the_damage_of_its_files(card: Card) -> None:
    counts = {**MINED["counts"], "conversations": 41, "statements": 2, "queries": 1}
    sources = [{"name": "jsonl", "damage": "ends at byte 7"}, {"name": "whole", "damage": None}]
    text = card(Background({"mine": {"counts": counts, "sources": sources}}))
    assert "`mine` read 41 conversations" in text
    assert "The input of `jsonl` is damaged (ends at byte 7)" in text
    assert "`whole`" not in text


def test_the_quality_is_what_was_measured_and_on_what(card: Card) -> None:
    measured = Measured("good preferences", 0.824, 0.69, 0.901, 50, "read | blind", "2031-05-01")
    bare = Measured("names that are replaced", 0.5, None, None, 4, "planted", "2031-05-02")
    text = card(Background(quality=[measured, bare]))
    assert "| good preferences | 0.82 | 0.69 to 0.90 | 50 | read \\| blind |" in text
    assert "| names that are replaced | 0.50 |  | 4 | planted |" in text
    assert "(2031-05-01, 2031-05-02)" in text
    assert "Measured quality" not in card()


def test_the_examples_are_rows_of_the_files_with_the_cluster_and_the_update(card: Card, tmp_path: Path) -> None:
    old, new, asked = blocks(card())
    tables = [pq.read_table(tmp_path / "hub" / "data" / f"{n}-test.parquet") for n in ("preferences", "questions")]
    preferences, questions = (table.to_pylist() for table in tables)
    assert [old, new] == preferences and old["superseded_by"] == new["id"]
    assert len(old["cluster"]) == 2
    assert asked == questions[0]


def test_a_sensitive_preference_is_no_example(card: Card, preference: Make) -> None:
    ill, well = preference("a", sensitive=("health",)), preference("b", cluster=())
    text = card(rows=Dataset([ill, well], [], {}))
    assert [row["id"] for row in blocks(text)] == ["b"]
    assert "(health 1)" in text
    assert blocks(card(rows=Dataset([ill], [], {}))) == []


def test_a_release_without_histories_has_no_such_config(card: Card, dataset: Dataset) -> None:
    text = card(rows=dataset._replace(histories=()))
    assert [config["config_name"] for config in front_matter(text)["configs"]] == ["questions", "preferences"]
    assert "users have more than one" not in text


def test_no_update_is_told_where_none_was_written(card: Card, preference: Make) -> None:
    assert "this project invented" in card()
    assert "this project invented" not in card(rows=Dataset([preference()], [], {}))


def test_the_table_of_questions_counts_different_texts_and_quotes_what_people_wrote(
    card: Card, preference: Make, question: Make
) -> None:
    rows = [preference("a"), preference("b")]
    odd = [question(p, kind=QuestionKind.IMPLICIT, text="Is <b>a|b</b> [x](y) *it*?", expects="apply") for p in rows]
    text = card(rows=Dataset(rows, odd, {}))
    assert "| implicit | apply | 2 | 1 | 0 | 0 | 2 | Is \\<b>a\\|b\\</b> \\[x\\](y) \\*it\\*? |" in text


def test_the_fields_inside_a_field_are_explained(card: Card) -> None:
    text = card()
    assert "| `cluster[]` | Synonyms for clustered edits; the original is the first member. |" in text
    assert "| `cluster.question` | A direct question for it, in the first person. |" in text


def overlap_with_upqa(sha256: str) -> dict[str, Any]:
    counts = {"statement": {"rows": 2, "equal": 0, "near": 1, "closest": 0.93}}
    file = {"benchmark": "upqa", "file": "published.json", "overlap": counts}
    return {"dataset_sha256": sha256, "near_duplicate": 0.9, "files": [file]}


def test_the_card_tells_the_overlap_with_benchmarks_found_in_these_rows_only(card: Card, tmp_path: Path) -> None:
    card()
    for sha256, told in ((dataset_sha256(tmp_path / "hub"), True), ("0" * 64, False)):
        text = card(Background(contamination=overlap_with_upqa(sha256)))
        assert ("| upqa | published.json | statement | 2 | 0 | 1 | 0.93 |" in text) is told
        assert "## Difficulty" in text


def test_the_card_names_the_strictest_licence(card: Card, dataset: Dataset, preference: Make) -> None:
    assert front_matter(card())["license"] == "cc-by-4.0"
    strict = preference("nc", license="CC-BY-NC-4.0")
    text = card(rows=dataset._replace(preferences=[*dataset.preferences, strict]))
    assert front_matter(text)["license"] == "cc-by-nc-4.0"
    assert "Not for publication" not in text


@pytest.mark.parametrize("name", ["unknown", "LicenseRef-LMSYS-Chat-1M"])
def test_a_card_with_rights_that_forbid_it_says_that_it_is_not_for_publication(
    card: Card, preference: Make, name: str
) -> None:
    text = card(rows=Dataset([preference(license=name)], [], {}))
    assert front_matter(text)["license"] == "other"
    assert "Not for publication" in text


def test_the_sources_are_declared_with_what_to_cite(card: Card, preference: Make) -> None:
    text = card(rows=Dataset([preference(source="oasst")], [], {}))
    assert "| `oasst` | [OpenAssistant Conversations 2]" in text
    assert "Köpf et al., OpenAssistant Conversations" in text
    assert "`sharegpt`" not in text


def test_files_of_ones_own_are_called_that_and_not_a_corpus_of_unknown_rights(card: Card) -> None:
    text = card()
    assert "- `jsonl`: files of whoever made this release" in text
    assert "may be passed on" not in text


def test_the_citation_and_the_name_to_load_come_from_the_settings(card: Card) -> None:
    text = card(authors=("Roe, Ann",))
    assert "author = {Roe, Ann}" in text
    assert 'load_dataset("jane/UPQA", "questions"' in text
    assert "huggingface.co/datasets/jane" not in card(url=None)
