"""Switch: halt, resume, cancel-all: what a person does when nothing more may be sent.

In: a cause in words, or nothing. Out: the HALT file of the data directory written or removed; orders that
rest at the paper exchange ended. None of it needs a trader, and halt and resume not even a run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline import bus
from pipeline.cli.common import (
    FAILED,
    NOT_RUNNING,
    OK,
    add_data,
    complain,
    last_config,
    person,
    run_directory_of,
    running_config,
    say,
)
from pipeline.clock import Clock, SystemClock, moment_text
from pipeline.config import Config
from pipeline.halt import HALT_FILE, Halt, HaltFile
from pipeline.trader.broker import OrderStatus
from pipeline.wire import AskOrders, CancelOrders, OrderReport, Sealer, WireError
from shm.records import SUMMARY
from shm.segment import SegmentError, attach, pid_start
from shm.tables import TableReader

SHOWN_SECONDS = 2.0
REACH_SECONDS = 2.0
ANSWER_MS = 1000
END_SECONDS = 10.0
# So many ids fit into one frame.
ASKED_AT_ONCE = 16
RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    if parser.prog.split()[-1] == "halt":
        parser.add_argument("why", metavar="WHY", nargs="*", help="the cause, in words")


def run(args: argparse.Namespace) -> int:
    """Halt, resume, or end what rests."""
    if args.command == "cancel-all":
        return cancel_all(args.data, SystemClock(), as_json=args.json)
    switch = halt if args.command == "halt" else resume
    try:
        return switch(args, HaltFile(args.data / HALT_FILE), SystemClock())
    except OSError as error:
        complain(f"{args.data / HALT_FILE}: {error.strerror or error}")
        return FAILED


def halt(args: argparse.Namespace, file: HaltFile, clock: Clock) -> int:
    """Write the file, and where a trader runs, wait until it shows that it knows."""
    args.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    cause = " ".join(args.why) or "halted by a person"
    found = file.set(cause, person(), clock.wall_ns())
    trader = trader_word(running_config(args.data), clock)
    if args.json:
        say(json.dumps({"halted": True, "trader": trader, **told(found)}))
        return OK
    say(f"halted: {found.cause}{since(found)}")
    if found.cause != cause:
        say("it was halted before; this cause is added to it")
    say(
        {
            "halted": "the trader knows: it opens nothing new; hedges and cancels go on",
            "silent": "the trader has not shown it yet; it looks before each order: see run.py status",
            "none": "no trader runs; none will open anything until run.py resume",
        }[trader]
    )
    return OK


def resume(args: argparse.Namespace, file: HaltFile, _clock: Clock) -> int:
    """Remove the file and say what was in it."""
    found = file.clear()
    if args.json:
        say(json.dumps({"resumed": found is not None, **(told(found) if found else {})}))
        return OK
    if found is None:
        say("it was not halted")
        return OK
    say(f"resumed; it was halted: {found.cause}{since(found)}")
    for cause in found.later:
        say(f"and then: {cause}")
    return OK


def told(found: Halt) -> dict[str, Any]:
    """A halt as JSON has it."""
    return {
        "cause": found.cause,
        "who": found.who,
        "at": moment_text(found.known_ns),
        "later": list(found.later),
    }


def since(found: Halt) -> str:
    """By whom and when, as far as that is known."""
    parts = [f"by {found.who}"] if found.who else []
    parts += [f"at {moment_text(found.known_ns)}"] if found.known_ns else []
    return f" ({' '.join(parts)})" if parts else ""


def trader_word(config: Config | None, clock: Clock) -> str:
    """What a trader makes of it: "halted" once it shows that it knows, "silent" where it does not in time,
    "none" where no trader lives.
    """
    deadline = clock.monotonic_ns() + round(SHOWN_SECONDS * 1e9)
    while True:
        word = _trader_now(Path(config.shm_directory)) if config else "none"
        if word != "silent" or clock.monotonic_ns() > deadline:
            return word
        clock.sleep(0.02)


def _trader_now(directory: Path) -> str:
    try:
        view = attach(directory, "trader")
        if pid_start(view.header.pid) != view.header.pid_start:
            return "none"
        row = TableReader(view, "summary", SUMMARY).get(0)
    except SegmentError:
        return "none"
    return "halted" if row is not None and row.halted else "silent"


# -- cancel-all ------------------------------------------------------------------------------------


class ExchangeSilentError(Exception):
    """Nobody at the paper exchange's end takes or answers a message."""


