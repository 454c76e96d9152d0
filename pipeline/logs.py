"""Logs: one file of JSON lines a worker. The door to `logging`.

In: an event's name and its fields. Out: data/logs/NAME.jsonl, rotated. Every process opens one log.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 5_000_000
KEPT_FILES = 3
_SKIPPED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED = _SKIPPED | {"time", "level", "worker", "event", "traceback"}


class _JsonLines(logging.Formatter):
    """One JSON object a record: time, level, worker, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; what JSON cannot hold is shown as text."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "worker": record.name.removeprefix("parallax."),
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _SKIPPED})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return json.dumps(line, default=str, allow_nan=False)
        except (TypeError, ValueError):
            return json.dumps({key: str(value) for key, value in line.items()})


class Log:
    """A worker's log: an event's name in the field's words, then its facts as keywords."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

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
        """Write out and close the file."""
        for handler in list(self._logger.handlers):
            handler.close()
            self._logger.removeHandler(handler)


def _named(fields: dict[str, object]) -> dict[str, object]:
    """Fields whose names are taken, by logging or by the line itself, get an underscore."""
    return {f"{key}_" if key in _RESERVED else key: value for key, value in fields.items()}


def open_log(name: str, data_directory: Path) -> Log:
    """Open data/logs/NAME.jsonl for a worker."""
    directory = log_directory(data_directory)
    directory.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        directory / f"{name}.jsonl", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
    )
    handler.setFormatter(_JsonLines())
    logger = logging.getLogger(f"parallax.{name}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return Log(logger)


def log_directory(data_directory: Path) -> Path:
    """Where the logs of a data directory lie."""
    return data_directory / "logs"
