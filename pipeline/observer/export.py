"""Export: writes data/orderbooks.json, bot_state.json, recent_opportunities.json and positions.json.

In: the segments as they are attached, the status object. Out: each file whole, by a rename within its folder,
so that a reader never sees half of one. Used by the observer's worker. A file that cannot be written is
counted, reported once for each cause, and tried again; nothing else waits for it.

Nothing is forced onto the disk: whoever reads on this machine gets what was written, from memory; and after
a loss of power no export means anything, for the boot that it names is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.observer import state_file
from pipeline.observer.books_file import BooksFile, EventRows
from pipeline.observer.facts import Moment, head
from pipeline.observer.opportunities_file import OpportunitiesFile
from pipeline.observer.positions_file import PositionsFile
from shm.segment import SegmentError, View

COUNTERS = ("exports", "export_bytes", "export_failures", "exports_unchanged", "daily_messages")
BOOKS, STATE, OPPORTUNITIES, POSITIONS = "orderbooks", "bot_state", "recent_opportunities", "positions"
FILES = (BOOKS, STATE, OPPORTUNITIES, POSITIONS)
# A file holds for so many of its intervals, and at least for so long.
INTERVALS, LEAST_VALID_S = 3, 3.0
# So much longer than state_seconds the state holds.
STATE_GRACE_S = 5.0
STATE_EVERY_NS = 1_000_000_000

Content = tuple[object, dict[str, Any]]
Make = Callable[[Config, Mapping[str, View], Moment], Content]


@dataclass(slots=True)
class _File:
    """One file: what was last written of it, and when."""

    name: str
    path: Path
    key: object = None
    written_ns: int = -(10**18)
    tried_ns: int = -(10**18)


class Exports:
    """The four files of one data directory."""

    def __init__(self, worker: Worker, data_directory: Path) -> None:
        self._worker = worker
        self._files = {name: _File(name, data_directory / f"{name}.json") for name in FILES}
        event_rows = EventRows()
        self._made: dict[str, Make] = {
            BOOKS: BooksFile(event_rows).content,
            OPPORTUNITIES: OpportunitiesFile(event_rows).content,
            POSITIONS: PositionsFile().content,
        }
        self._troubles: dict[str, str] = {}
        self.written_wall_ns = dict.fromkeys(FILES, 0)

    def turn(self, config: Config, views: Mapping[str, View], at: Moment, *, last: bool = False) -> None:
        """Write whichever of books, opportunities and positions is due: changed, or soon no longer valid.

        The `last` time all are written, for what the others did at their end is to be in them.
        """
        every_ns = 0 if last else config.observer.export_ms * 1_000_000
        valid_s = valid_for_s(config)
        for name, make in self._made.items():
            file = self._files[name]
            if at.now_ns - file.tried_ns < every_ns:
                continue
            file.tried_ns = at.now_ns
            try:
                key, body = make(config, views, at)
            except SegmentError as error:
                self.trouble(name, str(error))
                continue
            if not last and key == file.key and (at.now_ns - file.written_ns) * INTERVALS < valid_s * 1e9:
                self._worker.counters.add("exports_unchanged")
                continue
            self._write(file, {**head(name, config, at, valid_s), **body}, key, at)

    def state(self, config: Config, state: dict[str, Any], at: Moment) -> None:
        """Write the bot's state if it is new (at most once a second), or if state_seconds are over."""
        file = self._files[STATE]
        key, body = state_file.content(config, state)
        due_ns = STATE_EVERY_NS if key != file.key else round(config.observer.state_seconds * 1e9)
        # The caller turns once a second: a little less must do, or every other second would be missed.
        if at.now_ns - file.written_ns >= due_ns - STATE_EVERY_NS // 10:
            self._write(file, {**head(STATE, config, at, state_valid_for_s(config)), **body}, key, at)

    def end(self, config: Config, state: dict[str, Any], at: Moment, *, supervised: bool) -> None:
        """The last word of this process. In a run that ends the trader has ended before, so nothing runs;
        where the observer alone is restarted, the rest does.
        """
        key, body = state_file.content(config, state, supervised=supervised)
        self._write(
            self._files[STATE], {**head(STATE, config, at, state_valid_for_s(config)), **body}, key, at
        )

    def trouble(self, what: str, text: str) -> None:
        """Count what went wrong, and report it once until it goes well or wrong in another way."""
        self._worker.counters.add("export_failures")
        if self._troubles.get(what) != text:
            self._troubles[what] = text
            self._worker.report(f"{what}: {text}")
            self._worker.log.warning("export failed", what=what, why=text)

    def _write(self, file: _File, content: dict[str, Any], key: object, at: Moment) -> None:
        try:
            data = encode(content)
            replace(file.path, data)
        except OSError as error:
            self.trouble(file.name, f"{file.path} cannot be written: {error.strerror}; it is tried again")
            return
        self._troubles.pop(file.name, None)
        file.key, file.written_ns = key, at.now_ns
        self.written_wall_ns[file.name] = at.wall_ns
        self._worker.counters.add("exports")
        self._worker.counters.add("export_bytes", len(data))


def valid_for_s(config: Config) -> float:
    """Seconds for which books, opportunities and positions hold."""
    return max(LEAST_VALID_S, INTERVALS * config.observer.export_ms / 1000)


def state_valid_for_s(config: Config) -> float:
    """Seconds for which the bot's state holds."""
    return max(LEAST_VALID_S, config.observer.state_seconds + STATE_GRACE_S)


def encode(content: dict[str, Any]) -> bytes:
    """The content as JSON, a line for each of its parts, so that people can read it too."""
    lines = [msgspec.json.encode(name) + b": " + _lines(value) for name, value in content.items()]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def _lines(value: Any) -> bytes:
    """A list with a line for each entry, anything else on one line."""
    if isinstance(value, list) and value:
        return b"[\n  " + b",\n  ".join(map(msgspec.json.encode, value)) + b"\n]"
    if isinstance(value, dict) and value and all(isinstance(each, dict) for each in value.values()):
        entries = [
            msgspec.json.encode(name) + b": " + msgspec.json.encode(each) for name, each in value.items()
        ]
        return b"{\n  " + b",\n  ".join(entries) + b"\n}"
    return msgspec.json.encode(value)


def replace(path: Path, data: bytes) -> None:
    """Let the file be `data`, readable by its owner alone, in one step. Raises OSError, and it is as before.

    The unfinished file has one name: a process that is killed leaves at most one, which the next one uses.
    """
    unfinished = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
