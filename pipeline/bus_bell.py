"""Bell: the FIFO on which feeds wake the scanner. The door to it.

In: a ring. Out: a scanner that is awake. Made by the supervisor, waited at by the scanner, rung by feeds; it
is apart from the sockets of the bus because a feed has none, and starts sooner without them.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

BELL = "bell"


def make_bell(run_directory: Path) -> None:
    """Make the FIFO on which feeds wake the scanner."""
    path = run_directory / BELL
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)


class Bell:
    """The doorbell: feeds ring it when the scanner says that it sleeps."""

    def __init__(self, run_directory: Path) -> None:
        # Read-write, so that opening never waits for the other side and a dead side is no end of file.
        self._fd = os.open(run_directory / BELL, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def ring(self) -> None:
        """Wake the scanner. A full FIFO has woken it already."""
        try:
            os.write(self._fd, b"\1")
        except BlockingIOError:
            return

    def wait(self, timeout_ms: int) -> bool:
        """Wait for a ring at most `timeout_ms`, swallow all that came, and say whether any did."""
        if not self._poll.poll(timeout_ms):
            return False
        os.read(self._fd, 65536)
        return True

    def close(self) -> None:
        """Let go of the FIFO."""
        os.close(self._fd)
