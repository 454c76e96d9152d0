"""Lock: the file that a segment's owner holds locked for life. The door to flock.

In: a segment's path. Out: the lock, or word that somebody living has it. The kernel frees the lock when
its holder ends, however it ends. Readers never touch it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from shm.header import SegmentBusyError

LOCK_RETRY_SECONDS = 0.2
LOCK_TRIES = 20


class Sleep(Protocol):
    """How a segment waits for its lock: the caller's clock."""

    def __call__(self, seconds: float, /) -> None:
        """Wait."""
        ...


def lock_path(path: Path) -> Path:
    """The lock file that a segment's owner holds for life."""
    return path.with_name(path.name + ".lock")


def take_lock(path: Path, sleep: Sleep) -> int:
    """Hold the lock file of `path`, trying for LOCK_RETRY_SECONDS; return its descriptor."""
    for _ in range(LOCK_TRIES):
        fd = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A lock on a file that its last owner has just removed is worth nothing.
            if os.fstat(fd).st_ino == os.stat(lock_path(path)).st_ino:
                return fd
        except (BlockingIOError, FileNotFoundError):
            sleep(LOCK_RETRY_SECONDS / LOCK_TRIES)
        os.close(fd)
    raise SegmentBusyError(f"{path.name} is owned by a running process: stop it first (run.py status)")


def lock_is_free(path: Path) -> bool:
    """Whether nobody owns the segment. For the supervisor's clean-up only; readers never call this."""
    try:
        fd = os.open(lock_path(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
