"""Copies of whole tables: as true as single reads, and pictures that stand still."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shm import layout as lo
from shm.segment import View, attach
from shm.slot_copy import SlotCopy
from shm.slots import READ_TRIES

ROWS, WIDTH = 6, 5
SECTIONS = [lo.Section("rows", lo.SLOTS, ROWS, WIDTH)]
CHANGES, MOST_COPIES = 10, 2_000_000


def payload(row: int, turn: int) -> array[int]:
    return array("q", [100 * row + turn] * WIDTH)


def copy_of(directory: Path, columns: list[int] | None = None) -> tuple[View, SlotCopy]:
    view = attach(directory, "w")
    return view, SlotCopy(view.slots("rows"), columns)


def test_a_copy_is_what_single_reads_give(directory: Path, own: Callable) -> None:
    """After any publications each row's copy and number are those that a reader of single rows gets."""
    writer = own(SECTIONS).slots("rows")
    view, copy = copy_of(directory)
    some = SlotCopy(view.slots("rows"), [4, 1])
    single = view.slots("rows")
    for turn in range(1, 12):
        for row in range(turn % 3, ROWS - 1, 2):
            writer.publish(row, payload(row, turn))
        copy.refresh()
        some.refresh()
        for row in range(len(copy.numbers)):
            found = single.read(row)
            number, words = found if found is not None else (0, array("q", [0] * WIDTH))
            assert (copy.numbers[row], copy.words[row].tolist()) == (number, list(words))
            assert some.words[row].tolist() == [words[4], words[1]]
    assert len(copy.numbers) == ROWS - 1, "a row that nobody published yet is not there"


def test_only_what_changed_is_named(directory: Path, own: Callable) -> None:
    """A refresh names the rows with new copies, in order, and nothing when nothing was published."""
    writer = own(SECTIONS).slots("rows")
    _, copy = copy_of(directory)
    assert copy.refresh().tolist() == []
    writer.publish(4, payload(4, 1))
    writer.publish(1, payload(1, 1))
    assert copy.refresh().tolist() == [1, 4]
    assert copy.refresh().tolist() == []


def test_a_picture_that_somebody_holds_stands_still(directory: Path, own: Callable) -> None:
    """Words and numbers handed out are never changed by a later refresh, of some rows or of all."""
    writer = own(SECTIONS).slots("rows")
    _, copy = copy_of(directory)
    for rows in (range(ROWS), range(2), range(ROWS)):
        for row in rows:
            writer.publish(row, payload(row, 1 + writer.number(row)))
        copy.refresh()
        held, then = copy.words, copy.words.copy()
        writer.publish(0, payload(0, 77))
        copy.refresh()
        assert (held == then).all()
        assert copy.words is not held


def test_a_torn_row_never_shows(directory: Path, own: Callable) -> None:
    """A slot under its writer's hands is tried READ_TRIES times; the last good copy stays meanwhile."""
    segment = own(SECTIONS)
    writer = segment.slots("rows")
    for row in range(ROWS):
        writer.publish(row, payload(row, 1))
    view, copy = copy_of(directory)
    copy.refresh()
    writer.publish(2, payload(2, 2))
    writer.publish(3, payload(3, 2))
    # The writer has lapped the reader: it is about to fill the slot that number 2 named.
    section = view.sections()["rows"]
    (begin,) = (
        at
        for at in range(len(segment.cells))
        if segment.cells[at] == -2 and segment.cells[at + 1] == payload(2, 2)[0]
    )
    segment.cells[begin] = -6
    assert copy.refresh().tolist() == [3]
    assert copy.words[2].tolist() == list(payload(2, 1))
    assert copy.read_again == READ_TRIES - 1
    segment.cells[begin] = -2
    assert copy.refresh().tolist() == [2]
    assert copy.words[2].tolist() == list(payload(2, 2))
    assert section.rows == ROWS


def test_a_writer_that_died_in_a_row_leaves_the_last_one(directory: Path, own: Callable) -> None:
    """Begun and never published: the row before it is what the copy shows."""
    segment = own(SECTIONS)
    writer = segment.slots("rows")
    writer.publish(0, payload(0, 1))
    cells = list(segment.cells)
    begin = cells.index(-1)
    slot_words = lo.round_up(WIDTH + 2)
    segment.cells[begin + slot_words] = -2
    segment.cells[begin + slot_words + 1] = 999
    _, copy = copy_of(directory)
    assert copy.refresh().tolist() == [0]
    assert copy.words[0].tolist() == list(payload(0, 1))


def test_no_copy_is_torn_while_the_writer_works_flat_out(directory: Path, ready: Callable) -> None:
    """Every word of a copied row is of one publication, and numbers never go back."""
    ready("write_rows")
    view = attach(directory, "w")
    copy = SlotCopy(view.slots("rows"))
    last = changes = turns = 0
    while changes < CHANGES and turns < MOST_COPIES:
        turns += 1
        if not copy.refresh().size:
            continue
        number = int(copy.numbers[0])
        assert np.unique(copy.words[0]).tolist() == [number]
        assert number > last
        changes += 1
        last = number
    assert changes == CHANGES, "the writer did not write meanwhile"
