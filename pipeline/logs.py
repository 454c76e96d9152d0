"""Logs: one file of JSON lines a worker. The door to `logging`.

In: an event's name and its fields. Out: data/logs/NAME.jsonl, rotated, readable by this user alone. Every
process opens one log. A disk that is full, or a folder that is gone, never stops a worker: lines are lost
and counted, and the first line that can be written again says how many. A line is written in one piece,
so that a reader who follows sees whole lines, and a kill loses none.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from pipeline.config_operations import LogsConfig
from pipeline.secrets import redact

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MAX_LINE_BYTES = 4096
FILE_MODE = 0o600
SUFFIX = ".jsonl"
# Texts of a line that is too long are cut to the first of these lengths with which it fits.
_CUTS = (1000, 250, 60)
_LONGEST_EVENT = 200
_SKIPPED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED = _SKIPPED | {"time", "level", "worker", "event", "traceback", "cut"}


class _JsonLines(logging.Formatter):
    """A JSON object a record: time, level, worker, event, then the fields; ASCII, at most MAX_LINE_BYTES."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; what JSON cannot hold is shown as text, what is too long is cut."""
        moment = datetime.fromtimestamp(record.created, UTC)
        head: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "worker": record.name.removeprefix("parallax."),
            "event": redact(record.getMessage()),
        }
        fields = {key: value for key, value in vars(record).items() if key not in _SKIPPED}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        line = _rendered({**head, **fields})
        for limit in _CUTS:
            if len(line) < MAX_LINE_BYTES:
                return line
            line = _rendered(
                {**{key: _cut(key, value, limit) for key, value in {**head, **fields}.items()}, "cut": True}
            )
        if len(line) < MAX_LINE_BYTES:
            return line
        # So many fields that even their names are too long.
        return _rendered({**head, "event": str(head["event"])[:_LONGEST_EVENT], "cut": True})


