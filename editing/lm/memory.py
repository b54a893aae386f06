"""Memory that runs out, on an accelerator or not: the errors that mean it, and batches that become smaller by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from pipeline.core.progress import console

T = TypeVar("T")

SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch says in a plain RuntimeError where the processor's memory or an older driver runs out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).casefold() for sign in SIGNS)


def cut(items: Sequence[int], size: int) -> list[Sequence[int]]:
    """`items` in order, in parts of at most `size`."""
    return [items[at : at + size] for at in range(0, len(items), size)]


class Bound:
    """How large a batch may be: as large as asked for, until memory runs out; that is said once."""

    def __init__(self, what: str) -> None:
        """No bound yet; `what` says what a batch is made of, and for what."""
        self.what = what
        self.most: int | None = None

    def size(self, wanted: int) -> int:
        """The size of the next batch."""
        return min(wanted, self.most or wanted)

    def fitting(
        self, batches: Iterable[Sequence[int]], run: Callable[[Sequence[int]], T]
    ) -> Iterator[tuple[Sequence[int], T]]:
        """Each batch with what `run` makes of it, cut into smaller ones where memory runs out.

        Raises:
            RuntimeError, MemoryError: memory runs out with one item alone, or something else is wrong.
        """
        waiting = self._cut(batches)
        while waiting:
            batch = waiting.pop(0)
            try:
                made = run(batch)
            except (RuntimeError, MemoryError) as error:
                if len(batch) == 1 or not out_of_memory(error):
                    raise
                self.halve(len(batch))
                waiting = self._cut([batch, *waiting])
                continue
            yield batch, made

    def _cut(self, batches: Iterable[Sequence[int]]) -> list[Sequence[int]]:
        return [part for batch in batches for part in cut(batch, self.size(len(batch)))]

    def halve(self, tried: int) -> None:
        """Memory ran out with a batch of this size."""
        if self.most is None:
            console.print(f"Out of memory with {tried} {self.what}; going on with smaller batches.", highlight=False)
        self.most = tried // 2
