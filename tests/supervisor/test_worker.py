"""The supervisor with real processes: order, restarts, commands, hangs, and nothing left at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from pipeline import bus
from pipeline.clock import SystemClock
from pipeline.config import Config, LabConfig, ObserverConfig, SupervisorConfig, VenueConfig, decode
from pipeline.config_changes import Settings
from pipeline.lifecycle import CONFIG_FILE
from pipeline.logs import log_directory
from pipeline.model import WorkerState as W
from pipeline.supervisor import policy
from pipeline.supervisor.worker import Supervisor
from pipeline.wire import Reply, Request, Sealer
from shm.records import RUN, USAGE, WORKER, RunRow, UsageRow, WorkerRow
from shm.segment import SegmentError, attach, pid_start
from shm.tables import TableReader, read_counters, read_errors

CLOCK = SystemClock()
PATIENCE_NS = 60_000_000_000
SCRIPT = Path(__file__).with_name("fake_worker.py")
Scenario = Iterator[None]
FEW = ["scanner", "paper", "trader"]
NAMES = ["feed-kalshi", "feed-kraken", "scanner", "paper", "trader", "observer"]


def made_in(folder: Path) -> Config:
    """Two venues, quick restarts, patience with slow machines, directories in a folder of the test's own."""
    (folder / "data").mkdir()
    return Config(
        data_directory=str(folder / "data"),
        run_directory=str(folder / "run"),
        shm_directory=str(folder / "shm"),
        venues={"kalshi": VenueConfig(), "off": VenueConfig(enabled=False), "kraken": VenueConfig()},
        supervisor=SupervisorConfig(0.02, max_restart_delay=0.2, hung_after=30.0, stop_after=30.0),
    )


def without_feeds(config: Config) -> Config:
    """The same without feeds and observer: three workers are enough for what does not depend on many."""
    return msgspec.structs.replace(config, venues={}, observer=ObserverConfig(enabled=False))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A run with two feeds."""
    return made_in(tmp_path)


@pytest.fixture
def few(config: Config) -> Config:
    """A run of three workers."""
    return without_feeds(config)


@pytest.fixture(autouse=True, scope="module")
def calm() -> Iterator[None]:
    """A supervisor in this process takes over signals and umask; both are given back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    os.umask(mask)


class Run:
    """A supervisor in this process, driven turn by turn by a scenario that waits by yielding."""

    def __init__(self, config: Config, settings: Settings | None = None) -> None:
        self.config = config
        self.shm = Path(config.shm_directory)
        self.directory = Path(config.run_directory)
        self.supervisor = Supervisor(config, SCRIPT, CLOCK, Random(1), merge, settings)
        self.names = NAMES if config.venues else FEW
        self.last: dict[str, WorkerRow] = {}
        self.pids: set[int] = set()

    def drive(self, scenario: Scenario) -> None:
        """Run until the scenario ends or raises."""
        deadline = CLOCK.monotonic_ns() + PATIENCE_NS

        def turn() -> bool:
            assert CLOCK.monotonic_ns() < deadline, f"stuck: {self.rows()}"
            self.pids |= {row.pid for row in self.rows().values() if row.pid}
            return next(scenario, "end") is None

        def before_stop() -> None:
            with suppress(SegmentError):
                self.last = self.rows()

        self.supervisor.run(turn, before_stop)

    def follow(self, scenario: Scenario) -> None:
        """Let a scenario go on while the supervisor turns in a thread of its own."""
        deadline = CLOCK.monotonic_ns() + PATIENCE_NS
        for _ in scenario:
            assert CLOCK.monotonic_ns() < deadline, f"stuck: {self.rows()}"
            CLOCK.sleep(0.005)

    def rows(self) -> dict[str, WorkerRow]:
        """The worker table, read as anybody reads it."""
        table = TableReader(attach(self.shm, "supervisor"), "workers", WORKER)
        return {row.name: row for _, row in table.rows()}

    def all_up(self, names: Sequence[str] = (), but: str = "") -> bool:
        """Whether just these workers are in the table, by default all of the run, each but one RUNNING."""
        rows, names = self.rows(), names or self.names
        return list(rows) == list(names) and all(
            row.state == W.RUNNING or row.name == but for row in rows.values()
        )

    def only_commands(self) -> None:
        """A turn that hears commands and starts nobody."""
        commands = self.supervisor._commands
        for _ in self.supervisor._doors.serve(commands.obey):
            raise AssertionError("a refused frame")
        CLOCK.sleep(0.002)

    def row(self) -> RunRow:
        """What the supervisor says of the run."""
        row = TableReader(attach(self.shm, "supervisor"), "run", RUN).get(0)
        assert row is not None
        return row

    def usage(self) -> dict[str, UsageRow]:
        """What each worker takes, by name."""
        table = TableReader(attach(self.shm, "supervisor"), "usage", USAGE)
        return {row.name: row for _, row in table.rows()}

    def published(self) -> Config:
        """The configuration that workers read."""
        return decode((self.directory / CONFIG_FILE).read_bytes())

    def epoch(self, name: str) -> int:
        return attach(self.shm, name).header.epoch

    def counters(self) -> dict[str, int]:
        return read_counters(attach(self.shm, "supervisor"))

    def send(self, command: str, **args: str) -> Asking:
        return Asking(self.directory, command, args)


