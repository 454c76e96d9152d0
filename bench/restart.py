"""Restart: how long a killed feed is dead, and how soon its books are live again.

In: a run of our own in a temporary data directory. Out: medians over N kills, in milliseconds: kill to
not LIVE as a reader judges it (DEAD, or EMPTY where the next process came first), kill to the new process's
segment, kill to its first connection, kill to every book LIVE. Run by `run.py bench restart`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from pipeline.books import FeedBooks
from pipeline.cli.common import SCRIPT, running_config, say
from pipeline.config import Config
from pipeline.model import BookState, ConnectionState
from shm.books import BookReader
from shm.segment import SegmentError, attach

VENUE = "kraken"
WAIT_SECONDS = 30.0
# A first failure is restarted at once, and each kill is to be the first: the window is the shortest there is.
FORGIVING = ("supervisor.restart_window=1", "supervisor.restart_limit=2", "supervisor.healthy_after=0.5")
FORGIVEN_SECONDS = 1.5


def run(args: argparse.Namespace) -> int:
    """Kill feed-kraken `args.runs` times with SIGKILL and print the medians."""
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        data = Path(folder)
        forgiving = [word for setting in FORGIVING for word in ("--set", setting)]
        command = [sys.executable, str(SCRIPT), "up", "--no-dashboard", "--data", str(data), *forgiving]
        bot = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            config = wait_for(
                lambda: running_config(data), lambda found: bool(found and found.markets_of(VENUE))
            )
            rows = [one_kill(config) for _ in range(args.runs)]
        finally:
            bot.send_signal(signal.SIGTERM)
            bot.wait()
    table = {name: round(median(row[name] for row in rows), 1) for name in rows[0]}
    if args.json:
        say(json.dumps({"runs": args.runs, "median_ms": table}))
    else:
        say(f"kill -9 of feed-{VENUE}, median of {args.runs}, ms")
        for name, value in table.items():
            say(f"  {name:<24}{value:>10}")
    return 0


def one_kill(config: Config) -> dict[str, float]:
    """Kill once all books are LIVE; milliseconds from the kill to each thing that follows."""
    directory = Path(config.shm_directory)
    markets = config.markets_of(VENUE)
    wait_for(lambda: states(config, markets), lambda found: found == {BookState.LIVE})
    time.sleep(FORGIVEN_SECONDS)
    view = attach(directory, f"feed-{VENUE}")
    books = FeedBooks(directory, [VENUE], config.scanner.limits())
    pid, epoch = view.header.pid, view.header.epoch
    start = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    seen: dict[str, float] = {}
    while "live" not in seen:
        now = time.monotonic_ns()
        assert now - start < WAIT_SECONDS * 1e9, "the books did not come back"
        books.refresh(now)
        looks = [books.read(VENUE, market, now) for market in markets]
        found = {look.state for look in looks if look}
        if "not live" not in seen and found != {BookState.LIVE}:
            seen["not live"] = (now - start) / 1e6
        if "new process" not in seen and fresh_epoch(directory, epoch):
            seen["new process"] = (now - start) / 1e6
        if "new process" in seen and "connected" not in seen and connected(directory):
            seen["connected"] = (now - start) / 1e6
        if "new process" in seen and len(looks) == len(markets) and found == {BookState.LIVE} and all(looks):
            seen["live"] = (now - start) / 1e6
        time.sleep(0.0005)
    return {name: seen.get(name, seen["live"]) for name in ("not live", "new process", "connected", "live")}


def fresh_epoch(directory: Path, epoch: int) -> bool:
    """Whether the feed's segment has a newer epoch."""
    try:
        return attach(directory, f"feed-{VENUE}").header.epoch > epoch
    except SegmentError:
        return False


def connected(directory: Path) -> bool:
    """Whether a connection of the feed is open."""
    try:
        rows = BookReader(attach(directory, f"feed-{VENUE}")).connections()
    except SegmentError:
        return False
    return any(row.state in {ConnectionState.SUBSCRIBING, ConnectionState.UP} for row in rows)


def states(config: Config, markets: list[str]) -> set[BookState]:
    """Present states of the venue's books; MISSING ones count as EMPTY."""
    books = FeedBooks(Path(config.shm_directory), [VENUE], config.scanner.limits())
    now = time.monotonic_ns()
    books.refresh(now)
    looks = [books.read(VENUE, market, now) for market in markets]
    return {look.state if look else BookState.EMPTY for look in looks}


def wait_for(get, good):
    """The first value of `get` that is `good`; fails after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        value = get()
        if good(value):
            return value
        time.sleep(0.02)
    raise TimeoutError("the run did not come up")
