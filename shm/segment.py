"""Segment: the memory file of one process. The door to mmap and the files under /dev/shm.

In: a directory, a worker name and sections. Out: `Segment` for the one owner, `View` for any reader.
A plain file, not multiprocessing.shared_memory: on Python 3.11 that deletes a live segment when any
unrelated process that attached to it exits. The owner holds a lock file for life; readers judge by
heartbeat and never touch the lock, so attaching, exiting and being killed change nothing.
"""

from __future__ import annotations

import mmap
import os
import stat
from array import array
from collections.abc import Iterable
from pathlib import Path

from shm import layout as lo
from shm.header import (
    ForeignLayoutError,
    Header,
    SegmentBusyError,
    SegmentError,
    read_directory,
    write_directory,
)
from shm.lock import Sleep, lock_is_free, lock_path, take_lock
from shm.owner import Owner, boot_id, check_machine, pid_start, this_owner
from shm.slots import SlotReader, SlotWriter

# The whole door to segments, for users: what lies in header, lock and owner is theirs too.
__all__ = [
    "ForeignLayoutError", "Header", "Owner", "Segment", "SegmentBusyError", "SegmentError", "View",
    "attach", "boot_id", "create", "lock_is_free", "lock_path", "make_directory", "pid_start", "this_owner",
]  # fmt: skip

MAX_SEGMENT_BYTES = 1 << 31
MAX_EPOCH = 1 << 31
# Without O_NONBLOCK a FIFO of our name would be waited for.
OPEN_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Segment:
    """A segment as its owner sees it. Make one with `create`; call `close` when done."""

    def __init__(
        self, path: Path, lock_fd: int, cells: memoryview[int], placed: dict[str, lo.Placed]
    ) -> None:
        self.path = path
        self.cells = cells
        self.header = Header(cells)
        self._placed = placed
        self._lock_fd = lock_fd
        self._inode = self._epoch = 0

    def begun(self) -> None:
        """Note the file and the epoch that are ours; `create` calls this once both are."""
        self._inode = os.stat(self.path).st_ino
        self._epoch = self.header.epoch

    def fenced(self) -> str:
        """Why this process is not the owner any more, in words; "" while it is.

        The lock keeps others away for as long as the owner lives. Only somebody who removes files by hand
        can make room for another owner, and then two would write unless the first one looks.
        """
        if self.header.epoch != self._epoch:
            return f"another process owns {self.path.name} now"
        if self.header.retired:
            return f"a new file has taken the place of {self.path.name}"
        try:
            if os.stat(self.path).st_ino != self._inode:
                return f"{self.path} is another file now"
            if os.stat(lock_path(self.path)).st_ino != os.fstat(self._lock_fd).st_ino:
                return f"{lock_path(self.path)} is another file now"
        except OSError as error:
            return f"{error.filename or self.path} is gone: {error.strerror}"
        return ""

    def slots(self, name: str) -> SlotWriter:
        """Writer of a SLOTS section."""
        placed = self._placed[name]
        assert placed.section.kind == lo.SLOTS, name
        return SlotWriter(self.cells, placed)

    def reader(self, name: str) -> SlotReader:
        """Reader of a SLOTS section of one's own, for what an earlier epoch left there."""
        return SlotReader(self.cells, self._placed[name])

    def section(self, name: str) -> lo.Section:
        """A section's declaration."""
        return self._placed[name].section

    def words(self, name: str, row: int = 0) -> memoryview[int]:
        """Writable words of one row of a WORDS section."""
        return section_words(self.cells, self._placed[name], row)

    def beat(self, now_ns: int, busy_until_ns: int = 0) -> None:
        """Say that the owner's loop goes round; `busy_until_ns` announces a bounded wait."""
        self.cells[lo.H_BUSY_UNTIL_NS] = busy_until_ns
        self.cells[lo.H_HEARTBEAT_NS] = now_ns

    def set_sleeping(self, sleeping: bool) -> None:
        """Say whether the owner waits for its bell."""
        self.cells[lo.H_SLEEPING] = int(sleeping)

    def set_config_version(self, version: int) -> None:
        """Say which configuration the owner acts on."""
        self.cells[lo.H_CONFIG_VERSION] = version

    def close(self, *, unlink: bool = False) -> None:
        """Let go of the lock and, with `unlink`, of the name. Mappings stay valid until collected."""
        if self._lock_fd < 0:
            return
        if unlink:
            self.path.unlink(missing_ok=True)
            lock_path(self.path).unlink(missing_ok=True)
        os.close(self._lock_fd)
        self._lock_fd = -1


