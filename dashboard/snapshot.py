"""Snapshot: everything on the screen at one moment, as frozen values.

In: what `source` copied out of memory. Out: the same to every panel. Ages are those at `now_ns`,
the moment the picture is drawn; `alive` is judged from heartbeats, never from what a process wrote
about itself. Texts are as others wrote them: whoever draws them cleans them (`formatting.clean`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Protocol

from dashboard.event_views import NO_FLAGS, EventDetail, Events, LegView, ListedEvents
from pipeline.model import BookFlag, ConnectionState
from shm.records import (
    AlertRow,
    CalibrationRow,
    CashRow,
    DecisionRow,
    EquityRow,
    ErrorRow,
    EventPositionRow,
    FlattenRow,
    KellyRow,
    LifeRow,
    OrderRow,
    OutcomeRow,
    PositionRow,
    ReplayRow,
    SummaryRow,
)

# States of a connection in which prices may arrive.
CONNECTED = (ConnectionState.UP, ConnectionState.POLLING)


@dataclass(frozen=True, slots=True)
class RunView:
    """The run as a whole. `seen` is False until a supervisor's memory was read once.

    `config_problem` says why the files as they are now do not hold, `config_waits` which changed keys wait
    for which restart; both "" where there is nothing to say.
    """

    seen: bool = False
    alive: bool = False
    profile: str = ""
    mode: str = ""
    simulated: bool = False
    replay: bool = False
    uptime_ns: int = 0
    beat_age_ns: int = 0
    pid: int = 0
    config_version: int = 0
    config_hash: str = ""
    config_problem: str = ""
    config_waits: str = ""


@dataclass(frozen=True, slots=True)
class VenueView:
    """One venue's feed. `connection` is the weakest of the `connections` that the feed wants.

    `rate` is messages a second, None while unknown.
    """

    name: str
    alive: bool
    connection: ConnectionState
    connections: int
    beat_age_ns: int
    proof_age_ns: int
    silent: bool
    rate: float | None
    frames: int
    books: int
    live_books: int
    gaps: int
    bad_frames: int
    reconnects: int
    simulated: bool
    witnessed_ns: int | None = None
    """Age of the oldest agreement of a book with the venue's REST; None while one has none."""
    flags: BookFlag = NO_FLAGS
    """The flags of all its books together."""
    subscriptions: int = 0
    lag_ns: tuple[int, int] | None = None
    """What the venue's clock says a message took to us: half of them, and 99 of 100, less than this. May be
    negative: clocks differ. None while nothing was measured."""
    ping_ns: int | None = None
    """How long the venue took to answer the last ping; None where it was not asked or measured."""
    rates: tuple[float, ...] = ()
    """Messages a second, a value a second, oldest first, of the last minute that this reader watched."""

    @property
    def connected(self) -> bool:
        """Whether prices may arrive: the feed lives, its socket is up, and the venue speaks."""
        return self.alive and self.connection in CONNECTED and not self.silent

    @property
    def state(self) -> str:
        """One word for what the venue is doing."""
        if not self.alive:
            return "dead"
        if self.connection in CONNECTED and self.silent:
            return "silent"
        return self.connection.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class PositionLeg:
    """What is held at one venue of an event, in the event's YES terms: negative is short.

    Of several `markets` at one venue `units` is the most that is held of one, without a sign.
    """

    venue: str
    units: int
    markets: int = 1


@dataclass(frozen=True, slots=True)
class PositionView:
    """What is held of one event. `net_units` is what nothing else hedges.

    `unrealised_micros` is None where a part could not be marked.
    """

    event_id: str
    title: str
    legs: tuple[PositionLeg, ...]
    net_units: int
    size_decimals: int
    cost_micros: int
    unrealised_micros: int | None
    total: EventPositionRow | None = None
    """The trader's own line of the event: what is hedged, exposed, locked in; None before it wrote one."""
    outcomes: tuple[PositionRow, ...] = ()
    """What is held of each outcome, as the trader wrote it."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One process. `state` is a word that is true now; `fresh` is whether its heart beats."""

    name: str
    pid: int
    state: str
    fresh: bool
    up_ns: int
    restarts: int
    beat_age_ns: int | None
    exits: int = 0
    exit_text: str = ""
    cpu_permille: int | None = None
    """Of one core; None where it was not measured within the last seconds. So for memory and files."""
    rss_bytes: int | None = None
    descriptors: int | None = None
    rate: float | None = None
    """What it does a second, in `rate_word`s: None where nothing of it is counted."""
    rate_word: str = ""
    errors: tuple[ErrorRow, ...] = ()
    """Its distinct errors, the latest first."""


@dataclass(frozen=True, slots=True)
class LimitsView:
    """What config.toml sets and a figure on the screen stands against."""

    exposure_micros: int
    day_loss_micros: int
    losses: int
    """In a row."""
    half_life_ms: int
    edge_bp: int = 0
    """From which on an edge is large enough."""
    event_micros: int = 0
    """At stake in one event."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One validated picture of a run. Empty tuples and None mean that nobody has written it yet."""

    now_ns: int
    wall_ns: int
    run: RunView = RunView()
    venues: tuple[VenueView, ...] = ()
    events: Events = ListedEvents()  # noqa: RUF009 - it cannot change
    kinds: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """What each direction is that was ever seen, by event and number."""
    singles: tuple[LegView, ...] = ()
    """Books that no direction of the scanner's names."""
    scanner_alive: bool = False
    trader_alive: bool = False
    decisions: tuple[DecisionRow, ...] = ()
    """The last 64, newest first."""
    positions: tuple[PositionView, ...] = ()
    cash: tuple[CashRow, ...] = ()
    orders: tuple[OrderRow, ...] = ()
    flattens: tuple[FlattenRow, ...] = ()
    """The last orders of people to close all of an event, newest first."""
    outcomes: tuple[OutcomeRow, ...] = ()
    """The last trades as predicted and as they came, newest first."""
    calibration: CalibrationRow | None = None
    equity: tuple[EquityRow, ...] = ()
    """What the account was worth, oldest first."""
    summary: SummaryRow | None = None
    kelly: KellyRow | None = None
    limits: LimitsView | None = None
    """None while the run's configuration could not be read."""
    refusals: Mapping[int, int] = field(default_factory=dict)
    """How often the trader refused for each `model.Reason`, over this run."""
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The counters of every worker but the feeds, by its name."""
    alerts: tuple[AlertRow, ...] = ()
    """The observer's last alerts, newest first."""
    lives: tuple[LifeRow, ...] = ()
    """The last opportunities that ended, newest first."""
    replay: ReplayRow | None = None
    """Where a replayed tape stands; None where none is played."""
    workers: tuple[WorkerView, ...] = ()
    memory_bytes: int = 0
    """What all segments together take."""
    read_again: int = 0
    """How often this reader met a row that a writer had under its hands, and read it again."""
    problems: tuple[str, ...] = ()

    @property
    def flags(self) -> BookFlag:
        """The flags of all books together."""
        return reduce(or_, [venue.flags for venue in self.venues], NO_FLAGS)


class Source(Protocol):
    """Where pictures come from."""

    def snapshot(self) -> Snapshot:
        """The picture of this moment."""
        ...

    def detail(self, key: str) -> EventDetail | None:
        """A row of the last picture's events to full depth, as it is now; None where there never was one."""
        ...