class Desk:
    """Asks the paper exchange about one account, one question at a time."""

    def __init__(self, directory: Path, account: str, clock: Clock) -> None:
        self._clock = clock
        self._account = account
        self._sealer = Sealer(bus.read_key(directory))
        self._line = bus.OrderLine(directory)

    def cancel_all(self) -> None:
        """Ask for the end of everything that rests. Raises ExchangeSilentError."""
        self._send(CancelOrders(self._account, "", self._clock.monotonic_ns()))

    def resting(self) -> dict[str, OrderReport]:
        """What rests now, by order. Raises ExchangeSilentError."""
        reports = self._ask(())
        return {name: report for name, report in reports.items() if report.status in RESTING}

    def became(self, names: list[str]) -> dict[str, OrderReport]:
        """What became of these orders. Raises ExchangeSilentError."""
        found: dict[str, OrderReport] = {}
        for at in range(0, len(names), ASKED_AT_ONCE):
            found |= self._ask(tuple(names[at : at + ASKED_AT_ONCE]))
        return found

    def close(self) -> None:
        """Drop the line."""
        self._line.close()

    def _send(self, message: CancelOrders | AskOrders) -> None:
        frame, deadline = self._sealer.seal(message), self._deadline(REACH_SECONDS)
        while not self._line.send(frame):
            if self._clock.monotonic_ns() > deadline:
                raise ExchangeSilentError
            self._clock.sleep(0.02)

    def _ask(self, names: tuple[str, ...]) -> dict[str, OrderReport]:
        """The reports of one answer; the one without an order ends it."""
        self._send(AskOrders(self._account, names, self._clock.monotonic_ns()))
        found: dict[str, OrderReport] = {}
        deadline = self._deadline(ANSWER_MS / 1000)
        while self._clock.monotonic_ns() < deadline:
            frame = self._line.receive(ANSWER_MS // 10)
            if frame is None:
                continue
            report = self._sealer.open(frame, OrderReport)
            if not report.order_id:
                return found
            found[report.order_id] = report
        raise ExchangeSilentError

    def _deadline(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + round(seconds * 1e9)


def cancel_all(data: Path, clock: Clock, *, as_json: bool) -> int:
    """End everything that rests at the paper exchange, and say what became of it."""
    directory, config = run_directory_of(data), last_config(data)
    if config is None or not (directory / bus.ORDERS).exists():
        return no_exchange(data)
    try:
        desk = Desk(directory, config.account, clock)
    except bus.BusError as error:
        complain(str(error))
        return NOT_RUNNING
    try:
        ended, left = end_all(desk, clock)
    except ExchangeSilentError:
        return no_exchange(data)
    except WireError as error:
        complain(f"the answer was not the paper exchange's: {error}")
        return FAILED
    finally:
        desk.close()
    if as_json:
        say(json.dumps({"ended": ended, "still_resting": left}))
    else:
        for name, word in ended.items():
            say(f"{name}  {word}")
        say(f"{len(ended)} ended" if ended or left else "nothing rests")
    if left:
        complain(f"{len(left)} still rest after {END_SECONDS:g} s: {', '.join(left[:ASKED_AT_ONCE])}")
        return FAILED
    return OK


def end_all(desk: Desk, clock: Clock) -> tuple[dict[str, str], list[str]]:
    """What rested and how it ended, and what rests still. Raises ExchangeSilentError, WireError."""
    seen = desk.resting()
    desk.cancel_all()
    deadline = clock.monotonic_ns() + round(END_SECONDS * 1e9)
    while True:
        rests = desk.resting()
        # An order may have arrived meanwhile.
        fresh = rests.keys() - seen.keys()
        seen |= rests
        if not rests or clock.monotonic_ns() > deadline:
            break
        if fresh:
            desk.cancel_all()
        clock.sleep(0.05)
    last = desk.became([name for name in seen if name not in rests])
    return {name: ending(report) for name, report in last.items()}, sorted(rests)


def ending(report: OrderReport) -> str:
    """How an order ended, in words."""
    if report.status == OrderStatus.CANCELLED:
        return "cancelled, partly filled" if report.fills else "cancelled"
    known = report.status in OrderStatus.__members__.values()
    return OrderStatus(report.status).name.lower().replace("_", " ") if known else f"status {report.status}"


def no_exchange(data: Path) -> int:
    """Say that there is no paper exchange to ask."""
    complain(f"no paper exchange answers in {data}: what rests there ends at its own time limit")
    return NOT_RUNNING
