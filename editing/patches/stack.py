"""Patches on top of one another: a model that is told something new while it holds what it was told before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from editing.lm.load import LM, hash_weights
from editing.patches.export import merged
from editing.patches.patch import Codebook, Patch, PromptPlan, codebook_tensors, low_rank_tensors
from editing.patches.rowwise import RowEdits, stacked_codebooks
from pipeline.core.errors import InputError, UpqaError

GATED = "whether its patches apply is decided question by question, so they do not stack in one model."
"""Why a gated patch is alone."""

T = TypeVar("T")


def stacked(patches: Sequence[Patch]) -> Patch:
    """One patch that is all of these, each fitted with those before it in place.

    Prompt patches keep all statements in the order they were told, low-rank patches the sum of their factors, dense
    patches the newest value of each weight, codebooks all entries, the newest first: of entries that are equally near
    it answers. A failed edit adds nothing, and is named in `failed_ids`; the stack failed when all edits did.

    Raises:
        InputError: a patch has a gate.
    """
    if len(patches) == 1:
        return patches[0]
    good = [patch for patch in patches if patch.manifest.failure is None]
    failed = [patch for patch in patches if patch.manifest.failure is not None]
    if not good:
        good, failed = failed, []
    last = good[-1].manifest
    if last.gate is not None:
        raise InputError(f"{last.method}: {GATED}")
    manifest = last.model_copy(
        update={
            "preference_ids": _ids(good),
            "failed_ids": _ids(failed),
            "plan": _plan(good),
            "seconds": sum(patch.manifest.seconds or 0.0 for patch in patches),
        }
    )
    if last.kind == "low_rank":
        return Patch(manifest, low_rank_tensors(_joined([patch.factors() for patch in good], _side_by_side)))
    if last.kind == "codebook":
        return Patch(manifest, codebook_tensors(_joined([patch.codebooks() for patch in good], _newest_first)))
    return Patch(manifest, {name: tensor for patch in good for name, tensor in patch.tensors.items()})


def _ids(patches: Iterable[Patch]) -> tuple[str, ...]:
    return tuple(preference for patch in patches for preference in patch.manifest.preference_ids)


def _joined(parts: Sequence[Mapping[str, T]], join: Callable[[list[T]], T]) -> dict[str, T]:
    """By module path, what `join` makes of all parts that touch it, in order."""
    paths = dict.fromkeys(path for part in parts for path in part)
    return {path: join([part[path] for part in parts if path in part]) for path in paths}


def _side_by_side(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([a for a, _ in pairs], dim=1), torch.cat([b for _, b in pairs])


def _newest_first(books: list[Codebook]) -> Codebook:
    return Codebook(*(torch.cat(part) for part in zip(*reversed(books), strict=True)))


def _plan(patches: Sequence[Patch]) -> PromptPlan | None:
    plans = [patch.manifest.plan for patch in patches if patch.manifest.plan is not None]
    if not plans:
        return None
    memories = dict.fromkeys(memory for plan in plans for memory in plan.memories)
    return plans[-1].model_copy(update={"memories": tuple(memories)})


@contextlib.contextmanager
def holding(lm: LM, patches: Sequence[Patch]) -> Iterator[None]:
    """The model with these patches in place until the block ends; then it is as before, bit by bit.

    Low-rank and dense patches are put into the weights, codebooks beside them. Prompt patches and failed edits have
    nothing to put in.
    """
    stack = stacked(patches) if patches else None
    if stack is None or not stack.tensors:
        yield
    elif stack.manifest.kind == "codebook":
        edits = RowEdits(stacked_codebooks([stack.codebooks()], lm.structure.down[0].parameter))
        edits.select([0], lm.device)
        with edits.attached(lm):
            yield
    else:
        with merged(lm, stack):
            yield


def withdrawn(lm: LM, patch: Patch) -> Patch:
    """What is left of a patch (`emptied`) once it is taken out again: of the weights, where it was in them.

    Raises:
        UpqaError: the weights did not come back bit by bit.
    """
    if patch.manifest.kind in ("low_rank", "dense") and patch.manifest.gate is None:
        before = hash_weights(lm.model)
        with holding(lm, [patch]):
            pass
        if hash_weights(lm.model) != before:
            raise UpqaError(
                f"{patch.manifest.method}: the weights of {lm.name} did not come back when it was withdrawn."
            )
    return emptied(patch)


def emptied(patch: Patch) -> Patch:
    """The patch with nothing in it: the base model answers as it is."""
    return Patch(patch.manifest.model_copy(update={"plan": None, "gate": None}), {})
