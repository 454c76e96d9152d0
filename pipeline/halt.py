"""Halt: the file HALT in the data directory. While it is there, nothing new is traded.

In: a cause and who says so. Out: the same again, to whoever looks, before and after any restart. An empty
file (`touch HALT`) halts too, and so does one that cannot be read: only a file that is not there does not.
The first cause stays; later ones are lines below it. Used by trader, supervisor and cli.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

HALT_FILE = "HALT"
MAX_FILE_BYTES = 16_384
"""Nothing is added to a longer file, and no more of it is read."""
MAX_CAUSE = 160
ATTEMPTS = 1000
UNKNOWN_NS, LAST_NS = 1, 2**63 - 1
BY_HAND = "the file HALT was made by hand"


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing new is traded, who said so (a person or a rule, "" unknown), and when (wall clock).

    `wall_ns` is never 0: it is UNKNOWN_NS where nobody knows. `later` are causes that came while it was in
    force already.
    """

    cause: str
    who: str
    wall_ns: int
    later: tuple[str, ...] = ()

    @property
    def known_ns(self) -> int:
        """When it began (wall clock), 0 where nobody knows."""
        return 0 if self.wall_ns == UNKNOWN_NS else self.wall_ns


class HaltFile:
    """One HALT file. Looking at it is one `lstat`; it is read again only when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, ...] = ()
        self._seen: Halt | None = None
        # What could not be written. It holds in this process, and is tried again with each look.
        self._unwritten: Halt | None = None

    def read(self) -> Halt | None:
        """The halt in force; None only where there is no such file. Never raises."""
        unwritten, self._unwritten = self._unwritten, None
        if unwritten is not None:
            try:
                self._write(unwritten)
            except OSError:
                self._unwritten = unwritten
                return unwritten
        try:
            found = os.lstat(self.path)
            stamp = _stamp(found)
            if stamp != self._stamp or self._seen is None:
                self._seen = self._content(found)
                self._stamp = stamp
        except FileNotFoundError:
            self._seen, self._stamp = None, ()
        except OSError as error:
            # A directory that may not be searched, a loop of links: no proof that it is not there.
            return Halt(f"{self.path} cannot be read: {error.strerror}", "", UNKNOWN_NS)
        return self._seen

    def set(self, cause: str, who: str, wall_ns: int) -> Halt:
        """Halt. Returns what is in force: an earlier cause stays the first one.

        Raises OSError when the file cannot be written; then this process is halted all the same, and
        every `read` tries to write it.
        """
        halt = Halt(_line(cause)[:MAX_CAUSE] or "no cause was given", _line(who)[:MAX_CAUSE], wall_ns)
        try:
            self._write(halt)
        except OSError:
            self._unwritten = self._unwritten or halt
            raise
        # Removed by another already: then this halt was in force for that moment.
        return self.read() or halt

    def clear(self) -> Halt | None:
        """End the halt; what it was, None where there was none. Raises OSError when it cannot be removed."""
        unwritten, self._unwritten = self._unwritten, None
        halt = self.read() or unwritten
        try:
            self.path.unlink()
            self._sync_directory()
        except FileNotFoundError:
            # Another was first, or it never reached the disk.
            return halt
        except OSError:
            self._unwritten = unwritten
            raise
        return halt

    def _write(self, halt: Halt) -> None:
        """Make the file with this cause, in one step; where there is one, add the cause to it."""
        text = _text(halt)
        made = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        made.unlink(missing_ok=True)
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _write_all(descriptor, text)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            # A link never replaces: of two at once one comes first, and its cause stays.
            for _ in range(ATTEMPTS):
                if _linked(made, self.path) or self._added(halt, text):
                    self._sync_directory()
                    return
                # Somebody resumed in this very moment: halt again.
            raise OSError(f"{self.path} is removed as often as it is made")
        finally:
            made.unlink(missing_ok=True)

    def _added(self, halt: Halt, text: bytes) -> bool:
        """Add a line to the file that is there, once for each cause, while it is short; False if it went."""
        now = self.read()
        if now is None:
            return False
        if halt.cause == now.cause or halt.cause in now.later:
            return True
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        except OSError:
            # It is no file of ours. It halts as it is.
            return True
        try:
            size = os.fstat(descriptor).st_size
            if size < MAX_FILE_BYTES - len(text):
                # An empty file was the first cause.
                _write_all(descriptor, text if size else _text(now) + text)
            return os.fstat(descriptor).st_nlink > 0
        finally:
            os.close(descriptor)

    def _content(self, found: os.stat_result) -> Halt:
        """What the file says; whatever it is, it halts. Raises FileNotFoundError when it has gone."""
        name, wall_ns = self.path.name, max(UNKNOWN_NS, min(found.st_mtime_ns, LAST_NS))
        if not stat.S_ISREG(found.st_mode):
            return Halt(f"{name} is there, and is no plain file", "", wall_ns)
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            return Halt(f"the file {name} is there, and may not be read", "", wall_ns)
        try:
            text = os.read(descriptor, MAX_FILE_BYTES).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
        halts = [_parsed(line, wall_ns) for line in text.splitlines() if line.strip()]
        if not halts:
            return Halt(BY_HAND, "", wall_ns)
        first, *others = halts
        return Halt(first.cause, first.who, first.wall_ns, tuple(halt.cause for halt in others))

    def _sync_directory(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _text(halt: Halt) -> bytes:
    """One line of the file."""
    return json.dumps({"cause": halt.cause, "who": halt.who, "wall_ns": halt.wall_ns}).encode() + b"\n"


def _linked(made: Path, path: Path) -> bool:
    """Give the file its name; False where there is one of that name."""
    try:
        os.link(made, path)
    except FileExistsError:
        return False
    return True


def _write_all(descriptor: int, text: bytes) -> None:
    written = os.write(descriptor, text)
    if written != len(text):
        raise OSError(f"wrote {written} of {len(text)} bytes")


def _line(text: str) -> str:
    """The text on one line, without signs that a terminal obeys."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def _parsed(line: str, wall_ns: int) -> Halt:
    """One line of the file; one that we did not write is its own cause."""
    try:
        entry = json.loads(line)
        cause, who, at_ns = entry["cause"], entry["who"], entry["wall_ns"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return _by_hand(line, wall_ns)
    if not (isinstance(cause, str) and isinstance(who, str) and isinstance(at_ns, int) and _line(cause)):
        return _by_hand(line, wall_ns)
    at_ns = at_ns if UNKNOWN_NS <= at_ns <= LAST_NS else wall_ns
    return Halt(_line(cause)[:MAX_CAUSE], _line(who)[:MAX_CAUSE], int(at_ns))


def _by_hand(line: str, wall_ns: int) -> Halt:
    return Halt(f"{BY_HAND}: {_line(line)}"[:MAX_CAUSE], "", wall_ns)
