"""The speed benchmark runs from end to end on a tiny random model, as it does on a GPU with a large one."""

import pytest
import torch
import typer

from benchmarks.editing import measure, random_model
from tests.editing.conftest import byte_tokenizer


def test_every_figure_is_measured_on_a_random_model() -> None:
    lm = random_model("llama-tiny", "cpu", byte_tokenizer())
    assert lm.dtype == torch.bfloat16
    claims = {claim.claim: claim for claim in measure(lm, lm, single=1, batch=2, grow=[1, 2], cores=1)}
    assert {*claims} == {
        "edit.rome_batch_gain",
        "edit.rome_speedup_single",
        "edit.rome_speedup_best",
        "eval.batch_speedup",
    }
    assert all(claim.value > 0 for claim in claims.values())
    assert set(claims["edit.rome_batch_gain"].extra["users"]) == {"1", "2"}
    assert claims["eval.batch_speedup"].extra["compared"] >= 8


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="llama-8b"):
        random_model("llama-9b", "cpu", None)
