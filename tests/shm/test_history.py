"""The ring of price events: whole and in order beside a writer that never rests, and after its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shm import layout as lo
from shm import segment as segments
from shm.history import (
    DRAWING,
    ENTRY_WORDS,
    HEAD_WORDS,
    HISTORY,
    HistoryReader,
    HistoryWriter,
    PricePoint,
    history_section,
)

NAME, LENGTH, ME = "w", 100, 7
READS, KILLS = 3000, 8
PATIENCE_SECONDS = 60.0
Own = Callable[..., segments.Segment]


def point(number: int) -> tuple[int, ...]:
    """The cells of event `number`, all told by it: mixed entries show."""
    return (number % 256, number // 256, *[number] * 7)


def expected(first: int, last: int) -> list[PricePoint]:
    return [PricePoint(number, *point(number)) for number in range(first, last + 1)]


def write(directory: Path) -> None:
    """The other process: append until killed, or until the test is gone."""
    parent = os.getppid()
    segment = segments.create(
        directory,
        NAME,
        [history_section(2, LENGTH)],
        segments.this_owner(),
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        sleep=time.sleep,
    )
    writer = HistoryWriter(segment)
    writer.reset(0, ME)
    number = 0
    print("ready", flush=True)
    while os.getppid() == parent:
        for _ in range(1000):
            number += 1
            writer.append(0, *point(number))


@pytest.fixture
def busy(project_root: Path, directory: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that appends as fast as it goes."""
    children: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, __file__, str(directory)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(project_root)},
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def ring(directory: Path, own: Own) -> tuple[HistoryWriter, HistoryReader]:
    """A ring of this process, and a reader of it."""
    writer = HistoryWriter(own([history_section(2, LENGTH)]))
    writer.reset(0, ME)
    return writer, HistoryReader(segments.attach(directory, NAME))


def fill(writer: HistoryWriter, first: int, last: int) -> None:
    for number in range(first, last + 1):
        writer.append(0, *point(number))


def test_no_event_is_torn_or_out_of_order_while_its_writer_never_rests(
    directory: Path, busy: Callable[[], Any]
) -> None:
    """Every entry of 3,000 reads is whole and numbered without a hole, and reads never go back."""
    busy()
    reader = HistoryReader(segments.attach(directory, NAME))
    given = changes = last = turn = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while turn < READS or changes < 100:
        assert time.monotonic() < deadline, "the writer does not write"
        turn += 1
        points = reader.read(0, ME, None if turn % 2 else 20)
        if not points:
            continue
        assert points == expected(points[0].number, points[-1].number)
        assert points[-1].number >= last
        changes += points[-1].number > last
        last = points[-1].number
        given += len(points)
    assert given > READS, "the writer starves its readers"


def test_without_the_second_look_wrong_events_are_seen(directory: Path, busy: Callable[[], Any]) -> None:
    """The control: who believes a whole copy gets events that are not those that the count promised."""
    busy()
    words = segments.attach(directory, NAME).words(HISTORY)
    wrong = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while wrong < 10 and time.monotonic() < deadline:
        count = words[0]
        cells = memoryview(words[HEAD_WORDS:].tobytes()).cast("q")
        marks = [cells[n % (LENGTH + 1) * ENTRY_WORDS] for n in range(count - LENGTH, count + 1)]
        wrong += count > LENGTH and marks != list(range(count - LENGTH, count + 1))
    assert wrong == 10


def test_a_killed_writer_leaves_what_it_appended(directory: Path, busy: Callable[[], Any]) -> None:
    """Eight times kill -9 of a busy writer: the last events are all there, and the next owner goes on."""
    for _ in range(KILLS):
        child = busy()
        reader = HistoryReader(segments.attach(directory, NAME))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while reader.count(0, ME) < 3 * LENGTH:
            assert time.monotonic() < deadline, "the writer does not write"
        child.send_signal(signal.SIGKILL)
        child.wait()
        count = reader.count(0, ME)
        assert reader.read(0, ME) == expected(count - LENGTH + 1, count)


