"""Processes: every worker with its state in a sign and a word, what it takes and does, how it last ended.

In: worker views. Out: rows of a table, a worker's distinct errors, the run's totals and last alerts. Pure. No
state is told by colour alone: each has a sign and a word of its own.
"""

from __future__ import annotations

from dashboard.formatting import (
    age_text,
    bytes_text,
    clean,
    clock_text,
    count_text,
    cpu_text,
    duration_text,
    fit,
    rate_text,
)
from dashboard.snapshot import RunView, Snapshot, WorkerView
from dashboard.widgets.flow import fact, flow
from dashboard.widgets.panel import Line, Span
from dashboard.widgets.table import ALL, Column, Table

# Sign, word and role of each state, the worst first.
STATES: dict[str, tuple[str, str, str]] = {
    "gone": ("○", "DEAD", "bad"),
    "no beat": ("⚠", "NO BEAT", "bad"),
    "hung": ("⚠", "HUNG", "bad"),
    "flapping": ("✗", "FLAPPING", "bad"),
    "orphan": ("◆", "ORPHAN", "fair"),
    "backoff": ("◇", "backoff", "fair"),
    "stopping": ("▼", "stopping", "fair"),
    "stopped": ("■", "stopped", "dim"),
    "starting": ("▲", "starting", "info"),
    "running": ("●", "running", "good"),
}
_WORST_FIRST = list(STATES)
# What became of an alert, by AlertRow.state.
ALERTS: dict[int, Span] = {
    0: ("waits", "dim"),
    1: ("sent", "good"),
    2: ("FAILED", "bad"),
    3: ("held back", "fair"),
    4: ("no addressee", "dim"),
}
SHOWN_ALERTS = 5
HASH = 8


def is_well(worker: WorkerView) -> bool:
    """Whether the worker runs and its heart beats, as far as it has one in memory."""
    return worker.state == "running" and (worker.fresh or worker.beat_age_ns is None)


def state_cell(worker: WorkerView) -> Span:
    """The state as a sign and a word; a runner that does not beat is none."""
    state = worker.state if worker.state != "running" or is_well(worker) else "no beat"
    sign, word, role = STATES.get(state, ("?", state, "fair"))
    return f"{sign} {word}", role


def _rank(worker: WorkerView) -> int:
    """The worse the larger."""
    at = _WORST_FIRST.index(worker.state) if worker.state in STATES else 0
    return len(_WORST_FIRST) - at


def rate_words(worker: WorkerView) -> str:
    """What it does a second: 842 msg/s; "-" where nothing of it is counted."""
    if not worker.rate_word or worker.rate is None:
        return "-"
    return f"{rate_text(worker.rate).removesuffix('/s')} {worker.rate_word}/s"


def _well(worker: WorkerView, text: str) -> Span:
    return text, "plain" if is_well(worker) else "dim"


def _beat(worker: WorkerView) -> Span:
    if worker.beat_age_ns is None:
        return "-", "dim"
    # Of a worker that has no process none is expected.
    role = "plain" if worker.fresh else "bad" if worker.pid else "dim"
    return age_text(worker.beat_age_ns), role


def _last_exit(worker: WorkerView) -> Span:
    """How its last process ended and why, shortly."""
    if not worker.exit_text:
        return "-", "dim"
    return worker.exit_text.replace("killed by ", ""), "fair"


WORKER_COLUMNS: tuple[Column[WorkerView], ...] = (
    Column("WORKER", 16, lambda one: (one.name, "plain" if is_well(one) else "strong"), lambda one: one.name),
    Column("PID", 7, lambda one: _well(one, str(one.pid or "-")), lambda one: one.pid or None, True),
    Column("STATE", 11, state_cell, _rank),
    Column("UP", 8, lambda one: _well(one, duration_text(one.up_ns) if one.up_ns else "-"),
           lambda one: one.up_ns or None, True),
    Column("RESTARTS", 8, lambda one: (str(one.restarts), "fair" if one.restarts else "dim"),
           lambda one: one.restarts, True),
    Column("CPU%", 6, lambda one: _well(one, cpu_text(one.cpu_permille)), lambda one: one.cpu_permille, True),
    Column("RSS", 5, lambda one: _well(one, bytes_text(one.rss_bytes)), lambda one: one.rss_bytes, True),
    Column("FILES", 5, lambda one: _well(one, count_text(one.descriptors)), lambda one: one.descriptors, True,
           spare=4),
    Column("HEARTBEAT", 9, _beat, lambda one: one.beat_age_ns, True, spare=1),
    Column("RATE", 14, lambda one: _well(one, rate_words(one)), lambda one: one.rate, True, spare=2),
    Column("LAST EXIT", 9, _last_exit, lambda one: one.exit_text or None, grows=ALL, spare=3),
)  # fmt: skip