class Asking:
    """One request to the supervisor, waited for in a thread while the supervisor turns."""

    def __init__(self, directory: Path, command: str, args: dict[str, str]) -> None:
        self.reply = Reply("", ok=False, text="no answer")
        sealer = Sealer(bus.read_key(directory))
        request = Request(secrets.token_hex(8), command, args, "test", CLOCK.monotonic_ns())

        def ask() -> None:
            self.reply = sealer.open(bus.ask(directory, sealer.seal(request), 60_000), Reply)

        self._thread = threading.Thread(target=ask)
        self._thread.start()

    def pending(self) -> bool:
        return self._thread.is_alive()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, calm: None) -> Iterator[Run]:
    """One run of three workers, up, for all tests that leave it so; it ends in order and leaves nothing."""
    run = Run(without_feeds(made_in(tmp_path_factory.mktemp("shared"))))
    over = threading.Event()

    def turn() -> bool:
        run.pids |= {row.pid for row in run.rows().values() if row.pid}
        return not over.is_set()

    thread = threading.Thread(target=run.supervisor.run, args=(turn, lambda: None))
    thread.start()
    try:
        run.follow(wait(run.all_up))
        yield run
    finally:
        over.set()
        thread.join()
    nothing_left(run)


def merge(base: Config, lab: Mapping[str, object]) -> Config:
    """What the lab publishes, carried into the config."""
    return msgspec.structs.replace(base, lab=LabConfig(seed=int(str(lab["seed"]))))


def log_lines(config: Config) -> list[dict[str, Any]]:
    """The supervisor's log."""
    text = (log_directory(Path(config.data_directory)) / "supervisor.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def states(config: Config) -> list[tuple[str, str]]:
    """(worker, state) of every change, in order, from the supervisor's log."""
    return [(line["name_"], line["state"]) for line in log_lines(config) if line["event"] == "worker"]


def wait(condition: Callable[[], bool]) -> Scenario:
    """Let turns pass until the condition holds."""
    while not condition():
        yield


def ordered(asking: Asking, *, ok: bool) -> Scenario:
    """Let turns pass until the answer is there, and check whether it was obeyed."""
    yield from wait(lambda: not asking.pending())
    assert asking.reply.ok == ok, asking.reply.text


def nothing_left(run: Run) -> None:
    """No directory, no socket, no segment and no process of the run is there any more."""
    assert not run.directory.exists()
    assert not run.shm.exists()
    assert run.pids
    assert [pid for pid in run.pids if pid_start(pid) is not None and command_of(pid) == str(SCRIPT)] == []


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1].decode()
    except (OSError, IndexError):
        return ""


