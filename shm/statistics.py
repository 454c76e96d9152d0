"""Statistics: what a feed measures about itself beside its counters, as named cells in its segment.

In: numbers that go up and down: lag, rate, subscriptions. Out: those and the monotone counters under one
set of names, for `status`, `pipeline.client` and anyone else. Written by a feed, once a second or so. What
a counter says is read from the counter, never kept twice. Each cell is valid by itself.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from shm import layout as lo
from shm.segment import Segment, View
from shm.tables import read_counters

STATISTICS = "statistics"
WORDS = 16  # cells, spare ones included


class Statistics(NamedTuple):
    """A feed's gauges. Lag is when a message reached us less the venue's time in it: negative is normal.

    `subscriptions_wanted` are markets asked for, `subscriptions` those of them that the venue confirmed
    by word or by a first book; `connections_wanted` and `connections_up` likewise. `lag_samples` and
    `lag_skipped` count since the feed's start; a time of 0 or an hour off is skipped. The rate is frames.
    """

    subscriptions_wanted: int = 0
    subscriptions: int = 0
    connections_wanted: int = 0
    connections_up: int = 0
    lag_p50_ns: int = 0
    lag_p99_ns: int = 0
    lag_samples: int = 0
    lag_skipped: int = 0
    rate_milli_per_s: int = 0
    updated_ns: int = 0


DRAWING = ",".join(Statistics._fields)

# What people and the seeds call a counter: its name in the segment.
COUNTED = {
    "total_events": "book_messages",
    "messages": "frames",
    "gaps": "gaps",
    "checksum_failures": "checksums_bad",
    "reconnects": "reconnects",
    "parse_errors": "bad_frames",
    "duplicates": "duplicates",
    "witness_checks": "witness_checks",
    "witness_mismatches": "witness_mismatches",
}


def statistics_section() -> lo.Section:
    """One row of cells, emptied when the feed starts anew."""
    return lo.Section(STATISTICS, lo.WORDS, 1, WORDS, drawing=DRAWING)


class StatisticsWriter:
    """The feed's side."""

    def __init__(self, segment: Segment) -> None:
        self._cells = segment.words(STATISTICS)[: len(Statistics._fields)]

    def put(self, values: Statistics) -> None:
        """Show these values. Raises OverflowError for one beyond int64."""
        self._cells[:] = memoryview(array("q", values))


def read_statistics(view: View) -> Statistics:
    """The gauges of a feed's segment; zeros where it has none. Raises SegmentError for other cells."""
    if STATISTICS not in view.sections():
        return Statistics()
    view.check(STATISTICS, DRAWING)
    return Statistics(*view.words(STATISTICS)[: len(Statistics._fields)])


def read_counted(view: View) -> dict[str, int]:
    """The counters of a feed's segment under the names of COUNTED; 0 for one that it does not keep."""
    counters = read_counters(view)
    return {name: counters.get(counter, 0) for name, counter in COUNTED.items()}
