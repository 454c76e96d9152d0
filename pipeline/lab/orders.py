"""Orders: what a running lab is told to do, in a file of the run directory.

In: run/faults.json, which somebody replaces atomically. Out: its text, once for each replacement. Asked by
the lab's worker each step; written by the selftest. A simulated run alone has a lab to obey.
"""

from __future__ import annotations

from pathlib import Path

ORDERS_FILE = "faults.json"


class OrderBook:
    """Notices when the file of orders is another. What lay there before us was for an earlier lab."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()

    def new(self) -> bytes | None:
        """The orders that came since the last call, None for none. Cheap: call it every step."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _stamp(self) -> tuple[int, int]:
        """Two replacements may fall into one tick of the file system's clock: the inode tells them apart."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino


def give(path: Path, text: bytes) -> None:
    """Replace the file of orders as a whole."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(text)
    temporary.replace(path)
