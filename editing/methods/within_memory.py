"""Fitting as many users at once as memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from editing.lm.load import LM
from editing.lm.memory import Bound, out_of_memory
from editing.methods.base import Maker, Method, User
from editing.patches.patch import Patch


class WithinMemory:
    """Fits users with a method, in batches that are halved when memory runs out; the halving is said once.

    Users share nothing, so their patches are those of one batch. A user who does not fit alone gets an empty patch that
    says so, and the others go on.
    """

    def __init__(self, method: Method[Any], lm: LM) -> None:
        """No bound on a batch yet."""
        self.method, self.lm = method, lm
        self._bound = Bound(f"users of {method.name} in one batch")

    def fit(self, users: Sequence[User]) -> list[Patch]:
        """One patch a user, in order."""
        patches: list[Patch] = []
        while len(patches) < len(users):
            batch = users[len(patches) : len(patches) + self._bound.size(len(users))]
            fitted = self._try(batch)
            if fitted is None and len(batch) > 1:
                self._bound.halve(len(batch))
            else:
                patches += fitted or [self._failed(batch[0])]
        return patches

    def _try(self, users: Sequence[User]) -> list[Patch] | None:
        """The patches, or None where memory ran out; by then the error no longer holds on to what it could not fit."""
        try:
            return self.method.fit(self.lm, users)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _failed(self, user: User) -> Patch:
        maker = Maker(self.lm, self.method.name, self.method.kind, self.method.config)
        return maker.patch(user, failure="memory ran out with this user alone")
