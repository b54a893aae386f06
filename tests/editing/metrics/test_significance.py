import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from editing.metrics.bootstrap import Plan
from editing.metrics.scores import KINDS, Counts, headline_difference, kind_scores
from editing.metrics.significance import MOST_WAYS, holm, permutation_p, swaps


def test_of_few_users_every_way_of_swapping_is_tried_once_and_the_first_swaps_none():
    ways = swaps(5, 1)
    assert ways.shape == (16, 5)
    assert len({tuple(way) for way in ways}) == 16
    assert not ways[0].any() and not ways[:, -1].any()
    assert swaps(15, 1).shape == (MOST_WAYS, 15)


def test_of_many_users_ways_are_drawn_the_same_for_a_seed():
    ways = swaps(40, 1).copy()
    swaps.cache_clear()
    assert (swaps(40, 1) == ways).all() and (swaps(40, 2) != ways).any()
    assert ways.shape == (MOST_WAYS, 40) and not ways[0].any()
    assert ways.mean() == pytest.approx(0.5, abs=0.01)


def test_the_p_value_counts_differences_as_large_in_size_and_those_that_are_unknown():
    assert permutation_p(np.array([0.2, -0.2, 0.1, 0.0])) == 0.5
    assert permutation_p(np.array([0.2, 0.3, 0.1, np.nan])) == 0.75
    assert permutation_p(np.array([0.1 + 0.2, 0.3])) == permutation_p(np.array([0.3, 0.1 + 0.2])) == 1


def test_holm_agrees_with_a_calculation_by_hand():
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.04], 6) == pytest.approx([0.06, 0.2])


@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 4))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values, others):
    corrected = holm(p_values, len(p_values) + others)
    assert all(c >= p for c, p in zip(corrected, p_values, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [corrected[i] for i in order] == sorted(corrected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_holm_without_some_p_values_is_never_below_holm_with_all(p_values, data):
    kept = data.draw(st.lists(st.sampled_from(range(len(p_values))), unique=True))
    whole = holm(p_values, len(p_values))
    part = holm([p_values[i] for i in kept], len(p_values))
    assert all(found >= whole[i] - 1e-12 for found, i in zip(part, kept, strict=True))


PLAN = Plan(samples=50, seed=1, confidence=0.95)


def equal_methods(chance, methods, users):
    """Runs whose answers differ by chance alone; a user is as easy for one method as for another."""
    ease = chance.beta(2, 2, size=(users, len(KINDS)))
    names = tuple(f"u{u:02}" for u in range(users))
    answered = [chance.binomial(1, ease).astype(float) for _ in range(methods)]
    return [Counts(names, right, np.ones_like(right), (0,) * len(KINDS)) for right in answered]


def alarms(chance, methods, users):
    """Whether any method is called significantly worse than the best."""
    runs = equal_methods(chance, methods, users)
    best = max(range(methods), key=lambda i: kind_scores(runs[i], PLAN).headline.value)
    p_values = [headline_difference(runs[best], run, PLAN).p for i, run in enumerate(runs) if i != best]
    return min(holm(p_values, methods * (methods - 1) // 2)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "users", "boards"), [(2, 4, 500), (2, 6, 1000), (2, 16, 300), (4, 11, 300), (10, 16, 60), (20, 16, 40)]
)
def test_among_equal_methods_at_most_one_board_in_twenty_calls_a_difference_significant(methods, users, boards):
    chance = np.random.default_rng(methods * users)
    found = sum(alarms(chance, methods, users) for _ in range(boards))
    # Three standard errors above one in twenty: what chance gives a test that is exactly as good as its level.
    assert found <= 0.05 * boards + 3 * (0.05 * 0.95 * boards) ** 0.5
    assert found == 0 or users > 5
