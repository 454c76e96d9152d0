"""Ask: commands that the supervisor obeys: down, start, stop, restart, kill, log-level.

In: a worker's name or nothing. Out: the supervisor's answer in one line. Run by people and scripts; `ask` is
how every other command reaches the supervisor too.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from pipeline import bus
from pipeline.cli.common import (
    FAILED,
    OK,
    add_data,
    complain,
    not_running,
    person,
    run_directory_of,
    running_config,
    say,
)
from pipeline.clock import SystemClock
from pipeline.wire import Reply, Request, Sealer, WireError

TIMEOUT_MS = 2000
LEVELS = ("debug", "info", "warning", "error", "default")
DOWN_SECONDS = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    name = parser.prog.split()[-1]
    if name != "down":
        parser.add_argument("worker", metavar="WORKER", help="such as feed-kraken; run.py status lists them")
    if name == "kill":
        text = "TERM (default), KILL, STOP, CONT, ..."
        parser.add_argument("--signal", metavar="NAME", default="TERM", help=text)
    if name == "log-level":
        text = f"{', '.join(LEVELS)}: what the configuration says"
        parser.add_argument("level", metavar="LEVEL", choices=LEVELS, help=text)


def run(args: argparse.Namespace) -> int:
    """Ask, print the answer; `down` waits until the run is gone."""
    directory = run_directory_of(args.data)
    wanted = {"worker": args.worker} if args.command != "down" else {}
    if args.command == "kill":
        wanted["signal"] = args.signal
    if args.command == "log-level":
        wanted["level"] = args.level
    try:
        reply = ask(directory, args.command, wanted)
    except bus.BusError as error:
        if running_config(args.data) is None:
            return not_running(args.data)
        complain(str(error))
        return FAILED
    if not reply.ok:
        complain(reply.text)
        return FAILED
    if args.command == "down" and not gone(directory):
        complain(f"still stopping after {DOWN_SECONDS:g} s: see run.py status")
        return FAILED
    say("stopped" if args.command == "down" else reply.text)
    return OK


def ask(directory: Path, command: str, args: dict[str, str]) -> Reply:
    """One request to the supervisor. Raises bus.BusError when there is none or it does not answer."""
    sealer = Sealer(bus.read_key(directory))
    request = Request(secrets.token_hex(8), command, args, person(), SystemClock().monotonic_ns())
    frame = bus.ask(directory, sealer.seal(request), TIMEOUT_MS)
    try:
        return sealer.open(frame, Reply)
    except WireError as error:
        raise bus.BusError(f"the answer was not the supervisor's: {error}") from error


def gone(directory: Path) -> bool:
    """Wait until the run's directory is gone; False if it stays."""
    clock = SystemClock()
    deadline = clock.monotonic_ns() + round(DOWN_SECONDS * 1e9)
    while directory.exists():
        if clock.monotonic_ns() > deadline:
            return False
        clock.sleep(0.02)
    return True
