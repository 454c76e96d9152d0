"""`run.py why EVENT`: why there is no trade on this event now, from live memory; no process is asked.

In: an event's id, the segments of the run. Out: its books, its waterfall in every direction, the check that
failed with its number and limit, and what the trader last said; without an event a line for each direction
of all. Run by people. Exit code 0, 2 for an event that is not there, 4 when nothing runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from pipeline.cli.common import FAILED, OK, USAGE, add_data, complain, not_running, running_config, say
from pipeline.cli.why_decisions import decision_facts
from pipeline.cli.why_facts import Memory, direction_facts, event_facts
from pipeline.cli.why_text import event_lines, list_lines
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config
from pipeline.logs_text import clean
from pipeline.model_events import Event
from pipeline.status import attach_all
from shm.segment import SegmentError

NEAR = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("event", metavar="EVENT", nargs="?", help="an event's id; without it, all of them")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print why the event is not traded."""
    config = running_config(args.data)
    if config is None:
        return not_running(args.data)
    events = {event.id: event for event in config.all_events()}
    if args.event is not None and args.event not in events:
        complain(unknown(args.event, events))
        return USAGE
    try:
        memory = look(config, SystemClock())
        if args.event is None:
            answer = {"events": list_facts(memory, events.values())}
            text = list_lines(answer["events"])
        else:
            found = event_facts(memory, events[args.event]) | decision_facts(memory, args.event)
            answer, text = found, event_lines(found)
    except SegmentError as why:
        # A run of another version of this program.
        complain(str(why))
        return FAILED
    say(json.dumps(answer) if args.json else "\n".join(map(clean, text)))
    return OK


def look(config: Config, clock: Clock) -> Memory:
    """The run as it is in memory now."""
    return Memory.of(config, attach_all(Path(config.shm_directory)), clock)


def list_facts(memory: Memory, events: Iterable[Event]) -> list[dict[str, object]]:
    """Every direction of every event with its verdict, in the order of the events."""
    return [
        {"event": event.id, **direction_facts(memory, direction)}
        for event in events
        for direction in memory.directions([event])
    ]


def unknown(event: str, known: Iterable[str]) -> str:
    """What to say of an event that is not there."""
    names = list(known)
    near = get_close_matches(event, names, NEAR, 0.4) or [
        name for name in names if event.lower() in name.lower()
    ]
    meant = f"; did you mean {', '.join(near[:NEAR])}" if near else ""
    return f"no event {event!r}{meant}; run.py why lists all {len(names)}"
