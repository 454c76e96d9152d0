"""Up: start everything; on a terminal show the dashboard, else say a line of state every five seconds.

In: config.toml, a profile, changes by --set. Out: a run, until it is stopped; then a summary for people
and, with --json, the status as it was just before the end as the last line. Run by people.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from pipeline import guards, status
from pipeline.bus import CONTROL, BusError, RoleTakenError
from pipeline.cli.ask import ask, gone
from pipeline.cli.common import (
    ALREADY_RUNNING,
    BAD_CONFIG,
    FAILED,
    OK,
    ROOT,
    SCRIPT,
    add_data,
    can_draw,
    complain,
    hush,
    run_directory_of,
    running_config,
    say,
    shown,
)
from pipeline.cli.settings import resolve_or_complain
from pipeline.cli.work import SPARE
from pipeline.clock import Clock, SystemClock, moment_text
from pipeline.config import Config
from pipeline.journal_records import LEDGER_FILE
from pipeline.lab.scenario import ScenarioError, load, reference
from pipeline.logs import log_directory
from shm.segment import SegmentError, attach

STATE_SECONDS = 5.0
READY_SECONDS = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument(
        "--profile", metavar="NAME", help="demo (default): simulated venues; paper: real venues"
    )
    parser.add_argument("--config", metavar="PATH", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--seed", metavar="N", type=int, help="another simulated world (lab.seed)")
    parser.add_argument(
        "--scenario", metavar="S", help="a simulated world in which things go wrong: trouble, or a file"
    )
    parser.add_argument(
        "--no-dashboard", action="store_true", help="stay in the foreground, Ctrl-C stops all"
    )
    parser.add_argument("--for", metavar="SECONDS", type=float, dest="seconds", help="stop by itself")
    parser.add_argument("--json", action="store_true", help="the last line is the status as JSON")
    # Said by `detach` only: nobody reads a line of state there, and its file would grow for ever.
    parser.add_argument("--silent", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Resolve, start, stay."""
    sets = [*args.set, *([f"lab.seed={args.seed}"] if args.seed is not None else [])]
    if args.scenario:
        try:
            sets = [*load(args.scenario).settings(), *sets, f"lab.scenario={reference(args.scenario)}"]
        except ScenarioError as error:
            complain(str(error))
            return BAD_CONFIG
    config = resolve_or_complain(args.config, args.profile, sets, args.data)
    if config is None:
        return BAD_CONFIG
    if args.scenario and not config.simulated:
        complain("--scenario is for simulated venues, and here none is: leave it out, or use --profile demo")
        return BAD_CONFIG
    args.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    started = clock.wall_ns()
    account = f"sim-{started // 1_000_000_000}" if config.simulated else "paper"
    config = msgspec.structs.replace(config, account=account, started_wall_ns=started)
    if args.no_dashboard or args.seconds is not None or args.json or not can_draw():
        return foreground(config, args, sets, clock)
    return with_dashboard(config, clock)


def foreground(config: Config, args: argparse.Namespace, sets: list[str], clock: Clock) -> int:
    """Be the supervisor; say a line of state every five seconds until stopped."""
    from pipeline.config_schema import merge_lab
    from pipeline.config_schema.live import FileSettings
    from pipeline.supervisor.worker import Supervisor

    files = FileSettings(args.config, args.profile, sets, os.environ, args.data, clock)
    try:
        supervisor = Supervisor(
            config,
            SCRIPT,
            clock,
            Random(),  # noqa: S311 - jitter
            merge_lab,
            files,
            SPARE,
        )
    except RoleTakenError as error:
        return already_running(config.data_directory, error.pid, error.since_wall_ns)
    except (SegmentError, BusError, guards.UnknownGuardError) as error:
        complain(str(error))
        return FAILED
    reporter = Reporter(config, clock, args.seconds, quiet=args.json, silent=args.silent)
    supervisor.run(reporter.turn, reporter.last_look)
    reporter.summary(as_json=args.json)
    if supervisor.lost:
        complain(f"{supervisor.lost}; start again with run.py up")
        return FAILED
    return OK


def already_running(data: str, pid: int, since_wall_ns: int) -> int:
    """Say who runs here, since when, and how to stop it; nothing was touched."""
    complain(
        f"already running in {data}: process {pid or 'unknown'}, since {moment_text(since_wall_ns)}; "
        f"stop it with run.py down --data {data}"
    )
    return ALREADY_RUNNING


