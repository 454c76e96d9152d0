"""Probe: a trader notices that another process has taken the path on which it is spoken to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from pipeline.bus import OPPORTUNITIES, Inbox, address, make_key
from pipeline.trader.probe import BUSY, EVERY_NS, LATE_NS, PAUSE_NS, STOLEN, Probe
from pipeline.wire import Sealer, Token

STEP_NS = 20_000_000


class Listener:
    """A trader's way in, on a clock of its own; messages take their real time."""

    def __init__(self, folder: Path) -> None:
        self.sealer = Sealer(make_key(folder))
        self.folder = folder
        self.inbox = Inbox(folder)
        self.probe = Probe(folder, self.sealer, 3, self.inbox)
        self.now = 0
        self.heard = self.lost = 0
        self.said = ""
        self.is_reading = True

    def turns(self, for_ns: int) -> None:
        """Let time pass in turns."""
        until = self.now + for_ns
        while self.now < until:
            self.now += STEP_NS
            said = self.probe.turn(self.now)
            self.said, self.lost = said or self.said, self.lost + bool(said)
            frame = self.inbox.receive(2) if self.is_reading else None
            if frame is not None:
                token = self.sealer.open_offer(frame)
                assert isinstance(token, Token)
                self.heard += self.probe.heard(token)

    def until(self, check: str, least: int) -> None:
        """Turn until a count has grown so far."""
        deadline = time.monotonic() + 30
        while getattr(self, check) < least:
            assert time.monotonic() < deadline
            self.turns(STEP_NS)


@pytest.fixture
def listener(tmp_path) -> Iterator[Listener]:
    made = Listener(tmp_path)
    yield made
    made.probe.close()
    made.inbox.close()


def test_tokens_come_back(listener: Listener) -> None:
    """Alone on its path, a trader hears itself, twice a second, and is never deaf."""
    listener.until("heard", 3)
    assert (listener.lost, listener.probe.deaf) == (0, False)
    assert EVERY_NS + LATE_NS < 2_000_000_000


def test_a_thief_is_noticed_and_the_path_taken_back(listener: Listener) -> None:
    """A second bind on the path makes it deaf within two seconds of its clock; then it has the path again,
    hears itself, and is deaf no longer.
    """
    listener.until("heard", 1)
    thief = zmq.Context.instance().socket(zmq.PULL)
    thief.setsockopt(zmq.LINGER, 0)
    try:
        thief.bind(address(listener.folder, OPPORTUNITIES))
        stolen_ns = listener.now
        listener.until("lost", 1)
        assert listener.now - stolen_ns < 2_000_000_000
        assert listener.probe.deaf
        assert listener.said == STOLEN
        heard = listener.heard
        listener.until("heard", heard + 1)
        assert not listener.probe.deaf
    finally:
        thief.close(0)


def test_a_busy_machine_is_no_thief(listener: Listener) -> None:
    """Tokens that come too late make it deaf until one comes in time, but nobody is accused, and nothing is
    bound again: each bind of the same path would keep a descriptor for good.
    """
    listener.until("heard", 1)
    before = len(os.listdir("/proc/self/fd"))
    listener.is_reading = False
    listener.until("lost", 5)
    assert (listener.said, listener.probe.deaf) == (BUSY, True)
    listener.is_reading = True
    listener.until("heard", 2)
    assert not listener.probe.deaf
    # A connection under way has a few of its own.
    assert len(os.listdir("/proc/self/fd")) < before + 5


def test_a_trader_that_was_stopped_concludes_nothing(listener: Listener) -> None:
    """After a pause between turns the token under way is forgotten, and another one sent."""
    listener.until("heard", 1)
    listener.turns(EVERY_NS)
    for _ in range(3):
        listener.now += LATE_NS + PAUSE_NS
        assert not listener.probe.turn(listener.now)
    assert not listener.probe.deaf


def test_another_token_is_not_ours(listener: Listener) -> None:
    """An old number, or one of another epoch, does not count as heard."""
    listener.probe.turn(1)
    assert not listener.probe.heard(Token(3, 0, 1))
    assert not listener.probe.heard(Token(2, 1, 1))
    assert listener.probe.heard(Token(3, 1, 1))
    assert not listener.probe.heard(Token(3, 1, 1))
