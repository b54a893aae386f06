"""Patches on top of one another: a model that is told something new while it holds what it was told before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from editing.lm.load import LM, hash_weights
from editing.patches.export import merged
from editing.patches.patch import Patch, PromptPlan, low_rank_tensors
from pipeline.core.errors import InputError, UpqaError


def stacked(patches: Sequence[Patch]) -> Patch:
    """One patch that is all of these, each fitted with those before it in place.

    Prompt patches keep all statements in the order they were told, low-rank patches the sum of their factors, dense
    patches the newest value of each weight. A failed edit adds nothing, and the stack failed when the last one did.

    Raises:
        InputError: a patch is of a kind that cannot be stacked.
    """
    if len(patches) == 1:
        return patches[0]
    last = patches[-1].manifest
    gated = last.gate is not None
    if gated or last.kind not in ("prompt", "low_rank", "dense"):
        raise InputError(
            f"{last.method}: its patches ({last.kind}{', gated' if gated else ''}) do not stack in one model."
        )
    manifest = last.model_copy(
        update={
            "preference_ids": tuple(i for patch in patches for i in patch.manifest.preference_ids),
            "plan": _plan(patches),
            "seconds": sum(patch.manifest.seconds or 0.0 for patch in patches),
        }
    )
    if last.kind != "low_rank":
        return Patch(manifest, {name: tensor for patch in patches for name, tensor in patch.tensors.items()})
    factors: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for patch in patches:
        for path, pair in patch.factors().items():
            factors.setdefault(path, []).append(pair)
    summed = {
        path: (torch.cat([a for a, _ in pairs], dim=1), torch.cat([b for _, b in pairs]))
        for path, pairs in factors.items()
    }
    return Patch(manifest, low_rank_tensors(summed))


def _plan(patches: Sequence[Patch]) -> PromptPlan | None:
    plans = [patch.manifest.plan for patch in patches if patch.manifest.plan is not None]
    if not plans:
        return None
    memories = dict.fromkeys(memory for plan in plans for memory in plan.memories)
    return plans[-1].model_copy(update={"memories": tuple(memories)})


@contextlib.contextmanager
def holding(lm: LM, patches: Sequence[Patch]) -> Iterator[None]:
    """The model with these patches in its weights until the block ends; then it is as before, bit by bit.

    Prompt patches and failed edits have nothing to put in.
    """
    stack = stacked(patches) if patches else None
    with merged(lm, stack) if stack is not None and stack.tensors else contextlib.nullcontext():
        yield


def withdrawn(lm: LM, patch: Patch) -> Patch:
    """What is left of a patch (`emptied`) that was in the weights and is taken out again.

    Raises:
        UpqaError: the weights did not come back bit by bit.
    """
    before = hash_weights(lm.model)
    with holding(lm, [patch]):
        pass
    if hash_weights(lm.model) != before:
        raise UpqaError(f"{patch.manifest.method}: the weights of {lm.name} did not come back when it was withdrawn.")
    return emptied(patch)


def emptied(patch: Patch) -> Patch:
    """The patch with nothing in it: the base model answers as it is."""
    return Patch(patch.manifest.model_copy(update={"plan": None}), {})
