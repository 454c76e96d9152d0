"""A dashboard that is killed at random: nothing in the bot notices."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.common import running_config
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.status import attach_all, gather
from shm.books import BookReader
from shm.segment import SegmentError, attach
from shm.tables import read_counters

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180.0
KEYS = ("1", "2", "3", "4", "5", "6", "s", "\r", "\x1b", "p", "/", "?", "h")
SCANNED = "wakes"


class Screen:
    """A dashboard on a terminal of its own; whatever it writes is read and thrown away."""

    def __init__(self, data: Path) -> None:
        self._main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "dashboard", "--data", str(data)],
            stdin=child,
            stdout=child,
            stderr=child,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(child)
        self.written = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while chunk := os.read(self._main, 65536):
                self.written += len(chunk)

    def live(self, seconds: float, chance: random.Random) -> None:
        """Press keys at random for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            os.write(self._main, chance.choice(KEYS).encode())
            time.sleep(0.05)

    def kill(self) -> None:
        """At once and without a word."""
        self.process.kill()
        assert self.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._main)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A run without a screen, in which everything works."""
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "up",
        "--no-dashboard",
        "--seed",
        "7",
        "--data",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while not _well(found := running_config(tmp_path)):
            assert time.monotonic() < deadline, f"the run never came up: {found and told(found)}"
            assert process.poll() is None, "the run ended"
            time.sleep(0.1)
        assert found is not None
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def _well(config: Config | None) -> bool:
    if config is None:
        return False
    workers = told(config).get("workers")
    return bool(workers) and all(one["state"] == "RUNNING" for one in workers) and scans(config) > 0


def told(config: Config) -> dict[str, Any]:
    """What `run.py status` says."""
    return gather(config, attach_all(Path(config.shm_directory)), SystemClock())


def scans(config: Config) -> int:
    """How often the scanner has looked; 0 before it is there."""
    try:
        return read_counters(attach(Path(config.shm_directory), "scanner")).get(SCANNED, 0)
    except SegmentError:
        return 0


def rate(config: Config, seconds: float) -> float:
    """Looks of the scanner a second, over so long."""
    first, started = scans(config), time.monotonic()
    time.sleep(seconds)
    return (scans(config) - first) / (time.monotonic() - started)


def pictures_of(data: Path) -> set[str]:
    """Files that only a dashboard would write."""
    names = {path.name for path in data.rglob("*")}
    return {name for name in names if "dashboard" in name or name.startswith("parallax-")}


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.stress)])
def test_a_killed_dashboard_changes_nothing(config: Config, tmp_path: Path, times: int) -> None:
    """Killed at random moments: the scanner goes on at its pace, no worker is restarted, every segment can be
    read whole, and no process or file is left.
    """
    chance = random.Random(7)
    segments = set(os.listdir(config.shm_directory))
    workers = {one["name"]: (one["pid"], one["restarts"]) for one in told(config)["workers"]}
    alone = rate(config, 2.0)
    seen = 0
    killed: list[int] = []
    started, first = time.monotonic(), scans(config)
    for _ in range(times):
        screen = Screen(tmp_path)
        screen.live(chance.uniform(0.0, 2.5), chance)
        screen.kill()
        killed.append(screen.process.pid)
        seen += screen.written
    watched = (scans(config) - first) / (time.monotonic() - started)
    assert seen, "a dashboard that draws nothing proves nothing"
    print(f"{watched:.0f} looks a second with a dashboard, {alone:.0f} without")
    assert watched > alone / 10
    assert {one["name"]: (one["pid"], one["restarts"]) for one in told(config)["workers"]} == workers
    assert set(os.listdir(config.shm_directory)) == segments
    for name in sorted(name for name in segments if "." not in name):
        view = attach(Path(config.shm_directory), name)
        assert view.header.pid
        if name.startswith("feed-"):
            books = BookReader(view)
            rows = [books.get(at) for at in range(len(books))]
            assert any(one is not None for one in rows), name
    assert pictures_of(tmp_path) == set()
    for pid in killed:
        assert not Path(f"/proc/{pid}").exists()
