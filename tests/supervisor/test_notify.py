"""Notify: systemd hears that the run is up and alive, and a run without systemd says nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.supervisor.notify import Notifier

SECOND_NS = 1_000_000_000


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What systemd puts into NOTIFY_SOCKET, and the socket behind it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@parallax-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.bind("\0" + name[1:] if name.startswith("@") else name)
        heard.settimeout(10)
        yield name, heard


def test_states_arrive(systemd: tuple[str, socket.socket]) -> None:
    """READY=1 and STOPPING=1 are datagrams of their own, in order, by path and by abstract name."""
    name, heard = systemd
    with closing(Notifier({"NOTIFY_SOCKET": name})) as notifier:
        assert notifier.send("READY=1")
        assert notifier.send("STOPPING=1")
        assert (heard.recv(100), heard.recv(100)) == (b"READY=1", b"STOPPING=1")
        notifier.beat(10**18)
        heard.setblocking(False)
        with pytest.raises(BlockingIOError):
            heard.recv(100)


def test_the_watchdog_is_fed_at_half_of_its_time(systemd: tuple[str, socket.socket]) -> None:
    """However often the loop turns, WATCHDOG=1 goes out once in half of what systemd waits for."""
    name, heard = systemd
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    with closing(Notifier(environ)) as notifier:
        for turn in range(250):
            notifier.beat(5 * SECOND_NS + turn * 20_000_000)
    heard.setblocking(False)
    said = []
    while True:
        try:
            said.append(heard.recv(100))
        except BlockingIOError:
            break
    assert said == [b"WATCHDOG=1"] * 5


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/nobody/is/here"}])
def test_without_a_listener_nothing_happens(environ: dict[str, str]) -> None:
    """No systemd, or one that has gone: every call is harmless."""
    with closing(Notifier(environ)) as notifier:
        assert not notifier.send("READY=1")
        notifier.beat(1)


def test_another_processes_watchdog_is_not_ours(systemd: tuple[str, socket.socket]) -> None:
    """WATCHDOG_PID of another process: we do not answer for it."""
    name, heard = systemd
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}
    with closing(Notifier(environ)) as notifier:
        notifier.beat(SECOND_NS)
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(100)
