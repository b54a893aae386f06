"""Recall, specificity and headline of one judge's verdicts; docs/protocol.md, section "Scores"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from editing.metrics.bootstrap import Floats, Plan, draws, harmonic, interval, shares, wilson
from editing.metrics.estimate import Estimate
from editing.metrics.significance import permutation_p, swaps
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS, Verdict

KINDS: tuple[str, ...] = tuple(str(kind) for kind in (*TARGET_KINDS, *CONTROL_KINDS))
"""All kinds, target kinds first."""
N_TARGET = len(TARGET_KINDS)


@dataclass(frozen=True)
class Counts:
    """Answers counted by user and column (a kind, a difficulty, or whatever is asked about)."""

    users: tuple[str, ...]
    """Sorted user ids."""
    right: Floats
    """(users, columns) right answers."""
    scored: Floats
    """(users, columns) scored answers."""
    unscored: tuple[int, ...]
    """Unscored answers by column."""

    def of_users(self, users: Sequence[str]) -> Counts:
        """The same counts for some of the users, in the given order."""
        at = {user: i for i, user in enumerate(self.users)}
        rows = [at[user] for user in users]
        return Counts(tuple(users), self.right[rows], self.scored[rows], self.unscored)


def count(observed: Iterable[tuple[str, str, float | None]], columns: Sequence[str]) -> Counts:
    """Counts of (user, column, value) triples: right or not, or a quantity; None for an unscored answer."""
    rows = [row for row in observed if row[1] in set(columns)]
    users = tuple(sorted({user for user, _, _ in rows}))
    at_user, at_column = {u: i for i, u in enumerate(users)}, {c: i for i, c in enumerate(columns)}
    right, scored = np.zeros((len(users), len(columns))), np.zeros((len(users), len(columns)))
    unscored = [0] * len(columns)
    for user, column, value in rows:
        i, j = at_user[user], at_column[column]
        if value is None:
            unscored[j] += 1
        else:
            scored[i, j] += 1
            right[i, j] += value
    return Counts(users, right, scored, tuple(unscored))


def outcome(verdict: Verdict) -> bool | None:
    """Whether a verdict is correct; None for unscored."""
    return None if verdict.verdict == "unscored" else verdict.verdict == "correct"


def count_kinds(verdicts: Iterable[Verdict]) -> Counts:
    """One judge's verdicts counted by user and kind; columns as in KINDS."""
    return count(((v.user_id, str(v.kind), outcome(v)) for v in verdicts), KINDS)


def share_estimates(counts: Counts, plan: Plan, *, higher_is_better: bool = True) -> list[Estimate]:
    """The share of right answers of every column, with its interval."""
    drawn = shares(draws(len(counts.users), plan), counts.right, counts.scored)
    return [
        _estimate(drawn[:, j], _wilson_of(counts, [j], plan), counts, [j], plan, higher_is_better)
        for j in range(counts.right.shape[1])
    ]


def mean_estimates(counts: Counts, plan: Plan) -> tuple[list[Estimate], Estimate]:
    """The mean of every column and the unweighted mean of the columns; of quantities of which less is better."""
    drawn = shares(draws(len(counts.users), plan), counts.right, counts.scored)
    columns = [
        _estimate(drawn[:, [j]].mean(axis=1), None, counts, [j], plan, False) for j in range(counts.right.shape[1])
    ]
    return columns, _estimate(drawn.mean(axis=1), None, counts, range(counts.right.shape[1]), plan, False)


@dataclass(frozen=True)
class KindScores:
    """All scores of one judge for one run."""

    by_kind: dict[str, Estimate]
    """Recall of the target kinds and specificity of the controls."""
    recall: Estimate
    """Mean over the target kinds."""
    specificity: Estimate
    """Mean over the controls."""
    headline: Estimate
    """Harmonic mean of recall and specificity."""


