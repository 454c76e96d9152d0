"""Status: `run.py status`: what runs and how it is, for people or as one JSON object (DESIGN 9).

In: the segments of a run. Out: lines, or JSON. Run by people and scripts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipeline.cli.common import FAILED, OK, add_data, complain, last_config, not_running, running_config, say
from pipeline.cli.status_text import counter_lines, lines
from pipeline.clock import SystemClock
from pipeline.logs_text import clean
from pipeline.status import attach_all, counters, gather
from shm.segment import SegmentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--counters", action="store_true", help="every counter and error of every process")


def run(args: argparse.Namespace) -> int:
    """Print the state of the run in the data directory."""
    try:
        return run_counters(args) if args.counters else run_state(args)
    except SegmentError as why:
        # A run of another version of this program.
        complain(str(why))
        return FAILED


def run_state(args: argparse.Namespace) -> int:
    """Print how the run is now."""
    config = running_config(args.data)
    if config is None:
        return not_running(args.data)
    state = gather(config, attach_all(Path(config.shm_directory)), SystemClock())
    say(json.dumps(state) if args.json else "\n".join(map(clean, lines(state))))
    return OK


def run_counters(args: argparse.Namespace) -> int:
    """Print what every process counted; after a crash too, for the memory of the dead is still there."""
    config = last_config(args.data)
    views = attach_all(Path(config.shm_directory)) if config else {}
    if not views:
        return not_running(args.data)
    found = counters(views)
    say(json.dumps(found) if args.json else "\n".join(map(clean, counter_lines(found))))
    return OK
