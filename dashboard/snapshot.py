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

from pipeline.model import BookFlag, BookState, ConnectionState, Level, MarketResult, MarketStatus
from shm.records import CashRow, DecisionRow, KellyRow, SummaryRow

NO_FLAGS = BookFlag(0)
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
class LegView:
    """One market of an event; `bid` and `ask` (ticks, units) are in the event's YES terms."""

    venue: str
    market: str
    state: BookState
    bid: Level | None = None
    ask: Level | None = None
    price_decimals: int = 0
    size_decimals: int = 0
    age_ns: int | None = None
    status: MarketStatus = MarketStatus.UNKNOWN
    result: MarketResult = MarketResult.NONE
    flags: BookFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class EdgeView:
    """One direction as the scanner evaluated it; numbers mean something only with `has_numbers`."""

    buy_venue: str
    sell_venue: str
    has_numbers: bool
    edge_bp: int
    gross_bp: int
    reason: int
    value_micros: int
    limit_micros: int
    confidence: int
    size_units: int
    size_decimals: int
    age_ns: int
    net_micros: int = 0
    cash_micros: int = 0
    annual_bp: int = 0
    race_ppm: int = 0
    race_count: int = 0
    """How many lives the race is measured on; 0 where it is the prior."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One event on one pair of venues: edges[0] buys the first leg, edges[1] the second."""

    id: str
    title: str
    kind: str
    close_wall_ns: int
    legs: tuple[LegView, LegView]
    edges: tuple[EdgeView | None, EdgeView | None]


@dataclass(frozen=True, slots=True)
class LineView:
    """One direction that is no pair of venues to and fro: a complement, a basket, an implication, a
    ladder, a model, or a held pair to close.

    `legs` are the named ones of `count`, in their book's own terms, and `deals` what is done with each:
    action and outcome. `odds` are the model's low, middle and high in millionths, None for arbitrage.
    """

    id: str
    title: str
    kind: str
    close_wall_ns: int
    count: int
    legs: tuple[LegView, ...]
    deals: tuple[tuple[str, str], ...]
    edge: EdgeView
    odds: tuple[int, int, int] | None = None


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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One validated picture of a run. Empty tuples and None mean that nobody has written it yet."""

    now_ns: int
    wall_ns: int
    run: RunView = RunView()
    venues: tuple[VenueView, ...] = ()
    events: tuple[EventView, ...] = ()
    lines: tuple[LineView, ...] = ()
    kinds: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """What each direction is that was ever seen, by event and number."""
    scanner_alive: bool = False
    trader_alive: bool = False
    decisions: tuple[DecisionRow, ...] = ()
    positions: tuple[PositionView, ...] = ()
    cash: tuple[CashRow, ...] = ()
    summary: SummaryRow | None = None
    kelly: KellyRow | None = None
    workers: tuple[WorkerView, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def event_ids(self) -> set[str]:
        """The events that the scanner looks at."""
        return {event.id for event in self.events} | {line.id for line in self.lines}

    @property
    def flags(self) -> BookFlag:
        """The flags of all books on the screen together."""
        legs = [leg for event in self.events for leg in event.legs]
        legs += [leg for line in self.lines for leg in line.legs]
        return reduce(or_, [leg.flags for leg in legs], NO_FLAGS)


class Source(Protocol):
    """Where pictures come from."""

    def snapshot(self) -> Snapshot:
        """The picture of this moment."""
        ...
