"""A tab of a headless Chromium, spoken to over its debugging pipe: for tests, timings and pictures of the page."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""The browser's program; None where it is not installed (Debian: apt-get install chromium)."""
TIMEOUT_S = 30
"""Longest wait for an answer or a condition."""
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
    """One tab of a headless Chromium; use it as a context, it ends the browser it started.

    Raises:
        RuntimeError: Chromium is not installed, or does not answer.
    """

    def __init__(self, profile: Path) -> None:
        """Start Chromium with its own `profile` folder."""
        if CHROMIUM is None:
            raise RuntimeError("Chromium is not installed (Debian: apt-get install chromium).")
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
        self.buffer, self.number = b"", 0
        self.session: str | None = None
        self.problems: list[Any] = []
        """Exceptions and console errors so far."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Page:
        """The tab itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the browser."""
        self.close()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """What Chromium answers to one command of its debugging protocol."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writes, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == self.number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                return dict(reply["result"])

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reads], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise RuntimeError("Chromium does not answer.")
            self.buffer += os.read(self.reads, 1 << 20)
        raw, self.buffer = self.buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"]["text"])
        return message

    def open(self, address: str) -> None:
        """Load a page and wait until it is complete."""
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.run(expression):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Not true after {TIMEOUT_S} s: {expression}")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser this tab started."""
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        os.close(self.reads)
        os.close(self.writes)
