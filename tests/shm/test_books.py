"""A feed's books in memory: claimed, published, released, remembered, and emptied by a restart."""

from array import array
from pathlib import Path
from typing import Any

import pytest

from shm import books as memory
from shm.books import BOOK_HEAD_WORDS, BookReader, BookWriter, feed_sections, new_page
from shm.history import HISTORY, HistoryReader
from shm.records import MARKET, MarketRow
from shm.segment import Segment, attach

EMPTY, LIVE, GAP = 0, 1, 2


def market(name: str, **changes: Any) -> MarketRow:
    return MARKET.empty()._replace(market=name, price_decimals=2, size_decimals=0, **changes)


def page_of(bids: Any, asks: Any) -> array:
    """A row of four levels a side with these in place."""
    page = new_page(4)
    for first, levels in ((BOOK_HEAD_WORDS, bids), (BOOK_HEAD_WORDS + 8, asks)):
        flat = [word for level in levels for word in level]
        page[first : first + len(flat)] = array("q", flat)
    return page


def publish(writer: BookWriter, row: Any, bids: Any, asks: Any, state: int = LIVE, at: int = 100) -> int:
    page = page_of(bids, asks)
    return writer.publish(row, page, len(bids), len(asks), 0, state, 0, 1, at - 20, at - 10, at, at - 5, at)


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
    page = page_of([(5, 50), (4, 40)], [(6, 60)])
    number = writer.publish(row, page, 2, 1, 1, LIVE, 3, 9, 10, 20, 30, 25, 35)
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
    assert (book.venue_ns, book.socket_ns, book.publish_ns, book.witness_ns) == (10, 20, 30, 25)
    assert (book.bids, book.asks) == (((5, 50), (4, 40)), ((6, 60),))
    assert reader.number(row) == number == 1
    assert publish(writer, row, [], []) == 2
    shorter = reader.get(row)
    assert shorter is not None and (shorter.bids, shorter.asks) == ((), ())


def test_a_full_row_comes_back(writer: BookWriter, reader: BookReader) -> None:
    """As many levels as the segment has room for, on each side apart."""
    row = writer.claim(market("A"))
    assert row is not None
    publish(writer, row, [(100 - i, i + 1) for i in range(4)], [(101 + i, i + 1) for i in range(4)])
    book = reader.get(row)
    assert book is not None
    assert book.bids == ((100, 1), (99, 2), (98, 3), (97, 4))
    assert book.asks == ((101, 1), (102, 2), (103, 3), (104, 4))


def test_a_row_of_another_depth_publishes_nothing(writer: BookWriter, reader: BookReader) -> None:
    """A book laid out for another segment is a broken invariant, and the book before stays as it was."""
    row = writer.claim(market("A"))
    assert row is not None
    publish(writer, row, [(1, 1)], [(2, 2)])
    for depth in (3, 5):
        with pytest.raises(AssertionError):
            writer.publish(row, new_page(depth), 0, 0, *[0] * 9)
    book = reader.get(row)
    assert book is not None and (book.number, book.bids, book.asks) == (1, ((1, 1),), ((2, 2),))


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
    publish(writer, row, [(1, 1)], [(2, 2)])
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
    publish(writer, row, [(7, 7)], [])
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


def test_screen_columns_follow(writer: BookWriter, reader: BookReader) -> None:
    """Best prices, sizes, state and number are columns over all markets that numpy reads in place."""
    row, other = writer.claim(market("A")), writer.claim(market("B"))
    assert row is not None and other is not None
    screen = [reader.column(column) for column in range(6)]
    publish(writer, row, [(5, 50), (4, 1)], [(6, 60)])
    publish(writer, row, [(5, 51)], [(6, 61)])
    publish(writer, row, [(5, 51), (4, 1)], [(6, 61)])
    publish(writer, other, [], [(9, 90)], state=GAP)
    assert [int(column[row]) for column in screen] == [5, 51, 6, 61, LIVE, 3]
    assert [int(column[other]) for column in screen] == [0, 0, 9, 90, GAP, 1]
    writer.release("A")
    assert [int(column[row]) for column in screen] == [0] * 6
    assert writer.claim(market("C")) == row
    publish(writer, row, [(5, 51), (4, 1)], [(6, 61)])
    assert [int(column[row]) for column in screen] == [5, 51, 6, 61, LIVE, 5]
    assert len(screen[0]) == 3 and not screen[0].flags.writeable


def test_new_best_prices_sizes_and_states_are_history(own, directory: Path) -> None:
    """A price event is kept when one of them changes, and not when deeper levels or stamps do."""
    writer = BookWriter(own(feed_sections(3, 4, 2, 10)))
    row = writer.claim(market("A"))
    reader = BookReader(attach(directory, "w"))
    history = HistoryReader(attach(directory, "w"))
    publish(writer, row, [], [], state=EMPTY)
    publish(writer, row, [(5, 50)], [(6, 60)], at=200)
    publish(writer, row, [(5, 50), (4, 40)], [(6, 60)], at=300)
    publish(writer, row, [(5, 50)], [(6, 61)], at=400)
    publish(writer, row, [], [], state=GAP, at=500)
    described = reader.directory.get(row)
    assert described is not None
    events = history.read(row, described.incarnation)
    assert [(event.state, event.bid, event.bid_units, event.ask, event.ask_units) for event in events] == [
        (LIVE, 5, 50, 6, 60),
        (LIVE, 5, 50, 6, 61),
        (GAP, 0, 0, 0, 0),
    ]
    assert (events[0].venue_ns, events[0].socket_ns, events[0].wall_ns) == (180, 190, 200)
    writer.release("A")
    assert history.read(row, described.incarnation) == []
    assert writer.claim(market("B")) == row
    fresh = reader.directory.get(row)
    assert fresh is not None and history.read(row, fresh.incarnation) == []


def test_without_a_length_there_is_no_history() -> None:
    """A feed whose config keeps none has no memory for it."""
    assert HISTORY not in [section.name for section in feed_sections(3, 4, 2)]
    assert HISTORY in [section.name for section in feed_sections(3, 4, 2, 1)]


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
    publish(before, row, [(5, 50)], [(6, 60)])
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
    publish(after, row, [(7, 70)], [])
    new = BookReader(attach(directory, "w")).get(row)
    assert new is not None and (new.number, new.epoch, new.bids) == (3, 2, ((7, 70),))
    assert new.incarnation > book.incarnation