class Reporter:
    """Says how the run is while it runs, and what came of it at the end."""

    def __init__(
        self, config: Config, clock: Clock, seconds: float | None, *, quiet: bool, silent: bool
    ) -> None:
        self._directory = Path(config.shm_directory)
        self._data = Path(config.data_directory)
        self._config = config
        self._clock = clock
        self._output = sys.stderr if quiet else sys.stdout
        self._silent = silent
        now = clock.monotonic_ns()
        self._end_ns = now + round(seconds * 1e9) if seconds is not None else None
        self._next_ns = now + round(STATE_SECONDS * 1e9)
        self._state: dict[str, Any] = {}

    def turn(self) -> bool:
        """Called each turn of the supervisor; False when the time is over."""
        now = self._clock.monotonic_ns()
        if now >= self._next_ns and not self._silent:
            self._next_ns = now + round(STATE_SECONDS * 1e9)
            self._say(state_line(self._gather()))
        return self._end_ns is None or now < self._end_ns

    def last_look(self) -> None:
        """Called just before the workers are stopped."""
        self._state = self._gather()

    def summary(self, *, as_json: bool) -> None:
        """What happened, for people; with `as_json` the status object as the last line."""
        for line in summary_lines(self._state, self._data):
            self._say(line)
        if as_json:
            say(json.dumps(self._state))

    def _gather(self) -> dict[str, Any]:
        config = running_config(self._data) or self._config
        return status.gather(config, status.attach_all(self._directory), self._clock)

    def _say(self, line: str) -> None:
        """One line, to stderr when stdout is for JSON. Where none can be written the run goes on without."""
        try:
            self._output.write(shown(line) + "\n")
            self._output.flush()
        except OSError as error:
            hush(self._output)
            complain(f"no more lines of state, for they cannot be written: {error.strerror}")


def state_line(state: dict[str, Any]) -> str:
    """One line of state."""
    up = sum(1 for worker in state["workers"] if worker["state"] == "RUNNING")
    messages = sum(venue["messages"] for venue in state["venues"].values())
    kind = "SIM " if state["simulated"] else ""
    return (
        f"{kind}{state['mode'].upper()}  up {state['uptime_s']:.0f} s  workers {up}/{len(state['workers'])}  "
        f"messages {messages}  opportunities {state['opportunities']}  trades {state['trades']}  "
        f"P&L ${state['pnl_usd']}"
    )


def summary_lines(state: dict[str, Any], data: Path, kind: str | None = None) -> list[str]:
    """What happened in the run, and where to look further; `kind` is that of the venues, where the state
    cannot say it.
    """
    refused = sorted(state["rejections"].items(), key=lambda item: -item[1])[:3]
    messages = ", ".join(f"{name} {venue['messages']}" for name, venue in state["venues"].items())
    restarts = sum(worker["restarts"] for worker in state["workers"])
    kind = kind or ("simulated" if state["simulated"] else "real")
    return [
        f"ran {state['uptime_s']:.0f} s on {kind} venues, paper money",
        f"  messages       {messages}",
        f"  opportunities  {state['opportunities']}, trades {state['trades']}, worker restarts {restarts}",
        f"  refused        {', '.join(f'{name} {count}' for name, count in refused) or 'nothing'}",
        f"  P&L            ${state['pnl_usd']} (open positions at what they would fetch now)",
        f"  journal        {data / LEDGER_FILE}: run.py journal trades",
        f"  logs           {log_directory(data)}",
    ]


def with_dashboard(config: Config, clock: Clock) -> int:
    """Start the supervisor detached, show the dashboard, and afterwards leave or stop the run."""
    data = Path(config.data_directory)
    directory = run_directory_of(data)
    code = detach(config, clock)
    if code != OK:
        return code
    from pipeline.cli.screen import show

    config = running_config(data) or config
    answer = show(config, ask_on_quit="stop" if config.profile == "demo" else "leave")
    if answer != "stop":
        say("Parallax goes on in the background. Come back: run.py dashboard. Stop it: run.py down.")
        return OK
    views = status.attach_all(Path(config.shm_directory))
    state = status.gather(config, views, clock)
    ask(directory, "down", {})
    if not gone(directory):
        complain("still stopping: see run.py status")
        return FAILED
    for line in summary_lines(state, data):
        say(line)
    return OK


def detach(config: Config, clock: Clock) -> int:
    """Start `up --no-dashboard` in the background and wait until it answers."""
    data = Path(config.data_directory)
    words = sys.argv[2:] if sys.argv[1:2] == ["up"] else sys.argv[1:]
    output = log_directory(data) / "supervisor.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    begin = output.stat().st_size if output.exists() else 0
    with output.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), "up", "--no-dashboard", "--silent", *words],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env=dict(os.environ),
        )
    deadline = clock.monotonic_ns() + round(READY_SECONDS * 1e9)
    while child.poll() is None and clock.monotonic_ns() < deadline:
        if supervises(child.pid, config):
            return OK
        clock.sleep(0.02)
    sys.stderr.write(output.read_bytes()[begin:].decode("utf-8", "replace"))
    if child.poll() is None:
        complain(f"the supervisor did not come up within {READY_SECONDS:g} s; see {output}")
        return FAILED
    return child.returncode


def supervises(pid: int, config: Config) -> bool:
    """Whether this very process is the supervisor here, and may be asked."""
    try:
        header = attach(Path(config.shm_directory), "supervisor").header
    except SegmentError:
        return False
    ready = (Path(config.run_directory) / CONTROL).exists() and running_config(Path(config.data_directory))
    return header.pid == pid and bool(ready)
