"""Notices of publications: complete, cheap when nothing came, never lost however far a reader is behind."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from shm.books import BookReader, BookWriter, feed_sections, new_page
from shm.notices import ENTRIES, NOTICES, NoticeReader
from shm.records import MARKET
from shm.segment import SegmentError, attach

ROWS, DEPTH, LIVE = 12, 2, 1


@pytest.fixture
def writer(own) -> BookWriter:
    """A feed with twelve markets, none published yet."""
    made = BookWriter(own(feed_sections(ROWS, DEPTH, 1)))
    for number in range(ROWS):
        assert made.claim(MARKET.empty()._replace(market=f"M{number}")) == number
    return made


@pytest.fixture
def reader(directory: Path, writer: BookWriter) -> NoticeReader:
    """One who reads from the beginning."""
    return BookReader(attach(directory, "w")).notices()


def publish(writer: BookWriter, *rows: int) -> None:
    """Publish these rows in turn."""
    for row in rows:
        writer.publish(row, new_page(DEPTH), 0, 0, 0, LIVE, 0, 0, 1, 2, 3, 0, 4)


def test_what_was_published_before_the_reader_came_is_named_first(
    writer: BookWriter, reader: NoticeReader
) -> None:
    """A new reader gets every book that was ever published, and from then on only what comes."""
    publish(writer, 5, 3, 5)
    assert sorted(reader.rows()) == [3, 5]
    assert reader.rows() == []
    publish(writer, 7)
    assert reader.rows() == [7]
    assert reader.overruns == 0


def test_a_row_is_named_once_in_the_order_of_its_first_notice(
    writer: BookWriter, reader: NoticeReader
) -> None:
    """Ten publications of one book are one change, and an equal publication is a change too."""
    assert reader.rows() == []
    publish(writer, 2, *[9] * 10, 2, 1)
    assert reader.rows() == [2, 9, 1]
    publish(writer, 9)
    assert reader.rows() == [9]


def test_readers_do_not_disturb_each_other(directory: Path, writer: BookWriter, reader: NoticeReader) -> None:
    """Each reader has a place of its own."""
    other = BookReader(attach(directory, "w")).notices()
    publish(writer, 4)
    assert reader.rows() == [4]
    assert other.rows() == [4]


@pytest.mark.parametrize("count", [ENTRIES - 1, ENTRIES, ENTRIES + 1, 3 * ENTRIES, 3 * ENTRIES + 7])
def test_a_reader_that_fell_behind_misses_nothing(
    writer: BookWriter, reader: NoticeReader, count: int
) -> None:
    """After the ring went round unseen every changed book is named, and notices go on from there."""
    publish(writer, 0, 11)
    assert reader.rows() == [0, 11]
    publish(writer, 6, *[1] * (count - 1))
    rows = reader.rows()
    # Who was overrun may be told of a book again that he knew; never of one that did not change at all.
    assert {1, 6} <= set(rows) <= {0, 1, 6, 11}
    assert reader.overruns == (count > ENTRIES)
    publish(writer, 3)
    assert reader.rows() == [3]


def test_falling_behind_again_names_what_changed_since(writer: BookWriter, reader: NoticeReader) -> None:
    """A second time, only books that changed since the first are named."""
    publish(writer, *range(ROWS))
    assert len(reader.rows()) == ROWS
    publish(writer, *[8] * (ENTRIES + 1))
    assert reader.rows() == [8]


def test_any_order_of_writing_and_reading_names_every_change(
    writer: BookWriter, reader: NoticeReader
) -> None:
    """With random pauses up to several rings long, each published row is in the next answer."""
    random = Random(7)
    assert reader.rows() == []
    for _ in range(60):
        rows = random.choices(range(ROWS), k=random.choice((0, 1, 5, 900, ENTRIES, 2600)))
        publish(writer, *rows)
        assert set(rows) <= set(reader.rows())
        assert reader.rows() == []


def test_a_released_row_is_a_change(writer: BookWriter, reader: NoticeReader) -> None:
    """Whoever follows a book hears that it has gone."""
    assert reader.rows() == []
    writer.release("M4")
    assert reader.rows() == [4]


def test_placements_change_with_whatever_moves_a_market(writer: BookWriter, reader: NoticeReader) -> None:
    """A claim, a release and new decimals move a market; new fees, a new title and a new book do not."""
    seen = reader.placements
    writer.describe(writer.market("M1")._replace(title="new", fee_rate_ppm=5))
    publish(writer, 1)
    assert reader.placements == seen
    writer.describe(writer.market("M1")._replace(price_decimals=3))
    writer.release("M2")
    writer.claim(MARKET.empty()._replace(market="Z"))
    assert reader.placements == seen + 3


def test_a_restart_starts_the_notices_anew(own, directory: Path) -> None:
    """A reader that attaches to the new epoch is told of its books alone."""
    first = own(feed_sections(ROWS, DEPTH, 1))
    before = BookWriter(first)
    before.claim(MARKET.empty()._replace(market="A"))
    publish(before, 0)
    first.close()
    after = BookWriter(own(feed_sections(ROWS, DEPTH, 1)))
    reader = BookReader(attach(directory, "w")).notices()
    reader.rows()
    after.claim(MARKET.empty()._replace(market="A"))
    publish(after, 0)
    assert reader.rows() == [0]


def test_a_segment_without_notices_is_refused(own, directory: Path) -> None:
    """A feed of another checkout is refused when the reader attaches, not when it reads."""
    own([section for section in feed_sections(1, 1, 1) if section.name != NOTICES], "x")
    with pytest.raises(SegmentError, match="notices"):
        BookReader(attach(directory, "x")).notices()
