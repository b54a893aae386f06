"""The page in a real browser; skipped where Chromium is not installed."""

import pytest

from benchmarks import synthetic_results as made_up
from benchmarks.chromium import CHROMIUM, Page
from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
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
def browser(tmp_path_factory):
    tab = Page(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


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
    for number in range(5):
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
