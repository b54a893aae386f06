"""Token rows run again and again while only their end, or only the upper layers, can change.

An edit of one layer leaves everything below it as it is, and an edit that is felt from one position on leaves all
tokens before it as they are. A Replay keeps both: the keys and values of each row's unchanging prefix, and the
hidden states that enter the first changing layer. A run then computes the suffix tokens in the upper layers, and
logits at the asked positions only. This is exact; nothing is approximated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig

from editing.lm.cache import sliding_window
from editing.lm.generate import common_prefix, pad_left, read_on
from editing.lm.load import LM
from editing.lm.structure import bypassed, written_out_attention
from pipeline.core.errors import InputError

KeyValues = list[tuple[Tensor, Tensor]]
"""Keys and values by layer, each (rows, heads, tokens, width)."""

TOKENS_PER_PASS = 4096
"""Upper bound of tokens computed in one pass without gradients."""
WORTH_A_PASS = 128
"""Tokens that keep a processor busy: a pass of as many is not made longer for rows that would pad those it has."""
MAX_PADDING = 0.05
"""Share of padding from which on such a pass ends."""


@dataclass(frozen=True)
class Row:
    """One token sequence to replay."""

    ids: tuple[int, ...]
    """All tokens that are fed."""
    start: int
    """First position that can change; tokens before it are read once."""
    keep: tuple[int, ...]
    """Positions whose logits are wanted, all >= start."""


def room_for_prefixes(lm: LM, rows: Sequence[Row]) -> bool:
    """Whether the prefixes of `rows` can be kept: not where their padding could fill a sliding window."""
    window = sliding_window(lm.model.config)
    return window is None or _width(rows) <= window


def _width(rows: Sequence[Row]) -> int:
    """Tokens of all rows in one batch, prefixes and suffixes each padded to the longest."""
    return max(row.start for row in rows) + max(len(row.ids) - row.start for row in rows)


def _passes(lengths: Mapping[int, int], tokens: int, worth: int) -> Iterator[list[int]]:
    """Rows, by their lengths, cut into batches from the shortest on: with padding at most `tokens` each, or one row.

    A batch of `worth` tokens and more ends where padding would become more than MAX_PADDING of it.
    """
    batch: list[int] = []
    real = 0
    for own, row in sorted((own, row) for row, own in lengths.items()):
        size = own * (len(batch) + 1)
        padded = size > worth and real + own < (1 - MAX_PADDING) * size
        if batch and (size > tokens or padded):
            yield batch
            batch, real = [], 0
        batch.append(row)
        real += own
    if batch:
        yield batch


class Replay:
    """Rows prepared for repeated runs from decoder layer `layer` on."""

    def __init__(self, lm: LM, rows: Sequence[Row], layer: int, stop_after: int | None = None) -> None:
        """Read what cannot change.

        Args:
            lm: the model; its weights must not change while the Replay is used, except through hooks from `layer` on.
            rows: the token rows.
            layer: the first decoder layer whose computation can change; all of them run when it is 0.
            stop_after: the last decoder layer that any run will need; all of them when it is None.

        Raises:
            InputError: rows with prefixes are longer than the model's sliding window.
        """
        self.lm, self.rows, self.layer = lm, list(rows), layer
        self.top = len(lm.structure.layers) - 1 if stop_after is None else stop_after
        with torch.no_grad():
            self._prefix_of, self._prefix, self._prefix_mask = self._read_prefixes()
            self._entering: list[Tensor] = []
            if layer > 0:
                self._entering = self._read_lower_layers()
                # Layers that are skipped from here on need the length of their cache and nothing else of it.
                for below in range(layer if self._prefix else 0):
                    keys, values = self._prefix[below]
                    self._prefix[below] = (keys[:, :1, :, :1].clone(), values[:, :1, :, :1].clone())

    def run(self, index: Sequence[int], stop_after: int | None = None) -> Tensor:
        """Logits at the kept positions of the rows `index`, packed: (sum of kept positions, vocabulary).

        Rows follow one another in the order of `index`, each with its kept positions in order. `stop_after` skips
        all layers above that one, for passes that only feed hooks. Hooks see (len(index), width, features) with
        the suffix on the left: suffix position p of a row is its token `start + p`.
        """
        rows = [self.rows[i] for i in index]
        top = self.top if stop_after is None else stop_after
        skipped = [*range(self.layer), *range(top + 1, len(self.lm.structure.layers))]
        entering = [self._entering[i] for i in index] if self.layer > 0 else None
        with (
            bypassed(self.lm.structure, skipped),
            written_out_attention(self.lm.model),
            self._injected(entering, self.suffix_width(index)),
            self._packed(rows),
        ):
            return self._forward(index)[0]

    @property
    def _worth_a_pass(self) -> int:
        """Accelerators are fed as much as fits: what they wait for is the number of passes."""
        return WORTH_A_PASS if self.lm.device.type == "cpu" else TOKENS_PER_PASS

    def suffix_width(self, index: Sequence[int]) -> int:
        """Width of the padded batch of suffixes of these rows, tokens."""
        return max(len(self.rows[i].ids) - self.rows[i].start for i in index)

    def passes(self, index: Sequence[int], tokens: int = TOKENS_PER_PASS) -> Iterator[list[int]]:
        """`index` cut into batches of similar length with at most `tokens` suffix tokens each (or one row)."""
        yield from _passes({i: len(self.rows[i].ids) - self.rows[i].start for i in index}, tokens, self._worth_a_pass)

    def _forward(self, index: Sequence[int]) -> Tensor:
        """Logits of the suffixes of the rows `index`, under whatever bypasses and hooks are in place."""
        rows = [self.rows[i] for i in index]
        device = self.lm.device
        width = self.suffix_width(index)
        suffixes = [list(row.ids[row.start :]) for row in rows]
        ids = torch.tensor([s + [self.lm.pad_id] * (width - len(s)) for s in suffixes], device=device)
        starts = torch.tensor([row.start for row in rows], device=device)
        positions = starts[:, None] + torch.arange(width, device=device)
        mask = torch.ones((len(rows), width), dtype=torch.long, device=device)
        cache = None
        if self._prefix_mask is not None:
            which = torch.tensor([self._prefix_of[i] for i in index], device=device)
            mask = torch.cat([self._prefix_mask[which], mask], dim=1)
            cache = DynamicCache(config=cast(PreTrainedConfig, self.lm.model.config))
            for layer, (keys, values) in enumerate(self._prefix):
                cache.update(keys[which], values[which], layer)
        out = self.lm.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        logits = out.logits
        assert isinstance(logits, Tensor)
        return logits

    @contextlib.contextmanager
    def _injected(self, entering: list[Tensor] | None, width: int) -> Iterator[None]:
        """Layer `layer` reads the kept hidden states instead of what the bypassed layers hand it."""
        if entering is None:
            yield
            return
        hidden = torch.stack([torch.nn.functional.pad(h, (0, 0, 0, width - h.shape[0])) for h in entering])

        def replace(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        handle = self.lm.structure.layers[self.layer].register_forward_pre_hook(replace, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextlib.contextmanager
    def _packed(self, rows: Sequence[Row]) -> Iterator[None]:
        """The head, the widest matrix of all, sees the kept positions only, as one row."""
        device = self.lm.device
        row_at = torch.tensor([at for at, row in enumerate(rows) for _ in row.keep], device=device)
        position_at = torch.tensor([p - row.start for row in rows for p in row.keep], device=device)

        def pack(_: Any, args: tuple[Any, ...]) -> Any:
            return (args[0][row_at, position_at][None], *args[1:])

        handle = self.lm.structure.head.register_forward_pre_hook(pack)
        try:
            yield
        finally:
            handle.remove()

    def _read_prefixes(self) -> tuple[list[int], KeyValues, Tensor | None]:
        """Which prefix each row has, and the distinct prefixes' keys and values, padded on the left."""
        prefixes = sorted({row.ids[: row.start] for row in self.rows if row.start}, key=lambda own: (len(own), own))
        place = {prefix: at for at, prefix in enumerate(prefixes)}
        # A row without a prefix beside rows that have one gets one of padding alone, behind all others.
        prefix_of = [place.get(row.ids[: row.start], len(prefixes)) for row in self.rows]
        if not prefixes:
            return prefix_of, [], None
        if not room_for_prefixes(self.lm, self.rows):
            raise InputError(
                f"{self.lm.name}: prompts of up to {_width(self.rows)} tokens, padding included, outgrow its sliding "
                f"window of {sliding_window(self.lm.model.config)}: what comes before an edited token cannot be kept."
            )
        head = common_prefix(prefixes)
        trunk: Any = None
        if head > 0:
            ids = torch.tensor([prefixes[0][:head]], device=self.lm.device)
            trunk = self._cached(ids, None, torch.arange(head, device=self.lm.device)[None], None)
        width = max(len(prefix) for prefix in prefixes)
        parts: list[KeyValues] = []
        masks: list[Tensor] = []
        lengths = {at: len(prefix) - head for at, prefix in enumerate(prefixes)}
        for batch in _passes(lengths, TOKENS_PER_PASS, self._worth_a_pass):
            keys_values, mask = self._branch([prefixes[at] for at in batch], head, trunk, width)
            parts.append(keys_values)
            masks.append(mask)
        if len(prefixes) in prefix_of:
            parts.append([(torch.zeros_like(keys[:1]), torch.zeros_like(values[:1])) for keys, values in parts[0]])
            masks.append(torch.zeros_like(masks[0][:1]))
        merged = [
            (torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in zip(*parts, strict=True)
        ]
        return prefix_of, merged, torch.cat(masks)

    def _branch(
        self, prefixes: Sequence[tuple[int, ...]], head: int, trunk: Any, width: int
    ) -> tuple[KeyValues, Tensor]:
        """Keys and values of some prefixes on top of their common head, as (head | padding | rest)."""
        ids, mask = pad_left([prefix[head:] for prefix in prefixes], self.lm.pad_id, self.lm.device)
        positions = head + (mask.cumsum(1) - 1).clamp(min=0)
        cache = None
        if trunk is not None:
            cache = DynamicCache(config=cast(PreTrainedConfig, self.lm.model.config))
            for layer, (keys, values) in enumerate(trunk):
                cache.update(
                    keys.expand(len(prefixes), -1, -1, -1).contiguous(),
                    values.expand(len(prefixes), -1, -1, -1).contiguous(),
                    layer,
                )
        mask = torch.cat([mask.new_ones(len(prefixes), head), mask], dim=1)
        keys_values = self._cached(ids, mask, positions, cache)
        missing = width - mask.shape[1]
        padded = [tuple(torch.nn.functional.pad(t, (0, 0, missing, 0)) for t in layer) for layer in keys_values]
        return [(k, v) for k, v in padded], torch.nn.functional.pad(mask, (missing, 0))

    def _cached(self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any) -> KeyValues:
        with bypassed(self.lm.structure, range(self.top + 1, len(self.lm.structure.layers))):
            _, longer = read_on(self.lm, ids, mask, positions, cache)
        return [(layer.keys, layer.values) for layer in longer.layers[: self.top + 1]]

    def _read_lower_layers(self) -> list[Tensor]:
        """Hidden states entering `layer`, one (suffix length, width of the residual stream) per row."""
        layers = self.lm.structure.layers
        found: list[Tensor | None] = [None] * len(self.rows)
        caught: list[Tensor] = []

        def catch(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caught.append(args[0] if args else kwargs["hidden_states"])

        for index in self.passes(range(len(self.rows))):
            handle = layers[self.layer].register_forward_pre_hook(catch, with_kwargs=True)
            try:
                upper = range(self.layer, len(layers))
                with self._packed([self.rows[i] for i in index]), bypassed(self.lm.structure, upper):
                    self._forward(index)
            finally:
                handle.remove()
            hidden = caught.pop()
            for at, i in enumerate(index):
                found[i] = hidden[at, : len(self.rows[i].ids) - self.rows[i].start].clone()
        return [h for h in found if h is not None]
