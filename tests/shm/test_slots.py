"""Slots between real processes: never torn, never lost with their writer, never going back."""

from __future__ import annotations

import json
import signal
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from shm import layout as lo
from shm.books import BookReader
from shm.segment import Segment, attach
from shm.slots import SlotReader

NAME, ROWS, PLAIN, WORDS = "w", "rows", "plain", 119
RAW_READS, BOOK_READS, CONTROL_READS, CONTROL_TORN = 300_000, 50_000, 300_000, 100
CHANGES, MOST_READS = 100, 10_000_000
KILLS = 50
SECTIONS = [lo.Section(ROWS, lo.SLOTS, 2, 3)]


def uniform(number: int) -> array[int]:
    return array("q", [number]) * WORDS


def test_no_row_is_torn_while_its_writer_works_flat_out(directory: Path, ready: Callable) -> None:
    """Of 300,000 accepted reads none mixes two rows, and the number never goes back."""
    ready("write_rows")
    reader = attach(directory, NAME).slots(ROWS)
    accepted = torn = last = changes = 0
    # On a busy machine the writer may get hardly any turn: then go on until it had some.
    while accepted < RAW_READS or (changes <= CHANGES and accepted < MOST_READS):
        found = reader.read(0)
        if found is None:
            assert reader.give_ups <= accepted + 1000, "the writer starves its readers"
            continue
        number, payload = found
        accepted += 1
        torn += payload != uniform(number)
        assert number >= last
        changes += number > last
        last = number
    assert torn == 0
    assert changes > CHANGES, "the writer did not write meanwhile"


def test_books_are_whole_while_their_feed_works_flat_out(directory: Path, ready: Callable) -> None:
    """All 25 levels a side, the state and the stamps of a book come from one publication."""
    ready("write_books")
    reader = BookReader(attach(directory, NAME))
    row = next(index for index, market in reader.directory.rows() if market.market == "M")
    accepted = torn = last = 0
    while accepted < BOOK_READS:
        book = reader.get(row)
        if book is None:
            continue
        accepted += 1
        stamp = book.socket_ns
        whole = book.bids == book.asks == ((stamp, stamp),) * 25
        torn += not (whole and book.state == book.reason == book.publish_ns == book.witness_ns == stamp)
        assert book.number >= last
        last = book.number
    assert torn == 0


def test_without_the_protocol_rows_are_torn_and_this_sees_it(directory: Path, ready: Callable) -> None:
    """The control: plain stores and plain copies give rows mixed of two, so the tests above can fail."""
    ready("write_plain")
    words = attach(directory, NAME).words(PLAIN)
    reads = torn = 0
    while torn < CONTROL_TORN and reads < CONTROL_READS:
        copy = array("q", words.tobytes())
        reads += 1
        torn += copy != uniform(copy[0])
    assert torn == CONTROL_TORN


def test_a_writer_killed_at_random_leaves_the_last_good_row(start: Callable) -> None:
    """50 times kill -9 of a busy writer: the row is whole and newer, and the next owner goes on from it."""
    facts = json.loads(start("kills", KILLS, 7).communicate()[0])
    assert len(facts) == KILLS
    assert all(fact["whole"] for fact in facts)
    assert all(fact["number"] > fact["before"] + 100 for fact in facts)
    for earlier, later in pairwise(facts):
        assert later["before"] == earlier["number"]
        assert later["epoch"] == earlier["epoch"] + 1
    assert sum(fact["mid_row"] for fact in facts) > 0, "no kill fell into a row"


def test_a_writer_that_dies_at_any_store_leaves_the_last_good_row(start: Callable) -> None:
    """Before and after each store and half-way through the payload, in each slot: nothing is lost."""
    facts = json.loads(start("stages").communicate()[0])
    assert len(facts) == 6 * lo.SLOT_COUNT
    for fact in facts:
        assert fact["signal"] == signal.SIGKILL, fact
        assert fact["whole"], fact
        assert fact["number"] > fact["before"], fact
        # The number is the last store: only after it does the new row count.
        published = fact["stage"] == "after the number"
        assert (fact["number"] % lo.SLOT_COUNT == fact["slot"]) == published, fact
        half_written = fact["stage"] in {"after begin", "half the payload", "after the payload"}
        assert fact["mid_row"] == half_written, fact


