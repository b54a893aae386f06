import itertools

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from editing.board.plots import recall_by_difficulty, recall_by_kind, recall_by_turns, recall_specificity
from editing.metrics.scores import KINDS

METHODS = [f"a_method_{number:02}" for number in range(25)]


def estimate(value):
    return {"value": value, "low": max(0, value - 0.1), "high": min(1, value + 0.1), "n": 20, "n_unscored": 0}


def row(method, place):
    value = place / 25
    scores = {"recall": estimate(value), "specificity": estimate(1 - value), "headline": estimate(value)}
    by = {name: estimate(value) for name in (*KINDS, "easy", "medium", "hard")}
    return {
        "method": method,
        "judges": {"exact": scores | {"by_kind": by, "by_difficulty": by}},
        "multiturn": [{"turns": turns, "judges": {"exact": scores}} for turns in (0, 10)],
        "cost": {"seconds_per_edit": 1.0, "bytes_per_user": 10},
    }


@pytest.fixture
def rows():
    yield [row(method, place) for place, method in enumerate(METHODS)]
    plt.close("all")


def covered(texts, figure):
    """Pairs of texts that cover each other."""
    figure.draw_without_rendering()
    # Not the method of an annotation, whose extent holds its line to the point too.
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
    return [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)]


@pytest.mark.parametrize("plot", [recall_by_kind, recall_by_difficulty])
def test_bars_of_25_methods_stand_beside_their_names(rows, plot):
    figure = plot(rows, "exact")
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == METHODS
    assert covered(labels, figure) == []
    for axes in figure.axes:
        assert [round(bar.get_width()) for bar in axes.patches] == [4 * place for place in range(25)]


def test_points_of_25_methods_have_names_that_do_not_cover_each_other(rows):
    figure = recall_specificity(rows, "exact", dict.fromkeys(METHODS, "#000000"))
    names = [text for text in figure.axes[0].texts if text.get_text() in METHODS]
    assert sorted(text.get_text() for text in names) == METHODS
    assert covered(names, figure) == []


def test_points_on_one_spot_are_all_named(rows):
    same = [found | {"judges": rows[0]["judges"]} for found in rows[:10]]
    figure = recall_specificity(same, "exact", dict.fromkeys(METHODS, "#000000"))
    names = [text for text in figure.axes[0].texts if text.get_text() in METHODS]
    assert len(names) == 10
    assert covered(names, figure) == []


def test_of_many_runs_each_method_is_named_once(rows):
    figure = recall_specificity(rows * 4, "exact", dict.fromkeys(METHODS, "#000000"))
    names = [text.get_text() for text in figure.axes[0].texts if text.get_text() in METHODS]
    assert sorted(names) == METHODS


def test_every_method_asked_after_other_turns_has_a_panel_with_recall_and_specificity(rows):
    rows[3]["multiturn"] = []
    figure = recall_by_turns(rows, "exact")
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert set(panels) == set(METHODS) - {METHODS[3]}
    recall, specificity = (line.get_ydata() for line in panels[METHODS[6]].lines)
    assert list(recall) == pytest.approx([24, 24])
    assert list(specificity) == pytest.approx([76, 76])


def test_where_nothing_was_asked_after_other_turns_the_plot_says_so(rows):
    figure = recall_by_turns([found | {"multiturn": []} for found in rows], "exact")
    assert [text.get_text() for text in figure.axes[0].texts] == ["not asked"]
