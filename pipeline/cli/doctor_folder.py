"""Doctor folder: what lies in the data directory and what runs of it left: rights, journal, leftovers, ports.

In: paths, and facts about this user. Out: findings. It changes nothing: it opens files to read them, and
asks for ports and lets them go. Used by `run.py doctor`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from pipeline.bus import CONTROL, BusError, address
from pipeline.cli.doctor_finding import Finding, fault, good, size_text, warn
from pipeline.config import Config
from pipeline.journal_reader import JournalError, open_readonly
from pipeline.journal_records import LEDGER_FILE
from pipeline.logs import log_directory
from shm.records import RUN
from shm.segment import SegmentError, attach, boot_id, lock_is_free, pid_start
from shm.tables import TableReader

# A larger ledger takes too long to be read whole each time.
CHECKED_BYTES = 64 * 2**20
# Of many files that others can read, so many are named.
NAMED = 3


def run_directory(directory: Path, uid: int) -> Finding:
    """Whether sockets can be bound there, and nobody else owns it."""
    try:
        address(directory, CONTROL)
    except BusError as error:
        return fault(
            "run directory", str(error), "export XDG_RUNTIME_DIR=/run/user/$UID, or another short path"
        )
    if directory.exists():
        found = directory.stat()
        if found.st_uid != uid or found.st_mode & 0o077:
            todo = f"look what it is, then remove it: rm -r {directory}"
            return fault("run directory", f"{directory} is open to others or not yours", todo)
    return good("run directory", str(directory))


def supervisor(directory: Path, shm: Path, *, running: bool) -> Finding:
    """Whether a run of this data directory goes on, or one left its files."""
    left = [str(path) for path in (directory, shm) if path.exists()]
    if running:
        return good("run", "one runs in this data directory: run.py status")
    if left:
        todo = "nothing to do: the next run.py up removes what is provably dead"
        return warn("run", f"a run ended without cleaning up: {', '.join(left)}", todo)
    return good("run", "none in this data directory")


def orphans(shm: Path, *, running: bool) -> Iterator[Finding]:
    """Workers that live without their supervisor."""
    for path in _segments(shm):
        if not running and not lock_is_free(path):
            text = f"{path.name} lives without a supervisor ({_owner(path)})"
            yield warn("orphans", text, "it ends by itself within seconds; else end it by hand")


def others(shm: Path) -> Iterator[Finding]:
    """Memory of other data directories of this user whose runs are over."""
    prefix = shm.name.rpartition("-")[0]
    folders = sorted(shm.parent.glob(f"{prefix}-*")) if shm.parent.is_dir() else []
    for folder in folders:
        paths = _segments(folder)
        if folder == shm or any(not lock_is_free(path) for path in paths):
            continue
        taken = size_text(sum(path.stat().st_size for path in paths))
        where = _data_directory(folder)
        todo = f"run.py up there removes it; where that is gone for good: rm -r {folder}"
        yield warn("other runs", f"{folder} holds {taken} of a run that is over{where}", todo)


def _segments(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.suffix not in {".lock", ".new"} and path.is_file()]


def _owner(path: Path) -> str:
    try:
        header = attach(path.parent, path.name).header
    except SegmentError:
        return "of another version"
    same = header.boot_id == boot_id() and pid_start(header.pid) == header.pid_start
    return f"pid {header.pid}" if same else "its process is not the one it names"


def _data_directory(folder: Path) -> str:
    """Where a run's data are, as its supervisor wrote; nothing where that cannot be read."""
    try:
        rows = dict(TableReader(attach(folder, "supervisor"), "run", RUN).rows())
    except SegmentError:
        return ""
    return f" in {rows[0].data_directory}" if rows else ""


def present_bytes(shm: Path) -> int:
    """What the segments of this data directory take already: the next run takes their place."""
    return sum(path.stat().st_size for path in _segments(shm))


def ports(config: Config, *, running: bool) -> Iterator[Finding]:
    """Whether the ports that are to be listened on are free; those of a run that goes on are its own."""
    wanted: list[tuple[str, str, int]] = []
    if config.observer.enabled and config.observer.metrics and config.observer.metrics_port:
        wanted.append(("observer.metrics_port", "127.0.0.1", config.observer.metrics_port))
    if config.control.tcp:
        host, _, number = config.control.tcp.rpartition("://")[2].rpartition(":")
        wanted.append(("control.tcp", host.strip("[]").replace("*", ""), int(number)))
    for key, host, port in wanted:
        why = "" if running else _refusal(host, port)
        if why:
            yield fault(
                "ports",
                f"{key}: {host or '*'} port {port}: {why}",
                f"end what listens there, or change {key}",
            )
        else:
            yield good("ports", f"{key}: {port} is {'this runs own' if running else 'free'}")


def _refusal(host: str, port: int) -> str:
    """Why a port cannot be listened on, "" where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def journal(data: Path) -> Finding:
    """Whether the ledger is ours, whole and writable."""
    path = data / LEDGER_FILE
    if not path.exists():
        return good("journal", "none yet: the first run makes it")
    if not os.access(path, os.W_OK) or not os.access(data, os.W_OK):
        return fault("journal", f"{path} cannot be written", f"make it yours and writable: chmod u+rw {path}")
    try:
        opened = open_readonly(path)
    except JournalError as error:
        return fault("journal", str(error), "restore it from a copy, or move it away to begin a new one")
    try:
        size = path.stat().st_size
        if size > CHECKED_BYTES:
            return good("journal", f"{path}, {size_text(size)}; run.py journal verify reads it whole")
        problems = opened.verify()
    except JournalError as error:
        problems = [str(error)]
    finally:
        opened.close()
    if problems:
        todo = "trade on it no more: run.py journal verify, then restore a copy or move it away"
        return fault("journal", f"{path}: {problems[0]}", todo)
    return good("journal", f"{path} is whole, {size_text(size)}")


def rights(data: Path, uid: int) -> Iterator[Finding]:
    """Whether the data are this user's own, and nobody else can read them."""
    if not data.is_dir():
        return
    if data.stat().st_mode & 0o077:
        text = f"{data} is open to others (mode {data.stat().st_mode & 0o777:o})"
        yield warn("rights", text, f"chmod 700 {data}")
    logs = log_directory(data)
    files = [path for folder in (data, logs) if folder.is_dir() for path in sorted(folder.iterdir())]
    foreign = [path for path in files if path.lstat().st_uid != uid]
    shared = [
        path for path in files if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    if foreign:
        todo = "was it once run with sudo? give them back: chown -R $USER DIR"
        yield fault("rights", f"not yours: {_named(foreign)}", todo)
    if shared:
        yield warn("rights", f"others can read {_named(shared)}", f"chmod -R go= {data}")
    if not foreign and not shared and not data.stat().st_mode & 0o077:
        yield good("rights", f"{data} is yours alone")


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path.name for path in paths[:NAMED]) + more