def test_workers_start_in_order_and_leave_nothing(config: Config) -> None:
    """Feeds as in the config, then scanner, then trader; down in the other order; then nothing is left."""
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        assert (run.directory.stat().st_mode | run.shm.stat().st_mode) & 0o077 == 0
        files = (*run.directory.iterdir(), *run.shm.iterdir())
        assert [path for path in files if path.lstat().st_mode & 0o077] == []
        row = TableReader(attach(run.shm, "supervisor"), "run", RUN).get(0)
        assert row is not None
        assert (row.data_directory, row.simulated) == (config.data_directory, 0)

    run.drive(scenario())
    assert [name for name, state in states(config) if state == "STARTING"] == NAMES
    stopped = [name for name, state in states(config) if state == "STOPPED"]
    assert stopped[:3] == ["trader", "paper", "scanner"]
    assert sorted(stopped) == sorted(NAMES)
    assert {row.restarts for row in run.last.values()} == {0}
    nothing_left(run)


def test_the_lab_comes_first_and_its_addresses_before_all_others(config: Config) -> None:
    """On simulated venues only the lab starts, until its addresses are in the config that the others read."""
    run = Run(msgspec.structs.replace(config, simulated=("kalshi", "kraken")))

    def scenario() -> Scenario:
        yield from wait(lambda: run.all_up(["lab"]))
        for _ in range(5):
            yield
        assert run.all_up(["lab"])
        (Path(config.data_directory) / "lab.go").touch()
        yield from wait(lambda: run.all_up(["lab", *NAMES]))
        published = decode((run.directory / CONFIG_FILE).read_bytes())
        assert (published.version, published.lab.seed) == (2, 99)
        assert attach(run.shm, "trader").header.config_version == 2
        assert run.counters()["lab_changes"] == 1
        yield from wait(lambda: attach(run.shm, "lab").header.config_version == 2)

    run.drive(scenario())
    assert [name for name, state in states(config) if state == "STARTING"] == ["lab", *NAMES]
    assert [name for name, state in states(config) if state == "STOPPED"][-1] == "lab"
    nothing_left(run)


def test_a_killed_worker_is_back_and_the_others_never_noticed(config: Config) -> None:
    """kill -9: that worker alone has a new pid and epoch + 1, and its end is on record."""
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before = run.rows()
        os.kill(before["feed-kraken"].pid, signal.SIGKILL)
        yield from wait(lambda: run.rows()["feed-kraken"].restarts == 1 and run.all_up())
        after = run.rows()
        assert after["feed-kraken"].pid != before["feed-kraken"].pid
        assert run.epoch("feed-kraken") == 2
        assert after["feed-kraken"].exit_status == -signal.SIGKILL
        assert after["feed-kraken"].detail == "killed by SIGKILL"
        for name in ("feed-kalshi", "scanner", "trader"):
            assert after[name] == before[name]
            assert run.epoch(name) == 1
        counts = run.counters()
        assert (counts["starts"], counts["exits"], counts["kills"]) == (len(NAMES) + 1, 1, 0)

    run.drive(scenario())
    kraken = [state for name, state in states(config) if name == "feed-kraken"]
    assert kraken[:5] == ["STARTING", "RUNNING", "BACKOFF", "STARTING", "RUNNING"]
    nothing_left(run)


def test_a_hung_worker_is_replaced(few: Config) -> None:
    """A stopped process that beats no more is killed once and started anew."""
    limits = msgspec.structs.replace(few.supervisor, hung_after=0.5)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        pid = run.rows()["scanner"].pid
        os.kill(pid, signal.SIGSTOP)
        yield from wait(lambda: run.rows()["scanner"].pid not in {0, pid} and run.all_up())
        assert run.rows()["scanner"].exit_status == -signal.SIGKILL
        assert run.epoch("scanner") >= 2
        assert run.counters()["kills"] >= 1

    run.drive(scenario())
    scanner = [state for name, state in states(few) if name == "scanner"]
    assert scanner[2:5] == ["HUNG", "BACKOFF", "STARTING"]
    nothing_left(run)