@pytest.mark.parametrize("appended", [1, LENGTH - 1, LENGTH, LENGTH + 1, 5 * LENGTH])
def test_a_writer_that_dies_half_way_leaves_the_rest(
    ring: tuple[HistoryWriter, HistoryReader], appended: int
) -> None:
    """An entry that was begun and never counted hides none of the last LENGTH events."""
    writer, reader = ring
    fill(writer, 1, appended)

    def die(words: memoryview[int], at: int, *cells: int) -> None:
        words[at // lo.WORD : at // lo.WORD + 3] = memoryview(bytes(24)).cast("q")
        raise KeyboardInterrupt

    writer._pack = die
    with pytest.raises(KeyboardInterrupt):
        fill(writer, appended + 1, appended + 1)
    assert reader.count(0, ME) == appended
    assert reader.read(0, ME) == expected(max(1, appended - LENGTH + 1), appended)


def test_the_last_events_are_given_oldest_first(ring: tuple[HistoryWriter, HistoryReader]) -> None:
    """`last` gives so many of the newest, all by default, never more than the ring holds."""
    writer, reader = ring
    assert reader.read(0, ME) == []
    fill(writer, 1, 250)
    assert reader.read(0, ME) == expected(151, 250)
    assert reader.read(0, ME, 3) == expected(248, 250)
    assert reader.read(0, ME, 10**9) == expected(151, 250)
    assert reader.read(0, ME, 0) == []
    assert (reader.count(0, ME), reader.length, len(reader)) == (250, LENGTH, 2)


def test_a_row_given_to_another_market_shows_nothing_of_the_old_one(
    ring: tuple[HistoryWriter, HistoryReader],
) -> None:
    """Who asks for the old incarnation gets nothing; the new one begins with number 1."""
    writer, reader = ring
    fill(writer, 1, 250)
    writer.reset(0, ME + 1)
    assert (reader.count(0, ME), reader.read(0, ME), reader.read(0, ME + 1)) == (0, [], [])
    fill(writer, 1, 2)
    assert reader.read(0, ME + 1) == expected(1, 2)
    assert reader.read(0, ME) == []
    assert reader.read(1, ME + 1) == []


class Racing:
    """A row whose writer does something at the moment when a reader copies it."""

    def __init__(self, words: memoryview[int], race: Callable[[], None]) -> None:
        self._words, self._race = words, race

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            copy = memoryview(self._words[at].tobytes()).cast("q")
            self._race()
            return copy
        return self._words[at]


@pytest.mark.parametrize("overtaken", [1, 2, 50, LENGTH, LENGTH + 1])
def test_what_was_overwritten_during_a_copy_is_left_out(
    ring: tuple[HistoryWriter, HistoryReader], overtaken: int
) -> None:
    """Events that the writer may have touched since the copy began are dropped, no others."""
    writer, reader = ring
    fill(writer, 1, 500)
    races = [lambda: fill(writer, 501, 500 + overtaken)]

    def once() -> None:
        if races:
            races.pop()()

    reader._rows[0] = Racing(reader._rows[0], once)  # type: ignore[call-overload]
    # Event 501 + overtaken may be under way, in the place of event 400 + overtaken.
    last = 500 if overtaken < LENGTH else 500 + overtaken
    assert reader.read(0, ME) == expected(401 + overtaken, last)


def test_a_row_given_away_during_a_copy_shows_nothing(ring: tuple[HistoryWriter, HistoryReader]) -> None:
    """A copy of two markets' events is never believed."""
    writer, reader = ring
    fill(writer, 1, 50)
    reader._rows[0] = Racing(reader._rows[0], lambda: writer.reset(0, ME + 1))  # type: ignore[call-overload]
    assert reader.read(0, ME) == []


def test_the_history_outlives_its_owner_until_the_row_is_taken(directory: Path, own: Own) -> None:
    """A restart empties no ring by itself; the market that takes the row does."""
    first = own([history_section(1, 4)])
    writer = HistoryWriter(first)
    writer.reset(0, ME)
    writer.append(0, *point(1))
    first.close()
    second = own([history_section(1, 4)])
    reader = HistoryReader(segments.attach(directory, NAME))
    assert reader.read(0, ME) == expected(1, 1)
    HistoryWriter(second).reset(0, ME + 1)
    assert reader.read(0, ME) == []


def test_a_segment_without_a_history_is_refused_in_a_sentence(directory: Path, own: Own) -> None:
    """A reader of another layout is told which section is missing."""
    own([lo.Section("other", lo.WORDS, 1, 8)])
    with pytest.raises(segments.SegmentError, match="history"):
        HistoryReader(segments.attach(directory, NAME))
    assert DRAWING in history_section(1, 1).drawing


if __name__ == "__main__":
    write(Path(sys.argv[1]))
