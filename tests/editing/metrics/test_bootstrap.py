import numpy as np
import pytest

from editing.metrics.bootstrap import Plan, draws, harmonic, interval, shares, wilson

PLAN = Plan(samples=2000, seed=3, confidence=0.95)


def test_first_draw_is_the_sample_itself_and_all_draws_have_its_size():
    weights = draws(7, PLAN)
    assert weights.shape == (2001, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 7).all()


def test_equal_seeds_give_equal_draws():
    draws.cache_clear()
    first = draws(5, PLAN).copy()
    draws.cache_clear()
    assert (draws(5, PLAN) == first).all()


def test_interval_of_independent_users_agrees_with_the_normal_approximation():
    generator = np.random.default_rng(0)
    right = (generator.random((400, 1)) < 0.3).astype(float)
    drawn = shares(draws(400, PLAN), right, np.ones((400, 1)))
    low, high = interval(drawn[1:, 0], 0.95)
    half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert low == pytest.approx(right.mean() - half, abs=0.01)
    assert high == pytest.approx(right.mean() + half, abs=0.01)


def test_answers_of_one_user_do_not_narrow_the_interval():
    generator = np.random.default_rng(1)
    right = (generator.random((50, 1)) < 0.5).astype(float)
    once = interval(shares(draws(50, PLAN), right, np.ones((50, 1)))[1:, 0], 0.95)
    tenfold = interval(shares(draws(50, PLAN), 10 * right, np.full((50, 1), 10.0))[1:, 0], 0.95)
    assert once == tenfold


def test_a_draw_without_answers_is_nan_and_leaves_the_interval():
    drawn = shares(np.array([[1, 0], [0, 2]], dtype=np.float32), np.array([[1.0], [0.0]]), np.array([[2.0], [0.0]]))
    assert drawn[0, 0] == 0.5
    assert np.isnan(drawn[1, 0])
    assert interval(drawn[:, 0], 0.95) == (0.5, 0.5)
    assert interval(np.array([np.nan]), 0.95) is None


def test_harmonic_mean_is_zero_when_a_part_is_zero():
    assert harmonic(np.array([0.0, 0.0, 1.0, 0.5]), np.array([0.0, 1.0, 1.0, 1.0])).tolist() == pytest.approx(
        [0, 0, 1, 2 / 3]
    )


def test_wilson_matches_a_published_value():
    # Newcombe (1998), table I: 81 of 263.
    low, high = wilson(81, 263, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_of_no_trials_is_everything():
    assert wilson(0, 0, 0.95) == (0.0, 1.0)
