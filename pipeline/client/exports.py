"""Exports: reading data/orderbooks.json, bot_state.json, recent_opportunities.json and positions.json.

In: a file, and the reader's own clocks. Out: its content with what it is worth now. Run in other people's
programs. A file says how things were when it was written; whether its writer still lives, and how old each
book is by now, only the reader can say: a dead bot never looks alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shm.segment import pid_start

SCHEMA_VERSION = 1
MAX_BYTES = 64 * 2**20
MS = 1_000_000


class ExportError(ValueError):
    """The file is not there, or is no export of this version; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file as it is worth now.

    `alive`: its writer lives, it is not older than `valid_for_s`, and (bot_state) the bot ran when it was
    written; else `why_not` is a sentence. `age_ms` is since it was written, None where nobody can tell.
    """

    content: dict[str, Any]
    alive: bool
    age_ms: float | None
    why_not: str

    def book_age_ms(self, venue: str, market: str) -> float | None:
        """How long ago the venue last spoke of this market (orderbooks), by the reader's clock."""
        book = self.content["books"][venue][market]
        at_write = book["age_ms_at_write"]
        return None if at_write is None or self.age_ms is None else at_write + self.age_ms


def read_export(
    path: Path,
    wall_ns: int,
    monotonic_ns: int,
    boot_id: str,
    start_of: Callable[[int], int | None] = pid_start,
) -> Export:
    """Read one file and judge it by the reader's clocks. Raises ExportError.

    `boot_id` is the reader's (`shm.segment.boot_id().hex()`), "" on another machine: then `wall_ns` alone
    says how old the file is, and `monotonic_ns` is not used. `start_of` tells when a process began.
    """
    content = _load(path)
    same_boot = content["boot_id"] == boot_id
    if same_boot:
        age_ns = monotonic_ns - content["written_monotonic_ns"]
    else:
        age_ns = wall_ns - content["written_wall_ns"]
    why = _why_not(content, age_ns, boot_id, start_of if same_boot else None)
    # Before the moment of writing no age is known: somebody's clock was set back.
    return Export(content, not why, age_ns / MS if age_ns >= 0 else None, why)


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = msgspec.json.decode(file.read(MAX_BYTES))
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}: start a run (run.py up), or name its --data") from error
    except msgspec.DecodeError as error:
        raise ExportError(f"{path} is no export: {error}; a run writes it anew") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ExportError(
            f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}: use the program of"
            " the checkout that wrote it"
        )
    wanted: dict[str, type | tuple[type, ...]] = {
        "boot_id": str,
        "written_wall_ns": int,
        "written_monotonic_ns": int,
        "valid_for_s": (int, float),
    }
    for name, kind in wanted.items():
        if not isinstance(content.get(name), kind):
            raise ExportError(f"{path}: {name} is missing or no {kind}; a run writes it anew")
    return dict(content)


def _why_not(
    content: dict[str, Any], age_ns: int, boot_id: str, start_of: Callable[[int], int | None] | None
) -> str:
    """Why the file says nothing about now, "" if it does."""
    if boot_id and start_of is None:
        return "this machine was started anew since"
    if age_ns < 0:
        return "it was written later than now: a clock was set back"
    if age_ns > content["valid_for_s"] * 1e9:
        return f"it is {age_ns / 1e9:.1f} s old, and holds for {content['valid_for_s']:g} s"
    if start_of is not None and start_of(content.get("writer_pid", 0)) != content.get("writer_pid_start"):
        return "the process that wrote it is gone"
    if content.get("running") is False:
        return "the bot is stopped"
    return ""
