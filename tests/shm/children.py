"""Children: the other processes of these tests. Run as `python children.py ROLE DIRECTORY ...`.

A role prints one line, "ready" or its result as JSON, and then works until it is killed, its parent
is gone, or its input ends.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from shm import layout as lo
from shm import segment as segments
from shm.books import BOOK_HEAD_WORDS, BookWriter, feed_sections, new_page
from shm.records import MARKET
from shm.slots import SlotWriter

NAME = "w"
ROWS, PLAIN = "rows", "plain"
WORDS = 119  # as long as a book of 25 levels a side
SECTIONS = [lo.Section(ROWS, lo.SLOTS, 2, WORDS), lo.Section(PLAIN, lo.WORDS, 1, WORDS)]
BOOK_SECTIONS = feed_sections(markets=2, depth=25, connections=1)
LOOKS = 1000  # turns between two looks at whether the parent still lives
PATIENCE_SECONDS = 60.0
# Who may be our parent: the test, or, in a child that `fork` made, this very process.
PARENTS = {os.getppid(), os.getpid()}


def own(directory: Path, sections: list[lo.Section]) -> segments.Segment:
    """Own the segment that these tests share."""
    return segments.create(
        directory,
        NAME,
        sections,
        segments.this_owner(),
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        sleep=time.sleep,
    )


def uniform(number: int) -> array[int]:
    """A payload whose every word is the number of the row that it becomes: torn rows show."""
    return array("q", [number]) * WORDS


def write_rows(directory: Path, *, tell: bool = True) -> None:
    """Publish row 0 as fast as it goes."""
    writer = own(directory, SECTIONS).slots(ROWS)
    if tell:
        say("ready")
    while parent_lives():
        for _ in range(LOOKS):
            writer.publish(0, uniform(writer.number(0) + 1))


def write_plain(directory: Path) -> None:
    """The control: the same words in two plain stores, without stamps and slots."""
    words = own(directory, SECTIONS).words(PLAIN)
    half = WORDS // 2
    say("ready")
    number = 0
    while parent_lives():
        for _ in range(LOOKS):
            number += 1
            payload = memoryview(uniform(number))
            words[:half] = payload[:half]
            words[half:] = payload[half:]


def write_books(directory: Path) -> None:
    """Publish a book of 25 levels a side, every number in it the row's, as fast as it goes."""
    writer = BookWriter(own(directory, BOOK_SECTIONS))
    row = writer.claim(MARKET.empty()._replace(market="M"))
    assert row is not None
    page = new_page(25)
    say("ready")
    n = 0
    while parent_lives():
        for _ in range(LOOKS):
            n += 1
            page[BOOK_HEAD_WORDS:] = array("q", [n]) * 100
            writer.publish(row, page, 25, 25, n, n, n, n, n, n, n, n, n)


def hold(directory: Path) -> None:
    """Own the segment and do nothing until the input ends."""
    segment = own(directory, SECTIONS)
    say("ready")
    sys.stdin.read()
    segment.close()


def look(directory: Path) -> None:
    """Attach, read a row, and stay until the input ends."""
    view = segments.attach(directory, NAME)
    found = view.slots(ROWS).read(0)
    say("nothing" if found is None else "ready")
    sys.stdin.read()


def own_large(directory: Path) -> None:
    """Try to own a feed's segment; tell the refusal."""
    try:
        own(directory, feed_sections(markets=64, depth=25, connections=4))
    except segments.SegmentError as error:
        say(str(error))


