"""The supervisor with real processes: order, restarts, commands, hangs, and nothing left at the end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from pipeline import bus
from pipeline.clock import SystemClock
from pipeline.config import Config, LabConfig, SupervisorConfig, VenueConfig, decode, encode
from pipeline.lifecycle import CONFIG_FILE
from pipeline.logs import log_directory
from pipeline.model import WorkerState as W
from pipeline.supervisor.worker import Supervisor
from pipeline.wire import Reply, Request, Sealer
from shm.records import RUN, WORKER, WorkerRow
from shm.segment import SegmentError, attach, pid_start
from shm.tables import TableReader, read_counters, read_errors

CLOCK = SystemClock()
PATIENCE_NS = 60_000_000_000
SCRIPT = Path(__file__).with_name("fake_worker.py")
Scenario = Iterator[None]
NAMES = ["feed-kalshi", "feed-kraken", "scanner", "paper", "trader"]

SUPERVISE = """
import sys
from pathlib import Path
from random import Random
from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.supervisor.worker import Supervisor
config = decode(Path(sys.argv[1]).read_bytes())
supervisor = Supervisor(config, Path(sys.argv[2]), SystemClock(), Random(1), lambda base, lab: base)
supervisor.run(lambda: True, lambda: None)
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two venues, quick restarts, patience with slow machines, directories of this test's own."""
    (tmp_path / "data").mkdir()
    return Config(
        data_directory=str(tmp_path / "data"),
        run_directory=str(tmp_path / "run"),
        shm_directory=str(tmp_path / "shm"),
        venues={"kalshi": VenueConfig(), "off": VenueConfig(enabled=False), "kraken": VenueConfig()},
        supervisor=SupervisorConfig(0.02, max_restart_delay=0.2, hung_after=30.0, stop_after=30.0),
    )


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """A supervisor in this process takes over signals and umask; both are given back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    os.umask(mask)


class Run:
    """A supervisor in this process, driven turn by turn by a scenario that waits by yielding."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.shm = Path(config.shm_directory)
        self.directory = Path(config.run_directory)
        self.supervisor = Supervisor(config, SCRIPT, CLOCK, Random(1), merge)
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
            self.last = self.rows()

        self.supervisor.run(turn, before_stop)

    def rows(self) -> dict[str, WorkerRow]:
        """The worker table, read as anybody reads it."""
        table = TableReader(attach(self.shm, "supervisor"), "workers", WORKER)
        return {row.name: row for _, row in table.rows()}

    def all_up(self, names: list[str] = NAMES) -> bool:
        """Whether just these workers are in the table, each RUNNING."""
        rows = self.rows()
        return list(rows) == names and all(row.state == W.RUNNING for row in rows.values())

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


def merge(base: Config, lab: Mapping[str, object]) -> Config:
    """What the lab publishes, carried into the config."""
    return msgspec.structs.replace(base, lab=LabConfig(seed=int(str(lab["seed"]))))


