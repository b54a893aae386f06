"""Batched greedy decoding: shared prefixes are read once, and rows that have ended leave the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from editing.lm.cache import empty_cache, sliding_window
from editing.lm.load import LM
from editing.lm.memory import Bound, cut
from editing.lm.structure import packed_head

COMPACT_BELOW = 0.75
"""The batch is compacted when less than this share of its rows is still being written."""


class Generated(NamedTuple):
    """The newly generated tokens of one row."""

    ids: tuple[int, ...]
    """New tokens without the one that ended the answer."""
    finish: Literal["stop", "length"]
    """stop: the model ended by itself; length: the budget ran out."""


def generate(
    lm: LM,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    groups: Sequence[Hashable] | None = None,
    on_rows: Callable[[Sequence[int]], None] | None = None,
    bound: Bound | None = None,
) -> list[Generated]:
    """Greedy continuations of `prompts`, in order.

    Rows of one group see the same model, so the tokens their prompts start with in common are read once a group.
    `on_rows` is called with the indices of the rows of each forward pass, before it; row-wise edits need it. When
    memory runs out this and all further batches are halved, and that is said; `bound` keeps it for later calls.
    """
    bound = bound or Bound("rows")
    group_of = list(groups) if groups is not None else list(range(len(prompts)))
    first = {group: at for at, group in reversed(list(enumerate(group_of)))}
    order = sorted(range(len(prompts)), key=lambda i: (first[group_of[i]], len(prompts[i])))

    def write(batch: Sequence[int]) -> list[Generated]:
        return _Batch(lm, [prompts[i] for i in batch], [group_of[i] for i in batch], batch, on_rows).run(max_new_tokens)

    done: dict[int, Generated] = {}
    for batch, written in bound.fitting(cut(order, bound.size(batch_size)), write):
        done.update(zip(batch, written, strict=True))
    return [done[i] for i in range(len(prompts))]


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix that leaves every row at least one token."""
    shortest, longest = min(map(tuple, rows)), max(map(tuple, rows))
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(shortest, longest, strict=False))
    return min(sum(1 for _ in same), min(len(row) for row in rows) - 1)


def shared_prefixes(rows: Sequence[Sequence[int]]) -> list[int]:
    """How many tokens each row starts with that some other row starts with too, its own last one never among them."""
    order = sorted(range(len(rows)), key=lambda at: tuple(rows[at]))
    found = [0] * len(rows)
    for one, other in itertools.pairwise(order):
        same = common_prefix([rows[one], rows[other]])
        found[one], found[other] = max(found[one], same), same
    return found


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (rows, longest), with the padding on the left."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], dtype=torch.long)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], dtype=torch.long)
    return ids.to(device), mask.to(device)


def read_on(lm: LM, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """Read tokens after those of a cache.

    Args:
        lm: the model.
        ids: the tokens, (rows, tokens).
        mask: (rows, tokens of the cache and `ids`), 0 where there is padding; None without padding.
        positions: (rows, tokens).
        cache: keys and values of the tokens before; None where there are none.

    Returns:
        Logits at the last position, (rows, 1, vocabulary), and the longer cache.
    """
    with packed_head(lm.structure):
        out = lm.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache if cache is not None else empty_cache(lm.model.config),
            use_cache=True,
            logits_to_keep=1,
        )
    return out.logits, out.past_key_values


class _Batch:
    """One batch being written."""

    def __init__(
        self,
        lm: LM,
        prompts: Sequence[Sequence[int]],
        groups: Sequence[Hashable],
        names: Sequence[int],
        on_rows: Callable[[Sequence[int]], None] | None,
    ) -> None:
        self.lm, self.prompts, self.names = lm, prompts, names
        self.on_rows = on_rows or (lambda rows: None)
        self.members: dict[Hashable, list[int]] = {}
        for at, group in enumerate(groups):
            self.members.setdefault(group, []).append(at)

    @torch.no_grad()
    def run(self, max_new_tokens: int) -> list[Generated]:
        new: list[list[int]] = [[] for _ in self.prompts]
        stopped = [False] * len(self.prompts)
        cache, mask, lengths = self._read_prefixes(max_new_tokens)
        ids, suffix_mask = pad_left(
            [row[length:] for row, length in zip(self.prompts, lengths.tolist(), strict=True)],
            self.lm.pad_id,
            self.lm.device,
        )
        mask = torch.cat([mask, suffix_mask], dim=1)
        positions = (lengths[:, None] + suffix_mask.cumsum(1) - 1).clamp(min=0)
        active = list(range(len(self.prompts)))
        for step in range(max_new_tokens):
            logits, cache = self._read(active, ids, mask, positions, cache)
            chosen = logits[:, -1].argmax(-1)
            for at, token in zip(active, chosen.tolist(), strict=True):
                if not stopped[at]:
                    stopped[at] = token in self.lm.stop_ids
                    if not stopped[at]:
                        new[at].append(token)
            alive = [place for place, at in enumerate(active) if not stopped[at]]
            if not alive or step == max_new_tokens - 1:
                break
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
            if len(alive) < COMPACT_BELOW * len(active):
                keep = torch.tensor(alive, device=ids.device)
                cache.batch_select_indices(keep)
                ids, positions, mask = ids[keep], positions[keep], mask[keep]
                active = [active[place] for place in alive]
        return [Generated(tuple(n), "stop" if s else "length") for n, s in zip(new, stopped, strict=True)]

    def _read_prefixes(self, max_new_tokens: int) -> tuple[Any, Tensor, Tensor]:
        """Cache, mask and prefix length of each row; each group's common prefix is read once.

        Padding behind a prefix takes up room in a sliding window: rows that may outgrow one are read whole.
        """
        device = self.lm.device
        members = list(self.members.values())
        lengths = [common_prefix([self.prompts[at] for at in rows]) for rows in members]
        group_of = torch.empty(len(self.prompts), dtype=torch.long)
        for group, rows in enumerate(members):
            group_of[rows] = group
        row_lengths = torch.tensor(lengths, device=device)[group_of.to(device)]
        rests = [max(len(self.prompts[at]) for at in rows) - own for rows, own in zip(members, lengths, strict=True)]
        window = sliding_window(self.lm.model.config)
        if min(lengths) == 0 or (window and max(lengths) + max(rests) + max_new_tokens > window):
            return None, torch.zeros((len(self.prompts), 0), dtype=torch.long, device=device), row_lengths * 0
        prefixes = [self.prompts[rows[0]][:length] for rows, length in zip(members, lengths, strict=True)]
        ids, mask = pad_left(prefixes, self.lm.pad_id, device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        _, cache = self._read([rows[0] for rows in members], ids, mask, positions, None)
        chosen = group_of.to(device)
        cache.batch_select_indices(chosen)
        return cache, mask[chosen], row_lengths

    def _read(
        self, rows: Sequence[int], ids: Tensor, mask: Tensor, positions: Tensor, cache: Any
    ) -> tuple[Tensor, Any]:
        self.on_rows([self.names[at] for at in rows])
        return read_on(self.lm, ids, mask, positions, cache)
