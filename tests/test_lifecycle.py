"""What every worker does beside its work: beat, follow its config, end in order, leave word of a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import secrets
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Config, encode
from pipeline.config_operations import LogsConfig
from pipeline.lifecycle import (
    BEAT_NS,
    CONFIG_FILE,
    CONFIG_POLL_NS,
    FENCE_NS,
    FENCED,
    SUPERVISOR_PID,
    FencedError,
    Worker,
)
from pipeline.logs import log_directory
from shm.segment import SegmentBusyError, SegmentError, View, attach, lock_is_free
from shm.tables import read_counters, read_errors

CLOCK = SystemClock()
PATIENCE_NS = 30_000_000_000
SECOND = 1_000_000_000

CHILD = """
import sys
from pathlib import Path
from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.lifecycle import Worker
config = decode(Path(sys.argv[1]).read_bytes())
clock = SystemClock()
with Worker("child", config, clock, [], ["turns"], lambda old, new: None) as worker:
    while worker.go_on():
        worker.counters.add("turns")
        clock.sleep(0.002)
        if (Path(config.run_directory) / "crash").exists():
            raise ValueError("told to crash")
"""
# Its clock stands, so that it never looks who its parent is: only the kernel's word can end it.
BLIND = """
import sys, time
from pathlib import Path
from pipeline.clock import ManualClock
from pipeline.config import decode
from pipeline.lifecycle import Worker
config = decode(Path(sys.argv[1]).read_bytes())
with Worker("child", config, ManualClock(), [], ["turns"], lambda old, new: None) as worker:
    while worker.go_on():
        worker.counters.add("turns")
        time.sleep(0.002)
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]],
                         env={**os.environ, "PARALLAX_SUPERVISOR_PID": str(os.getpid())})
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config whose directories are this test's alone, written where workers look for it."""
    config = Config(
        data_directory=str(tmp_path / "data"),
        run_directory=str(tmp_path / "run"),
        shm_directory=str(tmp_path / "shm"),
    )
    Path(config.run_directory).mkdir(mode=0o700)
    publish(config, config)
    return config


@pytest.fixture
def calm() -> Iterator[None]:
    """A worker made in this process takes over signals and umask; both are given back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    os.umask(mask)


def publish(config: Config, content: Config | bytes) -> None:
    """Replace run/config.json as the supervisor does."""
    path = Path(config.run_directory) / CONFIG_FILE
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content if isinstance(content, bytes) else encode(content))
    temporary.replace(path)


def versioned(config: Config, version: int) -> Config:
    return msgspec.structs.replace(config, version=version)


def worker(config: Config, clock: ManualClock, heard: list[tuple[int, int]] | None = None) -> Worker:
    """A worker named `w` in this process that notes which config changes it hears of."""
    told = heard if heard is not None else []
    return Worker("w", config, clock, [], ["work"], lambda old, new: told.append((old.version, new.version)))


def view_of(config: Config, name: str) -> View:
    return attach(Path(config.shm_directory), name)


def log_lines(config: Config, name: str) -> list[dict[str, object]]:
    path = log_directory(Path(config.data_directory)) / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true before patience ends."""
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while not condition():
        if CLOCK.monotonic_ns() > deadline:
            return False
        CLOCK.sleep(0.002)
    return True


# -- in one process, on a clock of our own ---------------------------------------------------------------


def test_the_heartbeat_is_the_loops_own(config: Config, calm: None) -> None:
    """The heartbeat moves when the loop turns and stands when it does not."""
    clock = ManualClock()
    with worker(config, clock) as w:
        view = view_of(config, "w")
        for _ in range(5):
            clock.advance(BEAT_NS)
            assert w.go_on()
            assert view.header.heartbeat_ns == clock.monotonic_ns()
        beaten = view.header.heartbeat_ns
        clock.advance(3 * SECOND)
        assert view.header.heartbeat_ns == beaten


