"""Heads and prototypes."""

from __future__ import annotations

import numpy as np

from pipeline.embedding import DIMENSION
from pipeline.mine.detector import Head, Prototypes, load_heads, seeds
from pipeline.mine.features import NAMES


def test_the_committed_heads_fit_the_features() -> None:
    for head in load_heads().values():
        assert head.weights.shape == (DIMENSION + len(NAMES),)


def test_a_head_is_a_sigmoid_rounded_to_four_digits() -> None:
    head = Head(np.array([1.0, -2.0], dtype=np.float32), 0.5)
    rows = np.array([[0.0, 0.0], [1.0, 1.0]], dtype=np.float32)
    assert head.probability(rows).tolist() == [0.6225, 0.3775]


def test_a_rows_probability_does_not_depend_on_its_neighbours() -> None:
    head = load_heads()["statement"]
    rows = np.random.default_rng(1).standard_normal((50, head.weights.size)).astype(np.float32)
    assert head.probability(rows)[7] == head.probability(rows[7:8])[0]


def test_the_nearest_prototypes_name_the_group() -> None:
    vectors = np.eye(DIMENSION, dtype=np.float32)
    known = Prototypes(("pet", "pet", "diet", "diet"), vectors[:4])
    assert known.nearest((vectors[0] + vectors[1])[None]) == ["pet"]
    assert known.nearest((vectors[2] + 0.1 * vectors[0])[None]) == ["diet"]


def test_every_family_and_topic_has_prototypes() -> None:
    loaded = seeds()
    assert all(len(texts) >= 3 for group in ("families", "topics") for texts in dict(loaded[group]).values())
