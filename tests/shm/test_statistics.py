"""A feed's gauges and counters under the names that people use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shm import layout as lo
from shm import segment as segments
from shm.statistics import (
    COUNTED,
    STATISTICS,
    WORDS,
    Statistics,
    StatisticsWriter,
    read_counted,
    read_statistics,
    statistics_section,
)
from shm.tables import Counters, counter_section

Own = Callable[..., segments.Segment]


def test_every_cell_comes_back_under_its_name(directory: Path, own: Own) -> None:
    """What a feed puts is what a reader gets, negative lags too; there is room for more cells."""
    segment = own([statistics_section()])
    values = Statistics(*range(10, 10 + len(Statistics._fields)))._replace(
        lag_p50_ns=-5, lag_p99_ns=2**63 - 1
    )
    StatisticsWriter(segment).put(values)
    assert read_statistics(segments.attach(directory, "w")) == values
    assert len(Statistics._fields) < WORDS


def test_what_does_not_fit_a_cell_changes_none(directory: Path, own: Own) -> None:
    """A value beyond int64 is refused before the first store."""
    writer = StatisticsWriter(own([statistics_section()]))
    writer.put(Statistics(subscriptions=3))
    with pytest.raises(OverflowError):
        writer.put(Statistics(subscriptions=4, lag_p50_ns=2**63))
    assert read_statistics(segments.attach(directory, "w")) == Statistics(subscriptions=3)


def test_a_segment_without_statistics_reads_as_zeros(directory: Path, own: Own) -> None:
    """A feed that measures nothing is no trouble; cells of another meaning are refused."""
    own([lo.Section("other", lo.WORDS, 1, 8)])
    assert read_statistics(segments.attach(directory, "w")) == Statistics()
    own([lo.Section(STATISTICS, lo.WORDS, 1, WORDS, drawing="of another version")], "v")
    with pytest.raises(segments.SegmentError, match="statistics"):
        read_statistics(segments.attach(directory, "v"))


def test_counters_are_named_as_people_name_them(directory: Path, own: Own) -> None:
    """What a counter says is read from the counter; one that the feed does not keep is 0."""
    names = ("frames", "book_messages", "checksums_bad", "own")
    segment = own([counter_section(names)])
    counters = Counters(segment, names)
    counters.add("frames", 7)
    counters.add("book_messages", 5)
    counters.add("checksums_bad")
    found = read_counted(segments.attach(directory, "w"))
    assert set(found) == set(COUNTED)
    assert (found["messages"], found["total_events"], found["checksum_failures"]) == (7, 5, 1)
    assert found["gaps"] == 0


def test_a_restart_empties_the_gauges(directory: Path, own: Own) -> None:
    """A new owner has measured nothing yet."""
    first = own([statistics_section()])
    StatisticsWriter(first).put(Statistics(subscriptions=3))
    first.close()
    own([statistics_section()])
    assert read_statistics(segments.attach(directory, "w")) == Statistics()