def test_a_bounded_wait_is_announced_and_ends_with_the_next_beat(config: Config, calm: None) -> None:
    """`busy` says until when, and the loop's next beat takes it back."""
    clock = ManualClock()
    with worker(config, clock) as w:
        header = view_of(config, "w").header
        w.go_on()
        w.busy(2.5)
        assert header.busy_until_ns == clock.monotonic_ns() + 2_500_000_000
        clock.advance(BEAT_NS)
        w.go_on()
        assert header.busy_until_ns == 0


def test_a_new_config_is_heard_of_within_half_a_second(config: Config, calm: None) -> None:
    """A changed version reaches the hook once, as (old, new), then the header and a counter."""
    clock, heard = ManualClock(), []
    with worker(config, clock, heard) as w:
        assert w.go_on()
        assert heard == []
        publish(config, versioned(config, 2))
        clock.advance(CONFIG_POLL_NS)
        w.go_on()
        assert heard == [(1, 2)]
        assert w.config.version == view_of(config, "w").header.config_version == 2
        clock.advance(5 * SECOND)
        w.go_on()
        assert heard == [(1, 2)]
        assert w.counters.get("config_reloads") == 1


def test_two_configs_within_one_tick_of_the_files_clock_are_both_heard_of(config: Config, calm: None) -> None:
    """A replacement with the very same time stamp is still noticed."""
    clock, heard = ManualClock(), []
    path = Path(config.run_directory) / CONFIG_FILE
    with worker(config, clock, heard) as w:
        for version in (2, 3):
            publish(config, versioned(config, version))
            os.utime(path, ns=(SECOND, SECOND))
            clock.advance(CONFIG_POLL_NS)
            w.go_on()
    assert heard == [(1, 2), (2, 3)]


BROKEN = [b"", b"{", b"\xff\xfe", b'{"version": "x"}', b'{"unknown": 1}', b"[" * 5000]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_config_is_counted_once_and_the_old_one_kept(
    config: Config, calm: None, broken: bytes
) -> None:
    """What is no config changes nothing but a counter and an error's text; the next good one is taken."""
    clock, heard = ManualClock(), []
    with worker(config, clock, heard) as w:
        publish(config, broken)
        for _ in range(4):
            clock.advance(CONFIG_POLL_NS)
            assert w.go_on()
        assert w.config == config
        assert heard == []
        assert w.counters.get("config_refused") == 1
        assert read_errors(view_of(config, "w"))[0].text.startswith("run/config.json:")
        publish(config, versioned(config, 9))
        clock.advance(CONFIG_POLL_NS)
        w.go_on()
        assert heard == [(1, 9)]


def test_a_config_that_goes_away_changes_nothing(config: Config, calm: None) -> None:
    """Without run/config.json a worker keeps what it has."""
    clock, heard = ManualClock(), []
    with worker(config, clock, heard) as w:
        (Path(config.run_directory) / CONFIG_FILE).unlink()
        clock.advance(CONFIG_POLL_NS)
        assert w.go_on()
        assert heard == []
        assert w.counters.get("errors") == 0


def test_a_crash_is_in_the_error_table_and_in_the_log(config: Config, calm: None) -> None:
    """An exception leaves its words in memory and its traceback in the log, and goes on to the caller."""
    with pytest.raises(RuntimeError, match="out of luck"), worker(config, ManualClock()):
        raise RuntimeError("out of luck")
    view = view_of(config, "w")
    assert [(row.text, row.seen) for row in read_errors(view)] == [("RuntimeError: out of luck", 1)]
    assert read_counters(view)["errors"] == 1
    last = log_lines(config, "w")[-1]
    assert last["event"] == "crashed"
    assert "raise RuntimeError" in str(last["traceback"])


