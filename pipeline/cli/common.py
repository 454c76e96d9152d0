"""Common: what commands share: the data directory, the run in it, errors in one line.

In: parsed arguments. Out: paths, the running configuration, exit codes. Used by the commands.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from pipeline.config import Config, decode
from pipeline.lifecycle import CONFIG_FILE
from pipeline.places import instance_of, run_directory
from shm.segment import SegmentError, attach, pid_start

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
    sys.stderr.write(f"run.py: {text}\n")


def not_running(data: Path) -> int:
    """Say that nothing runs in `data`."""
    complain(f"nothing runs in {data}: start it with run.py up")
    return NOT_RUNNING


def say(text: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def person() -> str:
    """Who gives a command."""
    return f"{os.environ.get('USER') or f'uid {os.geteuid()}'} pid {os.getpid()}"
