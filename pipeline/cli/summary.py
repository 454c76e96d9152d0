"""Summary: `run.py summary`: what happened while nobody looked, on one screen.

In: what a run leaves in its data directory, and its memory while it is on. Out: lines or one JSON object. Run
by people and scripts; the observer sends the same lines once a day.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.cli.common import OK, USAGE, add_data, complain, running_config, say
from pipeline.cli.moments import HELP, parse_moment
from pipeline.cli.summary_facts import Period, facts, last_run, last_state
from pipeline.cli.summary_text import lines
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config
from pipeline.status import attach_all, gather
from shm.segment import SegmentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--since", metavar="T", help=f"{HELP} (default: the start of the last run)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace, clock: Clock | None = None) -> int:
    """Say what happened."""
    clock = clock or SystemClock()
    now = clock.wall_ns()
    config = running_config(args.data)
    last = last_state(args.data)
    try:
        period = Period(parse_moment(args.since, now), now) if args.since else the_run(args.data, config, now)
    except ValueError as error:
        complain(str(error))
        return USAGE
    account = config.account if config else str(last.get("account", ""))
    found = facts(args.data, period, state_of(config, clock), account)
    if args.json:
        say(json.dumps(found))
    else:
        mode = config.mode if config else "paper" if last.get("paper", True) else "live"
        kind = "sim" if (config.simulated if config else last.get("sim")) else mode
        say("\n".join(lines(found, kind.upper() + ("" if config else ", not running now"))))
    return OK


def daily_text(config: Config, since_ns: int, until_ns: int) -> str:
    """The summary as a message, for the observer: it is handed this, for it must not know the trader."""
    clock = SystemClock()
    period = Period(since_ns, until_ns)
    found = facts(Path(config.data_directory), period, state_of(config, clock), config.account)
    return "\n".join(lines(found, "SIM" if config.simulated else config.mode.upper()))


def the_run(data: Path, config: Config | None, now_ns: int) -> Period:
    """The run that is on until now, or else the last one to its last word."""
    last = last_run(data)
    if config is None:
        return last if last.until_ns else Period(last.since_ns, now_ns)
    return Period(config.started_wall_ns or last.since_ns, now_ns)


def state_of(config: Config | None, clock: Clock) -> dict[str, Any] | None:
    """The status object of the run that is on, else None."""
    if config is None:
        return None
    try:
        return gather(config, attach_all(Path(config.shm_directory)), clock)
    except SegmentError:
        # A run of another version of this program: what it left on the disk is told.
        return None