def test_a_worker_that_is_stopped_before_it_beats_is_replaced(few: Config) -> None:
    """A stopped process is given as long as one that runs, not as long as a slow start."""
    limits = msgspec.structs.replace(few.supervisor, hung_after=0.5)
    (Path(few.data_directory) / "scanner.do").write_text("stop")
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(lambda: run.all_up() and run.rows()["scanner"].exits > 0)
        assert run.rows()["scanner"].exit_status == -signal.SIGKILL

    run.drive(scenario())
    scanner = [line for line in log_lines(few) if line["event"] == "worker" and line["name_"] == "scanner"]
    assert [line["state"] for line in scanner[:3]] == ["STARTING", "HUNG", "BACKOFF"]
    started, hung = (datetime.fromisoformat(line["time"]).timestamp() for line in scanner[:2])
    assert hung - started < policy.START_ALLOWANCE_NS / 1e9
    nothing_left(run)


def test_a_worker_that_is_still_being_set_up_is_not_called_running(few: Config) -> None:
    """What a worker does between making its segment and its first turn belongs to its start: it may take
    longer than a turn may, and the worker is not replaced for it.
    """
    limits = msgspec.structs.replace(few.supervisor, hung_after=0.5)
    (Path(few.data_directory) / "scanner.do").write_text("slow")
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        assert [row.detail for row in run.rows().values()] == [""] * len(FEW)
        assert {row.restarts for row in run.rows().values()} == {0}

    run.drive(scenario())
    nothing_left(run)


def test_commands_are_obeyed(few: Config) -> None:
    """restart, kill, start and down do what they say, and nonsense is refused in words."""
    run = Run(few)
    downs: list[Asking] = []

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before = run.rows()

        yield from ordered(run.send("restart", worker="scanner"), ok=True)
        yield from wait(lambda: run.epoch("scanner") == 2 and run.all_up())
        assert run.rows()["scanner"].exit_status == 0

        asking = run.send("kill", worker="trader", signal="KILL")
        yield from ordered(asking, ok=True)
        assert asking.reply.text == f"sent SIGKILL to trader (pid {before['trader'].pid})"
        yield from wait(lambda: run.rows()["trader"].pid not in {0, before["trader"].pid} and run.all_up())
        assert run.rows()["trader"].exit_status == -signal.SIGKILL

        asking = run.send("start", worker="trader")
        yield from ordered(asking, ok=True)
        assert asking.reply.text == "trader runs, or is on its way"
        for command, args, words in (
            ("kill", {"worker": "trader", "signal": "BANG"}, "unknown signal 'BANG'"),
            ("restart", {"worker": "scaner"}, "no worker 'scaner'; there are: scanner, paper, trader"),
            ("restart", {}, "no worker ''"),
            ("explode", {}, "unknown command 'explode'"),
        ):
            asking = run.send(command, **args)
            yield from ordered(asking, ok=False)
            assert asking.reply.text.startswith(words)
        counts = run.counters()
        assert (counts["commands"], counts["commands_refused"]) == (3, 4)
        assert run.rows()["paper"] == before["paper"]

        downs.append(run.send("down"))
        while True:  # only the command ends this run
            yield

    run.drive(scenario())
    assert (downs[0].reply.ok, downs[0].reply.text) == (True, "stopping")
    nothing_left(run)


