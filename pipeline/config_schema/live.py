"""Live: the files of a running configuration: whether they changed, what they say now, one key written into
them.

In: config.toml, the folder events/ beside it, the clock (series come and go by it). Out: `Tuned` values for
the supervisor, or SettingsError with every problem; files of events/ moved away when they are over. Made by
`up` and `set`; looked at by the supervisor ten times a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.config import Config, parse_time_ns
from pipeline.config_changes import SettingsError, Tuned
from pipeline.config_schema.checks import check
from pipeline.config_schema.edit import Stamp, assign, replace_file, stamp_of
from pipeline.config_schema.event_checks import check_events, check_room
from pipeline.config_schema.files import ARCHIVE, event_files, read, told
from pipeline.config_schema.layers import (
    ENVIRONMENT_PREFIX,
    belongs,
    environment_sets,
    split_set,
    take_secrets,
)
from pipeline.config_schema.operation_checks import check_operations
from pipeline.config_schema.schema import IN_EVENT_FILES, Resolved, Wanted, parse, reload_of, survey, value_of
from pipeline.config_schema.text import ConfigProblems, KeyPath, dotted
from pipeline.config_schema.tuning import settle
from pipeline.config_schema.values import masked

SETTLED_NS = 100_000_000
"""A file that changed less than this ago may still be in the middle of being saved."""
RUNTIME_DIRECTORY = "XDG_RUNTIME_DIR"
DAY_NS = 86_400 * 10**9
MAX_ASSIGNMENTS = 50
WHILE_WAITING = "while other keys wait until everything restarts (run.py down, run.py up)"


class FileSettings:
    """The files that a run was started with; `pipeline.config_changes.Settings` says what each call promises.

    `notes` is what the last good reading had to say to people, one a line.
    """

    def __init__(
        self,
        path: Path,
        profile: str | None,
        sets: Sequence[str],
        environ: Mapping[str, str],
        data_directory: Path,
        clock: Clock,
    ) -> None:
        # Of a variable that may be a secret this keeps that it is there, and not what is in it.
        known = {
            name: text if name.startswith(ENVIRONMENT_PREFIX) or name == RUNTIME_DIRECTORY else "set"
            for name, text in environ.items()
            if text
        }
        self._wanted = Wanted(path.absolute(), profile, tuple(sets), known, data_directory)
        self._clock = clock
        self._stamps: dict[str, Stamp] | None = None
        self._missing = False
        self._due_wall_ns = 0
        self._archive_days = 0.0
        self._kept: frozenset[str] = frozenset()
        self._again = True
        self.notes: tuple[str, ...] = ()

    # -- reading ---------------------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether it is time to read again. True before the first reading, so that nothing is missed.

        A file that is being saved is left alone until it has rested; so is one that is gone for a moment, as
        it is while an editor puts a new one into its place.
        """
        now = self._clock.wall_ns()
        stamps = self._look()
        was_missing, self._missing = self._missing, self._wanted.path.name not in stamps
        if self._again or stamps == self._stamps:
            return self._again or 0 < self._due_wall_ns <= now
        if self._missing and not was_missing:
            return False
        return not any(0 <= now - modified < SETTLED_NS for modified, _, _ in stamps.values())

    def read(self, running: Config, held: frozenset[str]) -> Tuned:
        """All files as they are now, against the running configuration. Raises SettingsError.

        An empty file is what a full disk or a save that broke off leaves: no run turns to defaults for it.
        """
        self._begin()
        text = self._text()
        if not text.strip():
            name = told(self._wanted.path)
            raise SettingsError(f"{name}: is empty, as after a save that failed: save it again")
        return self._tuned(self._survey(text), running, held)

    def _text(self) -> str:
        """What config.toml says now."""
        path = self._wanted.path
        try:
            return read(path, told(path))
        except ConfigProblems as problems:
            raise SettingsError(str(problems)) from problems

    def _look(self) -> dict[str, Stamp]:
        """The stamp of each file that there is."""
        path = self._wanted.path
        files = [path]
        try:
            files += event_files(path)
        except ConfigProblems:
            files.append(path.parent / "events")
        return {str(file.relative_to(path.parent)): stamp for file in files if (stamp := stamp_of(file))}

    def _begin(self) -> None:
        """Note what is about to be read: what changes from here on is a change."""
        self._stamps = self._look()
        self._again = False
        self._due_wall_ns = 0

    def _survey(self, text: str) -> Resolved:
        try:
            return survey(self._wanted, wall_ns=self._clock.wall_ns(), text=text)
        except ConfigProblems as problems:
            raise SettingsError(str(problems)) from problems

    def _tuned(self, fresh: Resolved, running: Config, held: frozenset[str]) -> Tuned:
        """What a good reading means for the run."""
        config, changes, kept = settle(running, fresh.config, held, reload_of)
        checks = (check, check_events, check_room, check_operations)
        findings = [finding for check_all in checks for finding in check_all(config)]
        if findings:
            told_of = (f"{dotted(each.path)}: {each.message}, {WHILE_WAITING}" for each in findings)
            raise SettingsError("\n".join(told_of))
        self._due_wall_ns = fresh.changes_wall_ns
        self._archive_days = config.supervisor.archive_days
        self._kept = frozenset(kept)
        held_notes = (f"events.{name} is in no file any more and stays while it is held" for name in kept)
        self.notes = (*fresh.notes, *held_notes)
        return Tuned(config, changes)

    # -- writing ---------------------------------------------------------------------------------

    def write(self, running: Config, assignments: Sequence[str], held: frozenset[str]) -> Tuned:
        """Set keys in the file, all or none. Raises SettingsError, and then the file is what it was.

        A key that stands in the chosen profile is changed there; one that --set or the environment gives is
        refused, for the file would not count.
        """
        path = self._wanted.path
        seen = stamp_of(path)
        text = self._text()
        before = self._survey(text)
        changes, problems = self._changes(assignments)
        places = {(*self._table_of(before, running, key), *key): value for key, value in changes.items()}
        text, wrong = assign(text, places)
        problems += wrong
        self._begin()
        try:
            fresh = survey(self._wanted, wall_ns=self._clock.wall_ns(), text=text)
        except ConfigProblems as found:
            # The file was good: all that is wrong is in what was asked for, and has no line yet.
            problems += [str(replace(each, file=each.key, line=None, key="")) for each in found.problems]
        if problems:
            raise SettingsError("\n".join(dict.fromkeys(problems)))
        tuned = self._tuned(fresh, running, held)
        replace_file(path, text, seen)
        written = stamp_of(path)
        if self._stamps is not None and written is not None:
            self._stamps[path.name] = written
        return tuned

    def _changes(self, assignments: Sequence[str]) -> tuple[dict[KeyPath, object], list[str]]:
        """Path and value of each assignment that may be, and what is wrong with the others."""
        problems: list[str] = []
        changes: dict[KeyPath, object] = {}
        if not assignments or len(assignments) > MAX_ASSIGNMENTS:
            problems.append(f"name 1 to {MAX_ASSIGNMENTS} keys, each as section.key=value")
        for text in assignments[:MAX_ASSIGNMENTS]:
            parts = split_set(text)
            if parts is None or len(parts[0]) < 2:
                problems.append(f"{masked(text[:60].partition('=')[0])}: write it as section.key=value")
                continue
            key, value = parts[0], value_of(parts[1])
            problem = "is set twice here" if key in changes else self._refusal(key, value)
            if problem:
                problems.append(f"{dotted(key)}: {problem}")
            else:
                changes[key] = value
        return changes, problems

    def _refusal(self, key: KeyPath, value: object) -> str:
        """Why a key is not to be written into the file; "" when it may be."""
        tree: dict[str, Any] = {str(key[-1]): value}
        for part in reversed(key[:-1]):
            tree = {str(part): tree}
        if take_secrets(tree):
            return belongs(key)
        if key[0] == "profile":
            return "name the key itself: it is changed in the profile of the run if it stands there"
        if key[0] in IN_EVENT_FILES:
            return "events and series are edited in their file; saving it is enough"
        sets = [
            ("the --set of this run", parts[0]) for text in self._wanted.sets if (parts := split_set(text))
        ]
        sets += [
            (f"{name} in the environment", path) for name, path, _ in environment_sets(self._wanted.environ)
        ]
        for name, path in sets:
            shared = min(len(path), len(key))
            if path[:shared] == key[:shared]:
                return f"is set by {name}, and that wins over the file: start without it to change it here"
        return ""

    def _table_of(self, resolved: Resolved, running: Config, key: KeyPath) -> KeyPath:
        """The profile that the key stands in, if it does."""
        inside: Any = resolved.overlay
        for part in key:
            if not isinstance(inside, Mapping) or part not in inside:
                return ()
            inside = inside[part]
        return ("profile", running.profile)

    # -- what is over ----------------------------------------------------------------------------

    def archive(self, held: frozenset[str], wall_ns: int) -> list[str]:
        """Move files of events/ to events/archive/ whose events are all long over and none held."""
        if self._kept - held:
            self._again = True  # what stayed because it was held may go
        try:
            files = event_files(self._wanted.path)
        except ConfigProblems:
            return []  # the reading says so
        before_ns = wall_ns - round(self._archive_days * DAY_NS)
        over = [file for file in files if self._is_over(file, held, before_ns)]
        return [f"{told(file)} -> {told(_move(file))}" for file in over]

    def _is_over(self, file: Path, held: Iterable[str], before_ns: int) -> bool:
        """Whether a file holds nothing but events that closed before a time and are not held."""
        try:
            tree = parse(read(file, ""), "")
            events = tree["events"]
            closes = [parse_time_ns(str(event["close"])) for event in events]
            ids = {event["id"] for event in events}
        except (ConfigProblems, ValueError, LookupError, TypeError):
            return False  # the reading says what is wrong with it
        return set(tree) == {"events"} and bool(closes) and max(closes) < before_ns and not ids & set(held)


def _move(file: Path) -> Path:
    """Move a file into archive/ beside it, under a name that nothing has there."""
    folder = file.parent / ARCHIVE
    folder.mkdir(exist_ok=True)
    number = 1
    while True:
        target = folder / (file.name if number == 1 else f"{file.stem}-{number}{file.suffix}")
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            number += 1
            continue
        file.replace(target)
        return target