def kind_scores(counts: Counts, plan: Plan) -> KindScores:
    """By kind, recall, specificity and headline from counts with the columns KINDS."""
    drawn = shares(draws(len(counts.users), plan), counts.right, counts.scored)
    targets, controls = list(range(N_TARGET)), list(range(N_TARGET, len(KINDS)))
    by_kind = {
        kind: _estimate(drawn[:, j], _wilson_of(counts, [j], plan), counts, [j], plan, True)
        for j, kind in enumerate(KINDS)
    }
    recalls, specificities = drawn[:, targets].mean(axis=1), drawn[:, controls].mean(axis=1)
    recall = _estimate(recalls, _wilson_of(counts, targets, plan), counts, targets, plan, True)
    specificity = _estimate(specificities, _wilson_of(counts, controls, plan), counts, controls, plan, True)
    ends = (_harmonic(recall.low, specificity.low), _harmonic(recall.high, specificity.high))
    headline = _estimate(harmonic(recalls, specificities), ends, counts, targets + controls, plan, True)
    return KindScores(by_kind, recall, specificity, headline)


def headline_draws(counts: Counts, plan: Plan) -> Floats:
    """The headline and its bootstrap draws, shape (samples + 1,)."""
    return _headlines(shares(draws(len(counts.users), plan), counts.right, counts.scored))


def _headlines(by_kind: Floats) -> Floats:
    return harmonic(by_kind[:, :N_TARGET].mean(axis=1), by_kind[:, N_TARGET:].mean(axis=1))


@dataclass(frozen=True)
class Difference:
    """Headline of one run minus that of another, on the users both have."""

    value: float
    """The difference."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    p: float
    """Two-sided p-value of swapping users' results, not corrected."""
    users: int
    """Users both have."""


def headline_difference(first: Counts, second: Counts, plan: Plan) -> Difference | None:
    """The headlines' difference with its paired bootstrap and p-value; None without common users or a headline."""
    users = sorted(set(first.users) & set(second.users))
    if not users:
        return None
    one, other = first.of_users(users), second.of_users(users)
    drawn = headline_draws(one, plan) - headline_draws(other, plan)
    found = interval(drawn[1:], plan.confidence)
    if found is None or np.isnan(drawn[0]):
        return None
    return Difference(float(drawn[0]), *found, _p_value(one, other, plan), len(users))


def _p_value(one: Counts, other: Counts, plan: Plan) -> float:
    ways = swaps(len(one.users), plan.seed)
    right, scored = ways @ (other.right - one.right), ways @ (other.scored - one.scored)
    with np.errstate(invalid="ignore", divide="ignore"):
        after = _headlines((one.right.sum(axis=0) + right) / (one.scored.sum(axis=0) + scored))
        before = _headlines((other.right.sum(axis=0) - right) / (other.scored.sum(axis=0) - scored))
    return permutation_p(after - before)


def _estimate(
    drawn: Floats,
    without_width: tuple[float, float] | None,
    counts: Counts,
    columns: Sequence[int],
    plan: Plan,
    higher_is_better: bool,
) -> Estimate:
    n, unscored = int(counts.scored[:, columns].sum()), sum(counts.unscored[j] for j in columns)
    value = float(drawn[0])
    found = interval(drawn[1:], plan.confidence)
    if np.isnan(value) or found is None:
        return Estimate(None, None, None, n, unscored, higher_is_better)
    low, high = without_width if without_width and found[0] == found[1] else found
    return Estimate(value, min(low, value), max(high, value), n, unscored, higher_is_better)


def _wilson_of(counts: Counts, columns: Sequence[int], plan: Plan) -> tuple[float, float]:
    """Wilson interval over users with scored answers in `columns`: for a share on which all users agree."""
    scored = counts.scored[:, columns].sum(axis=1)
    right = counts.right[:, columns].sum(axis=1)
    users = int(np.count_nonzero(scored))
    share = float(right.sum() / scored.sum()) if users else 0.0
    return wilson(share * users, users, plan.confidence)


def _harmonic(first: float | None, second: float | None) -> float:
    if not first or not second:
        return 0.0
    return 2 * first * second / (first + second)
