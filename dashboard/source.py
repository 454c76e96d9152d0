"""Source: one validated picture of a run, copied out of the memory files of its processes.

In: the directory of segments, the limits of `model.book_state`, a clock. Out: a `Snapshot` a tick.
Run by the dashboard. Any process may be absent, restarted or dead at any time: what is gone keeps
its last values, its state says so, and its ages grow. Rows that did not change are not read again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dashboard.attachment import Attachment
from dashboard.event_rows import EventRows
from dashboard.feeds import FeedMemory
from dashboard.snapshot import (
    EventView,
    LegView,
    LineView,
    PositionView,
    RunView,
    Snapshot,
    WorkerView,
)
from pipeline.clock import Clock
from pipeline.model import BookFlag, BookState, StateLimits, WorkerState
from shm.records import (
    CASH,
    DECISION,
    EVENT,
    KELLY,
    POSITION,
    RUN,
    SUMMARY,
    WORKER,
    DecisionRow,
    KellyRow,
    PositionRow,
    SummaryRow,
    WorkerRow,
)
from shm.segment import boot_id

SUPERVISOR, SCANNER, TRADER, FEED_PREFIX = "supervisor", "scanner", "trader", "feed-"
# A supervisor whose heart stood still for so long does not supervise.
STOPPED_NS = 1_000_000_000
# Workers beat many times a second; the supervisor itself calls one hung after 2 s.
LIVELY_NS = 1_000_000_000
MAX_SEGMENTS = 64
DECISIONS_SHOWN = 10

_STATES = {int(state): state.name.lower() for state in WorkerState}


class MemorySource:
    """Reads the segments in `shm_directory`; make one per dashboard."""

    def __init__(self, shm_directory: Path, limits: StateLimits, clock: Clock) -> None:
        self._directory = shm_directory
        self._limits = limits
        self._clock = clock
        self._boot = boot_id()
        self._attached: dict[str, Attachment] = {}
        self._feeds: dict[str, FeedMemory] = {}
        self._rows = EventRows()

    def snapshot(self) -> Snapshot:
        """The picture of this moment; never raises for what a process wrote or failed to write."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        supervisor = self._segment(SUPERVISOR)
        scanner, trader = self._segment(SCANNER), self._segment(TRADER)
        run = _run(supervisor, now_ns)
        table = supervisor.rows("workers", WORKER)
        workers = [row for _, row in table.all()] if table is not None else []
        self._forget({SUPERVISOR, SCANNER, TRADER, *(row.name for row in workers)})
        feeds = self._follow_feeds(workers, now_ns, certain=run.alive)
        events, lines = self._events(scanner, now_ns)
        summary = trader.rows("summary", SUMMARY)
        cash = trader.rows("cash", CASH)
        picture = Snapshot(
            now_ns=now_ns,
            wall_ns=wall_ns,
            run=run,
            venues=tuple(feed.line(now_ns) for feed in feeds),
            events=events,
            lines=lines,
            kinds=self._rows.kinds,
            scanner_alive=scanner.alive(now_ns, LIVELY_NS),
            trader_alive=trader.alive(now_ns, LIVELY_NS),
            decisions=_decisions(trader),
            positions=self._positions(trader),
            cash=tuple(row for _, row in cash.all()) if cash is not None else (),
            summary=_written(summary.get(0)) if summary is not None else None,
            kelly=_kelly(trader),
            workers=self._workers(workers, run, now_ns),
            problems=tuple(seen.problem for seen in self._attached.values() if seen.problem),
        )
        replayed = bool(picture.flags & BookFlag.REPLAY)
        return replace(picture, run=replace(run, replay=replayed)) if replayed else picture

    def _segment(self, name: str) -> Attachment:
        """The worker's segment, refreshed."""
        if name not in self._attached:
            self._attached[name] = Attachment(self._directory, name, self._boot)
        self._attached[name].refresh()
        return self._attached[name]

    def _forget(self, named: set[str]) -> None:
        """Let go of segments that neither the run nor a feed names any longer."""
        used = named | {FEED_PREFIX + venue for venue in self._feeds}
        for name in self._attached.keys() - used:
            del self._attached[name]

    def _follow_feeds(self, workers: Iterable[WorkerRow], now_ns: int, *, certain: bool) -> list[FeedMemory]:
        """The feeds of this run, refreshed: those of the worker table, and any file there is.

        While the supervisor is alive (`certain`) its table alone says which feeds there are.
        """
        named = [row.name for row in workers if row.name.startswith(FEED_PREFIX)]
        if not certain or not named:
            known = [*named, *(FEED_PREFIX + venue for venue in self._feeds)]
            named = list(dict.fromkeys([*known, *self._feed_files()]))
        for name in named[:MAX_SEGMENTS]:
            venue = name.removeprefix(FEED_PREFIX)
            if venue not in self._feeds:
                self._feeds[venue] = FeedMemory(venue, self._segment(name), self._limits)
        kept = {name.removeprefix(FEED_PREFIX) for name in named[:MAX_SEGMENTS]}
        for venue in self._feeds.keys() - kept:
            del self._feeds[venue]
        for feed in self._feeds.values():
            feed.refresh(now_ns)
        return list(self._feeds.values())

    def _feed_files(self) -> list[str]:
        """Segments of feeds that lie in the directory, in order of name."""
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return []
        return [name for name in names if name.startswith(FEED_PREFIX) and "." not in name]

    # -- events --------------------------------------------------------------------------------

    def _events(self, scanner: Attachment, now_ns: int) -> tuple[tuple[EventView, ...], tuple[LineView, ...]]:
        """The pairs and the other directions, in the scanner's order."""
        table = scanner.rows("events", EVENT)
        rows = [row for _, row in table.all()] if table is not None else []

        def leg(venue: str, market: str, inverse: bool) -> LegView:
            return self._leg(venue, market, now_ns, inverse=inverse)

        return self._rows.views(rows, leg, now_ns)

    def _leg(self, venue: str, market: str, now_ns: int, *, inverse: bool) -> LegView:
        """A leg from its feed's memory; DEAD where there is no such feed."""
        feed = self._feeds.get(venue)
        if feed is None:
            return LegView(venue, market, BookState.DEAD)
        return feed.leg(market, now_ns, inverse=inverse)

    # -- trader --------------------------------------------------------------------------------

    def _positions(self, trader: Attachment) -> tuple[PositionView, ...]:
        """What is held, by event; outcomes are turned into the event's YES terms."""
        table = trader.rows("positions", POSITION)
        grouped: dict[str, list[PositionRow]] = {}
        for _, row in table.all() if table is not None else ():
            if row.units:
                grouped.setdefault(row.event_id, []).append(row)
        return tuple(self._rows.position(rows) for rows in grouped.values())

    # -- workers -------------------------------------------------------------------------------

    def _workers(self, table: list[WorkerRow], run: RunView, now_ns: int) -> tuple[WorkerView, ...]:
        """The supervisor first, then its table. Its table is believed only while it is alive."""
        if not run.seen:
            return ()
        word = "running" if run.alive else "gone"
        beat_ns = run.beat_age_ns
        views = [WorkerView(SUPERVISOR, run.pid, word, run.alive, run.uptime_ns, 0, beat_ns)]
        others = [row for row in table[:MAX_SEGMENTS] if row.name != SUPERVISOR]
        views.extend(self._worker(row, run, now_ns) for row in others)
        return tuple(views)

    def _worker(self, row: WorkerRow, run: RunView, now_ns: int) -> WorkerView:
        """One worker: the supervisor's word for it, checked against the worker's own heartbeat."""
        seen = self._segment(row.name)
        beating = seen.alive(now_ns, LIVELY_NS)
        state = _STATES.get(row.state, f"state {row.state}")
        if not run.alive:
            state = "orphan" if beating else "gone"
        elif row.state == WorkerState.RUNNING and not beating and seen.view is not None:
            state = "no beat"
        up_ns = now_ns - row.since_ns if run.alive and row.state == WorkerState.RUNNING else 0
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
        )