def test_an_unpublished_row_reads_as_nothing(directory: Path, own: Callable[..., Segment]) -> None:
    """A row that never was published is None with number 0, and its neighbour does not change that."""
    writer = own(SECTIONS).slots(ROWS)
    reader = attach(directory, NAME).slots(ROWS)
    assert (len(writer), len(reader)) == (2, 2)
    assert writer.publish(1, array("q", [1, 2, 3])) == 1
    assert (reader.number(0), reader.read(0)) == (0, None)
    assert (reader.number(1), reader.read(1)) == (1, (1, array("q", [1, 2, 3])))


def test_each_publication_takes_the_next_slot(directory: Path, own: Callable[..., Segment]) -> None:
    """The last four rows are in memory at once, so a reader has three publications of time."""
    segment = own(SECTIONS)
    writer, placed = segment.slots(ROWS), lo.place(SECTIONS)[0][ROWS]
    for number in range(1, 7):
        assert writer.publish(0, array("q", [number] * 3)) == number
    first = placed.offset + lo.ROW_HEAD_WORDS
    ends = [segment.cells[first + slot * placed.section.slot_words + 4] for slot in range(lo.SLOT_COUNT)]
    assert ends == [4, 5, 6, 3]


def test_a_row_of_the_wrong_length_is_never_written(own: Callable[..., Segment]) -> None:
    """Too short or too long a payload is a broken invariant, found before the first store."""
    writer = own(SECTIONS).slots(ROWS)
    for words in (2, 4):
        with pytest.raises(AssertionError):
            writer.publish(0, array("q", [0] * words))
    assert writer.number(0) == 0


@pytest.mark.parametrize("extremes", [(-(2**63), 2**63 - 1, 0), (-1, 1, -1)])
def test_every_int64_passes(directory: Path, own: Callable[..., Segment], extremes: tuple[int, ...]) -> None:
    """Payload words may be any signed 64-bit number."""
    own(SECTIONS).slots(ROWS).publish(0, array("q", extremes))
    found = attach(directory, NAME).slots(ROWS).read(0)
    assert found == (1, array("q", extremes))


class Racing:
    """Memory in which a writer publishes four rows whenever the reader copies one."""

    def __init__(self, segment: Segment, overtakes: int) -> None:
        self._cells, self._writer, self._overtakes = segment.cells, segment.slots(ROWS), overtakes

    def __getitem__(self, at: int | slice) -> object:
        if isinstance(at, slice) and self._overtakes:
            self._overtakes -= 1
            for _ in range(lo.SLOT_COUNT):
                number = self._writer.number(0) + 1
                self._writer.publish(0, array("q", [number] * 3))
        return self._cells[at]


def test_a_reader_gives_up_after_bounded_tries(own: Callable[..., Segment]) -> None:
    """A reader overtaken again and again says None, counts it, and reads the next quiet moment."""
    segment = own(SECTIONS)
    segment.slots(ROWS).publish(0, array("q", [1] * 3))
    placed = lo.place(SECTIONS)[0][ROWS]
    overtaken = SlotReader(Racing(segment, 16), placed)  # type: ignore[arg-type]
    assert overtaken.read(0) is None
    assert (overtaken.retries, overtaken.give_ups) == (16, 1)
    assert overtaken.read(0) == (65, array("q", [65] * 3))
    lucky = SlotReader(Racing(segment, 15), placed)  # type: ignore[arg-type]
    assert lucky.read(0) == (125, array("q", [125] * 3))
    assert (lucky.retries, lucky.give_ups) == (15, 0)
