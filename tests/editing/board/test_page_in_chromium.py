"""The page in a real browser, spoken to over Chromium's debugging pipe; skipped where Chromium is not installed."""

import json
import os
import select
import shutil
import subprocess
import sys
import time

import pytest

from benchmarks import synthetic_results as made_up
from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan
from pipeline.core.config import load_section
from pipeline.core.records import Answer
from pipeline.core.tables import read_parquet, write_parquet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
HOSTILE = "</script><script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"
TIMEOUT_S = 30
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --window-size=1200,900 "
    "--remote-debugging-pipe"
).split()
# Chromium reads commands from descriptor 3 and answers on descriptor 4; they are moved there just before it starts.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One tab of a headless Chromium."""

    def __init__(self, profile):
        here_reads, there_writes = os.pipe()
        there_reads, here_writes = os.pipe()
        command = [sys.executable, "-c", LAUNCH, str(there_reads), str(there_writes), CHROMIUM, *FLAGS]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(there_reads, there_writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there_reads)
        os.close(there_writes)
        self.reads, self.writes = here_reads, here_writes
        self.buffer, self.number, self.session, self.problems = b"", 0, None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writes, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == self.number:
                assert "error" not in reply, reply
                return reply["result"]

    def _receive(self):
        deadline = time.monotonic() + TIMEOUT_S
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reads], [], [], max(0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            self.buffer += os.read(self.reads, 1 << 20)
        raw, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(raw)
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"]["text"])
        return message

    def open(self, address):
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression):
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression):
        deadline = time.monotonic() + TIMEOUT_S
        while not self.run(expression):
            assert time.monotonic() < deadline, expression

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def close(self):
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        os.close(self.reads)
        os.close(self.writes)


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
