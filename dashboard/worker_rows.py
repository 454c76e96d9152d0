"""Worker rows: every process of the run, as the supervisor says and as its own memory shows.

In: the supervisor's table and usage, every worker's segment. Out: `WorkerView`s. Run by `source` once a tick.
The supervisor's word is believed only while it lives; a worker's heartbeat is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dashboard.attachment import LIVELY_NS, Attachment
from dashboard.rates import Rate
from dashboard.snapshot import RunView, WorkerView
from pipeline.model import WorkerState
from shm.records import ERROR, USAGE, WORKER, ErrorRow, UsageRow, WorkerRow
from shm.tables import ERRORS

SUPERVISOR, FEED_PREFIX = "supervisor", "feed-"
MAX_WORKERS = 64
# What was measured longer ago says nothing of now; it is measured once a second.
MEASURED_NS = 5_000_000_000

_STATES = {int(state): state.name.lower() for state in WorkerState}

Counts = Mapping[str, int]


def _sum(*names: str) -> Callable[[Counts], int | None]:
    """The sum of some counters, None where a worker keeps none of them."""

    def count(counters: Counts) -> int | None:
        found = [counters[name] for name in names if name in counters]
        return sum(found) if found else None

    return count


def _messages(counters: Counts) -> int | None:
    """What the simulated venues have sent."""
    found = [count for name, count in counters.items() if name.endswith("_messages")]
    return sum(found) if found else None


# What a worker does, and the word for one of it.
DOES: dict[str, tuple[Callable[[Counts], int | None], str]] = {
    "scanner": (_sum("evaluations"), "look"),
    "trader": (_sum("approved", "rejected"), "decision"),
    "paper": (_sum("orders"), "order"),
    "observer": (_sum("exports"), "export"),
    "lab": (_messages, "msg"),
    SUPERVISOR: (_sum("commands"), "command"),
}
FEED_DOES: tuple[Callable[[Counts], int | None], str] = (_sum("frames"), "msg")


class WorkerRows:
    """The workers, with what each does a second."""

    def __init__(self) -> None:
        self._rates: dict[str, Rate] = {}

    def views(
        self, supervisor: Attachment, segment: Callable[[str], Attachment], run: RunView, now_ns: int
    ) -> tuple[WorkerView, ...]:
        """The supervisor first, then its table."""
        if not run.seen:
            return ()
        table = [row for _, row in supervisor.all("workers", WORKER)]
        others = [row for row in table[:MAX_WORKERS] if row.name != SUPERVISOR]
        for name in self._rates.keys() - {SUPERVISOR, *(row.name for row in others)}:
            del self._rates[name]
        used = {(row.name, row.pid): row for _, row in supervisor.all("usage", USAGE)}
        rate, word = self._does(SUPERVISOR, supervisor, now_ns)
        first = WorkerView(
            SUPERVISOR,
            run.pid,
            "running" if run.alive else _silent(supervisor),
            run.alive,
            run.uptime_ns,
            0,
            run.beat_age_ns,
            rate=rate,
            rate_word=word,
            errors=errors_of(supervisor),
        )
        return first, *(
            self._view(row, segment(row.name), used.get((row.name, row.pid)), run, now_ns) for row in others
        )

    def _view(
        self, row: WorkerRow, seen: Attachment, used: UsageRow | None, run: RunView, now_ns: int
    ) -> WorkerView:
        """One worker: the supervisor's word for it, checked against the worker's own heartbeat."""
        beating = seen.alive(now_ns, LIVELY_NS)
        state = _STATES.get(row.state, f"state {row.state}")
        if not run.alive:
            state = "orphan" if beating else _silent(seen)
        elif row.state == WorkerState.RUNNING and not beating and seen.view is not None:
            state = "no beat"
        up_ns = now_ns - row.since_ns if run.alive and row.state == WorkerState.RUNNING else 0
        fresh = used is not None and run.alive and 0 < used.measured_ns >= now_ns - MEASURED_NS
        rate, word = self._does(row.name, seen, now_ns)
        return WorkerView(
            name=row.name,
            pid=row.pid,
            state=state,
            fresh=beating,
            up_ns=max(0, up_ns),
            restarts=row.restarts,
            beat_age_ns=seen.beat_age_ns(now_ns) if seen.view is not None else None,
            exits=row.exits,
            exit_text=row.detail,
            cpu_permille=used.cpu_permille if fresh and used else None,
            rss_bytes=used.rss_bytes if fresh and used else None,
            descriptors=used.descriptors if fresh and used and used.descriptors > 0 else None,
            rate=rate if beating or rate is None else 0.0,
            rate_word=word,
            errors=errors_of(seen),
        )

    def _does(self, name: str, seen: Attachment, now_ns: int) -> tuple[float | None, str]:
        """What the worker does a second, and the word for it."""
        count, word = FEED_DOES if name.startswith(FEED_PREFIX) else DOES.get(name, (_sum(), ""))
        done = count(seen.counters()) if word else None
        if done is None:
            return None, ""
        rate = self._rates.setdefault(name, Rate())
        rate.note(now_ns, done)
        return rate.a_second(), word


def _silent(seen: Attachment) -> str:
    """The state of a process whose heart does not beat and that nobody vouches for."""
    return "no beat" if seen.there else "gone"


def errors_of(seen: Attachment) -> tuple[ErrorRow, ...]:
    """A worker's distinct errors, the latest first."""
    rows = [row for _, row in seen.all(ERRORS, ERROR)]
    return tuple(sorted(rows, key=lambda row: -row.last_wall_ns))
