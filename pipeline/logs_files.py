"""Logs files: the log files of a data directory as lines, merged by time, and followed as they grow.

In: data/logs/*.jsonl and what they were rotated to, while others write and rotate them. Out: `Line`s in the
order of their times. Reads as it goes: what is held at once is a line of each worker, however large the
files are. Used by `run.py logs`, by the summary of a run, and by the dashboard.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from pipeline.logs import MAX_LINE_BYTES, SUFFIX, rotated
from pipeline.logs_text import Line, parse

# A longer piece without a line's end is not ours; it is read in such pieces.
LONGEST_BYTES = 65536
MOST_ROTATED = 100
_NAME = re.compile(rf"(?P<worker>.+){re.escape(SUFFIX)}(\.\d+)?")


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
        # How often the file that was read was gone before it was known what came after it.
        self.broken_off = 0
        self._files = list(self._newest_first())[::-1]
        if most:
            self.skip(most * MAX_LINE_BYTES)

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
        self.follow()
        yield from self.lines()

    def unread(self) -> int:
        """Bytes that were written and not read, of the files that are known: see `follow`."""
        sizes = sum(os.fstat(file.fileno()).st_size for file in self._files)
        return max(0, sizes - self._files[0].tell()) if self._files else 0

    def skip(self, keep_bytes: int) -> int:
        """Leave out what lies before the last `keep_bytes` of what is unread; how many bytes that were."""
        before = self.unread()
        if before <= keep_bytes:
            return 0
        for place in range(len(self._files) - 1, -1, -1):
            size = os.fstat(self._files[place].fileno()).st_size
            if size >= keep_bytes:
                self._files[place].seek(size - keep_bytes)
                if size > keep_bytes:
                    self._files[place].readline(LONGEST_BYTES)
                for file in self._files[:place]:
                    file.close()
                del self._files[:place]
                break
            keep_bytes -= size
        return before - self.unread()

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _newest_first(self) -> Iterator[BinaryIO]:
        """The files as they are found: in this order a rotation meanwhile shows one twice, and hides none."""
        last = None
        older = (rotated(self._path, number) for number in range(1, MOST_ROTATED))
        for path in chain([self._path], older):
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

    def follow(self) -> None:
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
        self.broken_off += 1
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
