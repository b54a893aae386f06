from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.core.records import Difficulty
from pipeline.validate.config import DifficultyConfig, ReferenceConfig
from pipeline.validate.difficulty import Asked, Yardstick, drawn, hashed, tag

CONFIG = DifficultyConfig(encoder="hashed", max_rank=4, min_overlap=0.3, pool_size=10)
VOCABULARY = ["chess", "dog", "rome", "hobby", "play", "walk"]


def bag_of_words(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    rows = np.array([[float(word in text.lower()) for word in VOCABULARY] for text in texts], dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def measure(asked: list[Asked]) -> list[Difficulty]:
    return Yardstick(drawn((item.statement for item in asked), CONFIG), bag_of_words).measure(asked)


def test_the_statement_a_question_fits_best_has_rank_one() -> None:
    asked = [
        Asked("Who can I play with?", "I play chess.", "hobby"),
        Asked("Where can I walk?", "I walk my dog.", "pet"),
        Asked("Where can I walk?", "I play chess.", "hobby"),
    ]
    assert [numbers.statement_rank for numbers in measure(asked)] == [1, 1, 2]


def test_the_rank_says_how_many_statements_it_is_counted_among() -> None:
    asked = [Asked("Where can I walk?", text, "pet") for text in ("I walk my dog.", "I play chess.", "I play chess.")]
    assert [numbers.statement_pool for numbers in measure(asked)] == [2, 2, 2]


def test_overlaps_are_shares_of_content_words() -> None:
    (numbers,) = measure([Asked("Is chess my only hobby?", "I play chess.", "hobby")])
    assert numbers.statement_overlap == pytest.approx(1 / 3, abs=1e-3)
    assert numbers.attribute_overlap == 1


def test_no_question_gives_no_number() -> None:
    assert measure([]) == []


@pytest.mark.parametrize(
    ("rank", "overlap", "wanted"),
    [(1, 0.5, "easy"), (4, 0.3, "easy"), (1, 0.1, "medium"), (5, 0.9, "medium"), (5, 0.2, "hard"), (9, 0.0, "hard")],
)
def test_the_tag_follows_the_documented_rule(rank: int, overlap: float, wanted: str) -> None:
    numbers = Difficulty(
        statement_overlap=overlap,
        attribute_overlap=0.0,
        statement_similarity=0.5,
        statement_rank=rank,
        statement_pool=9,
    )
    assert tag(numbers, CONFIG, None) == wanted


REFERENCE = ReferenceConfig(role="reference", samples=2, max_tokens=8, max_guess_rate=0.5, min_solve_rate=0.5)


@pytest.mark.parametrize(
    ("solved", "rank", "wanted"),
    [(0.5, 4, "easy"), (1.0, 5, "medium"), (0.0, 1, "medium"), (0.4, 5, "hard"), (None, 1, "medium")],
)
def test_with_solve_rates_the_tag_counts_what_is_solved_and_what_is_found(
    solved: float | None, rank: int, wanted: str
) -> None:
    numbers = Difficulty(
        statement_overlap=0.0,
        attribute_overlap=0.0,
        statement_similarity=0.5,
        statement_rank=rank,
        statement_pool=9,
        solve_rate_with=solved,
        solve_rate_without=0.0,
    )
    assert tag(numbers, CONFIG, REFERENCE) == wanted


def test_a_statement_outside_the_pool_is_ranked_too() -> None:
    one = CONFIG.model_copy(update={"pool_size": 1})
    texts = ["I play chess.", "I walk my dog."]
    found = [
        Yardstick(drawn(texts, one), bag_of_words).measure([Asked("Where can I walk?", t, "pet")])[0] for t in texts
    ]
    assert {numbers.statement_rank for numbers in found} <= {1, 2}
    assert sorted(numbers.statement_pool for numbers in found) == [1, 2]


def test_hashed_vectors_of_texts_with_the_same_words_are_equal_and_of_unit_length() -> None:
    vectors = hashed(["I play chess", "chess: they played, I play!", "", "Rome"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0, 1])
    assert vectors[0] @ vectors[0] > vectors[0] @ vectors[1] > vectors[0] @ vectors[3]
