"""Doctor: `run.py doctor`: is this machine, this folder and this configuration fit to run?

In: the machine as it is, the data directory, config.toml. Out: a line each check, and what to do where one is
not ok; exit code 0, or 6 where a fault was found. It changes nothing. With venues that are real it asks each
of their addresses once. Run by people.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from pipeline.cli import doctor_config, doctor_folder, doctor_machine, doctor_venues
from pipeline.cli.common import OK, ROOT, add_data, run_directory_of, running_config, say
from pipeline.cli.doctor_finding import FAULT, WARN, Finding, fault, good
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config
from pipeline.config_schema import ConfigProblems, resolve
from pipeline.logs_text import clean
from pipeline.places import instance_of, shm_directory

FOUND_A_FAULT = 6
LOCK = "requirements.lock"
GROUP = Path("/sys/fs/cgroup")
_LIMITS = {
    "files": resource.RLIMIT_NOFILE,
    "memory": resource.RLIMIT_AS,
    "file size": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--config", metavar="PATH", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--profile", metavar="NAME", help="demo (default), paper: its venues are asked")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Look at everything, and say what was found."""
    findings = list(examine(args, SystemClock()))
    faulty = any(finding.grade == FAULT for finding in findings)
    if args.json:
        say(json.dumps({"ok": not faulty, "checks": [asdict(finding) for finding in findings]}))
        return FOUND_A_FAULT if faulty else OK
    for finding in findings:
        say(f"{finding.grade:<6} {finding.check:<14} {clean(finding.text)}")
        if finding.todo:
            say(f"{'':<21} -> {clean(finding.todo)}")
    warnings = sum(finding.grade == WARN for finding in findings)
    faults = sum(finding.grade == FAULT for finding in findings)
    say(f"{len(findings)} checks, {_many(faults, 'fault')}, {_many(warnings, 'warning')}")
    return FOUND_A_FAULT if faulty else OK


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def examine(args: argparse.Namespace, clock: Clock) -> Iterator[Finding]:
    """Every check in turn; what needs a configuration is left out where there is none that holds."""
    yield from _machine(clock)
    data = args.data
    yield doctor_machine.disk(data)
    yield from doctor_folder.rights(data, os.geteuid())
    yield doctor_folder.journal(data)
    directory = run_directory_of(data)
    yield doctor_folder.run_directory(directory, os.geteuid())
    running = running_config(data)
    config = None
    try:
        config = _resolved(args, clock)
    except ConfigProblems as problems:
        for problem in str(problems).splitlines():
            if not problem.startswith(" "):
                yield fault(
                    "config", problem, "docs/CONFIG.md says what each key may be; then run.py check-config"
                )
    shm = Path(config.shm_directory) if config else shm_directory(instance_of(data), "", os.geteuid())
    yield doctor_folder.supervisor(directory, shm, running=running is not None)
    yield from doctor_folder.orphans(shm, running=running is not None)
    yield from doctor_folder.others(shm)
    if config is not None:
        yield good("config", f"{args.config}: good; profile {config.profile}")
        yield from _configured(config, clock, running=running is not None)


def _resolved(args: argparse.Namespace, clock: Clock) -> Config:
    """The configuration that `up` would run with. Raises ConfigProblems."""
    return resolve(
        path=args.config,
        profile=args.profile,
        sets=args.set,
        # A copy: whoever takes a secret takes it out.
        environ=dict(os.environ),
        data_directory=args.data,
        wall_ns=clock.wall_ns(),
    )


def _machine(clock: Clock) -> Iterator[Finding]:
    yield doctor_machine.python(sys.version_info[:3])
    own_choice = os.environ.get("PARALLAX_NO_VENV", "0") not in {"", "0"}
    yield doctor_machine.lock((ROOT / LOCK).read_text("utf-8"), _version_of, own_choice=own_choice)
    yield doctor_machine.machine(platform.machine())
    yield doctor_machine.user(os.geteuid())
    soft = {name: resource.getrlimit(number)[0] for name, number in _LIMITS.items()}
    found = list(doctor_machine.limits(soft, doctor_machine.pids_left(GROUP)))
    yield from found or [good("limits", f"{soft['files']} open files, memory and processes as needed")]
    yield doctor_machine.clock(clock)
    columns, lines = shutil.get_terminal_size((0, 0))
    yield doctor_machine.terminal(
        tty=sys.stdout.isatty(),
        columns=columns,
        lines=lines,
        encoding=sys.stdout.encoding or "none",
        term=os.environ.get("TERM", ""),
    )


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _configured(config: Config, clock: Clock, *, running: bool) -> Iterator[Finding]:
    shm = Path(config.shm_directory)
    present = doctor_folder.present_bytes(shm)
    yield doctor_machine.memory_files(shm, doctor_machine.needed_bytes(config), present)
    ports = list(doctor_folder.ports(config, running=running))
    yield from ports or [good("ports", "none of a fixed number")]
    yield from doctor_config.secrets(config, os.environ)
    yield from doctor_config.events(config, clock.wall_ns())
    yield from doctor_venues.venues(config, clock)
