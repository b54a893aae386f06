"""Cluster bootstrap over users, vectorised: draws are weights, statistics are matrix products."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How intervals are made."""

    samples: int
    """Draws."""
    seed: int
    """Seed of the draws."""
    confidence: float
    """Level of the interval, e.g. 0.95."""


@functools.lru_cache(maxsize=8)
def draws(users: int, plan: Plan) -> npt.NDArray[np.float32]:
    """How often each user is drawn in each bootstrap sample, shape (samples, users); every row sums to `users`.

    The first row is the sample itself (all ones), so that a statistic and its bootstrap come from one computation.
    """
    generator = np.random.default_rng(plan.seed)
    # float32 holds the small counts exactly and halves the time of the products.
    weights = np.ones((plan.samples + 1, users), dtype=np.float32)
    if users:
        weights[1:] = generator.multinomial(users, np.full(users, 1 / users), size=plan.samples)
    weights.flags.writeable = False
    return weights


def shares(weights: npt.NDArray[np.float32], right: Floats, scored: Floats) -> Floats:
    """Share of right answers in every draw, NaN where no answer was drawn.

    Args:
        weights: (samples + 1, users) from `draws`.
        right: (users, columns) right answers of each user.
        scored: (users, columns) scored answers of each user.

    Returns:
        (samples + 1, columns).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ right) / (weights @ scored), dtype=np.float64)


def harmonic(first: Floats, second: Floats) -> Floats:
    """Harmonic mean, element by element; 0 where either is 0, NaN where either is NaN."""
    total = first + second
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, 2 * first * second / total, np.where(np.isnan(total), np.nan, 0.0))


def interval(statistic: Floats, confidence: float) -> tuple[float, float] | None:
    """Percentile interval of a statistic over its draws, shape (samples,); None where every draw is NaN."""
    known = statistic[~np.isnan(statistic)]
    if not len(known):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def wilson(successes: float, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a share.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