def test_a_worker_that_ends_again_and_again_is_given_up_until_somebody_starts_it(few: Config) -> None:
    """Five restarts, then FLAPPING: its output is kept, the others run on, the row says what to do, and once
    it is mended `start` resets it.
    """
    order = Path(few.data_directory) / "scanner.do"
    order.write_text("exit")
    limits = SupervisorConfig(0.01, max_restart_delay=0.02, hung_after=30.0, stop_after=30.0)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(lambda: "scanner" in run.rows() and run.rows()["scanner"].state == W.FLAPPING)
        row = run.rows()["scanner"]
        assert (row.exits, row.restarts, row.detail) == (6, 5, "exit 3; run.py start scanner")
        assert run.counters()["flaps"] == 1
        yield from wait(lambda: run.all_up(but="scanner"))
        for _ in range(10):
            yield
        assert run.rows()["scanner"] == row
        order.unlink()
        yield from ordered(run.send("start", worker="scanner"), ok=True)
        yield from wait(run.all_up)
        assert {run.rows()[name].restarts for name in FEW if name != "scanner"} == {0}

    run.drive(scenario())
    output = log_directory(Path(few.data_directory)) / "scanner.out"
    assert output.read_text().count("going at once") == 6
    nothing_left(run)


def test_what_a_person_kills_is_back_at_once_and_never_flaps(few: Config) -> None:
    """More kills by command than the limit allows: no wait, no FLAPPING, and no other worker has noticed."""
    limits = msgspec.structs.replace(few.supervisor, restart_limit=1, restart_delay=600.0)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        for number in range(1, 4):
            yield from ordered(run.send("kill", worker="scanner", signal="KILL"), ok=True)
            yield from wait(lambda n=number: run.epoch("scanner") == n + 1 and run.all_up())
        assert run.rows()["scanner"].detail == "killed by SIGKILL (asked for)"
        assert {run.epoch(name) for name in FEW if name != "scanner"} == {1}
        asked = [line for line in log_lines(few) if line["event"] == "command"]
        assert [(line["who"], line["command"], line["ok"]) for line in asked] == [("test", "kill", True)] * 3
        assert asked[0]["args_"] == {"worker": "scanner", "signal": "KILL"}
        assert asked[0]["outcome"].startswith("sent SIGKILL to scanner")

    run.drive(scenario())
    nothing_left(run)


def test_what_a_person_stops_stays_down_until_somebody_starts_it(shared: Run) -> None:
    """`stop` ends one worker in order; it stays STOPPED over many turns, and `start` brings it back."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        epoch = run.epoch("trader")
        yield from ordered(run.send("stop", worker="trader"), ok=True)
        yield from wait(lambda: run.rows()["trader"].state == W.STOPPED)
        for _ in range(20):
            yield
        row = run.rows()["trader"]
        assert (row.state, row.pid, row.exit_status) == (W.STOPPED, 0, 0)
        assert run.all_up(but="trader")
        yield from ordered(run.send("start", worker="trader"), ok=True)
        yield from wait(run.all_up)
        assert run.epoch("trader") == epoch + 1

    run.follow(scenario())


def test_a_command_for_a_process_that_is_another_by_now_does_nothing(shared: Run) -> None:
    """Who names a pid gets that process or a refusal that names the one there is; "0" means that none was."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        epoch, pid = run.epoch("scanner"), run.rows()["scanner"].pid
        for command, named in (
            ("kill", "1"),
            ("restart", "1"),
            ("stop", "x"),
            ("restart", "0"),
            ("kill", ""),
        ):
            asking = run.send(command, worker="scanner", pid=named)
            yield from ordered(asking, ok=False)
            assert asking.reply.text == f"scanner: it is another process now (pid {pid}); nothing was done"
        assert (run.epoch("scanner"), run.rows()["scanner"].pid) == (epoch, pid)
        yield from ordered(run.send("restart", worker="scanner", pid=str(pid)), ok=True)
        yield from wait(lambda: run.epoch("scanner") == epoch + 1 and run.all_up())
        yield from ordered(run.send("stop", worker="scanner"), ok=True)
        yield from wait(lambda: run.rows()["scanner"].state == W.STOPPED)
        asking = run.send("kill", worker="scanner", pid=str(pid))
        yield from ordered(asking, ok=False)
        assert asking.reply.text == "scanner: it has no process now; nothing was done"
        yield from ordered(run.send("start", worker="scanner", pid="0"), ok=True)
        yield from wait(run.all_up)

    run.follow(scenario())


