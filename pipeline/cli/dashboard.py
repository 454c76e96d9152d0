"""Dashboard: the screen over the shared memory of a run, or a picture of it.

In: a data directory. Out: the terminal, or an SVG file. Run by people, and by `up` on a terminal; it only
reads, and its one key that changes something asks the supervisor. Closing it changes nothing in the bot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dashboard.app import ParallaxApp, screenshot
from dashboard.source import MemorySource
from dashboard.widgets.dialogs import Answer, Turn
from pipeline.bus import BusError
from pipeline.cli.ask import ask
from pipeline.cli.common import FAILED, OK, add_data, complain, not_running, running_config, say
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.halt import HALT_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument(
        "--read-only", action="store_true", help="no key changes anything, `q` closes at once"
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="write one picture as SVG and end")


def run(args: argparse.Namespace) -> int:
    """Show the screen of the run in the data directory, or write its picture."""
    config = running_config(args.data)
    if config is None:
        return not_running(args.data)
    if args.screenshot is not None:
        screenshot(source_of(config), args.screenshot)
        say(f"wrote {args.screenshot}")
        return OK
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        complain("the dashboard needs a terminal; see run.py status, or --screenshot FILE")
        return FAILED
    app_of(config, read_only=args.read_only, ask_on_quit=None).run()
    return OK


def show(config: Config, ask_on_quit: Answer) -> Answer:
    """Show the screen until it is quit; what the user wants to become of the run."""
    return app_of(config, read_only=False, ask_on_quit=ask_on_quit).run() or "leave"


def source_of(config: Config) -> MemorySource:
    """What the screen is drawn from."""
    return MemorySource(Path(config.shm_directory), config.scanner.limits(), SystemClock())


def app_of(config: Config, *, read_only: bool, ask_on_quit: Answer | None) -> ParallaxApp:
    """The screen with the run's settings."""
    settings = config.dashboard
    return ParallaxApp(
        source_of(config),
        refresh_ms=settings.refresh_ms,
        stale_seconds=settings.stale_seconds,
        read_only=read_only,
        ask_on_quit=ask_on_quit,
        switch=lambda turn: turn_switch(config, turn),
    )


def turn_switch(config: Config, turn: Turn) -> tuple[bool, str]:
    """Ask the supervisor to halt or to resume; whether it did, and what it says."""
    try:
        reply = ask(Path(config.run_directory), turn, {"why": "halted on the dashboard"})
    except BusError as error:
        return False, f"{error}. The file {Path(config.data_directory) / HALT_FILE} halts without it"
    return reply.ok, reply.text