class View:
    """A segment as a reader sees it: mapped read-only, judged by its header. Made by `attach`."""

    def __init__(self, path: Path, inode: int, cells: memoryview[int]) -> None:
        self.path = path
        self.cells = cells
        self.header = Header(cells)
        self.epoch = self.header.epoch
        self._inode = inode
        self._placed = read_directory(path, cells)

    @property
    def name(self) -> str:
        """The worker's name."""
        return self.header.name

    def sections(self) -> dict[str, lo.Section]:
        """The segment's tables as its own directory lists them."""
        return {name: placed.section for name, placed in self._placed.items()}

    def slots(self, name: str, least_words: int = 1) -> SlotReader:
        """Reader of a SLOTS section. Raises SegmentError where there is none with rows that long."""
        return SlotReader(self.cells, self._find(name, lo.SLOTS, least_words))

    def words(self, name: str, row: int = 0, least_words: int = 1) -> memoryview[int]:
        """Words of one row of a WORDS section. Raises SegmentError where there is none that long."""
        return section_words(self.cells, self._find(name, lo.WORDS, least_words), row)

    def all_words(self, name: str) -> memoryview[int]:
        """Words of all rows of a WORDS section, row after row. Raises SegmentError where there is none."""
        placed = self._find(name, lo.WORDS, 1)
        return self.cells[placed.offset : placed.offset + placed.section.rows * placed.section.words]

    def _find(self, name: str, kind: int, least_words: int) -> lo.Placed:
        placed = self._placed.get(name)
        if placed is None or placed.section.kind != kind or placed.section.words < least_words:
            raise SegmentError(
                f"{self.path} has no section {name!r} of this kind: run both sides from the same checkout"
            )
        return placed

    def check(self, name: str, drawing: str) -> None:
        """Raise SegmentError unless the section is there and its cells mean what `drawing` says."""
        placed = self._placed.get(name)
        if placed is None or placed.meaning != lo.meaning(drawing):
            raise SegmentError(
                f"{self.path} has no section {name!r} as this program draws it: "
                "run both sides from the same checkout"
            )

    def outdated(self) -> bool:
        """Whether to attach again: the file was replaced or removed, or its owner started anew."""
        if self.header.retired or self.header.epoch != self.epoch:
            return True
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True


def section_words(cells: memoryview[int], placed: lo.Placed, row: int) -> memoryview[int]:
    """One row of a WORDS section."""
    assert placed.section.kind == lo.WORDS and 0 <= row < placed.section.rows, placed.section.name
    start = placed.offset + row * placed.section.words
    return cells[start : start + placed.section.words]


def make_directory(directory: Path) -> None:
    """Make a directory private to this user, for segments or sockets, or refuse one that is not."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise SegmentError(
            f"{directory} must be a directory that only you can enter (mode 0700): "
            "remove it, or choose another place (shm.directory, XDG_RUNTIME_DIR)"
        )


def create(
    directory: Path,
    name: str,
    sections: Iterable[lo.Section],
    owner: Owner,
    *,
    monotonic_ns: int,
    wall_ns: int,
    sleep: Sleep,
) -> Segment:
    """Own the segment `name`: reuse the last owner's file if the layout fits, else make a new one.

    Raises SegmentBusyError if a live process owns it, SegmentError for a foreign directory, a full
    memory file system, something else under our names, or a machine that cannot be trusted with slots.
    """
    check_machine()
    drawn = tuple(sections)
    placed, words = lo.place(drawn)
    path = directory / name
    try:
        make_directory(directory)
        lock_fd = take_lock(path, sleep)
    except OSError as error:
        raise SegmentError(f"cannot own {name} in {directory}: {error.strerror}") from error
    try:
        cells = _reuse(path, drawn, words, owner)
        if cells is None:
            cells = _make(path, drawn, placed, words)
        segment = Segment(path, lock_fd, cells, placed)
        _begin_epoch(segment, name, owner, monotonic_ns, wall_ns)
    except OSError as error:
        os.close(lock_fd)
        raise SegmentError(f"cannot make {name} in {directory}: {error.strerror}") from error
    except BaseException:
        os.close(lock_fd)
        raise
    return segment


def _begin_epoch(segment: Segment, name: str, owner: Owner, monotonic_ns: int, wall_ns: int) -> None:
    """Empty what does not outlive its owner, write the header, and set ready last."""
    cells = segment.cells
    cells[lo.H_READY] = 0
    cells[lo.H_EPOCH] += 1
    for section_name, placed in segment._placed.items():  # noqa: SLF001 - same module
        if not placed.section.kept:
            _empty(segment, section_name)
    cells[lo.H_PID] = owner.pid
    cells[lo.H_PID_START] = owner.pid_start
    cells[lo.H_CONFIG_VERSION] = owner.config_version
    cells[lo.H_STARTED_NS] = monotonic_ns
    cells[lo.H_STARTED_WALL_NS] = wall_ns
    cells[lo.H_SLEEPING] = 0
    cells[lo.H_NAME : lo.H_NAME + lo.NAME_WORDS] = memoryview(
        array("q", lo.text_to_words(name, lo.NAME_WORDS))
    )
    cells[lo.H_BOOT_ID : lo.H_BOOT_ID + 2] = memoryview(owner.boot_id).cast("q")
    segment.beat(monotonic_ns)
    segment.begun()
    cells[lo.H_READY] = 1


def _empty(segment: Segment, name: str) -> None:
    """Zero a WORDS section; publish a zero row over every row that was ever published in SLOTS."""
    section = segment._placed[name].section  # noqa: SLF001 - same module
    zeros = array("q", bytes(section.words * lo.WORD))
    if section.kind == lo.WORDS:
        for row in range(section.rows):
            segment.words(name, row)[:] = memoryview(zeros)
        return
    writer = segment.slots(name)
    for row in range(section.rows):
        if writer.number(row):
            writer.publish(row, zeros)


def _map(fd: int, size: int, *, writable: bool) -> memoryview[int]:
    """Map a whole file as 64-bit words. The view holds the mapping, so it cannot be unmapped under us."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return memoryview(mmap.mmap(fd, size, mmap.MAP_SHARED, access)).cast("q")


