"""Logs files: the log files of a data directory as lines, merged by time, and followed as they grow.

In: data/logs/*.jsonl and what they were rotated to, while others write and rotate them. Out: `Line`s in the
order of their times. Reads as it goes: what is held at once is a line of each worker, however large the
files are. Used by `run.py logs`.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipeline.logs import MAX_LINE_BYTES, SUFFIX, rotated

# A longer piece without a line's end is not ours; it is read in such pieces.
LONGEST_BYTES = 65536
MOST_ROTATED = 100
_NAME = re.compile(rf"(?P<worker>.+){re.escape(SUFFIX)}(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `at` orders it; `fields` is what it says, or None where it is no line of ours."""

    at: float
    worker: str
    fields: dict[str, Any] | None
    raw: bytes


def workers_in(directory: Path) -> list[str]:
    """Names of the workers that have a log there."""
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else iter(())
    return sorted({found["worker"] for name in names if (found := _NAME.fullmatch(name))})


class WorkerLog:
    """The files of one worker's log, oldest first, as one stream; then what is added to it.

    With `most` lines wanted and no others, files and parts of files that cannot hold them are left out.
    """

    def __init__(self, directory: Path, worker: str, most: int = 0) -> None:
        self._path = directory / f"{worker}{SUFFIX}"
        self._worker = worker
        self._at = 0.0
        self._files = list(self._newest_first())[::-1]
        if most:
            self._skip(most * MAX_LINE_BYTES)

    def lines(self) -> Iterator[Line]:
        """What was written so far, and has not been read."""
        while len(self._files) > 1:
            yield from self._read(self._files[0], ended=True)
            self._files.pop(0).close()
        if self._files:
            yield from self._read(self._files[0], ended=False)

    def fresh(self) -> Iterator[Line]:
        """What was written since, also where the log was rotated, replaced or cut meanwhile."""
        yield from self.lines()
        self._follow()
        yield from self.lines()

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _newest_first(self) -> Iterator[BinaryIO]:
        """The files as they are found: in this order a rotation meanwhile shows one twice, and hides none."""
        last = None
        for path in (self._path, *(rotated(self._path, number) for number in range(1, MOST_ROTATED))):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                # Between the renames of a rotation there is no newest file.
                if path != self._path:
                    return
                continue
            if last is not None and _same(file, last):
                file.close()
            else:
                last = file
                yield file

    def _skip(self, wanted_bytes: int) -> None:
        """Leave out what lies before the last `wanted_bytes`."""
        for place in range(len(self._files) - 1, -1, -1):
            size = os.fstat(self._files[place].fileno()).st_size
            if size >= wanted_bytes:
                self._files[place].seek(size - wanted_bytes)
                if size > wanted_bytes:
                    self._files[place].readline(LONGEST_BYTES)
                for file in self._files[:place]:
                    file.close()
                del self._files[:place]
                return
            wanted_bytes -= size

    def _follow(self) -> None:
        """Have the files open that came after the one that was read last."""
        if not self._files:
            self._files = list(self._newest_first())[::-1]
            return
        current = self._files[-1]
        if os.fstat(current.fileno()).st_size < current.tell():
            current.seek(0)
        later: list[BinaryIO] = []
        for file in self._newest_first():
            if _same(file, current):
                file.close()
                self._files += later
                return
            later.insert(0, file)
        # Ours is gone, rotated out or removed by hand: of the others only the newest is known to be new.
        for file in later:
            if Path(file.name) == self._path:
                self._files.append(file)
            else:
                file.close()

    def _read(self, file: BinaryIO, *, ended: bool) -> Iterator[Line]:
        """Whole lines up to the end of a file; a line without an end only where nobody will end it."""
        while True:
            begin = file.tell()
            raw = file.readline(LONGEST_BYTES)
            if not raw:
                return
            if not raw.endswith(b"\n") and len(raw) < LONGEST_BYTES and not ended:
                file.seek(begin)
                return
            line = parse(raw.rstrip(b"\r\n"), self._worker, self._at)
            self._at = line.at
            if line.raw:
                yield line


def parse(raw: bytes, worker: str, before: float) -> Line:
    """A line from its bytes. What is no line of ours, or has no time, keeps its place behind `before`,
    and so does what is older: within a file lines stand in the order in which they were written.
    """
    try:
        fields = msgspec.json.decode(raw)
        if not isinstance(fields, dict):
            return Line(before, worker, None, raw)
        moment = datetime.fromisoformat(fields["time"])
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return Line(before, worker, None, raw)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Line(max(before, moment.timestamp()), worker, fields, raw)


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    return os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))


class Merged:
    """The logs of several workers, or of all there are and will be, as one."""

    def __init__(self, directory: Path, workers: list[str], most: int = 0) -> None:
        self._directory = directory
        self._wanted = workers
        self._logs = {name: WorkerLog(directory, name, most) for name in workers or workers_in(directory)}

    def lines(self) -> Iterator[Line]:
        """What was written so far, in the order of time."""
        return heapq.merge(*(log.lines() for log in self._logs.values()), key=lambda line: line.at)

    def fresh(self) -> list[Line]:
        """What was written since, in the order of time; logs that are new are read from their beginning."""
        for name in [] if self._wanted else workers_in(self._directory):
            if name not in self._logs:
                self._logs[name] = WorkerLog(self._directory, name)
        return sorted((line for log in self._logs.values() for line in log.fresh()), key=lambda line: line.at)

    def close(self) -> None:
        """Let go of all files."""
        for log in self._logs.values():
            log.close()
