"""Typed rows, counters, distinct errors and rings, as owners write them and anybody reads them."""

from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from shm import layout as lo
from shm.layout import Record
from shm.segment import SegmentError, attach
from shm.tables import (
    COUNTER_LABEL_WORDS,
    ERROR_ROWS,
    Counters,
    ErrorTable,
    RingWriter,
    TableReader,
    TableWriter,
    counter_section,
    error_section,
    read_counters,
    read_errors,
    read_ring,
)


class Row(NamedTuple):
    """A row for tests."""

    name: Annotated[str, 16]
    size: int


class Numbered(NamedTuple):
    """A ring's row for tests."""

    sequence: int
    text: Annotated[str, 8]


ROW: Record[Row] = Record(Row)
NUMBERED: Record[Numbered] = Record(Numbered)


def test_tables(directory: Path, own) -> None:
    """A row comes back as it was put; one that was cleared or never put is not listed."""
    made = own([ROW.section("t", 4)])
    writer = TableWriter(made, "t", ROW)
    reader = TableReader(attach(directory, "w"), "t", ROW)
    assert (len(writer), len(reader), reader.get(1)) == (4, 4, None)
    assert writer.put(1, Row("one", -1)) == 1
    assert writer.put(3, Row("drei·€", 2**63 - 1)) == 1
    assert list(reader.rows()) == [(1, Row("one", -1)), (3, Row("drei·€", 2**63 - 1))]
    writer.clear(1)
    writer.clear(0)
    assert (reader.get(1), reader.number(1), reader.number(0)) == (Row("", 0), 2, 0)
    assert [index for index, _ in reader.rows()] == [3]


def test_a_table_of_another_program_is_refused(directory: Path, own) -> None:
    """A table that is missing or has other cells is a SegmentError, never misread."""
    own([ROW.section("t", 4)])
    view = attach(directory, "w")
    for name, record in (("t", NUMBERED), ("u", ROW)):
        with pytest.raises(SegmentError, match="same checkout"):
            TableReader(view, name, record)


def test_counters(directory: Path, own) -> None:
    """Counters have names that any reader can list, only grow, and are kept over a restart."""
    names = ("frames", "gaps", "x" * 48)
    made = own([counter_section(names)])
    counters = Counters(made, names)
    counters.add("frames")
    counters.add("frames", 4)
    counters.add("gaps", 2)
    assert read_counters(attach(directory, "w")) == {"frames": 5, "gaps": 2, "x" * 48: 0}
    made.close()
    again = Counters(own([counter_section(names)]), names)
    again.add("frames")
    assert read_counters(attach(directory, "w"))["frames"] == 6
    with pytest.raises(KeyError):
        again.add("unknown")


def test_counter_names_are_layout() -> None:
    """Other names are another layout: a count never goes on under a wrong name."""
    hashes = {lo.layout_hash([counter_section(names)]) for names in (("a", "b"), ("b", "a"), ("a", "c"))}
    assert len(hashes) == 3
    for wrong in (("a", "a"), ("x" * (8 * COUNTER_LABEL_WORDS + 1),)):
        with pytest.raises(AssertionError):
            counter_section(wrong)


def test_a_segment_without_counters_or_errors(directory: Path, own) -> None:
    """A segment may have no counters; asking for them is not an error."""
    own([ROW.section("t", 1)])
    assert read_counters(attach(directory, "w")) == {}


def test_errors_are_distinct(directory: Path, own) -> None:
    """The same text is one row with a count and both times; the latest comes first."""
    table = ErrorTable(own([error_section()]))
    table.report("late", 10)
    table.report("torn €", 20)
    table.report("late", 30)
    view = attach(directory, "w")
    assert [tuple(row) for row in read_errors(view)] == [("late", 2, 10, 30), ("torn €", 1, 20, 20)]


def test_long_errors_are_cut_and_stay_distinct(directory: Path, own) -> None:
    """A text is cut at a character within its cells, and counted under what is left of it."""
    table = ErrorTable(own([error_section()]))
    for _ in range(3):
        table.report("é" * 150, 1)
    table.report("a\0b", 2)
    assert [(row.text, row.seen) for row in read_errors(attach(directory, "w"))] == [("a", 1), ("é" * 100, 3)]


def test_errors_cannot_flood(directory: Path, own) -> None:
    """When the table is full, the error not seen for longest gives way."""
    table = ErrorTable(own([error_section()]))
    for number in range(ERROR_ROWS):
        table.report(f"e{number}", number)
    table.report("e0", 1000)
    for number in range(5):
        table.report(f"new{number}", 2000 + number)
    texts = [row.text for row in read_errors(attach(directory, "w"))]
    assert len(texts) == ERROR_ROWS
    assert texts[:6] == ["new4", "new3", "new2", "new1", "new0", "e0"]
    assert {f"e{n}" for n in range(1, 6)}.isdisjoint(texts)


def test_errors_outlive_their_writer(directory: Path, own) -> None:
    """After a restart the counts go on where they were."""
    made = own([error_section()])
    ErrorTable(made).report("late", 10)
    made.close()
    table = ErrorTable(own([error_section()]))
    table.report("late", 99)
    table.report("new", 50)
    rows = read_errors(attach(directory, "w"))
    assert [tuple(row) for row in rows] == [("late", 2, 10, 99), ("new", 1, 50, 50)]


def test_rings(directory: Path, own) -> None:
    """A ring holds the last records, newest first, across its seam."""
    made = own([NUMBERED.section("r", 4)])
    ring = RingWriter(made, "r", NUMBERED)
    view = attach(directory, "w")
    assert read_ring(view, "r", NUMBERED) == []
    for number in range(1, 11):
        ring.append(Numbered(number, f"n{number}"))
        newest = read_ring(view, "r", NUMBERED)
        assert [row.sequence for row in newest] == list(range(number, max(0, number - 4), -1))
    with pytest.raises(AssertionError):
        ring.append(Numbered(0, ""))
