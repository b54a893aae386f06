"""Machines and prototypes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from pipeline.embedding import DIMENSION, embed
from pipeline.mine.detector import Machine, Prototypes, load_machines, near, prototype_texts, prototypes, seeds
from pipeline.mine.features import BUCKETS, NAMES, Features


def made_up(rows: int, seed: int) -> Features:
    generator = np.random.default_rng(seed)
    sentence = generator.standard_normal((rows, DIMENSION)).astype(np.float32)
    return Features(
        sentence / np.linalg.norm(sentence, axis=1, keepdims=True),
        generator.random((rows, len(NAMES)), dtype=np.float32),
        tuple((row, row + 1) for row in range(rows)),
        tuple((BUCKETS + row,) for row in range(rows)),
    )


def machine(support: Features, dual: list[float]) -> Machine:
    words = np.zeros(2 * BUCKETS, dtype=np.float32)
    return Machine(support, np.array(dual, dtype=np.float32), words, bias=-0.5, slope=2.0, offset=0.1)


@pytest.mark.parametrize("kind", ["statement", "query"])
def test_the_committed_machines_fit_the_features(kind: str) -> None:
    loaded = load_machines()[kind]
    count = len(loaded.dual)
    assert loaded.support.sentence.shape == (count, DIMENSION)
    assert loaded.support.place.shape == (count, len(NAMES))
    assert loaded.words.shape == (2 * BUCKETS,)
    assert loaded.slope > 0


def test_a_candidate_is_most_similar_to_itself() -> None:
    rows = made_up(4, seed=1)
    similarity = near(rows, rows)
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert np.diag(similarity) == pytest.approx(1.0)


def test_the_kernel_is_symmetric_and_positive_semidefinite() -> None:
    similarity = near(made_up(12, seed=2), made_up(12, seed=2))
    assert np.allclose(similarity, similarity.T)
    assert np.linalg.eigvalsh(similarity).min() > -1e-9


def test_the_probability_of_a_support_vector_is_the_sigmoid_of_its_weight() -> None:
    support = made_up(1, seed=3)
    expected = 1 / (1 + np.exp(-(2.0 * (3.0 - 0.5) + 0.1)))
    assert machine(support, [3.0]).probability(support)[0] == pytest.approx(expected, abs=1e-4)


def test_a_word_adds_its_weight_shared_among_the_words_of_the_sentence() -> None:
    support = made_up(1, seed=4)
    plain = machine(support, [0.0])
    plain.words[[0, 1, BUCKETS]] = [1.0, 3.0, 0.25]
    assert plain.decision(support)[0] == pytest.approx(4.0 / 2**0.5 + 0.25 - 0.5)


def test_a_rows_probability_does_not_depend_on_its_neighbours() -> None:
    rows, known = made_up(50, seed=5), machine(made_up(9, seed=6), [1.0] * 9)
    assert known.probability(rows)[7] == known.probability(rows.take([7]))[0]


def test_the_nearest_prototypes_name_the_group() -> None:
    vectors = np.eye(DIMENSION, dtype=np.float32)
    known = Prototypes(("pet", "pet", "diet", "diet"), vectors[:4])
    assert known.nearest((vectors[0] + vectors[1])[None]) == ["pet"]
    assert known.nearest((vectors[2] + 0.1 * vectors[0])[None]) == ["diet"]


def test_every_family_and_topic_has_prototypes() -> None:
    loaded = seeds()
    assert all(len(texts) >= 3 for group in ("families", "topics") for texts in dict(loaded[group]).values())


@pytest.mark.parametrize("group", ["families", "topics"])
def test_the_committed_prototypes_are_the_seeds(group: Literal["families", "topics"]) -> None:
    labels, texts = zip(*prototype_texts(group), strict=True)
    known = prototypes(group)
    assert known.labels == labels
    assert (known.vectors * embed(texts)).sum(axis=1) == pytest.approx(1.0, abs=2e-3)
