"""Supervisors of one data directory: one wins, the next cleans up after a killed one, and an end is an end.

The faults A8, A9, A10, A15 and C1 of docs/FAULTS.md, with real processes.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli.common import ALREADY_RUNNING, SCRIPT, run_directory_of
from pipeline.config import Config, ObserverConfig, SupervisorConfig, encode
from pipeline.model import WorkerState
from pipeline.places import instance_of, shm_directory
from shm.records import WORKER, WorkerRow
from shm.segment import SegmentError, attach, pid_start
from shm.tables import TableReader

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "tests" / "supervisor" / "fake_worker.py"
PATIENCE_SECONDS = 60.0
CROWD = 20
NAMES = ["scanner", "paper", "trader"]

SUPERVISE = """
import sys
from pathlib import Path
from random import Random
from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.supervisor.worker import Supervisor
config = decode(Path(sys.argv[1]).read_bytes())
supervisor = Supervisor(config, Path(sys.argv[2]), SystemClock(), Random(1), lambda base, lab: base)
print("begun", flush=True)
supervisor.run(lambda: True, lambda: None)
"""

# Imports once, then forks a crowd a round. Each waits for the starting gun, tries, and says what came of it;
# the winner stays until all others have spoken.
STAMPEDE = """
import os, sys
from pathlib import Path
from random import Random
from pipeline.bus import RoleTakenError
from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.supervisor.worker import Supervisor
config, crowd, rounds = decode(Path(sys.argv[1]).read_bytes()), int(sys.argv[2]), int(sys.argv[3])
places = Path(config.run_directory), Path(config.shm_directory)

def stamps():
    files = [file for place in places for file in place.iterdir() if file.name != "supervisor.role"]
    return sorted((file.name, file.stat().st_ino, file.stat().st_size) for file in files)

for _ in range(rounds):
    gun, fire = os.pipe()
    said, say = os.pipe()
    done, end = os.pipe()
    pids = []
    for _ in range(crowd):
        pid = os.fork()
        if pid == 0:
            os.close(fire), os.close(end)
            os.read(gun, 1)
            try:
                made = Supervisor(config, Path("none"), SystemClock(), Random(1), dict)
            except RoleTakenError as error:
                os.write(say, f"lost {error.pid} {error.since_wall_ns > 0}\\n".encode())
                os._exit(5)
            before = stamps()
            os.write(say, f"won {os.getpid()}\\n".encode())
            os.read(done, 1)
            os.write(say, f"same {stamps() == before}\\n".encode())
            made.worker.go_on()
            made.run(lambda: False, lambda: None)
            os._exit(0)
        pids.append(pid)
    os.close(gun), os.close(fire)
    text = b""
    while text.count(b"\\n") < crowd:
        text += os.read(said, 4096)
    os.close(end), os.close(done)
    while text.count(b"\\n") < crowd + 1:
        text += os.read(said, 4096)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    winner = next(line.split()[1] for line in text.decode().splitlines() if line.startswith("won"))
    good = text.decode().splitlines().count(f"lost {winner} True")
    print(codes.count(0), good, "same True" in text.decode(), any(p.exists() for p in places), flush=True)
"""


# The terminal becomes that of this process, so that its Ctrl-C is a SIGINT to it.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Three stand-in workers, in directories of this test's own."""
    (tmp_path / "data").mkdir()
    return Config(
        data_directory=str(tmp_path / "data"),
        run_directory=str(tmp_path / "run"),
        shm_directory=str(tmp_path / "shm"),
        observer=ObserverConfig(enabled=False),
        supervisor=SupervisorConfig(stop_after=30.0, hung_after=30.0),
    )


@pytest.fixture
def written(config: Config, tmp_path: Path) -> Path:
    """The configuration as a file."""
    path = tmp_path / "config.json"
    path.write_bytes(encode(config))
    return path


def table(config: Config) -> dict[str, WorkerRow]:
    """The worker table as anybody reads it; empty while there is none."""
    try:
        view = attach(Path(config.shm_directory), "supervisor")
        return {row.name: row for _, row in TableReader(view, "workers", WORKER).rows()}
    except SegmentError:
        return {}


def all_run(config: Config) -> bool:
    rows = table(config)
    return list(rows) == NAMES and {row.state for row in rows.values()} == {WorkerState.RUNNING}


def alive(rows: dict[str, WorkerRow]) -> list[str]:
    """Which of these very processes still run."""
    return [row.name for row in rows.values() if row.pid and pid_start(row.pid) == row.pid_start]


