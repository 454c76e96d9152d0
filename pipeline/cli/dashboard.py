"""Dashboard: the screen over the shared memory of a run, or a picture of it.

In: a data directory. Out: the terminal, an SVG file, or browsers (dashboard_web.py). Run by people; it only
reads, and what its keys change is asked of the supervisor. Closing it changes nothing in the bot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dashboard.picture import screenshot
from pipeline.cli.common import FAILED, OK, USAGE, add_data, can_draw, complain, other_version, say
from pipeline.cli.dashboard_web import HOST, PORT, serve
from pipeline.cli.replay_start import ReplayFailedError, start_replay
from pipeline.cli.screen import app_of, config_of
from pipeline.config import Config
from pipeline.lifecycle import end_with_parent

MOST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument(
        "--read-only", action="store_true", help="no key changes anything, `q` closes at once"
    )
    parser.add_argument(
        "--replay", metavar="TAPE", type=Path, help="play a recording in a run of its own and show that"
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="write one picture as SVG and end")
    add_web_arguments(parser)


def add_web_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the dashboard in a browser is asked with."""
    text = "serve it to browsers of this machine, to look at only; no password: from elsewhere by ssh -L"
    parser.add_argument("--web", action="store_true", help=text)
    parser.add_argument("--port", type=_port, default=PORT, help=f"of --web (default {PORT}; 0: a free one)")
    parser.add_argument("--host", default=HOST, help=f"of --web, loopback only (default {HOST})")
    text = "with --web: all keys work, for who has the address with the token that is printed"
    parser.add_argument("--control", action="store_true", help=text)
    # How the process of one browser is started.
    parser.add_argument("--served", action="store_true", help=argparse.SUPPRESS)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {MOST_PORT}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Show the screen of the run in the data directory, or write its picture.

    There may be no run yet, or none any more: the screen says so and attaches when one begins.
    """
    if args.control and (args.read_only or not args.web):
        complain("--control lets browsers use all keys: it goes with --web and not with --read-only")
        return USAGE
    if args.web and args.replay is not None:
        complain("--replay is for a terminal: it does not go with --web")
        return USAGE
    if args.web:
        return serve(args.data, args.host, args.port, control=args.control)
    if args.replay is None:
        return look(args, config_of(args.data))
    if args.screenshot is None and not on_terminal():
        return FAILED
    say(f"reading {args.replay}; a long tape takes a while")
    try:
        with start_replay(args.replay) as played:
            return look(args, played.config)
    except ReplayFailedError as error:
        sys.stderr.write(f"{error}\n")
        return error.code


def look(args: argparse.Namespace, config: Config) -> int:
    """Show the run of this configuration until the screen is left, or write its picture."""
    foreign = other_version(Path(config.data_directory))
    if foreign:
        complain(foreign)
        return FAILED
    if args.screenshot is not None:
        screenshot(app_of(config, read_only=True), args.screenshot)
        say(f"wrote {args.screenshot}")
        return OK
    if args.served:
        end_with_parent()
    elif not on_terminal():
        return FAILED
    app_of(config, read_only=args.read_only).run()
    return OK


def on_terminal() -> bool:
    """Whether there is a terminal to draw on; says so where there is none."""
    if not can_draw():
        complain("the dashboard needs a terminal that can draw; see run.py status, or --screenshot FILE")
        return False
    return True
