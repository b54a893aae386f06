from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicLayer

from editing.lm.cache import ROOM, RoomyLayer, empty_cache
from tests.editing.conftest import tiny_config

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from([1, 1, 1, 5, ROOM, ROOM + 1])),
        st.tuples(st.sampled_from(["select", "repeat", "crop"]), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=12,
)


@given(STEPS)
def test_it_holds_what_the_library_s_layer_holds(steps: list[tuple[str, int]]) -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = RoomyLayer(), DynamicLayer()
    rows = 3
    for step, count in [("read", 2), *steps]:
        if step == "read":
            keys, values = (torch.randn(rows, 2, count, 4, generator=generator) for _ in range(2))
            mine, wanted = ours.update(keys, values), theirs.update(keys, values)
            assert all(torch.equal(a, b) for a, b in zip(mine, wanted, strict=True))
        for layer in (ours, theirs):
            if step == "select":
                layer.batch_select_indices(torch.arange(count) % rows)
            elif step == "repeat":
                layer.batch_repeat_interleave(count)
            elif step == "crop":
                layer.crop(-min(count, layer.get_seq_length() - 1))
        assert theirs.keys is not None
        rows = theirs.keys.shape[0]
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_token_is_written_without_moving_those_before_it() -> None:
    layer = RoomyLayer()
    keys, _ = layer.update(torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4))
    longer, _ = layer.update(torch.randn(2, 1, 1, 4), torch.randn(2, 1, 1, 4))
    assert longer.data_ptr() == keys.data_ptr()


def test_every_layer_of_a_plain_decoder_has_room() -> None:
    cache = empty_cache(tiny_config("llama"))
    assert [type(layer) for layer in cache.layers] == [RoomyLayer] * 4


def test_layers_with_a_sliding_window_stay_the_library_s_own() -> None:
    cache = empty_cache(tiny_config("gemma2"))
    assert [type(layer) is RoomyLayer for layer in cache.layers] == [False, True, False, True]
