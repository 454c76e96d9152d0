"""A feed's books in memory: claimed, published, cut, released, and emptied by a restart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shm import books as memory
from shm.books import BookReader, BookWriter, feed_sections
from shm.records import MARKET, MarketRow
from shm.segment import Segment, attach

EMPTY, LIVE, GAP = 0, 1, 2


def market(name: str, **changes: Any) -> MarketRow:
    return MARKET.empty()._replace(market=name, price_decimals=2, size_decimals=0, **changes)


def publish(writer: BookWriter, name: str, bids: Any, asks: Any, state: int = LIVE, at: int = 100) -> int:
    return writer.publish(name, 0, state, 0, 1, at - 20, at - 10, at, bids, asks)


@pytest.fixture
def owned(own) -> Segment:
    """A feed's segment with three rows and four levels a side."""
    return own(feed_sections(3, 4, 2))


@pytest.fixture
def writer(owned: Segment) -> BookWriter:
    """The feed's side."""
    return BookWriter(owned)


@pytest.fixture
def reader(directory: Path, writer: BookWriter) -> BookReader:
    """Anyone's side."""
    assert writer.depth == 4
    return BookReader(attach(directory, "w"))


def test_a_book_comes_back(writer: BookWriter, reader: BookReader) -> None:
    """Every field and level of a book is read as it was published."""
    row = writer.claim(market("A"))
    assert row is not None and reader.get(row) is None
    assert (len(reader), reader.depth) == (3, 4)
    number = writer.publish("A", 1, LIVE, 3, 9, 10, 20, 30, [(5, 50), (4, 40)], [(6, 60)])
    book = reader.get(row)
    assert book is not None
    assert (book.number, book.epoch, book.connection, book.state, book.reason, book.flags) == (
        number,
        1,
        1,
        LIVE,
        3,
        9,
    )
    assert (book.venue_ns, book.socket_ns, book.publish_ns) == (10, 20, 30)
    assert (book.bids, book.asks) == (((5, 50), (4, 40)), ((6, 60),))
    assert reader.number(row) == number == 1
    assert publish(writer, "A", [], []) == 2
    shorter = reader.get(row)
    assert shorter is not None and (shorter.bids, shorter.asks) == ((), ())


def test_books_are_cut_to_depth(writer: BookWriter, reader: BookReader) -> None:
    """The best levels are published, up to the depth of the segment, on each side apart."""
    row = writer.claim(market("A"))
    assert row is not None
    publish(writer, "A", [(100 - i, i + 1) for i in range(9)], [(101 + i, i + 1) for i in range(4)])
    book = reader.get(row)
    assert book is not None
    assert book.bids == ((100, 1), (99, 2), (98, 3), (97, 4))
    assert book.asks == ((101, 1), (102, 2), (103, 3), (104, 4))


def test_a_number_beyond_its_cell_publishes_nothing(writer: BookWriter, reader: BookReader) -> None:
    """A level beyond int64 raises, and the book before stays as it was."""
    row = writer.claim(market("A"))
    assert row is not None
    publish(writer, "A", [(1, 1)], [(2, 2)])
    with pytest.raises(OverflowError):
        publish(writer, "A", [(1, 2**63)], [])
    book = reader.get(row)
    assert book is not None and (book.number, book.bids, book.asks) == (1, ((1, 1),), ((2, 2),))
    publish(writer, "A", [(3, 3)], [(4, 4)])
    book = reader.get(row)
    assert book is not None and (book.bids, book.asks) == (((3, 3),), ((4, 4),))


def test_claims(writer: BookWriter, reader: BookReader) -> None:
    """A market has one row; a full table refuses, and says so by None."""
    rows = [writer.claim(market(name)) for name in "ABC"]
    assert sorted(row for row in rows if row is not None) == [0, 1, 2]
    assert writer.claim(market("A")) == rows[0]
    assert writer.claim(market("D")) is None
    assert writer.markets() == ["A", "B", "C"]
    assert {row.market for _, row in reader.directory.rows()} == {"A", "B", "C"}


