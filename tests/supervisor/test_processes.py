"""Processes: children that are started apart, signalled, reaped; strangers that are not touched."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.supervisor import processes
from pipeline.supervisor.processes import Child, signal_number, signal_proven
from pipeline.supervisor.silence import NO_WAITS
from shm.segment import pid_start

CLOCK = SystemClock()
PATIENCE_NS = 30_000_000_000
Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a child of Python source; every child is gone afterwards."""
    children: list[Child] = []

    def make(source: str) -> Child:
        command = [sys.executable, "-c", source]
        children.append(Child(command, dict(os.environ, MARK="mine"), tmp_path / "logs" / "child.out"))
        return children[-1]

    yield make
    for child in children:
        child.signal(signal.SIGKILL)
        ended(child)


def ended(child: Child) -> bool:
    """Whether the child ends before patience does."""
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while child.alive():
        if CLOCK.monotonic_ns() > deadline:
            return False
        CLOCK.sleep(0.002)
    return True


def output(tmp_path: Path) -> str:
    return (tmp_path / "logs" / "child.out").read_text()


def wait_for_output(tmp_path: Path, text: str) -> None:
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while text not in output(tmp_path):
        assert CLOCK.monotonic_ns() < deadline
        CLOCK.sleep(0.002)


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.mark.parametrize("code", [0, 1, 3])
def test_an_exit_code_is_reported(start: Start, code: int) -> None:
    """A child that ends by itself is reaped with its exit code."""
    child = start(f"raise SystemExit({code})")
    assert ended(child)
    assert child.exit_status == code
    assert pid_start(child.pid) is None


def test_a_killed_child_shows_the_signal(start: Start, tmp_path: Path) -> None:
    """A child that a signal ended has minus its number, and is no zombie."""
    child = start(SLEEPER)
    wait_for_output(tmp_path, "up")
    assert child.alive()
    assert child.exit_status == 0
    child.signal(signal.SIGKILL)
    assert ended(child)
    assert child.exit_status == -signal.SIGKILL
    assert not Path(f"/proc/{child.pid}").exists()


def test_signalling_the_dead_is_harmless(start: Start) -> None:
    """A signal to a child that has ended, reaped or not, does nothing."""
    child = start("pass")
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while pid_start(child.pid) is not None and CLOCK.monotonic_ns() < deadline:
        CLOCK.sleep(0.002)
    child.signal(signal.SIGKILL)
    assert child.exit_status == 0
    child.signal(signal.SIGKILL)
    assert not child.alive()


def test_a_child_stands_apart(start: Start, tmp_path: Path) -> None:
    """It has a session of its own, nothing on stdin, its own file for output, and the environment we gave."""
    source = (
        "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', os.environ['MARK']);"
        "sys.stderr.write('and errors')"
    )
    assert ended(start(source))
    assert output(tmp_path).splitlines() == ["True True mine", "and errors"]


def test_output_of_the_next_child_follows(start: Start, tmp_path: Path) -> None:
    """A restarted worker's output does not erase what the last one said."""
    assert ended(start("print('first')"))
    assert ended(start("print('second')"))
    assert output(tmp_path) == "first\nsecond\n"


def test_a_child_inherits_no_descriptor(start: Start, tmp_path: Path) -> None:
    """No lock or socket of ours lives on in a child."""
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert ended(start(f"import os; os.fstat({file.fileno()})"))
    assert "Bad file descriptor" in output(tmp_path)


def test_a_stranger_is_signalled_only_with_proof(start: Start, tmp_path: Path) -> None:
    """A pid alone may have been given to another process: without the right start time nothing is sent."""
    child = start(SLEEPER)
    wait_for_output(tmp_path, "up")
    assert child.pid_start == pid_start(child.pid)
    for started in (0, child.pid_start - 1, child.pid_start + 1):
        assert not signal_proven(child.pid, started, signal.SIGKILL)
    assert child.alive()
    assert signal_proven(child.pid, child.pid_start, signal.SIGKILL)
    assert ended(child)
    assert child.exit_status == -signal.SIGKILL
    assert not signal_proven(child.pid, child.pid_start, signal.SIGKILL)


