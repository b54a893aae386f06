"""The page in a real browser; skipped where Chromium is not installed."""

import json
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from benchmarks import synthetic_results as made_up
from benchmarks.chromium import CHROMIUM, Page
from editing.board.page import render
from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
from editing.dialogue.scores import DERIVED, GOOD
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan
from pipeline.core.config import load_section
from pipeline.core.records import Answer
from pipeline.core.tables import read_parquet, write_parquet

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
HOSTILE = "</script><script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"


@pytest.fixture(scope="module")
def address(request, tmp_path_factory):
    """The page of four made-up runs, one of which answers with markup."""
    root = request.config.rootpath
    folder = tmp_path_factory.mktemp("page")
    judging = load_section(root / "params.yaml", "judge", JudgeConfig)
    judging = judging.model_copy(update={"judges": ("exact",), "bootstrap_samples": 100})
    made = made_up.write_dataset(folder / "hub", 8, 1)
    for method in ("none", "in_context", "ft_m", "rome"):
        run = made_up.write_run(folder / "results", folder / "hub", made, "tiny", method, 1)
        if method == "none":
            answers = [a.model_copy(update={"text": HOSTILE}) for a in read_parquet(run / "answers.parquet", Answer)]
            write_parquet(run / "answers.parquet", answers, Answer)
        judge_run(folder / "hub", run, judging, folder / "cache")
    write_board(
        *(folder / name for name in ("results", "board", "hub", "judges.json")),
        LeaderboardConfig(judge="exact", samples=2, significance=0.05),
        Plan(100, 1, 0.95),
    )
    return (folder / "board" / "index.html").as_uri()


@pytest.fixture(scope="module")
def long_address(address):
    """The same page with sixty rows."""
    folder = Path(url2pathname(urlparse(address).path)).parent
    board = json.loads((folder / "leaderboard.json").read_text())
    rows = [
        row | {"method": f"{row['method']}-{i:02}", "key": f"{row['key']}-{i:02}"}
        for row in board["rows"]
        for i in range(15)
    ]
    page = folder / "long.html"
    page.write_text(render(board | {"rows": rows, "comparisons": []}, {}, []))
    return page.as_uri()


def estimate(value, n=20):
    return {"value": value, "low": max(0, value - 0.1), "high": min(1, value + 0.1), "n": n, "n_unscored": 0}


@pytest.fixture(scope="module")
def full_address(address):
    """The same rows by two judges, asked again after other turns, with users mixed up and measured judges."""
    folder = Path(url2pathname(urlparse(address).path)).parent
    board = json.loads((folder / "leaderboard.json").read_text())
    exact = board["rows"][0]["judges"]["exact"]
    after = {
        "overflow_rate": estimate(0.15),
        "judges": {name: exact | {"specificity": estimate(0.61)} for name in ("exact", "llm")},
        "checks": {
            "local": {n: estimate(i / 20) | {"higher_is_better": n in GOOD} for i, n in enumerate(DERIVED)},
        },
    }
    added = {
        "multiturn": [{"turns": turns, **after} for turns in (0, 10)],
        "crossing": {"of_another": estimate(0.2), "matrix": [[1.0] + [0.125] * 4] * 4 + [[None] * 5]},
    }
    rows = [row | added | {"judges": row["judges"] | {"llm": row["judges"]["exact"]}} for row in board["rows"]]
    figures = {"accuracy": estimate(0.76, 360), "false accept": estimate(0.14), "false reject": None}
    part = {"overall": figures, "by_kind": {"implicit": figures}, "by_class": {"wrong_value": figures}}
    accuracy = {"exact": {"targets": part, "controls": part, "stale": False}, "llm": {"targets": part, "stale": True}}
    page = folder / "full.html"
    page.write_text(render(board | {"rows": rows}, accuracy, [{}] * len(rows)))
    return page.as_uri()


@pytest.fixture
def full_page(page, full_address):
    page.open(full_address)
    page.wait("document.querySelectorAll('#table tr.run').length === 4")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(browser, address):
    browser.problems.clear()
    browser.open("about:blank#")
    browser.open(address)
    browser.wait("document.querySelectorAll('tr.run').length === 4")
    yield browser
    assert browser.problems == []


METHODS = "[...document.querySelectorAll('#table .open')].map(b => b.textContent)"


def test_rows_stand_by_headline_and_a_heading_sorts_both_ways(page):
    assert page.run(METHODS)[-1] == "none"
    page.run("document.querySelector('[data-sort=method]').click()")
    assert page.run(METHODS) == ["ft_m", "in_context", "none", "rome"]
    page.run("document.querySelector('[data-sort=method]').click()")
    assert page.run(METHODS) == ["rome", "none", "in_context", "ft_m"]
    assert page.run("document.querySelector('[data-sort=method]').closest('th').ariaSort") == "descending"


def test_headings_work_with_the_keyboard_and_keep_the_focus(page):
    page.run("document.querySelector('[data-sort=recall]').focus()")
    page.press("Enter", 13, "\r")
    page.wait("document.querySelector('[data-sort=recall]').closest('th').ariaSort === 'descending'")
    assert page.run("document.activeElement.dataset.sort") == "recall"