def states(config: Config) -> list[tuple[str, str]]:
    """(worker, state) of every change, in order, from the supervisor's log."""
    text = (log_directory(Path(config.data_directory)) / "supervisor.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [(line["name_"], line["state"]) for line in lines if line["event"] == "worker"]


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
        assert (counts["starts"], counts["exits"], counts["kills"]) == (6, 1, 0)

    run.drive(scenario())
    kraken = [state for name, state in states(config) if name == "feed-kraken"]
    assert kraken[:5] == ["STARTING", "RUNNING", "BACKOFF", "STARTING", "RUNNING"]
    nothing_left(run)


def test_a_worker_that_cannot_stay_up_waits_longer_each_time(config: Config) -> None:
    """A crash loop backs off, its output is kept, and the others run on; once mended it comes up."""
    order = Path(config.data_directory) / "scanner.do"
    order.write_text("exit")
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(lambda: "scanner" in run.rows() and run.rows()["scanner"].exits >= 3)
        row = run.rows()["scanner"]
        assert (row.exit_status, row.detail) == (3, "exit 3")
        order.unlink()
        yield from wait(run.all_up)
        assert run.rows()["scanner"].restarts >= 3
        assert {run.rows()[name].restarts for name in NAMES if name != "scanner"} == {0}

    run.drive(scenario())
    output = log_directory(Path(config.data_directory)) / "scanner.out"
    assert output.read_text().count("going at once") >= 3
    nothing_left(run)


def test_a_hung_worker_is_replaced(config: Config) -> None:
    """A stopped process that beats no more is killed once and started anew."""
    limits = msgspec.structs.replace(config.supervisor, hung_after=0.5)
    run = Run(msgspec.structs.replace(config, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        pid = run.rows()["scanner"].pid
        os.kill(pid, signal.SIGSTOP)
        yield from wait(lambda: run.rows()["scanner"].pid not in {0, pid} and run.all_up())
        assert run.rows()["scanner"].exit_status == -signal.SIGKILL
        assert run.epoch("scanner") >= 2
        assert run.counters()["kills"] >= 1

    run.drive(scenario())
    scanner = [state for name, state in states(config) if name == "scanner"]
    assert scanner[2:5] == ["HUNG", "BACKOFF", "STARTING"]
    nothing_left(run)


def test_commands_are_obeyed(config: Config) -> None:
    """restart, kill, start and down do what they say, and nonsense is refused in words."""
    run = Run(config)
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
            ("restart", {"worker": "feed-krakn"}, "no worker 'feed-krakn'; there are: feed-kalshi"),
            ("restart", {}, "no worker ''"),
            ("explode", {}, "unknown command 'explode'"),
        ):
            asking = run.send(command, **args)
            yield from ordered(asking, ok=False)
            assert asking.reply.text.startswith(words)
        counts = run.counters()
        assert (counts["commands"], counts["commands_refused"]) == (3, 4)
        assert run.rows()["feed-kalshi"] == before["feed-kalshi"]

        downs.append(run.send("down"))
        while True:  # only the command ends this run
            yield

    run.drive(scenario())
    assert (downs[0].reply.ok, downs[0].reply.text) == (True, "stopping")
    nothing_left(run)


def test_a_start_does_not_wait_out_a_backoff(config: Config) -> None:
    """`start` brings a worker up that would have waited for minutes."""
    limits = msgspec.structs.replace(config.supervisor, restart_delay=600.0, max_restart_delay=600.0)
    run = Run(msgspec.structs.replace(config, supervisor=limits))

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        os.kill(run.rows()["trader"].pid, signal.SIGKILL)
        yield from wait(lambda: run.rows()["trader"].state == W.BACKOFF)
        refused = run.send("kill", worker="trader")
        yield from ordered(refused, ok=False)
        assert refused.reply.text == "trader is not running"
        yield from ordered(run.send("start", worker="trader"), ok=True)
        yield from wait(run.all_up)

    run.drive(scenario())
    nothing_left(run)


def test_frames_that_are_no_requests_are_counted_and_change_nothing(config: Config) -> None:
    """Forged, replayed and raw bytes on the control socket are counted; a real request is still answered."""
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        forged = Sealer(b"x" * 32).seal(Request("1", "down", {}, "mallory", CLOCK.monotonic_ns()))
        sealer = Sealer(bus.read_key(run.directory))
        asked = Request("2", "kill", {"worker": "nobody"}, "test", CLOCK.monotonic_ns())
        late = Request("3", "down", {}, "test", CLOCK.monotonic_ns() - 3600 * 10**9)
        for frame in (forged, b"down", sealer.seal(asked), sealer.seal(asked), sealer.seal(late)):
            thrower = threading.Thread(target=throw, args=(run.directory, frame))
            thrower.start()
            counted = sum(run.counters()[name] for name in ("frames_refused", "commands_refused"))
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
        assert run.all_up()

    run.drive(scenario())
    assert {row.restarts for row in run.last.values()} == {0}
    nothing_left(run)


def throw(directory: Path, frame: bytes) -> None:
    """Send a frame to the supervisor; an answer is not expected."""
    with suppress(bus.BusError):
        bus.ask(directory, frame, 100)


def test_a_deaf_worker_is_killed_on_the_way_down(config: Config) -> None:
    """A worker that ignores SIGTERM is killed after its time, and nothing is left all the same."""
    (Path(config.data_directory) / "feed-kalshi.do").write_text("deaf")
    limits = msgspec.structs.replace(config.supervisor, stop_after=0.2)
    run = Run(msgspec.structs.replace(config, supervisor=limits))
    run.drive(wait(run.all_up))
    assert states(config)[-1][1] == "STOPPED"
    nothing_left(run)


def test_trouble_in_the_supervisor_itself_leaves_nobody_behind(config: Config) -> None:
    """An exception ends the workers and removes everything on its way out."""
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        raise RuntimeError("nobody expected this")

    with pytest.raises(RuntimeError, match="nobody expected"):
        run.drive(scenario())
    nothing_left(run)


def test_a_second_supervisor_is_refused_and_touches_nothing(config: Config) -> None:
    """One run per data directory: the second is told who has it, and the first goes on."""
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        before = sorted(run.directory.iterdir()), sorted(run.shm.iterdir()), run.rows()
        with pytest.raises(bus.RoleTakenError, match=rf"held by process {os.getpid()}$"):
            Supervisor(config, SCRIPT, CLOCK, Random(1), merge)
        assert (sorted(run.directory.iterdir()), sorted(run.shm.iterdir()), run.rows()) == before
        yield from ordered(run.send("restart", worker="scanner"), ok=True)

    run.drive(scenario())
    nothing_left(run)


def test_a_killed_supervisors_run_is_taken_over(config: Config, tmp_path: Path, project_root: Path) -> None:
    """kill -9 of the supervisor: its workers end by themselves, and the next one starts clean."""
    path = tmp_path / "config.json"
    path.write_bytes(encode(config))
    first = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(path), str(SCRIPT)], cwd=project_root)
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    old: dict[str, WorkerRow] = {}
    try:
        while [row.state for row in old.values()] != [W.RUNNING] * len(NAMES):
            assert CLOCK.monotonic_ns() < deadline
            CLOCK.sleep(0.01)
            try:
                view = attach(Path(config.shm_directory), "supervisor")
            except SegmentError:
                continue
            old = {row.name: row for _, row in TableReader(view, "workers", WORKER).rows()}
    finally:
        first.kill()
        first.wait()
    run = Run(config)

    def scenario() -> Scenario:
        yield from wait(run.all_up)
        yield from wait(lambda: not [row for row in old.values() if pid_start(row.pid) == row.pid_start])
        assert {run.epoch(name) for name in NAMES} == {1}

    run.drive(scenario())
    nothing_left(run)