@pytest.fixture
def supervise(config: Config, written: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts supervisors of stand-in workers; whatever is left of them is killed afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SUPERVISE, str(written), str(STAND_IN)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        until(
            lambda: (
                all_run(config) and attach(Path(config.shm_directory), "supervisor").header.pid == process.pid
            )
        )
        return process

    yield start
    left = table(config)
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    for row in left.values():
        if row.pid and pid_start(row.pid) == row.pid_start:
            os.kill(row.pid, signal.SIGKILL)


def nothing_left(config: Config) -> bool:
    return not Path(config.run_directory).exists() and not Path(config.shm_directory).exists()


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.stress)])
def test_of_twenty_supervisors_at_once_exactly_one_wins(written: Path, rounds: int) -> None:
    """19 are told the winner's pid each time, its segments and sockets are untouched, nothing is left."""
    words = [sys.executable, "-c", STAMPEDE, str(written), str(CROWD), str(rounds)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"1 {CROWD - 1} True False"] * rounds


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_starts_clean(
    config: Config, supervise: Callable[[], subprocess.Popen[str]]
) -> None:
    """kill -9 of the supervisor: its workers end, the next one's are new, an orderly end leaves nothing."""
    first = supervise()
    old = table(config)
    begun = time.monotonic()
    first.kill()
    until(lambda: not alive(old))
    assert time.monotonic() - begun < 20, "ten times as long as it may take"
    second = supervise()
    new = table(config)
    assert {row.pid for row in new.values()}.isdisjoint(row.pid for row in old.values())
    assert {attach(Path(config.shm_directory), name).header.epoch for name in NAMES} == {1}
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_SECONDS) == 0
    assert nothing_left(config)


def test_a_killed_group_is_no_hindrance(
    config: Config, supervise: Callable[[], subprocess.Popen[str]]
) -> None:
    """kill -9 of supervisor and workers together: what they left is provably dead, a new run starts."""
    first = supervise()
    rows = table(config)
    for pid in (first.pid, *(row.pid for row in rows.values())):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    until(lambda: not alive(rows))
    assert {"supervisor", "scanner"} <= {path.name for path in Path(config.shm_directory).iterdir()}
    second = supervise()
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_SECONDS) == 0
    assert nothing_left(config)


def test_a_strangers_pid_in_a_left_file_is_not_touched(
    config: Config, supervise: Callable[[], subprocess.Popen[str]]
) -> None:
    """A role file of a crash names somebody else's process: the run starts, and the stranger lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        run = Path(config.run_directory)
        run.mkdir(mode=0o700)
        for role in ("supervisor", "ctl", "opp"):
            (run / f"{role}.role").write_text(str(stranger.pid))
        supervisor = supervise()
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(PATIENCE_SECONDS) == 0
        assert stranger.poll() is None
        stranger.kill()
    assert nothing_left(config)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(each, marks=pytest.mark.stress) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_a_second_signal_ends_everything_now(
    config: Config, supervise: Callable[[], subprocess.Popen[str]], number: int
) -> None:
    """The first asks for an orderly end, which a deaf worker holds up; the second does not wait for it."""
    (Path(config.data_directory) / "paper.do").write_text("deaf")
    supervisor = supervise()
    rows = table(config)
    supervisor.send_signal(number)
    until(lambda: table(config)["trader"].state == WorkerState.STOPPED)
    assert supervisor.poll() is None
    assert alive(rows)
    supervisor.send_signal(number)
    assert supervisor.wait(PATIENCE_SECONDS / 3) == 0
    assert not alive(rows)
    assert nothing_left(config)


def run_py(*words: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *words]


def test_on_a_terminal_the_second_is_refused_and_ctrl_c_ends_the_first(tmp_path: Path) -> None:
    """Exit 5 with pid, time, directory and what to do; Ctrl-C ends the first with 0 and leaves nothing."""
    main, child = pty.openpty()
    fewer = [f"venues.{name}.enabled=false" for name in ("kalshi", "polymarket", "coinbase")]
    changes = [word for key in (*fewer, "observer.enabled=false") for word in ("--set", key)]
    words = run_py("up", "--no-dashboard", "--data", str(tmp_path), *changes)
    on_terminal = [sys.executable, "-c", TAKE_TERMINAL, *words]
    process = subprocess.Popen(on_terminal, stdin=child, stdout=child, stderr=child, start_new_session=True)
    os.close(child)
    directory = run_directory_of(tmp_path)
    shm = shm_directory(instance_of(tmp_path), "", os.geteuid())
    try:
        until(lambda: (directory / "config.json").exists() and (directory / "ctl").exists())
        refused = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        assert refused.returncode == ALREADY_RUNNING
        assert refused.stderr.startswith(
            f"run.py: already running in {tmp_path}: process {process.pid}, since 20"
        )
        assert refused.stderr.endswith(f"stop it with run.py down --data {tmp_path}\n")
        assert refused.stderr.count("\n") == 1
        os.write(main, b"\x03")
        text = read_all(main)
        assert process.wait(PATIENCE_SECONDS) == 0, text
        assert "on simulated venues, paper money" in text
        assert not directory.exists()
        assert not shm.exists()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
        os.close(main)


def read_all(terminal: int) -> str:
    """What is written to the terminal until nobody has it open any more."""
    raw, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            raw += os.read(terminal, 65536)
        except OSError:
            break
    return raw.decode("utf-8", "replace")
