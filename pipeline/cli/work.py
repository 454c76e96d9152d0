"""Work: the worker processes: feed VENUE, scanner, trader, paper, observer, lab.

In: run/config.json when the supervisor (or a run of one's own) is there, else config.toml. Out: the
worker, until it is told to stop. Started by the supervisor; a person may start one by hand.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from random import Random

from pipeline.bus import BusError
from pipeline.cli.common import BAD_CONFIG, FAILED, OK, ROOT, add_data, complain, running_config
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config, decode
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY
from shm.segment import SegmentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    if parser.prog.split()[-1] == "feed":
        parser.add_argument(
            "venue", metavar="VENUE", help="kalshi, polymarket, kraken, coinbase or ccxt:NAME"
        )


def run(args: argparse.Namespace) -> int:
    """Be the worker."""
    title(args)
    config = find_config(args.data)
    if config is None:
        return BAD_CONFIG
    try:
        if args.command == "feed":
            return run_feed(args.venue, config)
        clock = SystemClock()
        if args.command == "scanner":
            from pipeline.scanner.worker import Scanner

            Scanner(config, clock).run()
        elif args.command == "trader":
            return run_trader(config, clock)
        elif args.command == "paper":
            return run_paper(config, clock)
        elif args.command == "observer":
            from pipeline.observer.worker import Observer

            Observer(config, clock).run()
        else:
            from pipeline.lab.worker import Lab

            Lab(config, clock).run()
    except (SegmentError, BusError) as error:
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


def title(args: argparse.Namespace) -> None:
    """A process title that `ps` and `top` show, where the library is there."""
    from setproctitle import setproctitle

    name = f"feed-{args.venue}" if args.command == "feed" else args.command
    setproctitle(f"parallax: {name}")
