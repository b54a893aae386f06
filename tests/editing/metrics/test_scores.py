import pytest
from hypothesis import given
from hypothesis import strategies as st

from editing.metrics.bootstrap import Plan
from editing.metrics.scores import KINDS, count, headline_difference, kind_scores, share_estimates

PLAN = Plan(samples=500, seed=3, confidence=0.95)


def run_of(users, rate):
    return count(((f"u{u}", kind, rate(u, kind)) for u in range(users) for kind in KINDS), KINDS)


def test_saying_the_target_everywhere_scores_zero():
    scores = kind_scores(run_of(10, lambda u, kind: kind in KINDS[:4]), PLAN)
    assert scores.recall.value == 1
    assert scores.specificity.value == 0
    assert scores.headline.value == 0


def test_headline_is_the_harmonic_mean_of_recall_and_specificity():
    scores = kind_scores(run_of(4, lambda u, kind: u < 2 if kind in KINDS[:4] else True), PLAN)
    assert scores.recall.value == 0.5
    assert scores.headline.value == pytest.approx(2 * 0.5 / 1.5)
    assert scores.headline.n == 32


def test_recall_weighs_kinds_equally_whatever_their_sizes():
    rows = [("u", KINDS[0], True)] * 9 + [("u", kind, False) for kind in KINDS[1:]]
    assert kind_scores(count(rows, KINDS), PLAN).recall.value == 0.25


def test_unscored_answers_are_counted_and_change_no_score():
    scored = run_of(6, lambda u, kind: u % 2 == 0)
    more = [(f"u{u}", kind, u % 2 == 0) for u in range(6) for kind in KINDS] + [("u1", KINDS[2], None)] * 3
    found = kind_scores(count(more, KINDS), PLAN)
    assert found.headline.value == kind_scores(scored, PLAN).headline.value
    assert found.by_kind[KINDS[2]].n_unscored == 3
    assert found.headline.n_unscored == 3


def test_a_kind_without_scored_answers_leaves_no_mean_instead_of_a_zero():
    rows = [("u", kind, True) for kind in KINDS[1:]] + [("u", KINDS[0], None)]
    scores = kind_scores(count(rows, KINDS), PLAN)
    assert scores.by_kind[KINDS[0]].value is None
    assert scores.recall.value is None
    assert scores.headline.value is None
    assert scores.specificity.value == 1


def test_no_answers_give_no_scores():
    scores = kind_scores(count([], KINDS), PLAN)
    assert scores.headline.value is None
    assert scores.headline.n == 0


def test_all_right_still_has_an_interval_of_some_width():
    scores = kind_scores(run_of(20, lambda u, kind: True), PLAN)
    assert scores.headline.value == 1
    assert 0.7 < scores.headline.low < 1
    assert scores.by_kind["explicit"].low == pytest.approx(scores.headline.low)


def test_lower_is_better_is_kept():
    (rate,) = share_estimates(count([("u", "all", True)], ("all",)), PLAN, higher_is_better=False)
    assert rate.as_json()["higher_is_better"] is False


def test_a_run_does_not_differ_from_itself():
    counts = run_of(12, lambda u, kind: u % 3 == 0)
    difference = headline_difference(counts, counts, PLAN)
    assert (difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1)


def test_a_clear_difference_is_significant_and_has_the_right_sign():
    good, bad = run_of(30, lambda u, kind: u % 10 != 0), run_of(30, lambda u, kind: u % 3 == 0)
    difference = headline_difference(good, bad, PLAN)
    assert difference.value > 0.4
    assert difference.low > 0
    assert difference.p < 0.01


@pytest.mark.parametrize(("users", "least"), [(1, 1), (4, 1 / 8), (6, 1 / 32)])
def test_the_p_value_of_few_users_is_not_below_what_swapping_their_results_can_reach(users, least):
    good, bad = run_of(users, lambda u, kind: True), run_of(users, lambda u, kind: False)
    assert headline_difference(good, bad, PLAN).p == least


def test_users_with_equal_results_tell_nothing_about_a_difference():
    good, other = run_of(12, lambda u, kind: True), run_of(12, lambda u, kind: u > 2)
    assert headline_difference(good, other, PLAN).p == 1 / 4


def test_the_p_value_does_not_depend_on_which_method_stands_first():
    first, second = run_of(9, lambda u, kind: u % 3 == 0), run_of(9, lambda u, kind: u % 2 == 0)
    assert headline_difference(first, second, PLAN).p == headline_difference(second, first, PLAN).p < 1


def test_a_swap_that_leaves_a_kind_without_answers_speaks_against_significance():
    # Of the first kind each method has a scored answer of one user alone, so that half of the swaps give no headline.
    def seen(own, right):
        return count(
            ((f"u{u}", kind, right if kind != KINDS[0] or u == own else None) for u in range(8) for kind in KINDS),
            KINDS,
        )

    assert headline_difference(seen(0, True), seen(1, False), PLAN).p >= 1 / 2


def test_only_common_users_are_compared():
    first = run_of(10, lambda u, kind: True)
    second = count(((f"u{u}", kind, True) for u in range(5, 20) for kind in KINDS), KINDS)
    assert headline_difference(first, second, PLAN).users == 5
    assert headline_difference(first, count([("x", KINDS[0], True)], KINDS), PLAN) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS), st.sampled_from([True, False, None]))))
def test_every_estimate_lies_inside_its_interval_and_counts_add_up(rows):
    scores = kind_scores(count(rows, KINDS), Plan(samples=50, seed=1, confidence=0.95))
    for estimate in (*scores.by_kind.values(), scores.recall, scores.specificity, scores.headline):
        if estimate.value is not None:
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert scores.headline.n + scores.headline.n_unscored == len(rows)