def _rendered(line: dict[str, object]) -> str:
    """A line as JSON, with every secret of this process taken out of it."""
    try:
        return redact(json.dumps(line, default=str, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        plain = {key: value if isinstance(value, bool) else _text(value) for key, value in line.items()}
        return redact(json.dumps(plain))


def _text(value: object) -> str:
    """A value as text; what has none, such as a number of 5,000 digits, by its type."""
    try:
        return str(value)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"


def _cut(key: str, value: object, limit: int) -> object:
    """A value whose text is at most `limit` characters: its beginning, of a traceback its end."""
    if isinstance(value, int | float | None):
        return value
    # Half a secret would not be known for one.
    text = redact(_text(value))
    if len(text) <= limit:
        return value
    return f"...{text[-limit:]}" if key == "traceback" else f"{text[:limit]}..."


class _Files(logging.Handler):
    """Appends lines to a file, each in one write, and rotates: NAME.jsonl, NAME.jsonl.1, NAME.jsonl.2, ...

    A file that another hand moved or removed is opened anew, so that what is written can be found.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._fd = -1
        self._half_line = False
        self._untold = 0
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or count it as lost; before it, how many were lost since the last one."""
        try:
            line = self.format(record)
            if self._untold:
                self._append(self.format(_loss(record, self._untold)))
                self._untold = 0
            self._append(line)
        except Exception:
            # Whatever a record holds and whatever the disk says: no line is worth a worker.
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Count a line that is lost. `logging` itself would print to stderr."""
        self.lost += 1
        self._untold += 1

    def close(self) -> None:
        """Let go of the file."""
        self._let_go()
        super().close()

    def _append(self, line: str) -> None:
        """Write a line. Raises OSError when it is not written whole."""
        data = line.encode("ascii") + b"\n"
        self._make_room(len(data))
        if self._half_line:
            # What a full disk cut off is ended first: one line is broken then, not two.
            data = b"\n" + data
        written = os.write(self._fd, data)
        self._half_line = (self._half_line and not written) or 0 < written < len(data)
        if written < len(data):
            raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes written")

    def _make_room(self, size: int) -> None:
        """Have the file that `path` names open, with room for `size` bytes."""
        if self._fd >= 0 and not self._is_named():
            self._let_go()
        if self._fd < 0:
            self._open()
        if os.fstat(self._fd).st_size + size > self._max_bytes:
            self._rotate()

    def _is_named(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        """Open or make the file, for this user alone, and look whether its last line was ended."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, FILE_MODE)
        found = os.fstat(self._fd)
        if found.st_mode & 0o077 and found.st_uid == os.geteuid():
            os.fchmod(self._fd, FILE_MODE)
        self._half_line = found.st_size > 0 and os.pread(self._fd, 1, found.st_size - 1) != b"\n"

    def _rotate(self) -> None:
        """Move each file one number up; the oldest goes."""
        names = [self._path, *(rotated(self._path, number) for number in range(1, self._kept + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        if not self._kept:
            self._path.unlink(missing_ok=True)
        self._let_go()
        self._open()

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _loss(record: logging.LogRecord, lines: int) -> logging.LogRecord:
    """A record, at the time and of the worker of another, that says how many were lost before it."""
    facts = {"name": record.name, "created": record.created, "lines": lines}
    return logging.makeLogRecord(
        {"msg": "lines of this log were lost", "levelname": "WARNING", "levelno": logging.WARNING, **facts}
    )


class Log:
    """A worker's log: an event's name in the field's words, then its facts as keywords."""

    def __init__(self, logger: logging.Logger, files: _Files) -> None:
        self._logger = logger
        self._files = files

    @property
    def lost(self) -> int:
        """How many lines could not be written since the log was opened."""
        return self._files.lost

    @property
    def level(self) -> str:
        """The lowest level that is written: "debug", "info", "warning" or "error"."""
        return logging.getLevelName(self._logger.level).lower()

    def set_level(self, level: str) -> None:
        """Write this level and what is worse, from now on. Raises ValueError for a word that is no level."""
        if level not in LEVELS:
            raise ValueError(f"no log level {level!r}; there are: {', '.join(LEVELS)}")
        self._logger.setLevel(LEVELS[level])

    def debug(self, event: str, /, **fields: object) -> None:
        """Something that only who looks for a fault wants to know."""
        self._logger.debug(event, extra=_named(fields))

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened as it should."""
        self._logger.info(event, extra=_named(fields))

    def warning(self, event: str, /, **fields: object) -> None:
        """Something happened that somebody may want to look at."""
        self._logger.warning(event, extra=_named(fields))

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed."""
        self._logger.error(event, extra=_named(fields))

    def crash(self, event: str, /, **fields: object) -> None:
        """An exception is being handled: its traceback is logged too."""
        self._logger.exception(event, extra=_named(fields))  # noqa: LOG004 - the caller handles one

    def close(self) -> None:
        """Close the file."""
        self._logger.removeHandler(self._files)
        self._files.close()


def _named(fields: dict[str, object]) -> dict[str, object]:
    """Fields whose names are taken, by logging or by the line itself, get an underscore."""
    return {f"{key}_" if key in _RESERVED else key: value for key, value in fields.items()}


def open_log(name: str, data_directory: Path, logs: LogsConfig = LogsConfig()) -> Log:  # noqa: B008 - frozen
    """Open data/logs/NAME.jsonl for a worker, at its level of `logs`.

    Raises ValueError for a level that there is not; a file that cannot be opened only loses lines.
    """
    files = _Files(log_directory(data_directory) / f"{name}{SUFFIX}", logs.max_mb * 10**6, logs.files)
    files.setFormatter(_JsonLines())
    logger = logging.getLogger(f"parallax.{name}")
    logger.propagate = False
    logger.addHandler(files)
    log = Log(logger, files)
    log.set_level(logs.of(name))
    return log


def log_directory(data_directory: Path) -> Path:
    """Where the logs of a data directory lie."""
    return data_directory / "logs"


def rotated(path: Path, number: int) -> Path:
    """The file that `path` became after it was rotated `number` times."""
    return path.with_name(f"{path.name}.{number}")
