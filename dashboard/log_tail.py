"""Log tail: the newest lines of all workers' logs, merged by time, as the Logs tab shows them.

In: data/logs, and a `poll` whenever the tab is in sight; nothing is read in between. Out: at most KEPT
`LogEntry`s, chosen by level, worker and text without reading again. A poll reads at most POLL_BYTES, the
newest; what it leaves out is said in an entry of its own. Run by the dashboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import intern

from pipeline.clock import Clock
from pipeline.logs import LEVELS
from pipeline.logs_files import WorkerLog, workers_in
from pipeline.logs_text import Line, clean, told_fields, trace_lines

KEPT = 5000
POLL_BYTES, POLL_LINES = 1 << 19, KEPT // 2
# More names than a run has workers are somebody else's files.
MOST_WORKERS = 100
# Our own lines end at 4,096 bytes; of a foreign one so much is kept.
MOST_SIGNS = 4096
SKIPPED = "lines left out"
NO_LEVEL = ""
# In the year 9892: a foreign line may be of the last day that there is, and every zone must still have it.
_LATEST_S = 250_000_000_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a log, cleaned of all that a terminal would obey.

    `level` is a word of `pipeline.logs.LEVELS`, or NO_LEVEL for a line that is none of ours. `text` is what
    the line tells beside its event, key=value, then its traceback in lines of their own. `line` is the line
    as it stands in the file. `wall_ns` is its time, or, where it has none, that of the line before it.
    `number` names it among all that were read.
    """

    wall_ns: int
    worker: str
    level: str
    event: str
    text: str
    line: str
    number: int

    @property
    def broken(self) -> bool:
        """Whether it is no line of ours: cut, or foreign."""
        return self.level == NO_LEVEL

    def has(self, needle: str) -> bool:
        """Whether a casefolded text stands in it."""
        return needle in f"{self.worker} {self.level} {self.event} {self.text}".casefold()


class LogTail:
    """The end of all logs in `directory`, which need not be there yet."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._logs: dict[str, WorkerLog] = {}
        # Logs that no poll has read yet: what is older than their end was never promised.
        self._new: set[str] = set()
        self._polls = 0
        self._taken = 0
        self._entries: list[LogEntry] = []
        self._version = 0
        self._chosen: tuple[tuple[str, str, str, int], Sequence[LogEntry]] | None = None
        self._problems: dict[str, str] = {}
        self._broken_off: dict[str, int] = {}
        self.broken = 0
        """Lines met so far that were none of ours."""
        self.skipped_bytes = 0
        """What was left out since the first poll, because more came than a poll reads."""

    @property
    def workers(self) -> list[str]:
        """Whose logs there are."""
        return sorted(self._logs)

    @property
    def problem(self) -> str:
        """Why nothing, or not everything, is shown; "" where there is nothing to say."""
        if not self._logs and not self._problems:
            return f"no logs in {clean(str(self._directory))} yet"
        return "; ".join(self._problems.values())

    def poll(self) -> bool:
        """Read what came since the last poll; whether there is anything new to show."""
        fresh: list[LogEntry] = []
        unread = self._look()
        shares = _shares(unread, POLL_BYTES)
        names = sorted(shares)
        # Another worker comes first each time: the bound on lines starves none of them.
        self._polls += 1
        turn = self._polls % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            try:
                # Asked of what there was a moment ago: what comes just now is not too much.
                self._take(name, shares[name] if shares[name] < unread[name] else None, fresh)
            except OSError as error:
                self._give_up(name, error)
        if not fresh:
            return False
        # Each worker's lines are in order, so this is a merge of runs.
        self._entries += fresh
        self._entries.sort(key=lambda entry: entry.wall_ns)
        del self._entries[:-KEPT]
        self._version += 1
        return True

    def entries(self, level: str = "debug", worker: str = "", needle: str = "") -> Sequence[LogEntry]:
        """The entries of `level` and worse, of one worker ("": of all), that contain `needle` in capitals
        or not; oldest first. Lines of no level are shown where all levels are.
        """
        asked = (level, worker, needle.casefold(), self._version)
        if self._chosen is None or self._chosen[0] != asked:
            self._chosen = (asked, self._choose(*asked[:3]))
        return self._chosen[1]

    def close(self) -> None:
        """Let go of the files; the next poll begins anew at the end of each."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._entries.clear()
        self._version += 1

    def _choose(self, level: str, worker: str, needle: str) -> Sequence[LogEntry]:
        least = LEVELS[level]
        lowest = least <= min(LEVELS.values())
        return [
            entry
            for entry in self._entries
            if (lowest or LEVELS.get(entry.level, 0) >= least)
            and (not worker or entry.worker == worker)
            and (not needle or entry.has(needle))
        ]

    def _look(self) -> dict[str, int]:
        """How much is unread of each log; new logs are opened, and rotations followed."""
        self._problems.clear()
        try:
            names = workers_in(self._directory)
        except OSError as error:
            self._problems[""] = f"{self._directory}: {error.strerror}"
            return {}
        if len(names) > MOST_WORKERS:
            self._problems[""] = f"{len(names)} logs in {self._directory}: {MOST_WORKERS} of them are shown"
            names = names[:MOST_WORKERS]
        for name in self._logs.keys() - set(names):
            self._logs.pop(name).close()
        unread = {}
        for name in names:
            try:
                if name in self._logs:
                    self._logs[name].follow()
                else:
                    self._logs[name] = WorkerLog(self._directory, name)
                    self._broken_off[name] = 0
                    self._new.add(name)
                unread[name] = self._logs[name].unread()
            except OSError as error:
                self._give_up(name, error)
        return unread

    def _take(self, name: str, share: int | None, fresh: list[LogEntry]) -> None:
        """Read a worker's lines, all or its newest `share` bytes."""
        log = self._logs[name]
        skipped = log.skip(share) if share is not None else 0
        if skipped and name not in self._new:
            self.skipped_bytes += skipped
            fresh.append(self._note(name, f"{skipped:,} bytes came at once: run.py logs {name} has them all"))
        if log.broken_off != self._broken_off[name]:
            self._broken_off[name] = log.broken_off
            fresh.append(self._note(name, "its file was removed while it was read"))
        self._new.discard(name)
        # Asked before a line is taken: one that was taken and not kept would be lost.
        lines = log.lines()
        while len(fresh) < POLL_LINES and (line := next(lines, None)) is not None:
            self._taken += 1
            entry = entry_of(line, name, self._clock.wall_ns(), self._taken)
            self.broken += entry.broken
            fresh.append(entry)

    def _note(self, name: str, text: str) -> LogEntry:
        """An entry of our own, at the place where lines are missing."""
        last = max((entry.wall_ns for entry in self._entries if entry.worker == name), default=0)
        self._taken += 1
        wall_ns, told = last or self._clock.wall_ns(), clean(text)
        return LogEntry(wall_ns, intern(name), "warning", SKIPPED, told, f"{SKIPPED}: {told}", self._taken)

    def _give_up(self, name: str, error: OSError) -> None:
        """Say why a log cannot be read; the next poll tries again, and then reads its end anew."""
        self._problems[name] = f"the log of {clean(name)} cannot be read: {error.strerror}"
        log = self._logs.pop(name, None)
        if log is not None:
            log.close()
            self._entries = [entry for entry in self._entries if entry.worker != name]
            self._version += 1


