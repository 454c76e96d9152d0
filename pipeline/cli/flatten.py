"""Flatten: closes all that is held of an event, and waits until it is so.

In: an event's id. Out: what the trader made of it in a line, or as JSON; exit code 1 where something is left
or it was refused. Run by people, through the supervisor.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipeline import bus
from pipeline.cli.ask import ask
from pipeline.cli.common import (
    FAILED,
    OK,
    add_data,
    complain,
    not_running,
    run_directory_of,
    running_config,
    say,
)
from pipeline.clock import Clock, SystemClock, moment_text
from pipeline.flatten import PATIENCE_SECONDS, FlattenState
from shm.records import FLATTEN, FlattenRow
from shm.segment import SegmentError, attach
from shm.tables import TableReader

# A trader that was started again meanwhile takes a moment until it goes on.
WAIT_SECONDS = PATIENCE_SECONDS + 10.0
LOOK_SECONDS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("event", metavar="EVENT", help="the event's id; run.py status lists what is held")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Give the order, wait for its end, and say what became of it."""
    config = running_config(args.data)
    if config is None:
        return not_running(args.data)
    try:
        reply = ask(run_directory_of(args.data), "flatten", {"event": args.event})
    except bus.BusError as error:
        complain(str(error))
        return FAILED
    if not reply.ok:
        return _refused(args.event, reply.text, as_json=args.json)
    row = ended(Path(config.shm_directory), number_of(reply.text), SystemClock())
    if row is None:
        text = f"the trader has not answered within {WAIT_SECONDS:g} s: see run.py status"
        return _refused(args.event, text, as_json=args.json)
    flat = row.state == FlattenState.FLAT
    if args.json:
        say(json.dumps(told(row)))
    elif flat:
        say(f"{row.event_id} is flat: {row.orders} orders sent; {row.text}")
    else:
        complain(f"{row.event_id} is not flat: {row.text}")
    return OK if flat else FAILED


def number_of(text: str) -> int:
    """The number in the supervisor's answer "order NUMBER: ..."."""
    return int(text.partition(":")[0].split()[-1])


def ended(shm_directory: Path, number: int, clock: Clock) -> FlattenRow | None:
    """The trader's row of an order once that has ended, or as it stands when the time is over."""
    deadline = clock.monotonic_ns() + round(WAIT_SECONDS * 1e9)
    while True:
        row = shown_row(shm_directory, number)
        over = clock.monotonic_ns() > deadline
        if over or (row is not None and row.state != FlattenState.WORKING):
            return row
        clock.sleep(LOOK_SECONDS)


def shown_row(shm_directory: Path, number: int) -> FlattenRow | None:
    """The trader's row of an order, None while there is none."""
    try:
        rows = TableReader(attach(shm_directory, "trader"), "flattens", FLATTEN).rows()
        return next((row for _, row in rows if row.number == number), None)
    except SegmentError:
        return None


def told(row: FlattenRow) -> dict[str, object]:
    """An order as JSON has it."""
    return {
        "event": row.event_id,
        "number": row.number,
        "state": FlattenState(row.state).name,
        "orders": row.orders,
        "asked": moment_text(row.asked_wall_ns),
        "ended": moment_text(row.ended_wall_ns) if row.ended_wall_ns else None,
        "text": row.text,
    }


def _refused(event_id: str, text: str, *, as_json: bool) -> int:
    """Say why nothing was done."""
    if as_json:
        said: dict[str, object] = {"event": event_id, "state": FlattenState.REFUSED.name, "text": text}
        say(json.dumps(said))
    else:
        complain(text)
    return FAILED