def test_the_filter_keeps_rows_that_hold_all_words(page):
    page.run("const f = document.getElementById('filter'); f.value = 'TINY rom'; f.dispatchEvent(new Event('input'))")
    assert page.run(METHODS) == ["rome"]
    assert page.run("document.getElementById('count').textContent") == "1 of 4 runs"


def test_a_method_opens_its_answers_and_closes_again(page):
    page.run("document.querySelector('#table .open').click()")
    assert page.run("document.querySelectorAll('#table .detail .qa').length") >= 4
    assert page.run("document.querySelector('#table .open').ariaExpanded") == "true"
    page.run("document.querySelector('#table .open').click()")
    assert page.run("document.querySelectorAll('#table .detail').length") == 0


def test_markup_in_an_answer_stays_text(page):
    page.run("[...document.querySelectorAll('#table .open')].find(b => b.textContent === 'none').click()")
    assert page.run("document.querySelector('#table .said').textContent") == HOSTILE
    assert page.run("window.hacked === undefined && document.images.length === 0")


def test_every_set_of_columns_keeps_the_headline(page):
    assert page.run("document.querySelectorAll('#views button').length") == 6
    for number in range(6):
        page.run(f"document.querySelectorAll('#views button')[{number}].click()")
        assert page.run("document.querySelector('#table th.main').textContent").startswith("Headline")
        assert page.run("document.querySelectorAll('#table tr.run').length") == 4


def test_light_and_dark_can_be_switched(page):
    before = page.run("getComputedStyle(document.body).backgroundColor")
    page.run("document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") != before