def entry_of(line: Line, worker: str, now_ns: int, number: int) -> LogEntry:
    """A line as it is shown; one that no time stands before is from `now_ns`."""
    wall_ns = round(line.at * 1e6) * 1000 or now_ns
    raw = _cut(line.raw.decode("utf-8", "replace"))
    fields = line.fields
    if fields is None:
        return LogEntry(wall_ns, intern(worker), NO_LEVEL, raw, "", raw, number)
    level = fields.get("level")
    known = level if isinstance(level, str) and level in LEVELS else NO_LEVEL
    text = _cut(told_fields(fields))
    if "traceback" in fields:
        text = "\n".join([text, *trace_lines(fields)])
    event = _cut(str(fields.get("event", "")))
    return LogEntry(wall_ns, intern(worker), intern(known), event, text[: 2 * MOST_SIGNS], raw, number)


def clock_of(wall_ns: int) -> str:
    """The time of day of an entry in this machine's zone, to the millisecond: "14:02:51.204"."""
    moment = datetime.fromtimestamp(min(wall_ns // 10**9, _LATEST_S), UTC).astimezone()
    return f"{moment:%H:%M:%S}.{wall_ns // 10**6 % 1000:03}"


def _cut(text: str) -> str:
    """A text that can only be read, and is not kept longer than our own lines are."""
    if len(text) < MOST_SIGNS and text.isprintable():
        return text
    text = clean(text[: MOST_SIGNS + 1])
    return text if len(text) <= MOST_SIGNS else f"{text[: MOST_SIGNS - 1]}…"


def _shares(unread: dict[str, int], total: int) -> dict[str, int]:
    """How many bytes of each log are read: all of the small ones, and of the large ones equal parts."""
    shares = {}
    for left, name in zip(range(len(unread), 0, -1), sorted(unread, key=unread.__getitem__), strict=True):
        shares[name] = min(unread[name], total // left)
        total -= shares[name]
    return shares
