"""Crash: kills this very process at a named point, so that tests can show that nothing is lost there.

In: the environment variable PARALLAX_CRASH_AT, "point:n" (the n-th passage, 1 where it is left out). Out:
nothing, or SIGKILL. Unset, as it is for users, a point is one look at an empty name. Used by the trader and
the paper exchange at the steps of reliability.md 2 A7.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "PARALLAX_CRASH_AT"

TRADER_POINTS = (
    "decided",  # passed the gate, nothing written
    "before_commit",  # any transaction of the journal, just before it is committed
    "after_commit",  # any transaction of the journal is committed
    "committed",  # intents are committed, nothing sent
    "sent",  # the orders are with the socket
    "reported",  # the broker's report is here, not booked
    "booked",  # the report is booked
    "repair_decided",  # one leg is filled, how to repair is decided
    "repair_sent",  # the hedge or unwind is with the socket
    "cancel_sent",  # a quote's end was asked for
    "resolving",  # after a restart: an order of the last run was asked for
    "settled",  # a settlement is booked
)
"""The named points of a trader, in the order of a trade's life."""


class CrashPoints:
    """Counts passages; kills at the one that is asked for. Raises ValueError for a name that is no point."""

    def __init__(self, wanted: str) -> None:
        name, _, number = wanted.partition(":")
        if name and name not in TRADER_POINTS:
            raise ValueError(f"{VARIABLE}: no point {name!r}; there are: {', '.join(TRADER_POINTS)}")
        self._name = name
        self._left = int(number or 1)

    def at(self, name: str) -> None:
        """Pass a point."""
        if name != self._name:
            return
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def from_environment() -> CrashPoints:
    """The points that this process was started with."""
    return CrashPoints(os.environ.get(VARIABLE, ""))
