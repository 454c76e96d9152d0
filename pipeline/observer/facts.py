"""Facts: what every export says of itself, and how values are written in it.

In: the configuration, both clocks. Out: the head of a file, and texts and numbers that any reader of JSON
can take. Pure; used by the modules that make one file each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.config import Config
from pipeline.model import to_text

SCHEMA_VERSION = 1
TEXT_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks, and the process that writes then."""

    now_ns: int
    wall_ns: int
    boot_id: str
    pid: int
    pid_start: int

    def wall_of(self, monotonic_ns: int) -> int | None:
        """The wall-clock time of a moment of CLOCK_MONOTONIC; None for 0, which never was."""
        return self.wall_ns - (self.now_ns - monotonic_ns) if monotonic_ns else None


def head(kind: str, config: Config, at: Moment, valid_for_s: float) -> dict[str, Any]:
    """What a file begins with. After `valid_for_s` seconds without a newer one it says nothing about now."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "written_wall_ns": at.wall_ns,
        "written_monotonic_ns": at.now_ns,
        "boot_id": at.boot_id,
        "writer_pid": at.pid,
        "writer_pid_start": at.pid_start,
        "valid_for_s": valid_for_s,
        "sim": bool(config.simulated),
        "paper": config.mode == "paper",
        "profile": config.profile,
        "instance": config.instance,
        "config_version": config.version,
    }


def clean(text: str, letters: int = TEXT_LETTERS) -> str:
    """A text as others may show it: bounded, without what steers a terminal or turns the writing round."""
    return (text if text.isprintable() else "".join(filter(str.isprintable, text)))[:letters]


# A second later most prices and sizes are what they were.
decimal = lru_cache(maxsize=8192)(to_text)


def usd(micros: int) -> str:
    """Millionths of a dollar as plain decimal text."""
    return to_text(micros, 6)


def age_ms(since_ns: int, now_ns: int) -> int | None:
    """Whole milliseconds since a moment; None for one that never was. Whoever writes may be a little later
    than `now_ns`, which was read before: that is no age below 0.
    """
    return round(max(0, now_ns - since_ns) / 1e6) if since_ns else None
