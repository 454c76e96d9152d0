"""Workers: every process with its state, uptime, restarts and the age of its last heartbeat.

In: a snapshot. Out: two workers a line, or in a compact layout one line of those that need a look.
Pure.
"""

from __future__ import annotations

from dashboard.formatting import age_text, fit, join_fitting, span_text
from dashboard.snapshot import Snapshot, WorkerView
from dashboard.widgets.panel import HEAD, Line

# name, pid, state, up, restarts, heartbeat, last exit: cells of one worker in half a wide line
_COLUMNS = (15, 7, 8, 6, 3, 4)
_HALF = 2 + sum(_COLUMNS) + len(_COLUMNS)
_TITLES = ("WORKER", "PID", "STATE", "UP", "RST", "BEAT")


def draw_workers(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """A table of two halves, or one line."""
    workers = snapshot.workers
    if not workers:
        return [[("none yet", "dim")]]
    if compact or width < 2 * _HALF:
        return [_summary(workers, width)]
    half = width // 2
    rows = (len(workers) + 1) // 2
    lines: list[Line] = [[(_head(half) * 2, HEAD)]]
    for at in range(rows):
        line = _worker(workers[at], half)
        if at + rows < len(workers):
            line += _worker(workers[at + rows], half)
        lines.append(line)
    return lines


def is_well(worker: WorkerView) -> bool:
    """Whether the worker runs and its heart beats, as far as it has one in memory."""
    return worker.state == "running" and (worker.fresh or worker.beat_age_ns is None)


def _cells(values: tuple[str, ...]) -> str:
    """Values in columns: name and state to the left, numbers to the right."""
    parts = []
    for at, (value, cells) in enumerate(zip(values, _COLUMNS, strict=True)):
        parts.append(fit(value, cells, "left" if at in {0, 2} else "right"))
    return " ".join(parts)


def _head(half: int) -> str:
    """The heading of one half."""
    return fit(f"  {_cells(_TITLES)} EXIT", half - 1) + " "


def _worker(worker: WorkerView, half: int) -> Line:
    """One worker in one half of a line."""
    well = is_well(worker)
    beat = "--" if worker.beat_age_ns is None else age_text(worker.beat_age_ns)
    values = (
        worker.name,
        str(worker.pid or "--"),
        worker.state,
        span_text(worker.up_ns) if worker.up_ns else "--",
        str(worker.restarts),
        beat,
    )
    words = worker.exit_text.removeprefix("killed by SIG").removeprefix("exit ")
    last = fit(words if worker.exits else "-", half - _HALF - 1)
    return [
        ("● " if well else "○ ", "good" if well else "bad"),
        (_cells(values), "plain" if well else "bad"),
        (f" {last} ", "dim"),
    ]


def _summary(workers: tuple[WorkerView, ...], width: int) -> Line:
    """How many run, and who does not."""
    ill = [worker for worker in workers if not is_well(worker)]
    count = f"{len(workers) - len(ill)}/{len(workers)} running"
    if not ill:
        restarts = sum(worker.restarts for worker in workers)
        times = f", {restarts} restart{'' if restarts == 1 else 's'}"
        return [("● ", "good"), (count, "plain"), (times, "dim")]
    named = [f"○ {worker.name} {worker.state}" for worker in ill]
    return [("○ ", "bad"), (count, "plain"), ("  " + join_fitting(named, width - 20), "bad")]
