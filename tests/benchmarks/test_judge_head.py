import numpy as np
import pytest

from benchmarks.judge_head import CONTROL_FLOOR, MAX_FALSE_ACCEPT, SWAPPED_WEIGHT, Replies, swapped_pairs
from editing.judges.calibration import LabelledReply
from editing.judges.config import JudgeConfig
from editing.judges.embedding import FEATURES, EmbeddingJudge
from pipeline.core.config import load_section


def replies(seed=0, count=400):
    """Made-up features of four writers' replies, all left open by words; the label shows in one feature, with noise."""
    rng = np.random.default_rng(seed)
    made = Replies.__new__(Replies)
    made.rows = [None] * count
    made.by_words = [None] * count
    made.open = np.ones(count, dtype=bool)
    made.group = np.array(["recall", "apply", "apply", "control"])[np.arange(count) // 4 % 4]
    made.writer = np.array(["a", "b", "c", "d"])[np.arange(count) % 4]
    made.swapped = np.zeros(count, dtype=bool)
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
    limits = made.thresholds(probabilities, everyone)
    said = made.said(probabilities, limits)
    controls = made.group == "control"
    assert np.array_equal(said[controls], probabilities[controls] < limits.control)
    assert said[controls & made.good].mean() > said[controls & ~made.good].mean()


def test_the_threshold_of_controls_is_never_below_the_one_that_unedited_answers_ask_for(everyone):
    made = replies()
    made.features[:, 0] += 10 * made.positive  # so that any threshold would do
    assert made.thresholds(made.left_out(everyone), everyone).control >= CONTROL_FLOOR


def test_swapped_pairs_together_count_a_share_of_the_wrong_replies(everyone):
    made = replies()
    made.swapped = (made.group == "apply") & ~made.good & (np.arange(400) % 3 == 0)
    own = made.group == "apply"
    weight = made.weight(own)
    wrong = own & ~made.good & ~made.swapped
    assert weight[made.swapped].sum() == pytest.approx(SWAPPED_WEIGHT * wrong.sum())
    assert (weight[~made.swapped] == 1).all()


def test_thresholds_rise_where_swapped_pairs_are_accepted(everyone):
    made = replies()
    probabilities = np.where(made.positive, 0.6, 0.3)
    before = made.thresholds(probabilities, everyone)
    made.swapped = (made.group == "apply") & ~made.good & (np.arange(400) % 2 == 0)
    made.good[made.swapped] = False
    probabilities[made.swapped] = 0.6
    probabilities[(made.group == "apply") & made.good & (np.arange(400) % 20 > 0)] = 0.8
    assert before.apply <= 0.6 < made.thresholds(probabilities, everyone).apply


def labelled(preference, target, reply, kind="implicit", label="correct", statement="I love {}.", writer="first"):
    return LabelledReply(
        preference=preference,
        split="development",
        writer=writer,
        kind=kind,
        statement=statement.format(target),
        attribute_type="interest",
        target=target,
        aliases=(),
        question="What should I do on Sunday?",
        reply=reply,
        label=label,
        **{"class": "applied"},
    )


def held_against(pytestconfig, rows):
    """Preferences that the first row's reply is held against, all values but "hiking" and "walking" far apart."""
    config = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    places = {"hiking": 0, "walking": 0}
    judge = EmbeddingJudge(
        config.embedding,
        config.exact,
        lambda texts: np.eye(20, dtype=np.float32)[[places.setdefault(text, len(places)) for text in texts]],
    )
    pairs = [pair for pair in swapped_pairs(rows, judge) if pair.reply == rows[0].reply]
    assert all((pair.label, pair.group) == ("incorrect", "swapped") for pair in pairs)
    return {pair.preference for pair in pairs}


FIRST = labelled("a", "hiking", "Head for the hills with good boots, and take a chess set for the break.")


@pytest.mark.parametrize(
    "other",
    [
        labelled("b", "walking", "Stroll along the river."),
        labelled("b", "chess", "Try a new opening at the club."),
        labelled("b", "opera", "Stay at home.", statement="I hate {}."),
        labelled("b", "vegan", "Cook a lentil stew.", statement="I am {}."),
        labelled("b", "opera", "Book a seat for Tosca.", kind="product"),
        labelled("b", "opera", "Book a seat for Tosca.", writer="second"),
    ],
    ids=["near", "named by the reply", "a dislike", "a restriction", "of another kind", "of another writer"],
)
def test_a_right_reply_is_held_only_against_preferences_it_does_not_serve(pytestconfig, other):
    opera = labelled("c", "opera singing", "Book a seat for Tosca.")
    assert held_against(pytestconfig, [FIRST, other, opera]) == {"c"}


def test_only_right_replies_are_held_against_other_preferences(pytestconfig):
    wrong = FIRST.model_copy(update={"label": "incorrect"})
    assert held_against(pytestconfig, [wrong, labelled("c", "opera", "Book a seat for Tosca.")]) == set()
