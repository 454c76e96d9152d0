"""Alert: `run.py alert test` sends a test message to every address of [alerts].

In: the configuration, the addresses in the place that it names. Out: a line an address: its kind, its host
where that is no secret, ok or why not. Exit code 1 where one failed, 3 where there is none to try. Run by
people; it needs no run.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pipeline.cli.common import BAD_CONFIG, FAILED, OK, ROOT, add_data, complain, say
from pipeline.cli.settings import resolve_or_complain
from pipeline.observer.deliver import Places, addresses
from pipeline.secrets import SecretError

TITLE = "Parallax: test"
BODY = "This is a test of the alerts of Parallax. Nothing has happened."
NOWHERE = (
    "no addresses are configured: write them, one a line, into a file that only you can read (chmod 600) and"
    " name it in config.toml with alerts.urls_file (docs/ALERTS.md)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument(
        "what", metavar="WHAT", choices=("test",), help="test: send a message to every address"
    )
    parser.add_argument(
        "--config", metavar="PATH", type=Path, default=ROOT / "config.toml", help="config.toml"
    )
    parser.add_argument("--profile", metavar="NAME", help="demo, paper")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Send to each address once, one after the other."""
    config = resolve_or_complain(args.config, args.profile, args.set, args.data)
    if config is None:
        return BAD_CONFIG
    places = Places.of(config.alerts)
    if not places:
        complain(NOWHERE)
        return BAD_CONFIG
    try:
        found = addresses(places, os.environ)
    except SecretError as error:
        complain(str(error))
        return BAD_CONFIG
    answers = []
    for number, address in enumerate(found, 1):
        why = address.send(TITLE, BODY)
        answers.append({"number": number, "address": address.shown, "ok": not why, "why": why or None})
        if not args.json:
            say(f"{number}  {address.shown}  {why or 'ok'}")
    if args.json:
        say(json.dumps({"addresses": answers}))
    return OK if all(answer["ok"] for answer in answers) else FAILED