def test_an_error_is_kept_without_the_secrets_in_it(
    config: Config, calm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that the process has loaded is not in the error table, whatever an exception says."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    secrets.remember(secrets.Secret("canary-e44a-in-an-error"))
    with pytest.raises(ValueError, match="canary"), worker(config, ManualClock()) as w:
        w.report("refused: canary-e44a-in-an-error")
        raise ValueError("bad key canary-e44a-in-an-error")
    assert {row.text for row in read_errors(view_of(config, "w"))} == {
        "refused: ***",
        "ValueError: bad key ***",
    }


def test_the_segment_outlives_its_worker_and_its_counts_go_on(config: Config, calm: None) -> None:
    """A worker that ends leaves its file for readers; the next one has epoch + 1 and the same counters."""
    for epoch in (1, 2, 3):
        with worker(config, ManualClock()) as w:
            w.counters.add("work")
            w.report("again")
            assert w.segment.header.epoch == epoch
        view = view_of(config, "w")
        assert read_counters(view)["work"] == epoch
        assert read_errors(view)[0].seen == epoch
        assert lock_is_free(view.path)


def test_a_name_has_one_worker(config: Config, calm: None) -> None:
    """A second worker of a name is refused, and the first goes on."""
    clock = ManualClock()
    with worker(config, clock) as w:
        with pytest.raises(SegmentBusyError):
            worker(config, clock)
        assert w.go_on()
    assert view_of(config, "w").header.epoch == 1


# -- fenced -------------------------------------------------------------------------------------------------


def fence(config: Config) -> None:
    """Remove the worker's segment, as somebody might who cleans up by hand."""
    (Path(config.shm_directory) / "w").unlink()


def test_who_lost_its_segment_writes_nothing_and_ends(config: Config, calm: None) -> None:
    """At its next look, ten times a second or at once after a pause: no beat, no count, exit code 75."""
    clock = ManualClock()
    with pytest.raises(FencedError) as ended, worker(config, clock) as w:
        assert w.go_on()
        clock.advance(FENCE_NS - 1)
        fence(config)
        assert w.go_on()
        left = bytes(w.segment.cells)
        clock.advance(1)
        w.go_on()
    assert ended.value.code == FENCED == 75
    assert bytes(w.segment.cells) == left
    line = log_lines(config, "w")[-1]
    assert (line["event"], line["exit_code"], line["level"]) == ("fenced", 75, "error")
    assert "w is gone" in str(line["why"])


def test_a_pause_alone_fences_nobody(config: Config, calm: None) -> None:
    """A worker that was stopped and still owns its segment goes on."""
    clock = ManualClock()
    with worker(config, clock) as w:
        for _ in range(3):
            clock.advance(60 * SECOND)
            assert w.go_on()
        assert view_of(config, "w").header.heartbeat_ns == clock.monotonic_ns()


# -- what it logs -------------------------------------------------------------------------------------------


def test_the_log_level_follows_the_configuration(config: Config, calm: None) -> None:
    """A worker logs at its own level from the start, and at another one from the next configuration on."""
    quiet = LogsConfig(level="info", levels={"w": "error"})
    clock = ManualClock()
    with worker(msgspec.structs.replace(config, logs=quiet), clock) as w:
        assert w.log.level == "error"
        loud = LogsConfig(level="info", levels={"w": "debug"})
        publish(config, msgspec.structs.replace(config, logs=loud, version=2))
        clock.advance(CONFIG_POLL_NS)
        assert w.go_on()
        assert w.log.level == "debug"
        w.log.debug("heard")
    assert [line["event"] for line in log_lines(config, "w")] == ["heard", "stopped"]


# -- as a process of its own ------------------------------------------------------------------------------


@pytest.fixture
def config_file(config: Config, tmp_path: Path) -> Path:
    """The config as a file for a child."""
    path = tmp_path / "child.json"
    path.write_bytes(encode(config))
    return path


@pytest.fixture
def child(config: Config, config_file: Path, project_root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process that turns until told to stop."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(config_file)], cwd=project_root, stderr=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def turning(config: Config) -> View:
    """The child's segment once its loop turns."""
    found: list[View] = []

    def ready() -> bool:
        try:
            found[:] = [view_of(config, "child")]
        except SegmentError:
            return False
        # A segment is there a moment before its counters have names.
        return read_counters(found[0]).get("turns", 0) > 1

    assert until(ready)
    return found[0]


def state_of(pid: int) -> str:
    """The kernel's letter for what a process does; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def test_a_real_heartbeat_stops_with_its_process_and_goes_on_with_it(
    config: Config, child: subprocess.Popen[bytes]
) -> None:
    """A stopped process beats no more, a continued one does: nothing else beats for it."""
    view = turning(config)
    child.send_signal(signal.SIGSTOP)
    assert until(lambda: state_of(child.pid) == "T")
    beaten = view.header.heartbeat_ns
    CLOCK.sleep(5 * BEAT_NS / 1e9)
    assert view.header.heartbeat_ns == beaten
    child.send_signal(signal.SIGCONT)
    assert until(lambda: view.header.heartbeat_ns > beaten)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_in_order(
    config: Config, child: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    """SIGTERM and SIGINT end the loop with exit code 0 and a line that says why."""
    view = turning(config)
    child.send_signal(number)
    assert child.wait(60) == 0
    assert log_lines(config, "child")[-1]["why"] == number.name
    assert lock_is_free(view.path)
    assert read_counters(view)["errors"] == 0


def test_a_real_crash_leaves_word_and_a_failed_exit(config: Config, child: subprocess.Popen[bytes]) -> None:
    """A worker that raises exits with 1, and its words are in memory after it is gone."""
    view = turning(config)
    (Path(config.run_directory) / "crash").touch()
    assert child.wait(60) == 1
    assert read_errors(view)[0].text == "ValueError: told to crash"
    assert log_lines(config, "child")[-1]["level"] == "error"


@pytest.mark.parametrize("script", [CHILD, BLIND], ids=["turning", "blind"])
def test_a_worker_ends_when_its_supervisor_is_gone(
    config: Config, config_file: Path, project_root: Path, script: str
) -> None:
    """A supervisor that is killed leaves no worker behind: the kernel tells each, and each looks itself."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", PARENT, script, str(config_file)], cwd=project_root, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    try:
        view = turning(config)
        assert view.header.pid == pid
        supervisor.kill()
        supervisor.wait()
        assert until(lambda: lock_is_free(view.path))
        assert log_lines(config, "child")[-1]["why"] == "the supervisor is gone"
    finally:
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close()


def test_a_worker_whose_named_supervisor_never_was_its_parent_ends(
    config: Config, calm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker started for a supervisor that died in between does not go on alone."""
    monkeypatch.setenv(SUPERVISOR_PID, "1" if os.getppid() != 1 else "2")
    with worker(config, ManualClock()) as w:
        assert not w.go_on()


def test_a_stopped_worker_that_was_replaced_writes_nothing_and_ends(
    config: Config, calm: None, child: subprocess.Popen[bytes], config_file: Path, project_root: Path
) -> None:
    """Stopped, its files removed by hand, replaced, continued: it finds itself fenced, and ends with 75."""
    old = turning(config)
    child.send_signal(signal.SIGSTOP)
    assert until(lambda: state_of(child.pid) == "T")
    with pytest.raises(SegmentBusyError):
        Worker("child", config, ManualClock(), [], ["turns"], lambda old, new: None)
    for path in list(Path(config.shm_directory).iterdir()):
        path.unlink()
    beaten, turns = old.header.heartbeat_ns, read_counters(old)["turns"]
    command = [sys.executable, "-c", CHILD, str(config_file)]
    with subprocess.Popen(command, cwd=project_root) as second:
        try:
            new = turning(config)
            assert new.header.pid == second.pid
            # Then a look is due before anything else.
            CLOCK.sleep(FENCE_NS / 1e9)
            child.send_signal(signal.SIGCONT)
            assert child.wait(60) == FENCED
            # The rest of the turn that was stopped is in a file that nobody reads any more.
            assert old.header.heartbeat_ns == beaten
            assert read_counters(old)["turns"] <= turns + 1
            assert new.header.pid == second.pid and not new.outdated()
            assert second.poll() is None
        finally:
            second.kill()
    fenced = [line for line in log_lines(config, "child") if line["event"] == "fenced"]
    assert "child" in str(fenced[0]["why"])
