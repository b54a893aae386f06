import numpy as np
import pytest

from benchmarks.judge_head import MAX_FALSE_ACCEPT, Replies
from editing.judges.embedding import FEATURES


def replies(seed=0, count=400):
    """Made-up features of four writers' replies, all left open by words; the label shows in one feature, with noise."""
    rng = np.random.default_rng(seed)
    made = Replies.__new__(Replies)
    made.rows = [None] * count
    made.by_words = [None] * count
    made.open = np.ones(count, dtype=bool)
    made.group = np.array(["recall", "apply", "apply", "control"])[np.arange(count) // 4 % 4]
    made.writer = np.array(["a", "b", "c", "d"])[np.arange(count) % 4]
    made.good = rng.random(count) < 0.5
    made.positive = made.good ^ (made.group == "control")
    made.features = rng.normal(size=(count, len(FEATURES)))
    made.features[:, 0] += 1.5 * made.positive
    made.replies = rng.normal(size=(count, 384)).astype(np.float32)
    return made


@pytest.fixture
def everyone():
    return np.ones(400, dtype=bool)


def test_a_writer_left_out_has_no_say_in_the_rulings_on_their_own_replies(everyone):
    honest, lying = replies(), replies()
    own = lying.writer == "b"
    lying.positive[own] = ~lying.positive[own]
    assert np.array_equal(honest.left_out(everyone)[own], lying.left_out(everyone)[own])
    assert not np.array_equal(honest.left_out(everyone)[~own], lying.left_out(everyone)[~own])


def test_thresholds_keep_false_accepts_on_target_kinds_at_the_goal(everyone):
    made = replies()
    probabilities = made.left_out(everyone)
    said = made.said(probabilities, made.thresholds(probabilities, everyone))
    targets = made.group != "control"
    assert 0 < said[targets & ~made.good].mean() <= MAX_FALSE_ACCEPT
    assert said[targets & made.good].mean() > 0.3


def test_a_control_is_correct_where_the_target_does_not_show_up(everyone):
    made = replies()
    probabilities = made.left_out(everyone)
    said = made.said(probabilities, made.thresholds(probabilities, everyone))
    controls = made.group == "control"
    assert (said == made.good)[controls].mean() > 0.6