def own_within(directory: Path, limit_bytes: int) -> None:
    """Try to own a segment where no file may be longer than `limit_bytes`; tell the refusal."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        own(directory, SECTIONS)
    except segments.SegmentError as error:
        say(str(error))


def kills(directory: Path, rounds: int, seed: int) -> None:
    """Kill a writer that works flat out at `rounds` random moments; tell what was readable then."""
    random = Random(seed)
    own(directory, SECTIONS).close()
    view = segments.attach(directory, NAME)
    reader = view.slots(ROWS)
    facts = []
    for _ in range(rounds):
        before = reader.number(0)
        pid = fork(partial(write_rows, directory, tell=False))
        wait_for(partial(lambda least: reader.number(0) > least, before + 100))
        time.sleep(random.uniform(0.0, 0.002))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        facts.append({"before": before, "epoch": view.header.epoch, **left_in(view, reader.read(0))})
    say(json.dumps(facts))


def left_in(view: segments.View, found: tuple[int, array[int]] | None) -> dict[str, int | bool]:
    """What a dead writer left: the row a reader gets, and whether the next slot is half written."""
    assert found is not None
    number, payload = found
    placed = lo.place(SECTIONS)[0][ROWS]
    words = placed.section.slot_words
    slot = placed.offset + lo.ROW_HEAD_WORDS + (number + 1) % lo.SLOT_COUNT * words
    begin, end = view.cells[slot], view.cells[slot + 1 + WORDS]
    mid_row = begin == -(number + 1) and end != number + 1
    return {"number": number, "whole": payload == uniform(number), "mid_row": mid_row}


class Mortal:
    """Memory that kills its writer by SIGKILL at one store: before it, or half-way through it."""

    def __init__(self, cells: memoryview[int], stores: int, *, half: bool) -> None:
        self._cells = cells
        self._stores = stores
        self._half = half

    def __getitem__(self, at: int) -> int:
        return self._cells[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if self._stores == 0:
            if self._half:
                assert isinstance(at, slice)
                count = (at.stop - at.start) // 2
                self._cells[at.start : at.start + count] = value[:count]
            os.kill(os.getpid(), signal.SIGKILL)
        self._stores -= 1
        self._cells[at] = value


STAGES = {
    "before begin": (0, False),
    "after begin": (1, False),
    "half the payload": (1, True),
    "after the payload": (2, False),
    "after end": (3, False),
    "after the number": (4, False),
}


def stages(directory: Path) -> None:
    """Let a writer die at each of its stores, in each of the four slots; tell what was readable then."""
    own(directory, SECTIONS).close()
    view = segments.attach(directory, NAME)
    reader = view.slots(ROWS)
    facts = []
    for stage, (stores, half) in STAGES.items():
        for slot in range(lo.SLOT_COUNT):
            before = reader.number(0)
            pid = fork(partial(die_at, directory, stores, half=half, slot=slot))
            _, status = os.waitpid(pid, 0)
            left = left_in(view, reader.read(0))
            signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            facts.append({"stage": stage, "slot": slot, "before": before, "signal": signalled, **left})
    say(json.dumps(facts))


def die_at(directory: Path, stores: int, *, half: bool, slot: int) -> None:
    """Publish whole rows until the next one goes into `slot`; die while writing that one."""
    segment = own(directory, SECTIONS)
    writer = segment.slots(ROWS)
    writer.publish(0, uniform(writer.number(0) + 1))
    while (writer.number(0) + 1) % lo.SLOT_COUNT != slot:
        writer.publish(0, uniform(writer.number(0) + 1))
    mortal = Mortal(segment.cells, stores, half=half)
    doomed = SlotWriter(mortal, lo.place(SECTIONS)[0][ROWS])  # type: ignore[arg-type]
    doomed.publish(0, uniform(doomed.number(0) + 1))
    # Nothing is stored after the number: the last stage dies here.
    os.kill(os.getpid(), signal.SIGKILL)


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child of this small process: far cheaper than starting Python anew."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def parent_lives() -> bool:
    """Whether who started us is still there: no writer outlives its test."""
    return os.getppid() in PARENTS


def wait_for(good: Callable[[], bool]) -> None:
    """Wait until `good`; the bound is for a machine that hangs, not a figure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good():
        assert time.monotonic() < deadline, "the writer does not write"
        time.sleep(0.0001)


def say(text: str) -> None:
    """Tell the test."""
    print(text, flush=True)


if __name__ == "__main__":
    role, folder, *rest = sys.argv[1:]
    roles: dict[str, Callable[..., None]] = {
        "write_rows": write_rows,
        "write_plain": write_plain,
        "write_books": write_books,
        "hold": hold,
        "look": look,
        "own_within": own_within,
        "own_large": own_large,
        "kills": kills,
        "stages": stages,
    }
    roles[role](Path(folder), *map(int, rest))