def test_a_narrow_window_does_not_scroll_sideways(page):
    page.send("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    try:
        assert page.run("document.documentElement.scrollWidth") <= 400
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")


def test_the_charts_show_every_run(page):
    assert page.run("document.querySelectorAll('#scatter circle').length") == 4
    assert page.run("document.querySelectorAll('#cost circle').length") == 4


def test_a_method_opens_with_the_keyboard_and_its_address_opens_it_again(page, address):
    page.run("document.querySelector('#table .open').focus()")
    key = page.run("document.querySelector('#table tr.run').dataset.key")
    page.press("Enter", 13, "\r")
    page.wait("document.querySelectorAll('#table .detail').length === 1")
    linked = page.run("location.href")
    assert linked != address
    page.open("about:blank#")
    page.open(linked)
    page.wait("document.querySelectorAll('#table .detail').length === 1")
    assert (
        page.run("document.querySelector('#table .detail').closest('tbody').querySelector('tr.run').dataset.key") == key
    )


def test_a_point_of_a_chart_opens_its_run_even_when_the_filter_hides_it(page):
    page.run("const g = document.getElementById('filter'); g.value = 'rome'; g.dispatchEvent(new Event('input'))")
    page.run("document.querySelector('#cost .point.dim').dispatchEvent(new Event('click'))")
    assert page.run("document.querySelectorAll('#table .detail').length") == 1
    assert page.run("document.getElementById('filter').value") == ""


def test_a_long_table_is_filled_to_its_last_row(page, long_address):
    page.open(long_address)
    page.wait("document.querySelectorAll('#table tr.run').length === 60")
    keys = page.run("[...document.querySelectorAll('#table tr.run')].map(row => row.dataset.key)")
    assert len(set(keys)) == 60
    page.run("document.querySelector('[data-sort=method]').click()")
    page.wait("document.querySelectorAll('#table tr.run').length === 60")
    methods = page.run(METHODS)
    assert methods == sorted(methods)


def choose(page, field, value):
    page.run(f"document.getElementById('{field}').value = {value!r}")
    page.run(f"document.getElementById('{field}').dispatchEvent(new Event('change'))")
    assert page.run(f"document.getElementById('{field}').value") == value


def open_view(page, name):
    page.run(f"[...document.querySelectorAll('#views button')].find(b => b.textContent === {name!r}).click()")


def first_row(page):
    """Headings of the table after the headline, with the cells of its first row without their intervals."""
    headings = page.run("[...document.querySelectorAll('#table thead th button')].slice(2).map(b => b.firstChild.data)")
    cells = page.run(
        "[...document.querySelectorAll('#table tr.run')[0].querySelectorAll('td')].slice(3).map(c => c.firstChild.data)"
    )
    return dict(zip(headings, cells, strict=True))


def test_controls_can_be_shown_as_rates_flips_and_kl_by_kind(page):
    open_view(page, "Controls")
    choices = page.run("[...document.querySelectorAll('#score option')].map(o => o.value)")
    assert len(choices) == 3
    assert set(first_row(page)) == {"Specificity", "unstated", "irrelevant", "other person", "neutral"}
    for choice in choices[1:]:
        choose(page, "score", choice)
        found = first_row(page)
        assert set(found) == {"overall", "unstated", "irrelevant", "other person", "neutral"}
        assert all(float(value) >= 0 for value in found.values())


def test_every_score_after_other_turns_can_be_shown_and_its_chart_follows(full_page):
    open_view(full_page, "Turns")
    choices = full_page.run("[...document.querySelectorAll('#score option')].map(o => o.value)")
    assert choices[:3] == ["recall", "specificity", "headline"]
    assert len(choices) == 3 + len(DERIVED) + 1
    choose(full_page, "score", "specificity")
    assert first_row(full_page) == {"0 turns": "61.0", "10 turns": "61.0"}
    choose(full_page, "score", "preference following (checked by local)")
    assert first_row(full_page) == {"0 turns": "20.0", "10 turns": "20.0"}
    assert full_page.run("document.querySelectorAll('#table th .mark').length") == 0
    assert full_page.run("document.getElementById('turns-score').textContent").startswith("preference following")
    assert "preference following" in full_page.run("document.querySelector('#turns title').textContent")
    choose(full_page, "score", "violated (checked by local)")
    assert full_page.run("document.querySelectorAll('#table th .mark').length") == 2
    choose(full_page, "score", "not asked, prompt too long")
    assert first_row(full_page) == {"0 turns": "3 of 20", "10 turns": "3 of 20"}


def test_the_choice_of_score_stands_only_where_there_is_one_and_is_kept(full_page):
    shown = "getComputedStyle(document.getElementById('score-field')).display !== 'none'"
    assert not full_page.run(shown)
    open_view(full_page, "Turns")
    choose(full_page, "score", "specificity")
    full_page.run("document.querySelector('[data-sort=turns10]').click()")
    open_view(full_page, "Cost")
    assert not full_page.run(shown)
    assert full_page.run("document.querySelector('[data-sort=headline]').closest('th').ariaSort") == "descending"
    open_view(full_page, "Turns")
    assert full_page.run(f"{shown} && document.getElementById('score').value") == "specificity"


def test_answers_and_comparison_name_their_judge_when_the_table_is_by_another(full_page):
    full_page.run("document.querySelectorAll('#table .open')[1].click()")
    by = "document.querySelector('#table .detail .by').textContent"
    assert full_page.run(by) == "Answers and comparison by judge exact."
    choose(full_page, "judge", "llm")
    assert full_page.run(by).endswith("by judge exact, which orders the leaderboard; the row above is by llm.")


def test_a_run_whose_users_share_a_model_shows_whose_preference_is_given_back(full_page):
    full_page.run("document.querySelector('#table .open').click()")
    cells = full_page.run("[...document.querySelectorAll('#table .crossing td')].map(cell => cell.textContent)")
    assert cells[:6] == ["100.0", "12.5", "12.5", "12.5", "12.5", "100.0"]
    assert cells[-1] == "\u2013"
    assert len(cells) == 25


def test_the_judges_figures_stand_by_kind_and_their_classes_are_folded_away(full_page):
    rows = full_page.run(
        "[...document.querySelectorAll('#accuracy tbody tr')].map(r => [...r.children].map(c => c.firstChild.data))"
    )
    dash = "\u2013"
    assert rows[:2] == [[title, "76.0", "14.0", dash] + ["76.0", "14.0", dash, "360"] for title in TARGETS]
    assert rows[2:] == [[title, "76.0", "14.0", dash, dash, dash, dash, "360"] for title in ("controls", "implicit")]
    heads = full_page.run("[...document.querySelectorAll('#accuracy th.judge')].map(h => h.textContent)")
    assert heads[0] == "exact"
    assert heads[1].endswith("another version of this judge")
    full_page.run("document.querySelector('#classes summary').focus()")
    assert not full_page.run("document.getElementById('classes').open")
    full_page.press("Enter", 13, "\r")
    full_page.wait("document.getElementById('classes').open")
    assert "wrong value" in full_page.run("document.getElementById('classes').innerText")


TARGETS = ("questions that need the fact", "implicit")


def test_a_narrow_window_shows_the_full_page_without_scrolling_sideways(full_page):
    full_page.send("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    try:
        open_view(full_page, "Turns")
        full_page.run("document.querySelector('#table .open').click(); document.getElementById('classes').open = true")
        assert full_page.run("document.documentElement.scrollWidth") <= 400
    finally:
        full_page.send("Emulation.clearDeviceMetricsOverride")


def test_names_in_a_chart_cover_no_other_name_though_their_points_do(page, long_address):
    page.open(long_address)
    page.wait("document.querySelectorAll('#table tr.run').length === 60")
    page.run("const w = document.getElementById('filter'); w.value = 'rome'; w.dispatchEvent(new Event('input'))")
    names = "[...document.querySelectorAll('#cost .point text')].map(name => name.getBBox())"
    boxes = page.run(f"{names}.map(box => [box.x, box.y, box.width, box.height])")
    assert len(boxes) == 15
    middles = [(x, x + width, y + height / 2) for x, y, width, height in boxes]
    for i, (start, end, at) in enumerate(middles):
        assert all(end < left or right < start or abs(at - other) >= 9 for left, right, other in middles[:i])
