"""Doctor machine: is it fit: Python, packages, processor, memory files, disk, limits, clock, terminal?

In: facts, each an argument. Out: findings. It changes nothing. Used by `run.py doctor`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.cli.doctor_finding import Finding, fault, good, size_text, warn
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.scanner import segment as scanner
from pipeline.trader import window as trader
from shm import layout as lo
from shm.books import feed_sections

LEAST_DISK, LITTLE_DISK = 200 * 2**20, 2**30
# What the segments of supervisor, paper, observer and lab, and counters, take at most.
OTHER_SEGMENTS = 4 * 2**20
CONNECTIONS = 16
# A worker holds its segment, those of all others, logs, sockets and the journal: some 60.
LEAST_FILES, FEW_FILES = 128, 512
LEAST_MEMORY = 2**30
FEW_PROCESSES = 64
NS = 10**9
# 2026 and 2100: outside of them a clock was never set.
FIRST_NS, LAST_NS = 1_767_225_600 * NS, 4_102_444_800 * NS
LEAST_COLUMNS, LEAST_LINES = 70, 15
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)\s*(;?)", re.MULTILINE)


def python(version: tuple[int, ...]) -> Finding:
    """Whether the interpreter is new enough."""
    text = "Python " + ".".join(map(str, version[:3]))
    if version < (3, 11):
        return fault("python", f"{text} is too old", "install Python 3.11 or newer")
    return good("python", text)


def lock(text: str, version_of: Callable[[str], str | None], *, own_choice: bool) -> Finding:
    """Whether what is installed is what requirements.lock names.

    `version_of` gives a package's installed version or None. Where the interpreter was chosen by hand
    (PARALLAX_NO_VENV) a difference is a warning.
    """
    wanted: dict[str, list[tuple[str, bool]]] = {}
    for name, version, marked in _LOCKED.findall(text):
        wanted.setdefault(name, []).append((version, bool(marked)))
    wrong = []
    for name, versions in wanted.items():
        found = version_of(name)
        # A package with a marker on every line may be for another system.
        if found is None and not all(marked for _, marked in versions):
            wrong.append(f"{name} is missing")
        elif found is not None and found not in [version for version, _ in versions]:
            wrong.append(f"{name} is {found}, not {versions[0][0]}")
    if not wanted:
        return fault("packages", "requirements.lock names no packages", "restore it: git checkout")
    if wrong:
        todo = "remove .venv and start run.py again, or install requirements.lock into this interpreter"
        grade = warn if own_choice else fault
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return grade("packages", f"not as locked: {', '.join(wrong[:3])}{more}", todo)
    return good("packages", f"{len(wanted)} packages are as locked")


def machine(name: str) -> Finding:
    """Whether rows in shared memory can be trusted on this processor."""
    if name.lower() in {"x86_64", "amd64"}:
        return good("machine", name)
    return fault("machine", f"{name}: rows could be read torn", "run on an x86-64 machine")


def user(uid: int) -> Finding:
    """Whether somebody runs this who need not be root."""
    if uid == 0:
        return warn("user", "you are root", "use an account of its own: then a mistake here ends here")
    return good("user", f"uid {uid}")


def needed_bytes(config: Config) -> int:
    """What the segments of a run take in memory, from the very sections that will be laid out."""
    shm = config.shm
    feed = lo.place(feed_sections(shm.max_markets, shm.depth, CONNECTIONS, shm.history))[1]
    others = lo.place(scanner.sections(shm.max_events))[1] + lo.place(trader.sections(shm.max_positions))[1]
    return (feed * len(config.feeds()) + others) * lo.WORD + OTHER_SEGMENTS


def memory_files(directory: Path, need: int, present: int) -> Finding:
    """Whether the directory of the segments is writable and has room; `present` bytes are ours already."""
    root = _existing(directory)
    if not os.access(root, os.W_OK | os.X_OK):
        return fault("memory", f"{root} cannot be written", "mount a tmpfs there, or set shm.directory")
    free = shutil.disk_usage(root).free + present
    if free < need:
        todo = "make it larger (mount -o remount,size=1G), or shm.max_markets and shm.history smaller"
        return fault("memory", f"{root} has {size_text(free)} free, a run needs {size_text(need)}", todo)
    return good("memory", f"{root} has {size_text(free)} free, a run needs {size_text(need)}")


def disk(data: Path, free: int | None = None) -> Finding:
    """Whether the data directory can be written and has room; `free` stands in for what the system says."""
    root = _existing(data)
    if not root.is_dir():
        return fault("disk", f"{root} is no folder", "move it away, or name another with --data")
    if not os.access(root, os.W_OK | os.X_OK):
        return fault("disk", f"{root} cannot be written", "make it yours, or name another with --data")
    left = shutil.disk_usage(root).free if free is None else free
    text = f"{size_text(left)} free for {data}"
    if left < LEAST_DISK:
        return fault("disk", text, "make room: below 200 MiB no trade is opened")
    if left < LITTLE_DISK:
        return warn("disk", text, "make room: logs and ledger grow")
    return good("disk", text)


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def limits(soft: Mapping[str, int], pids_left: int | None) -> Iterator[Finding]:
    """The limits of this shell: "files" (RLIMIT_NOFILE), "memory" (RLIMIT_AS), "file size" (RLIMIT_FSIZE),
    "processes" (RLIMIT_NPROC), -1 for none; `pids_left` what the control group still allows, None unknown.
    """
    files = soft["files"]
    if 0 <= files < LEAST_FILES:
        yield fault("limits", f"{files} open files", "ulimit -n 1024")
    elif 0 <= files < FEW_FILES:
        yield warn("limits", f"{files} open files", "ulimit -n 1024")
    if 0 <= soft["memory"] < LEAST_MEMORY:
        yield fault("limits", f"{size_text(soft['memory'])} of address space", "ulimit -v unlimited")
    if 0 <= soft["file size"] < LITTLE_DISK:
        yield warn("limits", f"files of at most {size_text(soft['file size'])}", "ulimit -f unlimited")
    left = [count for count in (soft["processes"], pids_left) if count is not None and count >= 0]
    if left and min(left) < FEW_PROCESSES:
        yield warn("limits", f"{min(left)} more processes", "ulimit -u 1024, or raise pids.max")


def pids_left(group: Path) -> int | None:
    """How many processes a control group (its folder) may still start; None where it does not say."""
    try:
        most, now = (group / "pids.max").read_text().strip(), (group / "pids.current").read_text().strip()
    except OSError:
        return None
    return int(most) - int(now) if most.isdigit() and now.isdigit() else None


def clock(seen: Clock) -> Finding:
    """Whether the clocks go, and the wall clock was ever set."""
    before = seen.monotonic_ns()
    wall = seen.wall_ns()
    if not FIRST_NS < wall < LAST_NS:
        return fault(
            "clock", f"the wall clock says {wall // NS} s since 1970", "set it: timedatectl set-ntp true"
        )
    if seen.monotonic_ns() < before or seen.asleep_ns() < -NS:
        return fault("clock", "CLOCK_MONOTONIC goes back", "this machine's clock is broken: use another")
    slept = max(0, seen.asleep_ns()) // NS
    return good("clock", f"set; this machine slept {slept} s since its start" if slept else "set")


def terminal(*, tty: bool, columns: int, lines: int, encoding: str, term: str) -> Finding:
    """Whether the dashboard can be shown here."""
    if not tty:
        return good("terminal", "none here: run.py up without a dashboard")
    if columns < LEAST_COLUMNS or lines < LEAST_LINES:
        todo = f"make it {LEAST_COLUMNS}x{LEAST_LINES} or larger for the dashboard"
        return warn("terminal", f"{columns}x{lines}", todo)
    if "utf" not in encoding.lower():
        return warn("terminal", f"its encoding is {encoding}", "export LANG=C.UTF-8")
    if term in {"", "dumb"}:
        return warn("terminal", f"TERM is {term or 'not set'}: no colours", "export TERM=xterm-256color")
    return good("terminal", f"{columns}x{lines}, {encoding}, {term}")
