"""Remote: commands to a run on another machine, over TCP with CURVE, and the keys for that.

In: the other machine's address and public key, a file with our own secret key, a command as run.py knows it.
Out: the answer of the supervisor there, exit code 0, or 1 where it refused or did not answer. Both machines'
clocks must agree within a minute. Run by people and scripts; docs/OPERATIONS.md says how to set it up.
"""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

from pipeline.bus import BusError
from pipeline.bus_remote import ask, load_key, make_keys, public_of
from pipeline.cli.common import FAILED, OK, USAGE, complain, person, say
from pipeline.clock import SystemClock
from pipeline.logs_text import clean
from pipeline.wire import Request

TIMEOUT_MS = 5000
# What follows each command, as the names that the supervisor knows it by.
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": (),
    "start": ("worker",),
    "stop": ("worker",),
    "restart": ("worker",),
    "kill": ("worker",),
    "halt": ("why",),
    "resume": (),
    "reload": (),
    "set": ("assignments",),
    "log-level": ("worker", "level"),
    "down": (),
}
OPTIONAL = ("why",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    ways = parser.add_subparsers(dest="way", metavar="keys|ask", required=True)
    keys = ways.add_parser("keys", help="make a key pair, or show the public key of a file")
    keys.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the secret key lies")
    asking = ways.add_parser("ask", help="give a command to the run at an address")
    asking.add_argument("address", metavar="tcp://HOST:PORT", help="control.tcp of that run")
    asking.add_argument("--server-key", metavar="KEY", required=True, help="the public key of that run")
    asking.add_argument("--key-file", metavar="FILE", required=True, help="our secret key")
    asking.add_argument(
        "--signal", metavar="NAME", default="TERM", help="for kill: TERM (default), KILL, ..."
    )
    asking.add_argument("order", metavar="COMMAND", choices=list(COMMANDS), help=", ".join(COMMANDS))
    asking.add_argument("words", metavar="WORD", nargs="*", help="what the command wants, such as a worker")


def run(args: argparse.Namespace) -> int:
    """Make keys, or ask and print the answer."""
    try:
        if args.way == "keys":
            return keep_keys(args.out)
        wanted = arguments_of(args)
        if wanted is None:
            return USAGE
        secret = load_key(args.key_file)
        identity = secrets.token_hex(8)
        request = Request(identity, args.order, wanted, person(), SystemClock().wall_ns())
        reply = ask(args.address, args.server_key, secret, request, TIMEOUT_MS)
    except BusError as error:
        complain(str(error))
        return FAILED
    lines = [clean(line) for line in reply.text.splitlines()]
    for line in lines:
        say(line) if reply.ok else complain(line)
    return OK if reply.ok else FAILED


def arguments_of(args: argparse.Namespace) -> dict[str, str] | None:
    """The words of a command by name; None, and a line on stderr, where there are too few or too many."""
    names = COMMANDS[args.order]
    if args.order == "set" and args.words:
        return {"assignments": "\n".join(args.words)}
    if args.order == "halt" and args.words:
        return {"why": " ".join(args.words)}
    least = [name for name in names if name not in OPTIONAL]
    if len(args.words) != len(least):
        complain(f"{args.order} wants {' and '.join(least) or 'no words'}, got {len(args.words)}")
        return None
    wanted = dict(zip(names, args.words, strict=False))
    return {**wanted, "signal": args.signal} if args.order == "kill" else wanted


def keep_keys(path: Path) -> int:
    """Write a new secret key for this user alone, or read the one that is there; say its public key.

    Raises BusError where the file can be neither made nor used.
    """
    public, secret = make_keys()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        say(public_of(load_key(str(path))))
        return OK
    except OSError as error:
        raise BusError(f"{path}: {error.strerror}") from error
    with open(handle, "w", encoding="ascii") as file:
        file.write(secret.reveal() + "\n")
    say(public)
    return OK
