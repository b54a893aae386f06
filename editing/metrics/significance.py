"""Whether a difference between two runs is more than chance: swaps of users' results, and Holm's correction."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from editing.metrics.bootstrap import Floats

MOST_WAYS = 2**14
"""Most ways of swapping that are tried; up to 15 users these are all there are."""
_TIE = 1e-9  # differences closer than this are equal but for the order in which they were summed


@functools.lru_cache(maxsize=8)
def swaps(users: int, seed: int) -> npt.NDArray[np.float32]:
    """Ways of swapping the two results of each user, shape (ways, users), 1 for a swap; the first swaps none.

    All ways in which the last user is not swapped, for swapping everybody changes the sign alone; drawn with `seed`
    where these are more than MOST_WAYS.
    """
    if 2 ** (users - 1) <= MOST_WAYS:
        chosen = np.arange(2 ** (users - 1))[:, None] >> np.arange(users) & 1
    else:
        chosen = np.random.default_rng(seed).integers(0, 2, size=(MOST_WAYS, users))
        chosen[0] = 0
    ways = chosen.astype(np.float32)
    ways.flags.writeable = False
    return ways


def permutation_p(differences: Floats) -> float:
    """Two-sided p-value of the first difference among those of all ways; NaN counts as at least as large."""
    sizes = np.abs(differences)
    return float(1 - np.count_nonzero(sizes < sizes[0] - _TIE) / len(sizes))


def holm(p_values: Sequence[float], hypotheses: int) -> list[float]:
    """p-values corrected by Holm's step-down procedure, in the given order.

    `hypotheses` are all that were tested or chosen among; those without a p-value here count as the last, which
    never makes a corrected value smaller than it would be with them.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (hypotheses - rank) * p_values[i]))
        corrected[i] = running
    return corrected
