"""Memory that runs out, on an accelerator or not: the errors that mean it, and batches that become smaller by it."""

from __future__ import annotations

import torch

from pipeline.core.progress import console

SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says in a plain RuntimeError where the processor's memory or an older driver runs out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).casefold() for sign in SIGNS)


class Bound:
    """How large a batch may be: as large as asked for, until memory runs out; that is said once."""

    def __init__(self, what: str) -> None:
        """No bound yet; `what` says what a batch is made of, and for what."""
        self.what = what
        self.most: int | None = None

    def size(self, wanted: int) -> int:
        """The size of the next batch."""
        return min(wanted, self.most or wanted)

    def halve(self, tried: int) -> None:
        """Memory ran out with a batch of this size."""
        if self.most is None:
            console.print(f"Out of memory with {tried} {self.what}; going on with smaller batches.", highlight=False)
        self.most = tried // 2
