"""A gate in front of a patch: for which questions it is meant at all.

The prompt side decides, before the model runs: the largest product of a question's sentence embedding with a row of
the patch's tensor `gate`, one for each preference. A question whose score is below the manifest's `gate` is answered
by the model as it is. Weights alone cannot hold such a gate, so a gated patch cannot be exported to other software.
"""

from __future__ import annotations

import torch

from editing.patches.patch import Patch
from editing.patches.retrieve import vectors

GATE = "gate"
"""Name of the tensor, (preferences, width of a sentence embedding)."""


def score(patch: Patch, question: str) -> float:
    """How much a question belongs to a gated patch."""
    return float((patch.tensors[GATE].cpu() @ torch.from_numpy(vectors((question,))[0])).max())


def lets_in(patch: Patch, question: str) -> bool:
    """Whether the patch is applied to this question; without a gate it always is."""
    return patch.manifest.gate is None or score(patch, question) >= patch.manifest.gate
