"""PriceEvent: one market's best prices at one moment, for anyone's Python.

In: a look at a book, or an entry of its history. Out: a frozen `PriceEvent`; `PriceBook` has the levels
too. Pure. Prices and quantities are exact Decimals. State and ages are those of the moment of reading: an
event that is kept grows old, and does not say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pipeline.look import Look
from pipeline.model import BookFlag, BookState, Level, Scale, to_text
from shm.books import BookRow
from shm.history import PricePoint

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_QUANTITY = Decimal(0)


@dataclass(frozen=True, slots=True)
class Name:
    """A market as it was asked for. `inverse` turns its prices round: its YES is the event's NO."""

    venue: str
    market: str
    symbol: str
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is read, on both clocks."""

    now_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class PriceEvent:
    """Best prices of one market, None where a side is empty.

    `symbol` joins venues: an event's id, "BTC/USD", else the market's own id. `state` is the word of
    `model.book_state`: LIVE is the only one to act on. `age_ms` is since the venue last spoke of this
    market; `verified_ago_s` since its REST last showed the same book, None for never. `venue_time` is
    by the venue's clock and `received` by ours. `sequence` counts the market's price events from 1 and
    begins anew with its feed.
    """

    venue: str
    symbol: str
    market: str
    bid: Decimal | None
    ask: Decimal | None
    bid_quantity: Decimal
    ask_quantity: Decimal
    state: str
    age_ms: float | None
    venue_time: datetime | None
    received: datetime | None
    sequence: int
    flags: BookFlag
    verified_ago_s: float | None = None
    inverse: bool = False

    @property
    def mid(self) -> Decimal | None:
        """Half-way between bid and ask; None unless there are both."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal | None:
        """Ask less bid; None unless there are both."""
        return None if self.bid is None or self.ask is None else self.ask - self.bid

    @property
    def simulated(self) -> bool:
        """Whether the price was made up by the lab."""
        return bool(self.flags & BookFlag.SIM)

    @property
    def tradable(self) -> bool:
        """Whether Parallax itself would believe it: LIVE, and nothing known against it."""
        return self.state == BookState.LIVE.name and not self.flags & BookFlag.NOT_TRADABLE


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A whole published book: its price event, and its levels (price, quantity), best first."""

    event: PriceEvent
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


def now_event(name: Name, look: Look, sequence: int, at: Moment) -> PriceEvent:
    """The market as its row says it is now."""
    book = look.book
    point = PricePoint(sequence, look.state, 0, book.venue_ns, book.socket_ns, 0, *_best(book))
    return newest_event(name, look, point, at)


def newest_event(name: Name, look: Look, point: PricePoint, at: Moment) -> PriceEvent:
    """The last entry of a market's history, worth what the market is worth now, and of its present age."""
    book = look.book
    return replace(
        past_event(name, look, point, at),
        state=newest_state(look, point),
        age_ms=(at.now_ns - book.socket_ns) / 1e6 if book.socket_ns else None,
        flags=BookFlag(book.flags),
        verified_ago_s=(at.now_ns - book.witness_ns) / 1e9 if book.witness_ns else None,
    )


def newest_state(look: Look, point: PricePoint) -> str:
    """What the last entry of a history is worth now: never more than it was when it was written."""
    return state_word(look.state if point.state == BookState.LIVE else point.state)


def past_event(name: Name, look: Look, point: PricePoint, at: Moment) -> PriceEvent:
    """An entry of a market's history: its state is the one that it had then."""
    price_decimals, size_decimals = look.scale.price_decimals, look.scale.size_decimals
    bid, ask = (point.bid, point.bid_units), (point.ask, point.ask_units)
    if price_decimals < 0 or size_decimals < 0:
        bid = ask = (0, 0)
    elif name.inverse:
        (bid,), (ask,) = _turned((ask,), look.scale), _turned((bid,), look.scale)
    wall_ns = point.wall_ns or at.wall_ns - (at.now_ns - point.socket_ns)
    return PriceEvent(
        venue=name.venue,
        symbol=name.symbol,
        market=name.market,
        bid=_decimal(bid[0], price_decimals) if bid[1] else None,
        ask=_decimal(ask[0], price_decimals) if ask[1] else None,
        bid_quantity=_decimal(bid[1], size_decimals) if bid[1] else NO_QUANTITY,
        ask_quantity=_decimal(ask[1], size_decimals) if ask[1] else NO_QUANTITY,
        state=state_word(point.state),
        age_ms=(at.now_ns - point.socket_ns) / 1e6 if point.socket_ns else None,
        venue_time=moment_of(point.venue_ns),
        received=moment_of(wall_ns) if point.socket_ns else None,
        sequence=point.number,
        flags=BookFlag(point.flags),
        inverse=name.inverse,
    )


def is_best(look: Look, point: PricePoint) -> bool:
    """Whether a row and the last entry of its history show the same: they are written one after another."""
    return _best(look.book) == point[-4:] and look.book.state == point.state


def price_book(name: Name, look: Look, sequence: int, at: Moment) -> PriceBook:
    """The market's book as it is now."""
    bids, asks = look.book.bids, look.book.asks
    scale = look.scale
    if scale.price_decimals < 0 or scale.size_decimals < 0:
        bids = asks = ()
    elif name.inverse:
        bids, asks = _turned(asks, scale), _turned(bids, scale)
    return PriceBook(now_event(name, look, sequence, at), _decimals(bids, scale), _decimals(asks, scale))


def _best(book: BookRow) -> tuple[int, int, int, int]:
    """Best bid, its units, best ask, its units; zeros for an empty side."""
    return (*(book.bids[0] if book.bids else (0, 0)), *(book.asks[0] if book.asks else (0, 0)))


def _turned(levels: Iterable[Level], scale: Scale) -> tuple[Level, ...]:
    """One side of a market as the other side of its opposite: a bid of NO at p is an ask of YES at 1 - p."""
    one = int(10**scale.price_decimals)
    return tuple((one - ticks, units) for ticks, units in levels)


def _decimal(units: int, decimals: int) -> Decimal:
    """The exact Decimal, without trailing zeros."""
    return Decimal(to_text(units, decimals))


def _decimals(levels: Iterable[Level], scale: Scale) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple(
        (_decimal(ticks, scale.price_decimals), _decimal(units, scale.size_decimals))
        for ticks, units in levels
    )


def state_word(state: int) -> str:
    """The name of a stored or derived book state; a number of another version shows as itself."""
    return BookState(state).name if state in BookState.__members__.values() else f"STATE {state}"


def moment_of(wall_ns: int) -> datetime | None:
    """Wall-clock nanoseconds as a UTC time; None for 0 and for what no calendar has."""
    try:
        return EPOCH + timedelta(microseconds=wall_ns // 1000) if wall_ns else None
    except OverflowError:
        return None
