"""The cheap model in front of the embedding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Turn
from pipeline.mine.candidates import Candidate, in_context
from pipeline.mine.features import BUCKETS, LEXICAL_SCALE, NAMES, Features, hashed_around, hashed_words, lexical, places
from pipeline.mine.prefilter import Prefilter, load_prefilters
from pipeline.mine.train import design_matrix


def statements() -> Prefilter:
    return load_prefilters()["statement"]


def alone(text: str) -> Candidate:
    return in_context("statement", [Turn(role="user", text=text)], 0, 0, len(text))


@pytest.mark.parametrize(
    "text", ["I am a nurse in a hospital.", "I'm vegan and I live in Ghent.", "My hobby is bouldering."]
)
def test_facts_about_the_writer_pass(text: str) -> None:
    assert statements().keeps(alone(text))


@pytest.mark.parametrize(
    "text", ["Why do I get this error?", "Show me the code again.", "I will send you the next part."]
)
def test_the_state_of_a_task_does_not_pass(text: str) -> None:
    assert not statements().keeps(alone(text))


def question(text: str) -> Candidate:
    return in_context("query", [Turn(role="user", text=text)], 0, 0, len(text))


@pytest.mark.parametrize(
    "text", ["What should I cook for dinner tonight?", "Can you recommend a good novel for a long flight?"]
)
def test_a_question_for_advice_passes_and_scores_above_one_about_code(text: str) -> None:
    queries = load_prefilters()["query"]
    assert queries.keeps(question(text))
    assert queries.score(question(text)) > queries.score(question("How should I handle this error in the build?")) + 1


@given(st.text(max_size=200))
def test_any_text_has_columns_in_range_each_once(text: str) -> None:
    for start, columns in ((0, hashed_words(text)), (BUCKETS, hashed_around(text, text))):
        assert list(columns) == sorted(set(columns))
        assert all(start <= column < start + BUCKETS for column in columns)


def test_every_number_counts_as_the_same_word() -> None:
    assert hashed_words("I have 2 cats") == hashed_words("i have 17 cats")


def test_words_count_by_where_they_stand() -> None:
    assert not set(hashed_around("my school", "")) & set(hashed_around("", "my school")) - set(hashed_around("", ""))


def test_the_score_is_the_product_of_the_training_row_and_the_weights() -> None:
    prefilter = statements()
    one = alone("I teach chemistry in Porto.")
    nothing = np.zeros((1, 0), dtype=np.float32)
    words, around = (hashed_words(one.text),), (hashed_around(one.lead, one.head),)
    row = design_matrix(Features(nothing, places([one]), words, around))
    weights = np.array([*prefilter.words, *np.array(prefilter.place) / LEXICAL_SCALE])
    assert prefilter.score(one) == pytest.approx((row @ weights).item(), abs=1e-4)


def test_there_is_one_lexical_column_a_name() -> None:
    values = lexical(alone("I teach chemistry."))
    assert len(values) == len(NAMES)
    assert np.isfinite(values).all()