def test_a_worker_that_grows_too_large_is_replaced_before_twice_its_memory(few: Config) -> None:
    """Over its memory it is told to end, starts again as after a crash, and its row says why."""
    order = Path(few.data_directory) / "scanner.do"
    order.write_text("large")
    limits = msgspec.structs.replace(few.supervisor, memory_mb=60)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(lambda: "scanner" in run.rows() and run.rows()["scanner"].exits >= 1)
        order.unlink()
        yield from wait(lambda: run.all_up() and run.rows()["scanner"].restarts >= 1)
        assert run.rows()["scanner"].detail == "exit 0 (too much memory)"
        assert {run.rows()[name].restarts for name in FEW if name != "scanner"} == {0}
        assert max(row.rss_bytes for row in run.usage().values()) < 120 << 20

    run.drive(scenario())
    nothing_left(run)


def test_what_each_worker_takes_is_measured(shared: Run) -> None:
    """Memory, handles, threads and switches of each process are in memory, under its own pid."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(lambda: run.all_up() and len(run.usage()) == len(FEW))
        for name, row in run.usage().items():
            assert row.pid == run.rows()[name].pid
            assert row.rss_bytes > 1 << 20
            assert min(row.descriptors, row.threads, row.measured_ns) > 0
        # Each waits in its turns, however long its start took.
        yield from wait(lambda: all(row.voluntary_switches for row in run.usage().values()))
        # The second measurement knows what was spent since the first.
        first = {name: row.measured_ns for name, row in run.usage().items()}
        yield from wait(lambda: all(row.measured_ns > first[name] for name, row in run.usage().items()))
        assert all(0 <= row.cpu_permille < 4000 for row in run.usage().values())

    run.follow(scenario())


def test_status_is_answered_in_one_frame(few: Config, shared: Run) -> None:
    """The run in short is JSON that fits a frame, with as many workers as there may be."""
    venues = {f"ccxt:{'x' * 20}{number}": VenueConfig() for number in range(29)}
    small, large = shared, msgspec.structs.replace(few, venues=venues)

    def scenario() -> Scenario:
        yield from wait(small.all_up)
        asking = small.send("status")
        yield from ordered(asking, ok=True)
        told = json.loads(asking.reply.text)
        assert [worker["name"] for worker in told["workers"]] == FEW
        assert {worker["state"] for worker in told["workers"]} == {"RUNNING"}
        assert (told["halted"], told["more_workers"]) == (False, 0)
        published = small.published()
        assert (told["config_version"], told["config_hash"]) == (published.version, published.hash)

    small.follow(scenario())
    many = Run(large)

    def crowd() -> Scenario:
        asking = many.send("status")
        yield from ordered(asking, ok=True)
        told = json.loads(asking.reply.text)
        assert len(told["workers"]) + told["more_workers"] == 32
        assert told["workers"]

    # The venues' processes are not wanted for this.
    many.supervisor.turn = many.only_commands  # type: ignore[method-assign]
    many.drive(crowd())


def test_a_log_level_is_asked_for_and_taken_back(shared: Run) -> None:
    """It reaches that worker as a change of configuration, the files untouched; `default` takes it back."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        version = run.published().version + 1
        asking = run.send("log-level", worker="scanner", level="debug")
        yield from ordered(asking, ok=True)
        assert asking.reply.text == "scanner logs at debug"
        assert (run.published().version, run.published().logs.of("scanner")) == (version, "debug")
        assert run.published().logs.of("trader") == "info"
        yield from wait(lambda: attach(run.shm, "scanner").header.config_version == version)
        yield from ordered(run.send("log-level", worker="supervisor", level="debug"), ok=True)
        yield from ordered(run.send("log-level", worker="scanner", level="default"), ok=True)
        assert run.published().logs.levels == {"supervisor": "debug"}
        yield from ordered(run.send("log-level", worker="scanner", level="loud"), ok=False)
        yield from ordered(run.send("log-level", worker="nobody", level="debug"), ok=False)
        yield from ordered(run.send("reload"), ok=False)

    run.follow(scenario())


