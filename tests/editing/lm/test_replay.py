"""A Replay gives the logits of whole forward passes."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from editing.lm.load import LM
from editing.lm.replay import MAX_PADDING, WORTH_A_PASS, Replay, Row
from pipeline.core.errors import InputError
from tests.editing.conftest import tiny_config

ROWS = [list(range(10, 10 + length)) for length in (4, 9, 30, 31)]


def whole(lm: LM, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 700))
def test_passes_hold_every_row_once_within_their_bound_and_long_ones_are_hardly_padded(
    make_lm: Callable[..., LM], lengths: list[int], tokens: int
) -> None:
    replay = Replay(make_lm("llama"), [Row((5,) * length, 0, (length - 1,)) for length in lengths], 0)
    passes = list(replay.passes(range(len(lengths)), tokens))
    assert sorted(itertools.chain.from_iterable(passes)) == list(range(len(lengths)))
    for batch in passes:
        computed = max(lengths[i] for i in batch) * len(batch)
        assert computed <= tokens or len(batch) == 1
        assert computed <= WORTH_A_PASS or sum(lengths[i] for i in batch) >= (1 - MAX_PADDING) * computed


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_a_replay_that_stops_early_shows_hooks_what_a_whole_one_does(family: str, make_lm: Callable[..., LM]) -> None:
    lm, seen = make_lm(family), []
    lm.structure.layers[1].register_forward_hook(
        lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    rows = [Row(tuple(ids), 3, (len(ids) - 1,)) for ids in ROWS]
    with torch.no_grad():
        for stop_after in (None, 1):
            Replay(lm, rows, 0, stop_after=stop_after).run(range(len(rows)))
    # Each reads its prefixes first.
    torch.testing.assert_close(seen[-1], seen[len(seen) // 2 - 1])


def replayed(lm: LM, starts: list[int], layer: int = 0) -> torch.Tensor:
    rows = [Row(tuple(ids), start, (len(ids) - 1,)) for ids, start in zip(ROWS, starts, strict=True)]
    with torch.no_grad():
        return Replay(lm, rows, layer).run(range(len(rows)))


@pytest.mark.parametrize("starts", [[0, 0, 0, 0], [3, 2, 17, 17], [0, 2, 0, 17]])
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_rows_with_and_without_a_prefix_give_the_logits_of_whole_passes(
    family: str, layer: int, starts: list[int], make_lm: Callable[..., LM]
) -> None:
    lm = make_lm(family)
    torch.testing.assert_close(
        replayed(lm, starts, layer), torch.stack([whole(lm, ids) for ids in ROWS]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("family", ["gemma3_text", "mistral"])
def test_beyond_a_sliding_window_rows_are_read_whole_or_refused(family: str, make_lm: Callable[..., LM]) -> None:
    config = tiny_config(family)
    config.sliding_window = 16
    lm = make_lm(family, config=config)
    expected = torch.stack([whole(lm, ids) for ids in ROWS])
    torch.testing.assert_close(replayed(lm, [0, 0, 0, 0]), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="outgrow its sliding window of 16"):
        replayed(lm, [3, 2, 17, 17])