def _run(supervisor: Attachment, now_ns: int) -> RunView:
    """The run as its supervisor described it; alive only while the supervisor's heart beats."""
    table = supervisor.rows("run", RUN)
    row = table.get(0) if table is not None else None
    if supervisor.view is None or row is None:
        return RunView()
    header = supervisor.view.header
    alive = supervisor.alive(now_ns, STOPPED_NS)
    return RunView(
        seen=True,
        alive=alive,
        profile=row.profile,
        mode=row.mode,
        simulated=bool(row.simulated),
        uptime_ns=max(0, now_ns - header.started_ns) if alive else 0,
        beat_age_ns=supervisor.beat_age_ns(now_ns),
        pid=header.pid,
        config_version=header.config_version,
        config_hash=row.config_hash,
        config_problem=row.config_problem,
        config_waits=row.config_waits,
    )


def _decisions(trader: Attachment) -> tuple[DecisionRow, ...]:
    """The last decisions, newest first."""
    table = trader.rows("decisions", DECISION)
    rows = [row for _, row in table.all()] if table is not None else []
    return tuple(sorted(rows, key=lambda row: -row.sequence)[:DECISIONS_SHOWN])


def _kelly(trader: Attachment) -> KellyRow | None:
    """What Kelly says, or None for the empty row that a restart leaves until the trader writes."""
    table = trader.rows("kelly", KELLY)
    row = table.get(0) if table is not None else None
    return row if row is not None and row.computed_wall_ns else None


def _written(summary: SummaryRow | None) -> SummaryRow | None:
    """The summary, or None for the empty row that a restart leaves until the trader writes."""
    return summary if summary is not None and summary.updated_ns else None
