"""The sentence encoder."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedding import DIMENSION, SHAPE_CACHES, batches, embed, encoder, fastest, read, weights_folder

SENTENCES = [
    "I am a nurse.",
    "",
    "What should I cook tonight, with two eggs and no milk?",
    "ok " * 400,
    "Ünïcode 東京 🙂",
]


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.99999), ("bfloat16", 0.999)])
def test_it_agrees_with_sentence_transformers(dtype: str, least: float) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(weights_folder()), device="cpu").encode(SENTENCES, normalize_embeddings=True)
    found = embed(SENTENCES, dtype=dtype)  # type: ignore[arg-type]
    assert (found * reference).sum(axis=1).min() > least


def test_auto_is_bfloat16_only_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda has=has: {"avx512_bf16": has})
        assert fastest("auto") == expected
    assert fastest("bfloat16") == "bfloat16"


def test_few_products_of_past_shapes_are_kept_unless_the_environment_says_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, unset = SHAPE_CACHES
    monkeypatch.setenv(kept, "77")
    monkeypatch.delenv(unset, raising=False)
    encoder.__wrapped__("bfloat16")
    assert os.environ[kept] == "77"
    assert int(os.environ[unset]) < 100


def test_vectors_have_unit_length_and_keep_the_order() -> None:
    together = embed(SENTENCES)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert embed(SENTENCES[:1])[0] == pytest.approx(together[0], abs=1e-5)


def test_a_reading_goes_on_where_the_first_layers_stopped() -> None:
    reading = read(SENTENCES, layers=2, dtype="float32")
    assert reading.vectors == pytest.approx(embed(SENTENCES, layers=2), abs=1e-5)
    assert reading.finished([4, 0, 3]) == pytest.approx(embed(SENTENCES)[[4, 0, 3]], abs=1e-5)
    assert np.abs(reading.vectors - embed(SENTENCES)).max() > 0.05


def test_nothing_gives_an_empty_matrix() -> None:
    assert embed([]).shape == (0, DIMENSION)
    assert read([], layers=2, dtype="float32").finished([]).shape == (0, DIMENSION)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_limit(lengths: list[int], most: int) -> None:
    rows = [[0] * length for length in lengths]
    found = list(batches(rows, most))
    assert sorted(row for batch in found for row in batch) == list(range(len(rows)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= most for batch in found)
