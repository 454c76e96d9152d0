"""Header: the first page of a segment, read and written by name.

In: the cells of a mapped segment. Out: named words and the list of its sections. Used by shm.segment
for owners and readers alike; the drawing is in shm.layout.
"""

from __future__ import annotations

from array import array
from pathlib import Path

from shm import layout as lo


class SegmentError(Exception):
    """A segment cannot be created or read; the text says which, why and what to do."""


class SegmentBusyError(SegmentError):
    """Another live process owns the segment of this name."""


class ForeignLayoutError(SegmentError):
    """A segment was drawn by another version of this program."""


class Header:
    """Named words of a segment's header."""

    def __init__(self, cells: memoryview[int]) -> None:
        self._cells = cells

    @property
    def epoch(self) -> int:
        """Start count of the owner."""
        return self._cells[lo.H_EPOCH]

    @property
    def pid(self) -> int:
        """The owner's process id."""
        return self._cells[lo.H_PID]

    @property
    def pid_start(self) -> int:
        """The owner's start time in clock ticks since boot."""
        return self._cells[lo.H_PID_START]

    @property
    def ready(self) -> bool:
        """Whether the owner has finished setting the segment up."""
        return self._cells[lo.H_READY] == 1

    @property
    def retired(self) -> bool:
        """Whether a newer file has taken this one's name."""
        return self._cells[lo.H_RETIRED] != 0

    @property
    def heartbeat_ns(self) -> int:
        """When the owner's loop last went round (CLOCK_MONOTONIC)."""
        return self._cells[lo.H_HEARTBEAT_NS]

    @property
    def busy_until_ns(self) -> int:
        """Until when the owner announced a bounded wait."""
        return self._cells[lo.H_BUSY_UNTIL_NS]

    @property
    def started_ns(self) -> int:
        """When this epoch began (CLOCK_MONOTONIC)."""
        return self._cells[lo.H_STARTED_NS]

    @property
    def started_wall_ns(self) -> int:
        """When this epoch began (wall clock)."""
        return self._cells[lo.H_STARTED_WALL_NS]

    @property
    def config_version(self) -> int:
        """The configuration the owner acts on."""
        return self._cells[lo.H_CONFIG_VERSION]

    @property
    def sleeping(self) -> bool:
        """Whether the owner waits for its bell."""
        return self._cells[lo.H_SLEEPING] != 0

    @property
    def name(self) -> str:
        """The worker's name."""
        return lo.words_to_text(self._cells[lo.H_NAME : lo.H_NAME + lo.NAME_WORDS])

    @property
    def boot_id(self) -> bytes:
        """The boot in which the owner ran."""
        return bytes(memoryview(self._cells[lo.H_BOOT_ID : lo.H_BOOT_ID + 2]).cast("B"))


KIND_BITS = 8


def write_directory(cells: memoryview[int], placed: dict[str, lo.Placed]) -> None:
    """List the sections in the header so that a reader needs no config."""
    cells[lo.H_SECTIONS] = len(placed)
    for index, (name, entry) in enumerate(placed.items()):
        at = lo.H_DIRECTORY + index * lo.DIRECTORY_ENTRY_WORDS
        row = [
            *lo.text_to_words(name, lo.SECTION_NAME_WORDS),
            entry.section.kind | entry.meaning << KIND_BITS,
            entry.section.rows,
            entry.section.words,
            entry.offset,
        ]
        cells[at : at + lo.DIRECTORY_ENTRY_WORDS] = memoryview(array("q", row))


def read_directory(path: Path, cells: memoryview[int]) -> dict[str, lo.Placed]:
    """The sections that a segment's header lists, each checked to lie inside the file."""
    placed: dict[str, lo.Placed] = {}
    count = cells[lo.H_SECTIONS]
    if not 0 <= count <= lo.MAX_SECTIONS:
        raise SegmentError(f"{path} is damaged: it lists {count} sections")
    for index in range(count):
        at = lo.H_DIRECTORY + index * lo.DIRECTORY_ENTRY_WORDS
        name = lo.words_to_text(cells[at : at + lo.SECTION_NAME_WORDS])
        tagged, rows, words, offset = cells[at + lo.SECTION_NAME_WORDS : at + lo.DIRECTORY_ENTRY_WORDS]
        kind, meaning = tagged & (1 << KIND_BITS) - 1, tagged >> KIND_BITS
        sane = kind in {lo.WORDS, lo.SLOTS} and rows > 0 and words > 0 and offset >= lo.HEADER_WORDS
        section = lo.Section(name, kind, rows, words)
        if not sane or offset + section.total_words > len(cells):
            raise SegmentError(f"{path} is damaged: section {name!r} does not lie inside it")
        placed[name] = lo.Placed(section, offset, meaning)
    return placed
