"""The program as a person starts it: one word on a terminal, the dashboard, a key, and it is over."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pipeline.cli.common import run_directory_of

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Terminal:
    """A pseudo-terminal of 120x36 with the program on it; `text` is all it ever wrote, without colours."""

    def __init__(self, *words: str) -> None:
        self._main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *words],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
        )
        os.close(child)
        self._raw = b""

    @property
    def text(self) -> str:
        """What was written so far."""
        return _CONTROL.sub(b"", self._raw).decode("utf-8", "replace")

    def wait_for(self, wanted: str) -> None:
        """Read until the text shows `wanted`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text[-2000:]
            if select.select([self._main], [], [], 0.1)[0]:
                try:
                    self._raw += os.read(self._main, 65536)
                except OSError:
                    break
        assert wanted in self.text, self.text[-2000:]

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._main, key.encode())

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        os.close(self._main)


def test_one_word_shows_the_dashboard_and_stop_all_ends_everything(tmp_path: Path) -> None:
    """`run.py` on a terminal shows the dashboard, marked SIM; q and s stop all and say what happened."""
    terminal = Terminal("--data", str(tmp_path))
    try:
        terminal.wait_for("RUNNING")
        assert "SIM" in terminal.text
        assert "PAPER" in terminal.text
        terminal.wait_for("sim-rain-1")
        terminal.press("q")
        terminal.wait_for("Stop all")
        terminal.press("s")
        terminal.wait_for("on simulated venues, paper money")
        assert terminal.process.wait(PATIENCE_SECONDS) == 0
        assert not run_directory_of(tmp_path).exists()
    finally:
        terminal.close()