@pytest.mark.parametrize("guard", ["death", "hang"])
def test_a_guard_that_is_off_does_not_do_its_work(
    few: Config, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended is not started again, what hangs is not replaced: so a selftest can be seen to fail."""
    monkeypatch.setenv("PARALLAX_GUARDS_OFF", guard)
    limits = msgspec.structs.replace(few.supervisor, hung_after=0.5)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        pid = run.rows()["scanner"].pid
        os.kill(pid, signal.SIGKILL if guard == "death" else signal.SIGSTOP)
        if guard == "death":
            yield from wait(lambda: run.rows()["scanner"].state == W.STOPPED)
        until = CLOCK.monotonic_ns() + 700_000_000
        yield from wait(lambda: CLOCK.monotonic_ns() > until)
        assert run.rows()["scanner"].pid == (0 if guard == "death" else pid)
        if guard == "hang":
            os.kill(pid, signal.SIGCONT)

    run.drive(scenario())
    nothing_left(run)


@pytest.mark.parametrize("what", ["segment", "role", "everything"])
def test_a_run_that_nobody_could_see_or_command_ends_in_order(few: Config, what: str) -> None:
    """Its segment, its role or its whole directory is removed: it says so, ends, and leaves nothing."""
    run = Run(few)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        if what == "segment":
            (run.shm / "supervisor").unlink()
        elif what == "role":
            (run.directory / "supervisor.role").unlink()
        else:
            shutil.rmtree(run.directory)
        while True:  # only the loss ends this run
            yield

    run.drive(scenario())
    assert "was removed or replaced" in run.supervisor.lost
    nothing_left(run)


def test_a_run_that_lost_its_role_to_another_leaves_that_one_alone(few: Config) -> None:
    """Whoever took the removed role owns the directory: the end of the first run removes nothing there."""
    run = Run(few)
    taken: list[bus.RoleLock] = []

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        (run.directory / "supervisor.role").unlink()
        taken.append(bus.RoleLock(run.directory, "supervisor"))
        while True:  # only the loss ends this run
            yield

    run.drive(scenario())
    assert taken[0].holds()
    assert (run.directory / CONFIG_FILE).exists()
    taken[0].close()


def test_a_worker_that_cannot_be_started_is_tried_again(few: Config) -> None:
    """Where the system gives no process or file the run goes on, its row says why, and later it starts."""
    run = Run(few)
    logs = log_directory(Path(few.data_directory))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        (logs / "scanner.out").rename(logs / "kept.out")
        (logs / "scanner.out").mkdir()
        os.kill(run.rows()["scanner"].pid, signal.SIGKILL)
        yield from wait(lambda: run.rows()["scanner"].detail == "cannot be started: Is a directory")
        (logs / "scanner.out").rmdir()
        yield from ordered(run.send("start", worker="scanner"), ok=True)
        yield from wait(run.all_up)
        assert run.rows()["scanner"].detail == "killed by SIGKILL"
        assert {run.rows()[name].restarts for name in FEW if name != "scanner"} == {0}

    run.drive(scenario())
    nothing_left(run)


def test_a_worker_whose_segment_is_removed_comes_back_with_a_new_one(shared: Run) -> None:
    """Its owner notices and ends, and the supervisor starts it again; the others never notice."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before, others = run.rows()["scanner"], [row for row in run.rows().values() if row.name != "scanner"]
        (run.shm / "scanner").unlink()
        yield from wait(lambda: run.rows()["scanner"].restarts > before.restarts and run.all_up())
        assert run.rows()["scanner"].exit_status == 75
        header = attach(run.shm, "scanner").header
        assert header.pid == run.rows()["scanner"].pid != before.pid
        assert header.epoch == 1
        assert [row for row in run.rows().values() if row.name != "scanner"] == others

    run.follow(scenario())


def test_a_start_does_not_wait_out_a_backoff(few: Config) -> None:
    """`start` brings a worker up that would have waited for minutes."""
    limits = msgspec.structs.replace(few.supervisor, restart_delay=600.0, max_restart_delay=600.0)
    run = Run(msgspec.structs.replace(few, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        os.kill(run.rows()["trader"].pid, signal.SIGKILL)
        yield from wait(lambda: run.rows()["trader"].restarts == 1 and run.all_up())
        os.kill(run.rows()["trader"].pid, signal.SIGKILL)
        yield from wait(lambda: run.rows()["trader"].state == W.BACKOFF)
        refused = run.send("kill", worker="trader")
        yield from ordered(refused, ok=False)
        assert refused.reply.text == "trader is not running"
        yield from ordered(run.send("start", worker="trader"), ok=True)
        yield from wait(run.all_up)

    run.drive(scenario())
    nothing_left(run)


def test_frames_that_are_no_requests_are_counted_and_change_nothing(shared: Run) -> None:
    """Forged, replayed and raw bytes on the control socket are counted; a real request is still answered."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before = run.rows()
        forged = Sealer(b"x" * 32).seal(Request("1", "down", {}, "mallory", CLOCK.monotonic_ns()))
        sealer = Sealer(bus.read_key(run.directory))
        asked = Request("2", "kill", {"worker": "nobody"}, "test", CLOCK.monotonic_ns())
        late = Request("3", "down", {}, "test", CLOCK.monotonic_ns() - 3600 * 10**9)
        for frame in (forged, b"down", sealer.seal(asked), sealer.seal(asked), sealer.seal(late)):
            thrower = threading.Thread(target=throw, args=(run.directory, frame))
            counted = sum(run.counters()[name] for name in ("frames_refused", "commands_refused"))
            thrower.start()
            yield from wait(
                lambda n=counted: sum(run.counters()[c] for c in ("frames_refused", "commands_refused")) > n
            )
            yield from wait(lambda t=thrower: not t.is_alive())
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(run.directory / bus.CONTROL))
            stranger.send(os.urandom(1000))
        yield from ordered(run.send("restart", worker="nobody"), ok=False)
        assert run.counters()["frames_refused"] >= 4
        texts = {row.text for row in read_errors(attach(run.shm, "supervisor"))}
        assert {f"control: {word} frame" for word in ("forged", "malformed", "replayed", "late")} <= texts
        assert run.rows() == before

    run.follow(scenario())


def throw(directory: Path, frame: bytes) -> None:
    """Send a frame to the supervisor; an answer is not expected."""
    with suppress(bus.BusError):
        bus.ask(directory, frame, 100)


def test_a_deaf_worker_is_killed_on_the_way_down(few: Config) -> None:
    """A worker that ignores SIGTERM is killed after its time, and nothing is left all the same."""
    (Path(few.data_directory) / "scanner.do").write_text("deaf")
    limits = msgspec.structs.replace(few.supervisor, stop_after=0.2)
    run = Run(msgspec.structs.replace(few, supervisor=limits))
    run.drive(wait(run.all_up))
    assert states(few)[-1][1] == "STOPPED"
    nothing_left(run)


def test_trouble_in_the_supervisor_itself_leaves_nobody_behind(few: Config) -> None:
    """An exception ends the workers and removes everything on its way out."""
    run = Run(few)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        raise RuntimeError("nobody expected this")

    with pytest.raises(RuntimeError, match="nobody expected"):
        run.drive(scenario())
    nothing_left(run)


def test_a_second_supervisor_is_refused_and_touches_nothing(shared: Run) -> None:
    """One run per data directory: the second is told who has it, and the first goes on."""
    run = shared

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before = sorted(run.directory.iterdir()), sorted(run.shm.iterdir()), run.rows()
        with pytest.raises(bus.RoleTakenError, match=rf"held by process {os.getpid()}$"):
            Supervisor(run.config, SCRIPT, CLOCK, Random(1), merge)
        assert (sorted(run.directory.iterdir()), sorted(run.shm.iterdir()), run.rows()) == before
        yield from ordered(run.send("restart", worker="scanner"), ok=True)

    run.follow(scenario())