@pytest.mark.parametrize("pid", [0, -1, -5])
def test_groups_and_all_are_never_signalled(pid: int) -> None:
    """0 and negative numbers mean many processes to the system, so they are refused."""
    assert not signal_proven(pid, 0, signal.SIGKILL)


def test_nobody_signals_itself() -> None:
    """A segment that names ourselves as its owner is no reason to end."""
    assert not signal_proven(os.getpid(), pid_start(os.getpid()) or 0, signal.SIGKILL)


def test_signals_have_names() -> None:
    """Names go with or without SIG, in any case; what is not on the list is no signal."""
    assert signal_number("KILL") == signal_number("sigkill") == signal.SIGKILL
    assert signal_number("term") == signal.SIGTERM
    assert signal_number("STOP") == signal.SIGSTOP
    assert signal_number("9") is None
    assert signal_number("") is None


def test_an_end_is_seen_without_asking(start: Start, tmp_path: Path) -> None:
    """A descriptor becomes readable when the child ends, not before, and is given back when it is reaped."""
    child = start(SLEEPER)
    wait_for_output(tmp_path, "up")
    poll = select.poll()
    poll.register(child.end_fd, select.POLLIN)
    assert poll.poll(0) == []
    child.signal(signal.SIGSTOP)
    assert poll.poll(20) == []
    os.kill(child.pid, signal.SIGKILL)
    assert [fd for fd, _ in poll.poll(30_000)] == [child.end_fd]
    assert not child.alive()
    assert child.end_fd == -1


def test_where_no_descriptor_tells_a_child_is_asked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without pidfds has children all the same, and sees their end."""
    monkeypatch.delattr(processes.os, "pidfd_open")
    child = start("pass")
    assert child.end_fd == -1
    assert ended(child)
    assert child.exit_status == 0


def test_what_a_child_waits_for_is_seen(start: Start, tmp_path: Path) -> None:
    """Of two that want the same processor each waits while the other has it; one that is stopped waits for
    nothing, and neither does one that has ended.
    """
    source = "print('up', flush=True)\nwhile True: pass"
    children = [start(source), start(source)]
    for child in children:
        os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
    before = [child.waits().queued_ns for child in children]
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while any(child.waits().queued_ns - b < 50_000_000 for child, b in zip(children, before, strict=True)):
        assert CLOCK.monotonic_ns() < deadline
        CLOCK.sleep(0.01)
    for child in children:
        child.signal(signal.SIGSTOP)
    while not all(child.stopped() for child in children):
        CLOCK.sleep(0.002)
    stopped = children[0].waits()
    CLOCK.sleep(0.05)
    assert children[0].waits() == stopped
    assert not stopped.blocked
    children[1].signal(signal.SIGKILL)
    assert ended(children[1])
    assert children[1].waits() == NO_WAITS


def test_what_a_child_takes_is_measured(start: Start, tmp_path: Path) -> None:
    """Memory, handles, threads and the share of a core since the last measurement; None once gone."""
    source = "data = b'x' * (40 << 20); print('up', flush=True)\nwhile True: pass"
    child = start(source)
    wait_for_output(tmp_path, "up")
    first = child.usage(CLOCK.monotonic_ns())
    assert first is not None
    assert first.rss_bytes > 40 << 20
    assert (first.cpu_permille, first.threads) == (0, 1)
    assert first.descriptors >= 3
    CLOCK.sleep(0.1)
    second = child.usage(CLOCK.monotonic_ns())
    assert second is not None
    assert 0 < second.cpu_permille < 5000
    child.signal(signal.SIGKILL)
    assert ended(child)
    assert child.usage(CLOCK.monotonic_ns()) is None