def worker_rows(snapshot: Snapshot) -> Table[WorkerView]:
    """The processes, the supervisor first."""
    nothing = "No worker has that in it. Esc shows all." if snapshot.workers else "No worker yet."
    return Table(snapshot.workers, WORKER_COLUMNS, lambda one: one.name, nothing)


def draw_errors(worker: WorkerView | None, width: int) -> list[Line]:
    """The distinct errors of a worker: how often, first and last, and what."""
    if worker is None:
        return [[("no worker is chosen", "dim")]]
    if not worker.errors:
        return [[("no error since it began", "dim")]]
    lines: list[Line] = []
    for error in worker.errors:
        times = f"{clock_text(error.first_wall_ns)} - {clock_text(error.last_wall_ns)} "
        head = fit(f"{error.seen}×", 7, "right") + f"  {times} "
        lines.append([(head, "dim"), (fit(error.text, width - len(head)), "bad")])
    return lines


def errors_title(worker: WorkerView | None) -> str:
    """Whose errors, and how many different ones."""
    if worker is None:
        return "Errors"
    return f"Errors of {clean(worker.name)}: {len(worker.errors)} distinct (e: alerts)"


def draw_alerts(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:  # noqa: ARG001 - one layout
    """The last alerts and what became of each."""
    if not snapshot.alerts:
        return [[("no alert yet", "dim")]]
    lines: list[Line] = []
    for row in snapshot.alerts[:SHOWN_ALERTS]:
        word, role = ALERTS.get(row.state, ("?", "fair"))
        over = "✓ over " if row.cleared else "⚠ "
        rest = width - 8 - 1 - 13 - 8
        # Most texts name their subject.
        subject = "" if row.subject in row.text else f" {row.subject}"
        told = f"{row.rule}{subject}: {row.text}"
        lines.append(
            [
                (clock_text(row.wall_ns) + " ", "dim"),
                (fit(word, 13), role),
                (fit(over, 8), "good" if row.cleared else "fair"),
                (fit(told, rest), "plain"),
            ]
        )
    return lines


def draw_totals(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:  # noqa: ARG001 - it flows
    """Messages, memory, what was read again or missed, and the configuration."""
    if not snapshot.run.seen:
        return []
    scanner, trader = snapshot.counters.get("scanner", {}), snapshot.counters.get("trader", {})
    books = sum(one.books for one in snapshot.venues)
    live = sum(one.live_books for one in snapshot.venues)
    groups = [
        fact("messages", f"{sum(one.frames for one in snapshot.venues):,}"),
        fact("memory", bytes_text(snapshot.memory_bytes)),
        fact("live books", f"{live:,}/{books:,}", "plain" if live == books else "fair"),
        fact("rows read again", f"{snapshot.read_again:,}", more="here"),
    ]
    if "read_retries" in scanner:
        groups[-1].append((f", {scanner['read_retries']:,} by the scanner", "dim"))
    if "bells" in scanner:
        missed = scanner.get("missed_bells", 0)
        groups.append(
            [
                *fact("doorbell", f"{scanner['bells']:,}"),
                (f", {missed:,} missed", "fair" if missed else "dim"),
            ]
        )
    missed = trader.get("opportunities_missed", 0)
    if missed:
        groups.append(fact("opportunities missed", f"{missed:,}", "fair"))
    return flow([*groups, *_config(snapshot.run)], width)


def _config(run: RunView) -> list[Line]:
    """What is in force, what waits, and why the file as it is now does not hold."""
    if not run.config_version:
        return []
    groups = [fact("config", f"v{run.config_version}", more=clean(run.config_hash)[:HASH])]
    if run.config_waits:
        groups.append([(f"waits: {clean(run.config_waits)}", "fair")])
    if run.config_problem:
        groups.append([(f"refused: {clean(run.config_problem)}", "bad")])
    return groups
