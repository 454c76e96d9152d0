"""Export: what the observer costs: its files, its share of a core, and what the others notice of it.

In: runs of our own in temporary data directories, once with the observer and once without. Out: bytes of each
file, the observer's CPU over the run, and messages, evaluations and hops of both runs. Run by `run.py bench
export`.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from pipeline.cli.common import SCRIPT, running_config, say
from pipeline.clock import SystemClock
from pipeline.observer.export import FILES
from pipeline.status import attach_all, counters, gather

SETTLE_SECONDS, MEASURED_SECONDS = 8.0, 15.0
WAIT_SECONDS = 60.0


def run(args: argparse.Namespace) -> int:
    """Measure both runs and print them side by side."""
    rows = {name: one_run(on=on) for name, on in (("with observer", True), ("without", False))}
    if args.json:
        say(json.dumps(rows))
        return 0
    for name, row in rows.items():
        say(name)
        for what, value in row.items():
            say(f"  {what:<28}{value:>14}")
    return 0


def one_run(*, on: bool) -> dict[str, Any]:
    """Start a run, let it settle, and measure what it does in MEASURED_SECONDS."""
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        data = Path(folder)
        command = [sys.executable, str(SCRIPT), "up", "--no-dashboard", "--data", str(data)]
        enabled = ["--set", f"observer.enabled={str(on).lower()}"]
        bot = subprocess.Popen([*command, *enabled], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_trading(data)
            time.sleep(SETTLE_SECONDS)
            before, started = look(data), time.monotonic()
            time.sleep(MEASURED_SECONDS)
            after, seconds = look(data), time.monotonic() - started
            row = {
                f"{name} per s": round((after[name] - before[name]) / seconds, 1)
                for name in ("messages", "evaluations")
            }
            row |= {name: after[name] for name in ("socket_to_book p50 us", "book_to_scan p50 us")}
            if on:
                cpu = (after["cpu s"] - before["cpu s"]) / seconds
                row |= {"observer % of a core": round(100 * cpu, 2), "observer MiB": after["MiB"]}
                row |= {f"{file}.json bytes": (data / f"{file}.json").stat().st_size for file in FILES}
            return row
        finally:
            bot.send_signal(signal.SIGTERM)
            bot.wait()


def wait_for_trading(data: Path) -> None:
    """Until every venue is connected. Raises TimeoutError."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        config = running_config(data)
        if config is not None:
            state = gather(config, attach_all(Path(config.shm_directory)), SystemClock())
            if all(venue["connected"] for venue in state["venues"].values()):
                return
        time.sleep(0.1)
    raise TimeoutError("the run did not connect to its venues")


def look(data: Path) -> dict[str, Any]:
    """Counts, hops, and what the observer's process has taken so far."""
    config = running_config(data)
    assert config is not None
    views = attach_all(Path(config.shm_directory))
    state, counted = gather(config, views, SystemClock()), counters(views)
    found: dict[str, Any] = {
        "messages": sum(venue["messages"] for venue in state["venues"].values()),
        "evaluations": counted["scanner"]["counters"]["evaluations"],
    }
    for hop in ("socket_to_book", "book_to_scan"):
        found[f"{hop} p50 us"] = state["hops"].get(hop, {}).get("p50_us")
    if "observer" in views:
        process = psutil.Process(views["observer"].header.pid)
        times = process.cpu_times()
        found["cpu s"] = times.user + times.system
        found["MiB"] = round(process.memory_info().rss / 2**20, 1)
    return found
