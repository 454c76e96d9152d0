"""Flatten: orders of people to close all that is held of an event, in a file of the run directory.

In: an event and who asks. Out: numbered orders, to whoever looks, until they are older than they may be. The
supervisor writes the file, whole; the trader reads it and never obeys a number twice: what it has begun and
ended stands in its journal. What becomes of an order is a `shm.records.FlattenRow` of the trader's segment.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import msgspec

FLATTEN_FILE = "flatten.json"
KEPT = 16
"""Orders that the file holds; older ones have had their time."""
PATIENCE_SECONDS = 30
"""So long after it was given an order is worked on: then what is left stays."""
MS_NS = 1_000_000


class FlattenState(IntEnum):
    """What became of an order: FLAT (but for dust), REFUSED (nothing was sent), or ENDED with more left."""

    FREE = 0
    WORKING = 1
    FLAT = 2
    REFUSED = 3
    ENDED = 4


class FlattenOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order. Numbers grow from one to the next, over runs too; `wall_ns` is when it was given."""

    number: int
    event_id: str
    who: str
    wall_ns: int


class FlattenFile:
    """The file of orders. Looking whether it is another one is one `stat`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = (0, 0)

    def give(self, event_id: str, who: str, wall_ns: int) -> FlattenOrder:
        """Add an order and return it. Raises OSError when the file cannot be written."""
        orders = self.orders()
        last = max((order.number for order in orders), default=0)
        # The moment in ms is a number that no earlier run gave.
        made = FlattenOrder(max(last + 1, wall_ns // MS_NS), event_id, who, wall_ns)
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode([*orders, made][-KEPT:]))
        temporary.replace(self._path)
        return made

    def orders(self) -> list[FlattenOrder]:
        """Every order in the file, oldest first; none where it is not there or cannot be understood."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            return msgspec.json.decode(text, type=list[FlattenOrder])
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Only a supervisor of ours writes here: another's text is no order of anybody's.
            return []

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; of a first call, whether there is one."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino
        except FileNotFoundError:
            stamp = 0, 0
        if stamp == self._seen:
            return False
        self._seen = stamp
        return True