def test_release_and_incarnation(writer: BookWriter, reader: BookReader) -> None:
    """A row given to another market has another incarnation, in the directory and in the book."""
    row = writer.claim(market("A"))
    assert row is not None
    publish(writer, "A", [(1, 1)], [(2, 2)])
    first, old = reader.directory.get(row), reader.get(row)
    assert first is not None and old is not None and old.incarnation == first.incarnation
    writer.release("A")
    released, gone = reader.directory.get(row), reader.get(row)
    assert released is not None and released.market == ""
    assert gone is not None and (gone.state, gone.incarnation, gone.bids) == (EMPTY, 0, ())
    assert writer.claim(market("B")) == row
    second, stale = reader.directory.get(row), reader.get(row)
    assert second is not None and stale is not None
    assert second.incarnation > first.incarnation
    assert stale.incarnation != second.incarnation, "no book of the new market yet"
    publish(writer, "B", [(7, 7)], [])
    book = reader.get(row)
    assert book is not None and (book.incarnation, book.bids) == (second.incarnation, ((7, 7),))
    with pytest.raises(KeyError):
        writer.release("A")


def test_describe(writer: BookWriter, reader: BookReader) -> None:
    """New metadata keeps row and incarnation."""
    row = writer.claim(market("A"))
    assert row is not None
    before = reader.directory.get(row)
    writer.describe(market("A", grid_ticks=5, title="Ä"))
    after = reader.directory.get(row)
    assert before is not None and after == before._replace(grid_ticks=5, title="Ä")
    assert writer.market("A") == after


def test_screen_columns_follow(owned: Segment, writer: BookWriter, directory: Path) -> None:
    """Best prices, sizes, state and number lie in plain columns that numpy reads whole."""
    rows = {name: writer.claim(market(name)) for name in "AB"}
    publish(writer, "A", [(5, 50), (4, 1)], [(6, 60)])
    publish(writer, "A", [(5, 51)], [(6, 61)])
    publish(writer, "B", [], [(9, 90)], state=GAP)
    view = attach(directory, "w")
    screen = np.array([np.frombuffer(view.words(memory.SCREEN, c), np.int64) for c in range(6)])
    assert screen[:, rows["A"]].tolist() == [5, 51, 6, 61, LIVE, 2]
    assert screen[:, rows["B"]].tolist() == [0, 0, 9, 90, GAP, 1]
    writer.release("A")
    assert np.frombuffer(view.words(memory.SCREEN, memory.S_STATE), np.int64)[rows["A"]] == EMPTY
    assert not np.frombuffer(view.words(memory.SCREEN, 0), np.int64).flags.writeable


def test_connections(owned: Segment, reader: BookReader) -> None:
    """Each cell of a connection row is read as it was written."""
    cells = owned.words(memory.CONNECTIONS, 1)
    cells[memory.C_STATE] = 3
    cells[memory.C_PROOF_NS] = 55
    cells[memory.C_LAST_SEQUENCE] = 9
    row = reader.connection(1)
    assert (row.state, row.proof_ns, row.last_sequence, row.reconnects) == (3, 55, 9, 0)
    assert reader.connections()[0].proof_ns == 0
    assert len(reader.connections()) == 2


def test_a_restart_empties_books(directory: Path, own) -> None:
    """After a restart every book is EMPTY with a higher number; the same market gets a new incarnation."""
    first = own(feed_sections(3, 4, 2))
    before = BookWriter(first)
    row = before.claim(market("A"))
    assert row is not None
    publish(before, "A", [(5, 50)], [(6, 60)])
    old = BookReader(attach(directory, "w"))
    book = old.get(row)
    assert book is not None and book.state == LIVE
    first.close()
    after = BookWriter(own(feed_sections(3, 4, 2)))
    emptied = old.get(row)
    assert emptied is not None and (emptied.number, emptied.state, emptied.epoch) == (2, EMPTY, 0)
    assert list(old.directory.rows()) == []
    again = after.claim(market("A"))
    assert again == row
    publish(after, "A", [(7, 70)], [])
    new = BookReader(attach(directory, "w")).get(row)
    assert new is not None and (new.number, new.epoch, new.bids) == (3, 2, ((7, 70),))
    assert new.incarnation > book.incarnation
