"""Work: the worker processes: feed VENUE, scanner, trader, paper, observer, lab.

In: run/config.json when the supervisor (or a run of one's own) is there, else config.toml. Out: the
worker, until it is told to stop. Started by the supervisor; a person may start one by hand.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pipeline.cli.common import BAD_CONFIG, FAILED, OK, ROOT, add_data, complain, running_config
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config, decode
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY
from shm.segment import SegmentError

if TYPE_CHECKING:
    import argparse

SPARE = "spare"
"""The word for a process that loads what workers need and waits to be told which of them it is."""
LOADED = (
    "pipeline.feed.worker",
    *(f"pipeline.venues.{venue}.books" for venue in ("coinbase", "kalshi", "kraken", "polymarket")),
    "pipeline.scanner.worker",
    "pipeline.trader.worker",
    "pipeline.paper.worker",
    "pipeline.observer.worker",
)
"""What a spare loads; anything else a worker loads itself."""
MESSENGERS = ("scanner", "trader", "paper", "observer", "lab")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    if parser.prog.split()[-1] == "feed":
        parser.add_argument(
            "venue", metavar="VENUE", help="kalshi, polymarket, kraken, coinbase or ccxt:NAME"
        )


def run(args: argparse.Namespace) -> int:
    """Be the worker that a command line names."""
    config = find_config(args.data)
    if config is None:
        return BAD_CONFIG
    return be(args.command, getattr(args, "venue", ""), config)


def run_managed(words: list[str]) -> int | None:
    """Be the worker that a supervisor names; None for words that are not of that kind.

    They need no table of commands and no parser, which would take a tenth of a worker's start.
    """
    directory = os.environ.get(RUN_DIRECTORY)
    if directory and words == [SPARE]:
        return be_told(Path(directory))
    feed = len(words) == 2 and words[0] == "feed" and not words[1].startswith("-")
    if not directory or not (feed or (len(words) == 1 and words[0] in MESSENGERS)):
        return None
    config = decode((Path(directory) / CONFIG_FILE).read_bytes())
    return be(words[0], words[-1] if feed else "", config)


def be_told(run_directory: Path) -> int | None:
    """Load what workers need, wait for a line of JSON on stdin, and be the worker that it names.

    The line holds words, environment and output file. A supervisor that ends without one is no failure.
    """
    for name in LOADED:
        import_module(name)
    title(SPARE, decode((run_directory / CONFIG_FILE).read_bytes()))
    line = sys.stdin.readline()
    if not line:
        return OK
    order = json.loads(line)
    os.environ.clear()
    os.environ.update(order["environment"])
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
    return run_managed(order["words"])


def be(command: str, venue: str, config: Config) -> int:
    """Be a worker until it ends."""
    title(f"feed-{venue}" if venue else command, config)
    try:
        if venue:
            return run_feed(venue, config)
        return run_messenger(command, config, SystemClock())
    except SegmentError as error:
        complain(str(error))
        return FAILED


def run_messenger(name: str, config: Config, clock: Clock) -> int:
    """Be a worker that sends or receives messages."""
    from pipeline.bus import BusError  # a feed has none, and starts sooner without ZeroMQ

    try:
        if name == "scanner":
            from pipeline.scanner.worker import Scanner

            Scanner(config, clock).run()
        elif name == "trader":
            return run_trader(config, clock)
        elif name == "paper":
            return run_paper(config, clock)
        elif name == "observer":
            from pipeline.cli.summary import daily_text
            from pipeline.observer.worker import Observer

            Observer(config, clock, daily_text).run()
        elif config.tape:
            from pipeline.lab.replay import ReplayLab

            ReplayLab(config, clock).run()
        else:
            from pipeline.lab.worker import Lab

            Lab(config, clock).run()
    except BusError as error:
        complain(str(error))
        return FAILED
    return OK


def run_trader(config: Config, clock: Clock) -> int:
    """Be the trader, unless its ledger cannot be used."""
    from pipeline.journal import JournalError
    from pipeline.trader.worker import Trader

    try:
        Trader(config, clock).run()
    except JournalError as error:
        complain(str(error))
        return FAILED
    return OK


def run_paper(config: Config, clock: Clock) -> int:
    """Be the paper exchange, unless its record cannot be used."""
    from pipeline.paper.store import StoreError
    from pipeline.paper.worker import PaperVenue

    try:
        PaperVenue(config, clock).run()
    except StoreError as error:
        complain(str(error))
        return FAILED
    return OK


def run_feed(venue: str, config: Config) -> int:
    """Be a feed, if the venue is one of the configuration's."""
    settings = config.venues.get(venue)
    if settings is None:
        complain(f"no venue {venue!r} in the configuration; there are: {', '.join(config.venues)}")
        return BAD_CONFIG
    if config.tape:
        from pipeline.feed.replay import ReplayFeed

        ReplayFeed(venue, config, SystemClock()).run()
        return OK
    if settings.url == "sim":
        complain(f"{venue} is simulated: its address is known only in a run (run.py up)")
        return BAD_CONFIG
    if venue.startswith("ccxt:"):
        return run_ccxt(venue, config)
    from pipeline.feed.worker import Feed
    from pipeline.venues.signing import KeyFileError

    try:
        Feed(venue, config, SystemClock(), Random()).run()  # noqa: S311 - jitter, not secrets
    except KeyFileError as error:
        complain(str(error))
        return FAILED
    return OK


def run_ccxt(venue: str, config: Config) -> int:
    """Be the feed of an exchange that ccxt streams, if ccxt is there and streams it."""
    from pipeline.feed.ccxt_exchange import CcxtError
    from pipeline.feed.ccxt_feed import CcxtFeed, GaveUpError

    try:
        CcxtFeed(venue, config, SystemClock(), Random()).run()  # noqa: S311 - jitter, not secrets
    except CcxtError as error:
        complain(str(error))
        return BAD_CONFIG
    except GaveUpError as error:
        complain(str(error))
        return FAILED
    return OK


def find_config(data: Path) -> Config | None:
    """The configuration to act on, or None when there is none that holds; the reason is on stderr."""
    directory = os.environ.get(RUN_DIRECTORY)
    if directory:
        return decode((Path(directory) / CONFIG_FILE).read_bytes())
    config = running_config(data)
    if config is not None:
        return config
    from pipeline.cli.settings import resolve_or_complain

    return resolve_or_complain(ROOT / "config.toml", None, [], data)


def title(name: str, config: Config) -> None:
    """A process title that `ps` and `top` show: the worker, and which data directory's run it is of."""
    from setproctitle import setproctitle

    setproctitle(f"parallax: {name} [{config.instance}]")
