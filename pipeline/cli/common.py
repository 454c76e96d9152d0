"""Common: what commands share: the data directory, the run in it, errors in one line.

In: parsed arguments. Out: paths, the running configuration, exit codes. Used by the commands.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import msgspec

from pipeline.config import Config, decode
from pipeline.lifecycle import CONFIG_FILE
from pipeline.places import instance_of, run_directory
from shm.segment import ForeignLayoutError, SegmentError, attach, pid_start

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "run.py"
OK, FAILED, USAGE, BAD_CONFIG, NOT_RUNNING, ALREADY_RUNNING = range(6)


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option that says which run is meant."""
    parser.add_argument("--data", metavar="DIR", type=Path, default=ROOT / "data", help="data directory")


def run_directory_of(data: Path) -> Path:
    """The run directory of a data directory."""
    return run_directory(instance_of(data), os.environ, os.geteuid())


def last_config(data: Path) -> Config | None:
    """The configuration of the run that is or was last in `data`, None after an orderly end."""
    try:
        return decode((run_directory_of(data) / CONFIG_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def running_config(data: Path) -> Config | None:
    """The configuration of the run in `data`, or None when nothing runs there.

    A supervisor that was killed leaves its files behind: only its own pid and start time say that it lives.
    """
    config = last_config(data)
    if config is None:
        return None
    try:
        header = attach(Path(config.shm_directory), "supervisor").header
    except SegmentError:
        return None
    return config if pid_start(header.pid) == header.pid_start else None


def complain(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"run.py: {shown(text)}\n")


def not_running(data: Path) -> int:
    """Say that nothing runs in `data`, or that what runs there is another version of this program."""
    foreign = other_version(data)
    if foreign:
        complain(foreign)
        return FAILED
    complain(f"nothing runs in {data}: start it with run.py up")
    return NOT_RUNNING


def other_version(data: Path) -> str:
    """What to say where another version of this program left its memory; "" where none did."""
    config = last_config(data)
    try:
        if config is not None:
            attach(Path(config.shm_directory), "supervisor")
    except ForeignLayoutError as error:
        return str(error)
    except SegmentError:
        return ""
    return ""


def can_draw() -> bool:
    """Whether there is a terminal that a screen can be drawn on; one that says it is dumb cannot."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """One line on stdout, at once. Ends the program where that cannot be written, as on a full disk."""
    try:
        sys.stdout.write(shown(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        hush(sys.stdout)
        complain(f"the output cannot be written: {error.strerror}")
        raise SystemExit(FAILED) from error


def hush(stream: TextIO) -> None:
    """Let all that is written to a stream vanish, what it still holds included: nothing of it fails again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def shown(text: str) -> str:
    """The text with a space for each sign that a terminal might obey: titles and errors come from venues."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)


def person() -> str:
    """Who gives a command."""
    return f"{os.environ.get('USER') or f'uid {os.geteuid()}'} pid {os.getpid()}"
