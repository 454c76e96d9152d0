"""Source: one validated picture of a run, copied out of the memory files of its processes.

In: the directory of segments, the limits of `model.book_state`, a clock, a way to read the configuration
again. Out: a `Snapshot` a tick, and one event to full depth when somebody looks at it. Run by the dashboard.
Any process may be absent, restarted or dead at any time: what is gone keeps its last values, its state says
so, and its ages grow. Rows that did not change are not read again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.account import account_of
from dashboard.attachment import LIVELY_NS, Attachment
from dashboard.event_rows import EventRows
from dashboard.event_table import EventTable, TableEvents
from dashboard.event_views import (
    CurveView,
    EventDetail,
    EventView,
    LadderView,
    LegView,
)
from dashboard.feeds import FeedMemory
from dashboard.snapshot import LimitsView, RunView, Snapshot
from dashboard.worker_rows import FEED_PREFIX, MAX_WORKERS, SUPERVISOR, WorkerRows
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.model import BookFlag, BookState, StateLimits
from pipeline.money import to_micros
from shm.records import ALERT, LIFE, POSITION, REPLAY, RUN, WORKER, LifeRow, ReplayRow, WorkerRow
from shm.segment import boot_id

if TYPE_CHECKING:
    from dashboard.detail import Pricer

SCANNER, TRADER, OBSERVER, LAB = "scanner", "trader", "observer", "lab"
ALWAYS = (SUPERVISOR, SCANNER, TRADER, OBSERVER, LAB)
# A supervisor whose heart stood still for so long does not supervise.
STOPPED_NS = 1_000_000_000
MAX_SINGLES = 256
"""Books that no direction names are shown up to so many."""
MAX_DETAILS = 8
"""So many events that somebody looked at are kept for when they are gone."""


class MemorySource:
    """Reads the segments in `shm_directory`; make one per dashboard.

    `load` reads the run's configuration again, None where there is none: it is asked for when the supervisor
    says that there is a new one. Curves need it, and limits follow it; without it `limits` hold.
    """

    def __init__(
        self,
        shm_directory: Path,
        limits: StateLimits,
        clock: Clock,
        load: Callable[[], Config | None] = lambda: None,
    ) -> None:
        self._directory = shm_directory
        self._limits = limits
        self._clock = clock
        self._load = load
        self._boot = boot_id()
        self._attached: dict[str, Attachment] = {}
        self._feeds: dict[str, FeedMemory] = {}
        self._table = EventTable()
        self._rows = EventRows()
        self._workers = WorkerRows()
        self._singles: tuple[list[object], list[tuple[str, str]]] = ([], [])
        self._events: TableEvents | None = None
        self._config: Config | None = None
        self._pricer: Pricer | None = None
        self._bounds: LimitsView | None = None
        # The supervisor's start and version of the configuration that was loaded.
        self._loaded = (0, 0)
        self._details: OrderedDict[str, EventDetail] = OrderedDict()
        self._read_again = 0

    def snapshot(self) -> Snapshot:
        """The picture of this moment; never raises for what a process wrote or failed to write."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        supervisor, scanner, trader, observer, lab = (self._segment(name) for name in ALWAYS)
        run = _run(supervisor, now_ns)
        self._follow_config(supervisor)
        workers = [row for _, row in supervisor.all("workers", WORKER)]
        self._forget({*ALWAYS, *(row.name for row in workers)})
        feeds = self._follow_feeds(workers, now_ns, certain=run.alive)
        pictures = {feed.venue: feed.picture for feed in feeds}
        layout = self._table.layout
        events = self._events = self._table.refresh(scanner, pictures, now_ns)
        if events.layout is not layout:
            self._rows.remember(events.layout.rows)
        picture = Snapshot(
            now_ns=now_ns,
            wall_ns=wall_ns,
            run=run,
            venues=tuple(feed.line(now_ns) for feed in feeds),
            events=events,
            kinds=self._rows.kinds,
            singles=self._single_books(events),
            scanner_alive=scanner.alive(now_ns, LIVELY_NS),
            trader_alive=trader.alive(now_ns, LIVELY_NS),
            **account_of(trader, self._rows),
            limits=self._bounds,
            counters=self._counters(),
            alerts=observer.ring("alerts", ALERT),
            lives=scanner.ring("lives", LIFE),
            replay=_replay(lab),
            workers=self._workers.views(supervisor, self._segment, run, now_ns),
            memory_bytes=sum(seen.memory_bytes for seen in self._attached.values()),
            read_again=self._count_read_again(),
            problems=tuple(seen.problem for seen in self._attached.values() if seen.problem),
        )
        replayed = bool(picture.flags & BookFlag.REPLAY)
        return replace(picture, run=replace(run, replay=replayed)) if replayed else picture

    def detail(self, key: str) -> EventDetail | None:
        """A row of the last picture's events to full depth, as it is now; None where there never was one."""
        place = self._events.find(key) if self._events is not None else None
        if self._events is None or place is None:
            known = self._details.get(key)
            return None if known is None else replace(known, row=None, gone=True)
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        row = self._events[place]
        found = EventDetail(
            key=key,
            row=row,
            ladders=self._ladders(self._events, place, now_ns),
            curves=self._curves(self._events, place, now_ns, wall_ns),
            history=tuple(self._table.history(place, now_ns)),
            lives=tuple(life for life in self._lives() if life.event_id == row.id),
        )
        self._details[key] = found
        self._details.move_to_end(key)
        while len(self._details) > MAX_DETAILS:
            self._details.popitem(last=False)
        return found

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
            self._read_again += self._attached.pop(name).read_again

    def _follow_config(self, supervisor: Attachment) -> None:
        """Read the configuration when the supervisor acts on another one."""
        if supervisor.view is None:
            return
        header = supervisor.view.header
        version = header.started_ns, header.config_version
        if version == self._loaded:
            return
        config = self._load()
        if config is None:
            return
        self._loaded = version
        self._limits = config.scanner.limits()
        self._config, self._pricer = config, None
        self._bounds = _bounds(config)
        for feed in self._feeds.values():
            feed.limits = self._limits

    # -- feeds ---------------------------------------------------------------------------------

    def _follow_feeds(self, workers: Iterable[WorkerRow], now_ns: int, *, certain: bool) -> list[FeedMemory]:
        """The feeds of this run, refreshed: those of the worker table, and any file there is.

        While the supervisor is alive (`certain`) its table alone says which feeds there are.
        """
        named = [row.name for row in workers if row.name.startswith(FEED_PREFIX)]
        if not certain or not named:
            known = [*named, *(FEED_PREFIX + venue for venue in self._feeds)]
            named = list(dict.fromkeys([*known, *self._feed_files()]))
        for name in named[:MAX_WORKERS]:
            venue = name.removeprefix(FEED_PREFIX)
            if venue not in self._feeds:
                self._feeds[venue] = FeedMemory(venue, self._segment(name), self._limits)
        kept = {name.removeprefix(FEED_PREFIX) for name in named[:MAX_WORKERS]}
        for venue in self._feeds.keys() - kept:
            self._read_again += self._feeds.pop(venue).read_again
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

    def _single_books(self, events: TableEvents) -> tuple[LegView, ...]:
        """Books that no direction names, in the order of the feeds."""
        directories = [feed.picture.directory for feed in self._feeds.values()]
        made_of: list[object] = [events.layout, *directories]
        # Looked for again only where the directions or a directory are others.
        known, singles = self._singles
        if len(known) != len(made_of) or any(a is not b for a, b in zip(known, made_of, strict=True)):
            named = events.layout.named_legs
            singles = [
                (venue, market)
                for venue, feed in self._feeds.items()
                for market in feed.picture.directory.markets
                if (venue, market) not in named
            ][:MAX_SINGLES]
            self._singles = made_of, singles
        return tuple(events.leg(venue, market, False) for venue, market in singles)

    # -- one event -----------------------------------------------------------------------------

    def _pricing(self) -> Pricer | None:
        """What prices curves, None without a configuration."""
        if self._pricer is None and self._config is not None:
            # The pricing path takes a tenth of a second to load: the first picture does not wait for it.
            from dashboard.detail import Pricer

            self._pricer = Pricer(self._directory, self._config)
        return self._pricer

    def _ladders(self, events: TableEvents, place: int, now_ns: int) -> tuple[LadderView, ...]:
        """Every leg to full depth: those that the row names, then what else the direction has."""
        row, (even, odd) = events[place], events.rows(place)
        first = even or odd
        assert first is not None, "a place has a row"
        inverse = {
            (first.buy_venue, first.buy_market): bool(first.buy_inverse),
            (first.sell_venue, first.sell_market): bool(first.sell_inverse),
        }
        # As in the grid, only a pair's legs are turned round.
        legs = {
            (leg.venue, leg.market): isinstance(row, EventView) and inverse[leg.venue, leg.market]
            for leg in row.legs
        }
        pricer = self._pricing()
        if pricer is not None and not isinstance(row, EventView):
            legs |= dict.fromkeys(
                (leg for leg in pricer.legs(row.id, first.direction) if leg not in legs), False
            )
        return tuple(self._ladder(*leg, now_ns, inverse=turned) for leg, turned in legs.items())

    def _ladder(self, venue: str, market: str, now_ns: int, *, inverse: bool) -> LadderView:
        feed = self._feeds.get(venue)
        if feed is None:
            return LadderView(LegView(venue, market, BookState.DEAD))
        return feed.ladder(market, now_ns, inverse=inverse)

    def _curves(self, events: TableEvents, place: int, now_ns: int, wall_ns: int) -> tuple[CurveView, ...]:
        """A curve for each direction of a row."""
        rows = [row for row in events.rows(place) if row is not None]
        pricer = self._pricing()
        if pricer is None:
            why = "the run's configuration could not be read"
            return tuple(CurveView(row.buy_venue, row.sell_venue, problem=why) for row in rows)
        held = [row for _, row in self._segment(TRADER).all("positions", POSITION)]
        return tuple(pricer.curve(row, held, now_ns, wall_ns) for row in rows)

    def _lives(self) -> tuple[LifeRow, ...]:
        return self._segment(SCANNER).ring("lives", LIFE)

    # -- the whole -----------------------------------------------------------------------------

    def _counters(self) -> dict[str, dict[str, int]]:
        """The counters of every worker but the feeds."""
        names = (name for name in self._attached if not name.startswith(FEED_PREFIX))
        return {name: found for name in names if (found := self._attached[name].counters())}

    def _count_read_again(self) -> int:
        """How often a row that a writer had under its hands was read again, over all that was ever read."""
        attached = sum(seen.read_again for seen in self._attached.values())
        return self._read_again + attached + self._table.read_again + self._feeds_read_again()

    def _feeds_read_again(self) -> int:
        return sum(feed.read_again for feed in self._feeds.values())


def _bounds(config: Config) -> LimitsView:
    """The limits that stand beside figures."""
    return LimitsView(
        exposure_micros=to_micros(Decimal(config.risk.max_exposure_usd)),
        day_loss_micros=to_micros(Decimal(config.risk.daily_loss_usd)),
        losses=config.risk.max_consecutive_losses,
        half_life_ms=config.scanner.half_life_ms,
        edge_bp=config.risk.min_edge_bp,
        event_micros=to_micros(Decimal(config.risk.max_event_usd)),
    )


def _run(supervisor: Attachment, now_ns: int) -> RunView:
    """The run as its supervisor described it; alive only while the supervisor's heart beats."""
    row = supervisor.first("run", RUN)
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


def _replay(lab: Attachment) -> ReplayRow | None:
    """Where a replayed tape stands; None where none is played."""
    row = lab.first("replay", REPLAY)
    return row if row is not None and row.tape else None
