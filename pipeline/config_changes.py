"""Config changes: what a changed configuration means for a run that goes on.

In: nothing. Out: the types in which `config_schema` tells the supervisor what changed, what acts now and
what waits for which restart. Pure; `cli.up` makes the `Settings` and hands them to the supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.config import Config

NOW, ALL = "now", "all"


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose value is another one now; values as TOML writes them, "-" where there is none.

    `when` it acts: NOW, ALL ("when everything restarts"), or the worker (or "dashboard") that must restart.
    """

    key: str
    old: str
    new: str
    when: str

    def __str__(self) -> str:
        """`risk.min_edge_bp 50 -> 60: now`"""
        words = {NOW: "now", ALL: "when everything restarts (run.py down, run.py up)"}
        return f"{self.key} {self.old} -> {self.new}: {words.get(self.when, f'when {self.when} restarts')}"


@dataclass(frozen=True, slots=True)
class Tuned:
    """A configuration that may be published at once: keys that wait for a restart of all have their old
    values in it. `changes` is what differs from the running one, what waits included.
    """

    config: Config
    changes: tuple[Change, ...]


class SettingsError(ValueError):
    """The files do not hold; the text is every problem, one a line. Nothing was changed."""


class Settings(Protocol):
    """The files of a running configuration."""

    def changed(self) -> bool:
        """Whether a file is not what it was when it was last read; a look at each file's stamp, no more."""
        ...

    def read(self, running: Config, held: frozenset[str]) -> Tuned:
        """Read all files again, as a whole. Raises SettingsError.

        Events of `running` that the files have no longer, and whose ids are `held`, stay: what is held of a
        market must go on being marked and settled.
        """
        ...

    def write(self, running: Config, assignments: Sequence[str], held: frozenset[str]) -> Tuned:
        """Write "section.key=value" each into the file, comments kept, all or none, then as `read`.

        Raises SettingsError, and then the file is what it was.
        """
        ...

    def archive(self, held: frozenset[str], wall_ns: int) -> list[str]:
        """Move files of events/ away whose events are long over and not `held` (ids); what was moved."""
        ...
