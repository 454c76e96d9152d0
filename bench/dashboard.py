"""Dashboard: what the screen costs while 1,000 events change, and how soon it answers a key.

In: the memory of a run in a temporary data directory, written by a process of its own: every event, book and
edge is another one each half second. Out: the share of a core, memory, time to the first picture, and from a
key to its drawn answer; the same share for a DataTable of the same rows. Each the median over the runs. Run
by `run.py bench dashboard` while nothing else runs.

The real program draws into a pseudo-terminal of 120x36, as a process of its own. An answer to the cursor
keys is the line of the row that the cursor then stands on; one to a digit is the name of that tab's panel.
Memory is what the process has in use but for the segments that it reads: those exist once for all processes.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from bench.dashboard_parts.terminal import Terminal
from bench.dashboard_parts.world import READY, config_of
from pipeline.cli.common import ROOT, SCRIPT, say

EVENTS = 1_000
SETTLE_SECONDS, MEASURED_SECONDS = 5.0, 20.0
KEYS, TABS = 150, 50
# Between two keys at random, so that they fall on every part of a tick.
PAUSE_SECONDS = (0.05, 0.2)
DOWN, UP = b"\x1b[B", b"\x1b[A"
# Escape sequences and blanks that may stand between the cursor's mark and the name of its row.
BETWEEN = rb"(\x1b\[[0-9;:]*m| )*"
SHOWN = rb"pair-\d"
GOALS = {"core %": 4, "MiB": 90, "first picture ms": 1_000, "key p99 ms": 50, "tab p99 ms": 50}


def run(args: argparse.Namespace) -> int:
    """Measure `args.runs` times and print the medians."""
    runs = max(1, min(args.runs, 3))  # a run takes two minutes
    rows = [one_run(EVENTS, MEASURED_SECONDS, KEYS, TABS) for _ in range(runs)]
    table = {name: round(median(row[name] for row in rows), 2) for name in rows[0]}
    if args.json:
        say(json.dumps({"runs": runs, "events": EVENTS, "median": table, "goals": GOALS}))
        return 0
    say(f"dashboard, {EVENTS:,} events that all change every 500 ms, median of {runs}")
    for name, value in table.items():
        say(f"  {name:<28}{value:>12,.2f}" + (f"   goal {GOALS[name]}" if name in GOALS else ""))
    return 0


def one_run(events: int, seconds: float, keys: int, tabs: int) -> dict[str, float]:
    """Every figure once."""
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        segments = Path(config_of(data, 0).shm_directory)
        with world(data, events):
            ours = [sys.executable, str(SCRIPT), "dashboard", "--data", str(data), "--read-only"]
            theirs = [sys.executable, "-m", "bench.dashboard_parts.literal", str(data)]
            with Terminal(ours, ROOT, os.environ) as terminal:
                figures = {"first picture ms": (terminal.wait_for(SHOWN) - terminal.started_ns) / 1e6}
                figures["CPU ms until then"] = 1_000 * terminal.cpu_seconds()
                time.sleep(SETTLE_SECONDS)
                figures["core %"] = share(terminal, seconds)
                figures["MiB with the segments"], shared = terminal.memory(segments)
                figures["MiB"] = figures["MiB with the segments"] - shared
                figures |= spread("key", cursor_times(terminal, events, keys))
                figures |= spread("tab", tab_times(terminal, tabs))
            with Terminal(theirs, ROOT, os.environ) as terminal:
                terminal.wait_for(SHOWN)
                time.sleep(SETTLE_SECONDS)
                figures["core % of a DataTable"] = share(terminal, seconds)
    figures["DataTable / ours"] = figures["core % of a DataTable"] / figures["core %"]
    return figures


@contextmanager
def world(data: Path, events: int) -> Iterator[None]:
    """The process that writes; it has written once when this returns."""
    command = [sys.executable, "-m", "bench.dashboard_parts.world", str(data), str(events)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == READY, "the writer did not begin"
        yield
    finally:
        writer.terminate()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()


def share(terminal: Terminal, seconds: float) -> float:
    """Per cent of a core that the program takes over so many seconds."""
    before, began = terminal.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (terminal.cpu_seconds() - before) / (time.monotonic() - began)


def cursor_times(terminal: Terminal, events: int, keys: int) -> list[float]:
    """Milliseconds from each cursor key to the line that it moves to. The rows are sorted by name first."""
    names = sorted(f"pair-{number}" for number in range(events))
    # Sorted by the first column, and then the other way round: names rise.
    since = terminal.mark()
    terminal.press(b"s")
    terminal.press(b"S")
    terminal.press(b"\x1b[H")
    terminal.wait_for(_cursor_on(names[0]), since)
    times, at = [], 0
    chance = random.Random(1)
    for _ in range(keys):
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        step = 1 if at == 0 or chance.random() < 0.6 else -1
        at += step
        since = terminal.mark()
        pressed = terminal.press(DOWN if step == 1 else UP)
        times.append((terminal.wait_for(_cursor_on(names[at]), since) - pressed) / 1e6)
    return times


def _cursor_on(name: str) -> bytes:
    """The mark of the cursor before a row's name, and nothing but colours between them."""
    return b">" + BETWEEN + name.encode() + rb"(?!\d)"


def tab_times(terminal: Terminal, keys: int) -> list[float]:
    """Milliseconds from a digit to the panel of its tab: to the fourth and back to the first."""
    times = []
    chance = random.Random(2)
    for number in range(keys):
        time.sleep(chance.uniform(*PAUSE_SECONDS))
        key, wanted = (b"4", rb"Kelly ") if number % 2 == 0 else (b"1", rb"Last 10 opp")
        since = terminal.mark()
        pressed = terminal.press(key)
        times.append((terminal.wait_for(wanted, since) - pressed) / 1e6)
    return times


def spread(name: str, times: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {f"{name} p50 ms": median(times), f"{name} p99 ms": quantiles(times, n=100)[98]}
