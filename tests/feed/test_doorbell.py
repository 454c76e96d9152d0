"""Doorbell: a feed wakes a scanner that says it sleeps, and no other."""

from __future__ import annotations

from pathlib import Path

from pipeline.bus import Bell, make_bell
from pipeline.clock import ManualClock
from pipeline.feed.doorbell import Doorbell
from pipeline.scanner.segment import sections
from shm import segment as segments


def test_only_a_sleeping_scanner_is_woken(tmp_path: Path) -> None:
    """Nobody there and nobody asleep hear nothing; a sleeper hears each ring, also one that came before."""
    clock = ManualClock()
    make_bell(tmp_path)
    doorbell = Doorbell(tmp_path, tmp_path, clock)
    assert doorbell.ring(clock.monotonic_ns()) is False
    scanner = segments.create(
        tmp_path, "scanner", sections(4), segments.this_owner(),
        monotonic_ns=clock.monotonic_ns(), wall_ns=clock.wall_ns(), sleep=clock.sleep,
    )  # fmt: skip
    clock.sleep(1)
    bell = Bell(tmp_path)
    assert doorbell.ring(clock.monotonic_ns()) is False
    assert bell.wait(0) is False
    scanner.set_sleeping(True)
    assert doorbell.ring(clock.monotonic_ns()) is True
    assert doorbell.ring(clock.monotonic_ns()) is True
    assert bell.wait(0) is True
    assert bell.wait(0) is False
    scanner.set_sleeping(False)
    assert doorbell.ring(clock.monotonic_ns()) is False
    bell.close()
    scanner.close()
