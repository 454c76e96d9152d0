"""The dashboard by hand: a real run in a real terminal (tmux), steered by keys alone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli.common import running_config
from pipeline.clock import SystemClock
from pipeline.status import attach_all, gather

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux"),
]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0
# A feed that does not move must be seen within a second; so much more is allowed to a slow machine.
SEEN_SECONDS = 10.0
FEED = "feed-kraken"


class Tmux:
    """One terminal of 120x36 on a tmux server of its own."""

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
        self._ask("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "36", shlex.join(command))
        self._ask("set-option", "-g", "remain-on-exit", "on")

    def _ask(self, *words: str) -> str:
        ended = subprocess.run(
            ["tmux", "-L", self._name, *words], capture_output=True, text=True, check=False
        )
        return ended.stdout

    def screen(self) -> str:
        """What stands on the terminal now."""
        return self._ask("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._ask("send-keys", *keys)

    def ended(self) -> bool:
        """Whether the program in it is over."""
        return self._ask("list-panes", "-F", "#{pane_dead}").strip() != "0"

    def wait(self, wanted: Callable[[str], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
        """Look until the screen is as wanted; how long it took."""
        started = time.monotonic()
        while not wanted(self.screen()):
            assert time.monotonic() - started < seconds, f"{what} never came:\n{self.screen()}"
            time.sleep(0.02)
        return time.monotonic() - started

    def close(self) -> None:
        """End the server and what runs in it."""
        self._ask("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    """`run.py up` in a terminal; ended, with the run, whatever happens."""
    command = [sys.executable, str(ROOT / "run.py"), "up", "--seed", "7", "--data", str(tmp_path)]
    made = Tmux(f"parallax-{os.getpid()}", command)
    yield made
    subprocess.run([sys.executable, str(ROOT / "run.py"), "down", "--data", str(tmp_path)], check=False)
    made.close()


def row(text: str, name: str) -> str:
    """The line of the grid that begins with a name; "" where there is none."""
    return next((line for line in text.splitlines() if re.match(rf"[> ] ?{re.escape(name)}\s", line)), "")


def pid_of(text: str) -> int:
    """The pid in the row of the feed; 0 while it has none."""
    found = re.match(rf"[> ] ?{FEED}\s+(\d+)", row(text, FEED))
    return int(found[1]) if found else 0


def put_cursor(terminal: Tmux, name: str) -> None:
    """Go down line by line, each time only once the cursor is seen to have moved."""
    for _ in range(20):
        at = cursor(terminal.screen())
        if row(at, name):
            return
        terminal.press("Down")
        terminal.wait(lambda text, at=at: cursor(text).split()[:1] != at.split()[:1], "the cursor's move")
    raise AssertionError(f"no row {name}:\n{terminal.screen()}")


def cursor(text: str) -> str:
    """The line under the cursor."""
    return next((line for line in text.splitlines() if line.startswith(">")), "")


def runs_anew(text: str, before: int) -> bool:
    """Whether the feed runs, as another process."""
    return pid_of(text) not in (0, before) and "running" in row(text, FEED)


def pids(data: Path) -> dict[str, int]:
    """The pid of every worker, as the supervisor wrote it."""
    config = running_config(data)
    assert config is not None, "the run is over"
    workers = gather(config, attach_all(Path(config.shm_directory)), SystemClock())["workers"]
    return {worker["name"]: worker["pid"] for worker in workers}


def kill_by_keys(terminal: Tmux, signal: str) -> None:
    """k on the row of the feed, the signal chosen, y: a question stands in between."""
    terminal.press("k")
    terminal.wait(lambda text: f"Send a signal to {FEED}" in text, "the question")
    for _ in range(("TERM", "KILL", "STOP").index(signal)):
        terminal.press("Down")
    terminal.wait(lambda text: f"Send {signal} (y)" in text, f"the choice of {signal}")
    terminal.press("y")


def test_a_run_is_steered_by_keys(terminal: Tmux, tmp_path: Path) -> None:
    """Start; a feed that hangs is DEAD at once and RUNNING again with a new pid, so is one that is killed;
    halt, resume, and quit leave everything else as it was.
    """
    terminal.wait(lambda text: "● RUNNING" in text and "BTC/USD" not in text, "the first picture")
    terminal.press("5")
    terminal.wait(lambda text: "running" in row(text, FEED), f"{FEED} running")
    terminal.wait(lambda text: "○" not in "".join(text.splitlines()[1:2]), "all venues up")
    put_cursor(terminal, FEED)
    before = pids(tmp_path)
    first = pid_of(terminal.screen())
    assert first == before[FEED]

    kill_by_keys(terminal, "STOP")
    hung = terminal.wait(
        lambda text: row(text, FEED) != "" and "running" not in row(text, FEED), "a hung feed", SEEN_SECONDS
    )
    terminal.wait(lambda text: "kraken dead" in text or pid_of(text) not in (0, first), "a dead venue")
    terminal.wait(
        lambda text: pid_of(text) not in (0, first) and "running" in row(text, FEED), "a new process"
    )
    second = pid_of(terminal.screen())

    kill_by_keys(terminal, "KILL")
    killed = terminal.wait(lambda text: runs_anew(text, second), "another new process")
    terminal.press("1")
    terminal.wait(lambda text: "DEAD" not in text, "books of the new process")

    terminal.press("h")
    terminal.wait(lambda text: "Halt all trading?" in text, "the question")
    terminal.press("y")
    terminal.wait(lambda text: " HALTED " in text.splitlines()[0], "a halt")
    terminal.press("h")
    terminal.wait(lambda text: "Resume trading?" in text, "the question")
    terminal.press("y")
    terminal.wait(lambda text: " HALTED " not in text.splitlines()[0], "no halt")

    terminal.press("q")
    terminal.wait(lambda text: "Leave running" in text, "the question")
    terminal.press("l")
    terminal.wait(lambda _: terminal.ended(), "the end of the dashboard")
    after = pids(tmp_path)
    assert after.pop(FEED) not in (first, second)
    assert after == {name: pid for name, pid in before.items() if name != FEED}
    print(f"hung seen after {hung:.2f} s, replaced after KILL in {killed:.2f} s")
