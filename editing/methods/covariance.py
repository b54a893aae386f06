"""Second moment of the keys that a down-projection reads, streamed over texts and kept on disk.

C = E[k k^T] of Meng et al. (2022), eq. 2: which directions of the key space are in common use. Only the layers up to
the asked one are run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.structure import bypassed
from pipeline.core.errors import ConfigError
from pipeline.core.progress import console, progress
from pipeline.core.tables import atomic_write

TOKENS_PER_PASS = 2048
"""Tokens computed in one forward pass."""


class Moment(NamedTuple):
    """An estimated second moment."""

    matrix: Tensor
    """C, (d_in, d_in), float32."""
    tokens: int
    """How many tokens it is the mean over."""


def covariance(lm: LM, layer: int, texts: Sequence[str], max_tokens: int, cache: Path) -> Moment:
    """C from the first `max_tokens` tokens of `texts`, or all where there are fewer, which is said.

    Kept under `cache` by weights, layer, texts and number of tokens.

    Raises:
        ConfigError: there are no texts.
    """
    if not texts:
        raise ConfigError(
            "covariance: there are no texts to estimate it from; set edit.exchanges in params.yaml, "
            "or covariance: none in the method's YAML."
        )
    corpus = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    key = hashlib.sha256(f"{lm.weights_sha256}\0{lm.dtype}\0{layer}\0{corpus}\0{max_tokens}".encode()).hexdigest()
    file = cache / "covariance" / f"{key[:32]}.safetensors"
    if not file.is_file():
        moment, count = _measure(lm, layer, texts, max_tokens)
        if count < max_tokens:
            console.print(f"covariance: only {count} tokens of text, {max_tokens} are asked for", highlight=False)
        with atomic_write(file) as out:
            out.write(safetensors.torch.save({"covariance": (moment / count).float()}, {"tokens": str(count)}))
    with safetensors.safe_open(file, "pt", device=str(lm.device)) as stored:
        return Moment(stored.get_tensor("covariance"), int(stored.metadata()["tokens"]))


@torch.no_grad()
def _measure(lm: LM, layer: int, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, int]:
    """Sum of k k^T in float64, and the number of tokens in it."""
    down = lm.structure.down[layer]
    moment = torch.zeros(down.d_in, down.d_in, dtype=torch.float64, device=lm.device)
    mask = torch.zeros(0)
    count = 0

    def add(_: Any, args: tuple[Tensor, ...], __: Any) -> None:
        keys = args[0][mask.bool()].float()
        moment.add_((keys.T @ keys).double())

    handle = down.module.register_forward_hook(add)
    tokenized = lm.tokenizer(list(texts), add_special_tokens=True)["input_ids"]
    upper = range(layer + 1, len(lm.structure.layers))
    try:
        with bypassed(lm.structure, upper), progress("covariance", max_tokens, "tokens") as advance:
            for batch in _batches([ids for ids in tokenized if ids], max_tokens):
                width = max(len(ids) for ids in batch)
                mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in batch], device=lm.device)
                ids = torch.tensor([list(row) + [lm.pad_id] * (width - len(row)) for row in batch], device=lm.device)
                lm.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
                count += int(mask.sum())
                advance(int(mask.sum()))
    finally:
        handle.remove()
    return moment, count


def _batches(rows: Sequence[Sequence[int]], max_tokens: int) -> list[list[Sequence[int]]]:
    """Rows up to `max_tokens` tokens in all, in batches of similar length."""
    chosen: list[Sequence[int]] = []
    total = 0
    for row in rows:
        if total >= max_tokens:
            break
        chosen.append(row[: max_tokens - total])
        total += len(chosen[-1])
    batches: list[list[Sequence[int]]] = []
    for row in sorted(chosen, key=len):
        if not batches or (len(batches[-1]) + 1) * len(row) > TOKENS_PER_PASS:
            batches.append([])
        batches[-1].append(row)
    return batches


def damped(second_moment: Tensor, ridge: float) -> Tensor:
    """C in float64 with `ridge` times the mean of its diagonal added to the diagonal.

    C of a small corpus has no inverse without it.
    """
    matrix = second_moment.double()
    return matrix + ridge * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


def whitened(keys: Tensor, second_moment: Tensor | None, ridge: float) -> Tensor:
    """C^-1 k of each row, (n, d_in), float32, with C damped; the keys themselves where there is no C.

    Raises:
        ConfigError: C has no inverse.
    """
    if second_moment is None:
        return keys
    solved, info = torch.linalg.solve_ex(damped(second_moment, ridge), keys.double().T)
    if int(info):
        raise ConfigError("ridge: the covariance has no inverse; raise ridge, or estimate it from more texts.")
    return cast(Tensor, solved).T.float()
