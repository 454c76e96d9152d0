"""The lock that makes one owner: held for life, free with its holder's end, never taken on the wrong file."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shm import layout as lo
from shm import lock
from shm.segment import Segment, SegmentBusyError, attach, lock_is_free, lock_path

Own = Callable[..., Segment]
SECTIONS = [lo.Section("rows", lo.SLOTS, 2, 3)]


def test_a_lock_on_a_file_just_removed_is_worth_nothing(
    directory: Path, own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last owner removes its files between our opening the lock and taking it: we take the new one."""
    first = own(SECTIONS)
    real, taken = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not taken:
            first.close(unlink=True)
        taken.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    second = own(SECTIONS)
    assert len(taken) == 2
    assert second.header.epoch == 1
    with pytest.raises(SegmentBusyError):
        own(SECTIONS)
    assert not lock_is_free(directory / "w")


def test_an_owner_gets_what_another_is_just_leaving(directory: Path, own: Own) -> None:
    """Who comes while the last owner ends has the segment within its tries, one epoch on."""
    first = own(SECTIONS)
    waits: list[float] = []

    def leave_at_third(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.close()

    descriptor = lock.take_lock(directory / "w", leave_at_third)
    assert len(waits) == 3
    os.close(descriptor)
    assert own(SECTIONS).header.epoch == 2


def test_asking_whether_it_is_free_takes_nothing(directory: Path, own: Own) -> None:
    """A lock that never was is free, one that is held is not, and asking changes neither."""
    assert lock_is_free(directory / "w")
    assert not directory.exists()
    segment = own(SECTIONS)
    for _ in range(3):
        assert not lock_is_free(segment.path)
    segment.close()
    for _ in range(3):
        assert lock_is_free(segment.path)
    assert own(SECTIONS).header.ready


def test_the_lock_file_is_private_and_not_inherited(own: Own) -> None:
    """Mode 0600, and closed in every program that the owner starts: a child never keeps the lock."""
    segment = own(SECTIONS)
    status = os.stat(lock_path(segment.path))
    assert stat.S_IMODE(status.st_mode) == 0o600
    held = [fd for fd in map(int, os.listdir("/proc/self/fd")) if is_file(fd, status)]
    assert held and not any(os.get_inheritable(fd) for fd in held)


def is_file(descriptor: int, status: os.stat_result) -> bool:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def test_readers_never_touch_the_lock(directory: Path, own: Own) -> None:
    """A segment is read while it is owned, while it is not, and when its lock file is gone."""
    segment = own(SECTIONS)
    assert attach(directory, "w").header.ready
    segment.close()
    lock_path(segment.path).unlink()
    assert attach(directory, "w").header.ready
    assert os.listdir(directory) == ["w"]
