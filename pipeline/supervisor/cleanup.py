"""Cleanup: removing what a run leaves in memory and in the run directory, and only what is provably dead.

In: the run's two directories. Out: nothing of ours in them. Run by the supervisor, which holds the
role lock of the data directory, at its start (a crash's leftovers) and at its end (its own).
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from pipeline.clock import Clock
from pipeline.supervisor.processes import signal_proven
from shm import layout as lo
from shm import segment as segments

ORPHAN_SECONDS = 2.0
OWN_ROLE = "supervisor.role"
# Everything a run puts into its directory besides role locks; nothing else there is touched.
RUN_FILES = (
    "opp", "ord", "dec", "ctl", "bell", "key", "config.json", "config.new", "lab.json", "lab.new",
    "faults.json", "faults.new", "observer.json", "observer.new",
    "replay.json", "replay.new", "tape", "flatten.json", "flatten.new",
)  # fmt: skip


def leftovers(run_directory: Path, shm_directory: Path, clock: Clock) -> None:
    """Remove what a dead run left. Its orphaned workers get ORPHAN_SECONDS to leave, then are killed."""
    deadline = clock.monotonic_ns() + round(ORPHAN_SECONDS * 1e9)
    while (owned := _owned(shm_directory)) and clock.monotonic_ns() < deadline:
        clock.sleep(0.02)
    for path in owned:
        _kill_owner(path)
    deadline = clock.monotonic_ns() + round(ORPHAN_SECONDS * 1e9)
    while (owned := _owned(shm_directory)) and clock.monotonic_ns() < deadline:
        clock.sleep(0.02)
    if owned:
        names = ", ".join(path.name for path in owned)
        raise segments.SegmentBusyError(f"workers of an earlier run do not end: {names}; end them by hand")
    segments_of(shm_directory, keep="")
    for name in RUN_FILES:
        (run_directory / name).unlink(missing_ok=True)


def segments_of(shm_directory: Path, *, keep: str) -> None:
    """Unlink every segment that nobody owns, but the one named `keep`."""
    for path in _paths(shm_directory):
        if path.name != keep and segments.lock_is_free(path):
            path.unlink(missing_ok=True)
            segments.lock_path(path).unlink(missing_ok=True)
    if shm_directory.is_dir():
        # NAME.new is left by a process that was killed while it made its segment.
        for other in (*shm_directory.glob("*.new"), *shm_directory.glob("*.lock")):
            if other.stem != keep and segments.lock_is_free(other.with_suffix("")):
                other.unlink(missing_ok=True)


def directories(run_directory: Path, shm_directory: Path) -> None:
    """Remove the run's files, its role locks, and both directories where they are empty then.

    Our own role goes last: from then on the next supervisor may be there, and everything is its own.
    """
    for name in RUN_FILES:
        (run_directory / name).unlink(missing_ok=True)
    _remove_empty(shm_directory)
    roles = sorted(run_directory.glob("*.role"), key=lambda path: path.name == OWN_ROLE)
    for role in roles:
        role.unlink(missing_ok=True)
    _remove_empty(run_directory)


def _remove_empty(directory: Path) -> None:
    """Remove a directory, unless there is something in it, which is not ours."""
    with suppress(OSError):
        directory.rmdir()


def exit_words(status: int) -> str:
    """How a process ended, for people."""
    if status < 0:
        # Real-time signals have no name of their own.
        named = -status in set(signal.Signals)
        return f"killed by {signal.Signals(-status).name if named else f'signal {-status}'}"
    return "exit 0" if status == 0 else f"exit {status}"


def _paths(shm_directory: Path) -> list[Path]:
    """Segments of any layout version; whatever else lies there is not ours to touch."""
    if not shm_directory.is_dir():
        return []
    found = (path for path in sorted(shm_directory.iterdir()) if path.suffix not in {".lock", ".new"})
    return [path for path in found if _is_segment(path)]


def _is_segment(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(lo.WORD) == lo.MAGIC.to_bytes(lo.WORD, "little")


def _owned(shm_directory: Path) -> list[Path]:
    """Segments whose owner lives."""
    return [path for path in _paths(shm_directory) if not segments.lock_is_free(path)]


def _kill_owner(path: Path) -> None:
    """Kill the process that a segment names as its owner, if its start time proves that it is that one."""
    try:
        header = segments.attach(path.parent, path.name).header
    except segments.SegmentError:
        return
    if header.boot_id == segments.boot_id():
        signal_proven(header.pid, header.pid_start, signal.SIGKILL)