def _reuse(path: Path, sections: tuple[lo.Section, ...], words: int, owner: Owner) -> memoryview[int] | None:
    """Map the last owner's file if it is ours, of this boot and of the same layout; else None."""
    try:
        fd = os.open(path, os.O_RDWR | OPEN_FLAGS)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or status.st_size != words * lo.WORD:
            return None
        cells = _map(fd, status.st_size, writable=True)
    finally:
        os.close(fd)
    same = (
        cells[lo.H_MAGIC] == lo.MAGIC
        and cells[lo.H_VERSION] == lo.LAYOUT_VERSION
        and cells[lo.H_HASH] == lo.layout_hash(sections)
        and Header(cells).boot_id == owner.boot_id
        and 0 <= cells[lo.H_EPOCH] < MAX_EPOCH
    )
    return cells if same else None


def _make(
    path: Path, sections: tuple[lo.Section, ...], placed: dict[str, lo.Placed], words: int
) -> memoryview[int]:
    """Make a new file beside the old, rename it over, and mark the old one retired."""
    old = _old_cells(path)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # Without this a full memory file system kills the process at the first touch of a page.
        os.posix_fallocate(fd, 0, words * lo.WORD)
        cells = _map(fd, words * lo.WORD, writable=True)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        need, free = words * lo.WORD // 1024, _free_bytes(path.parent) // 1024
        raise SegmentError(
            f"cannot make {path.name} in {path.parent}: {error.strerror}; it needs {need} KiB, and {free} "
            "KiB are free. Free some space there or choose another directory with shm.directory"
        ) from error
    finally:
        os.close(fd)
    cells[lo.H_VERSION] = lo.LAYOUT_VERSION
    cells[lo.H_HASH] = lo.layout_hash(sections)
    write_directory(cells, placed)
    cells[lo.H_MAGIC] = lo.MAGIC
    if old is not None:
        cells[lo.H_EPOCH] = old[lo.H_EPOCH]
    os.rename(temporary, path)
    if old is not None:
        old[lo.H_RETIRED] = 1
    return cells


def _free_bytes(directory: Path) -> int:
    """What this user may still write there."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _old_cells(path: Path) -> memoryview[int] | None:
    """The file that a new one will replace, if it looks like a segment of ours."""
    try:
        fd = os.open(path, os.O_RDWR | OPEN_FLAGS)
    except OSError:
        return None
    try:
        size = os.fstat(fd).st_size
        if not lo.HEADER_WORDS * lo.WORD <= size <= MAX_SEGMENT_BYTES or size % lo.WORD:
            return None
        cells = _map(fd, size, writable=True)
    finally:
        os.close(fd)
    sane = cells[lo.H_MAGIC] == lo.MAGIC and 0 <= cells[lo.H_EPOCH] < MAX_EPOCH
    return cells if sane else None


def attach(directory: Path, name: str) -> View:
    """Read the segment `name`. Raises SegmentError, naming the reason, if it is absent or not ours."""
    check_machine()
    path = directory / name
    try:
        fd = os.open(path, os.O_RDONLY | OPEN_FLAGS)
    except OSError as error:
        raise SegmentError(f"no segment {name}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not stat.S_ISREG(status.st_mode):
            raise SegmentError(f"{path} is not a private file of yours: remove it")
        if not lo.HEADER_WORDS * lo.WORD <= status.st_size <= MAX_SEGMENT_BYTES or status.st_size % lo.WORD:
            raise SegmentError(f"{path} is not a segment: {status.st_size} bytes")
        cells = _map(fd, status.st_size, writable=False)
    finally:
        os.close(fd)
    if cells[lo.H_MAGIC] != lo.MAGIC:
        raise SegmentError(f"{path} is not a segment: it does not begin with PARALLAX")
    if cells[lo.H_VERSION] != lo.LAYOUT_VERSION:
        raise ForeignLayoutError(
            f"{path} has layout version {cells[lo.H_VERSION]}, this program reads {lo.LAYOUT_VERSION}: "
            "run both sides from the same checkout"
        )
    view = View(path, status.st_ino, cells)
    # Looked at after the view noted the epoch: an owner that starts meanwhile takes `ready` away first,
    # so a view of the new epoch never shows rows of the old one.
    if not view.header.ready:
        raise SegmentError(f"{path} is still being set up")
    if view.header.boot_id != boot_id():
        raise SegmentError(f"{path} is from before the last boot: its times mean nothing now")
    return view
