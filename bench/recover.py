"""Recover: how long a killed trader takes until it knows what became of every order.

In: a real trader and a real paper exchange between feeds and opportunities of the bench. Out: medians over N
kills in milliseconds, from the start of the new process: until it shows its account, and until no order is
unresolved. Killed when its orders are with the socket ("sent": the exchange has them) and when they are
committed and were never sent ("committed": it must wait until no venue would take them any more). Run by
`run.py bench recover` while nothing else runs. The goal is 2 s and the venue's deadline.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from pipeline.cli.common import SCRIPT, say
from pipeline.crash import VARIABLE
from pipeline.lifecycle import RUN_DIRECTORY
from tests.support.trader_run import TraderRun

POINTS = ("sent", "committed")
GOAL_MS = 2_000


def run(args: argparse.Namespace) -> int:
    """Kill a trader `args.runs` times at each point and print the medians."""
    rows: dict[str, list[dict[str, float]]] = {point: [] for point in POINTS}
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder, TraderRun(Path(folder)) as world:
        deadline_ms = round(world.config.trader.order_seconds * 1000)
        for _ in range(args.runs):
            for point in POINTS:
                rows[point].append(one_kill(world, point))
        world.pid = start(world, "").pid
        world.settle_down()
        os.kill(world.pid, 15)
    table = {
        point: {name: round(median(row[name] for row in found), 1) for name in found[0]}
        for point, found in rows.items()
    }
    if args.json:
        goal = {"runs": args.runs, "goal_ms": GOAL_MS + deadline_ms}
        say(json.dumps({"median_ms": table, **goal}))
        return 0
    say(f"trader killed with orders under way, median of {args.runs}, ms from the start of the next one")
    for point, row in table.items():
        say(f"  killed at {point:<12}" + "".join(f"{name} {value:>8}   " for name, value in row.items()))
    say(f"goal: {GOAL_MS} and the venue's deadline of {deadline_ms}")
    return 0


def start(world: TraderRun, point: str) -> subprocess.Popen[bytes]:
    """Start a trader as the supervisor does; it kills itself at `point`, "" for never."""
    environment = {**os.environ, RUN_DIRECTORY: str(world.run_directory), VARIABLE: point}
    return subprocess.Popen([sys.executable, str(SCRIPT), "trader"], env=environment)


def one_kill(world: TraderRun, point: str) -> dict[str, float]:
    """Let a trader trade and die at a point, start the next, and time what it needs."""
    world.offering = True
    dying = start(world, point)
    world.pid = dying.pid
    assert dying.wait(60) == -9, "the trader was to die of SIGKILL"
    world.offering = False
    begin = time.monotonic()
    process = start(world, "")
    world.pid = process.pid
    world.wait_for(lambda: world.summary() is not None, pause=0.002)
    shown = time.monotonic()
    world.wait_for(lambda: (row := world.summary()) is not None and not row.resolving, pause=0.002)
    known = time.monotonic()
    world.wait_for(lambda: (row := world.summary()) is not None and not row.open_orders)
    process.kill()
    process.wait()
    return {"shown": (shown - begin) * 1000, "all known": (known - begin) * 1000}
