"""Whether an error means that memory ran out, on an accelerator or not."""

from __future__ import annotations

import torch

SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says in a plain RuntimeError where the processor's memory or an older driver runs out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).casefold() for sign in SIGNS)
