"""Configuration: the settings of a run that goes on, and how they reach its workers.

In: the files as `Settings` reads them, run/lab.json, log levels asked for. Out: run/config.json, replaced
whole with a version that only grows, and put back where somebody takes it away; and the row `run` of the
supervisor's segment, which says what holds, what does not, and what waits for a restart. Run by the
supervisor's loop and by commands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from pipeline.clock import Clock
from pipeline.config import Config, encode, sealed
from pipeline.config_changes import NOW, Change, Settings, SettingsError, Tuned
from pipeline.lifecycle import CONFIG_FILE, Worker
from pipeline.version import VERSION
from shm import segment as segments
from shm.records import EVENT_POSITION, ORDER, POSITION, RUN, SUMMARY, RunRow
from shm.tables import TableReader, TableWriter

LAB_FILE = "lab.json"
LAB_POLL_NS = 50_000_000
FILES_POLL_NS = 100_000_000
ARCHIVE_NS = 60_000_000_000
# What only a person sees restart: nobody here can say that it did.
UNSEEN = "dashboard"
LEVELS = ("debug", "info", "warning", "error")

MergeLab = Callable[[Config, Mapping[str, object]], Config]


class Configuration:
    """What the run acts on. `base` is what the files say; lab and log levels are laid over it."""

    def __init__(
        self, base: Config, worker: Worker, clock: Clock, merge_lab: MergeLab, settings: Settings | None
    ) -> None:
        self._base = base
        self._worker = worker
        self._clock = clock
        self._merge_lab = merge_lab
        self._settings = settings
        self._table: TableWriter[RunRow] = TableWriter(worker.segment, "run", RUN)
        self._shown: RunRow | None = None
        self._path = Path(base.run_directory) / CONFIG_FILE
        self._version = base.version - 1
        self._lab: Mapping[str, object] | None = None
        self._lab_seen = (0, 0)
        self._published = (0, 0)
        self._lab_at_ns = self._files_at_ns = 0
        self._archive_at_ns = clock.monotonic_ns() + ARCHIVE_NS
        self._levels: dict[str, str] = {}
        self._waits: dict[str, Change] = {}
        self._problem = self._unwritten = ""
        self._read_wall_ns = clock.wall_ns()
        self._publish()

    @property
    def addressed(self) -> bool:
        """Whether the venues' addresses are known: those of simulated ones come from the lab."""
        return not self._base.simulated or self._lab is not None

    # -- what changes it -------------------------------------------------------------------------

    def watch(self) -> None:
        """Look at the lab's news, at the files, and for events that are over, each in its own time."""
        now = self._clock.monotonic_ns()
        if self._base.simulated and now >= self._lab_at_ns:
            self._lab_at_ns = now + LAB_POLL_NS
            self._watch_lab()
        if now < self._files_at_ns:
            return
        self._files_at_ns = now + FILES_POLL_NS
        if self._unwritten or _stamp(self._path) != self._published:
            if not self._unwritten:
                self._worker.report("run/config.json was removed or replaced by somebody: written again")
            self._publish()
        if self._settings is None:
            return
        if self._settings.changed():
            self.reload()
        if now >= self._archive_at_ns:
            self._archive_at_ns = now + ARCHIVE_NS
            self._archive(self._settings)

    def reload(self) -> tuple[bool, str]:
        """Read the files again and act on what holds; what changed and when it acts, or what is wrong."""
        settings = self._settings
        if settings is None:
            return False, "this run was started without files"
        return self._tune(lambda held: settings.read(self._base, held))

    def write(self, assignments: Sequence[str]) -> tuple[bool, str]:
        """Change keys in the file, all or none, and act on them; the answer is that of `reload`."""
        settings = self._settings
        if settings is None:
            return False, "this run was started without files"
        return self._tune(lambda held: settings.write(self._base, assignments, held))

    def set_level(self, worker: str, level: str) -> tuple[bool, str]:
        """How much a worker logs until the run ends; "" or "default" is what the files say."""
        if level in {"", "default"}:
            self._levels.pop(worker, None)
        elif level in LEVELS:
            self._levels[worker] = level
        else:
            return False, f"no level {level!r}; there are: {', '.join(LEVELS)}, default"
        self._publish()
        return True, f"{worker} logs at {self._worker.config.logs.of(worker)}"

    def restarted(self, worker: str) -> None:
        """A worker begins anew: what waited for that has it now."""
        left = {key: change for key, change in self._waits.items() if change.when != worker}
        if left != self._waits:
            self._waits = left
            self._show()

    # -- how -------------------------------------------------------------------------------------

    def _tune(self, read: Callable[[frozenset[str]], Tuned]) -> tuple[bool, str]:
        """Take over what was read, or keep what holds and say why."""
        held = held_events(self._base)
        try:
            tuned = read(held)
        except SettingsError as error:
            self._refuse(str(error))
            return False, str(error)
        except OSError as error:
            self._refuse(f"{error.filename or self._base.source}: {error.strerror}")
            return False, self._problem
        self._problem = ""
        self._read_wall_ns = self._clock.wall_ns()
        news = self._wait_for(tuned.changes)
        if not _same(tuned.config, self._base):
            self._base = tuned.config
            self._publish()
        self._show()
        for change in news:
            self._worker.log.info(
                "configuration changed", key=change.key, old=change.old, new=change.new, when=change.when
            )
        lines = [str(change) for change in news] or ["nothing changed"]
        return True, "\n".join([*lines, f"but not yet: {self._unwritten}"] if self._unwritten else lines)

    def _refuse(self, problem: str) -> None:
        """The files do not hold: what holds goes on, and everybody is told."""
        self._problem = problem
        self._worker.counters.add("config_refused")
        for line in problem.splitlines():
            self._worker.report(f"configuration: {line}")
        self._worker.log.warning("configuration refused", why=problem)
        self._show()

    def _wait_for(self, changes: Sequence[Change]) -> list[Change]:
        """Note what waits, and give what is news. What was changed back before its restart waits no more:
        it holds now.

        What waits for a restart of all is told anew by each reading, for the running value is the old one.
        """
        known = self._waits
        waits = {key: change for key, change in known.items() if change.when in self._restartable()}
        news = []
        for change in changes:
            before = waits.pop(change.key, None)
            if change.when in {NOW, UNSEEN}:
                news.append(change)
            elif before is not None and before.old == change.new:
                news.append(replace(change, when=NOW))
            else:
                waits[change.key] = change if before is None else replace(change, old=before.old)
                if change != known.get(change.key):
                    news.append(change)
        told = {*waits, *(change.key for change in news)}
        news += [Change(key, each.new, each.old, NOW) for key, each in known.items() if key not in told]
        self._waits = waits
        return news

    def _restartable(self) -> set[str]:
        """The workers of the run by name."""
        feeds = {f"feed-{name}" for name in self._base.feeds()}
        return {*feeds, "lab", "scanner", "paper", "trader", "observer"}

    def _archive(self, settings: Settings) -> None:
        held = held_events(self._base)
        try:
            moved = settings.archive(held, self._clock.wall_ns())
        except OSError as error:
            self._worker.report(f"events: {error.filename}: {error.strerror}")
            return
        for what in moved:
            self._worker.log.info("events archived", what=what)

    def _watch_lab(self) -> None:
        """Carry the lab's addresses and events into the config when run/lab.json changes."""
        path = self._path.with_name(LAB_FILE)
        seen = _stamp(path)
        if seen in {(0, 0), self._lab_seen}:
            return
        self._lab_seen = seen
        try:
            lab = json.loads(path.read_text())
            self._merge_lab(self._base, lab)
        except ValueError as error:
            # msgspec's and json's errors are ValueErrors; the config that holds goes on.
            self._worker.report(f"run/lab.json: {error}")
            return
        self._lab = lab
        self._worker.counters.add("lab_changes")
        self._publish()

    def _publish(self) -> None:
        """Replace run/config.json atomically; workers look for another one twice a second.

        Where it cannot be written, `watch` tries again.
        """
        config = self._base if self._lab is None else self._merge_lab(self._base, self._lab)
        if self._levels:
            logs = msgspec.structs.replace(config.logs, levels={**config.logs.levels, **self._levels})
            config = msgspec.structs.replace(config, logs=logs)
        config = sealed(msgspec.structs.replace(config, version=self._version + 1))
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(encode(config))
            self._published = _stamp(temporary)
            temporary.replace(self._path)
        except OSError as error:
            if self._shown is None:
                raise  # no worker has anything to go on with
            self._published = (0, 0)
            self._unwritten = f"{self._path}: {error.strerror}: workers go on with what they have"
            self._worker.report(self._unwritten)
            self._show()
            return
        self._unwritten = ""
        self._version = config.version
        self._worker.config = config
        self._worker.log.set_level(config.logs.of(self._worker.name))
        self._worker.segment.set_config_version(config.version)
        self._show()

    def _show(self) -> None:
        """Say in memory what holds."""
        config = self._worker.config
        row = RunRow(
            config.instance,
            config.profile,
            config.mode,
            config.data_directory,
            config.source,
            config.hash,
            self._problem or self._unwritten,
            "; ".join(f"{change.key}: {change.when}" for change in self._waits.values()),
            self._read_wall_ns,
            VERSION,
            int(bool(config.simulated)),
        )
        if row != self._shown:
            self._table.put(0, row)
            self._shown = row


def held_events(config: Config) -> frozenset[str]:
    """Ids of the events of which something is held or ordered; all of them where the trader does not say."""
    every = frozenset(event.id for event in config.events)
    try:
        view = segments.attach(Path(config.shm_directory), "trader")
        summary = TableReader(view, "summary", SUMMARY).get(0)
        if summary is None or not summary.updated_ns or summary.resolving or summary.unknown_orders:
            return every
        held = {row.event_id for _, row in TableReader(view, "positions", POSITION).rows()}
        held |= {row.event_id for _, row in TableReader(view, "events", EVENT_POSITION).rows()}
        held |= {row.event_id for _, row in TableReader(view, "orders", ORDER).rows() if row.event_id}
    except segments.SegmentError:
        return every
    return frozenset(held)


def _stamp(path: Path) -> tuple[int, int]:
    """Time of the last change and inode; zeros where there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def _same(one: Config, other: Config) -> bool:
    """Whether two configurations say the same, whatever their version."""
    return sealed(one).hash == sealed(other).hash
