"""Publisher: a feed's markets, their metadata and their rows in shared memory.

In: the markets wanted, metadata from REST and from the socket, books. Out: directory rows and book rows.
Used by the feed's worker; it touches memory only through the `BookWriter` it is given.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

from pipeline.config import FeeConfig
from pipeline.feed.order_book import Book
from pipeline.fees import TieredMarket, TierTable, schedule_from_config
from pipeline.model import (
    DEFAULT_SCALES,
    UNKNOWN_FEE,
    BookFlag,
    FeeKind,
    Market,
    Scale,
)
from shm.books import BookWriter
from shm.records import MARKET, MarketRow

# Older metadata is not traded on: grid, fees and status may have changed behind our back.
BELIEVED_NS = 3_600_000_000_000


class Publisher:
    """The markets of one feed, each with a row while there is room."""

    def __init__(self, venue: str, writer: BookWriter, flags: BookFlag, fees: FeeConfig | None) -> None:
        self._venue = venue
        self._writer = writer
        self._fees = fees
        self._markets: dict[str, Market] = {}
        self._scales: dict[str, Scale] = {}
        self._tiers: dict[str, TierTable | None] = {}
        self._rows: dict[str, int] = {}
        self._updated_ns: dict[str, int] = {}
        # Plain numbers: on the hot path an enum's `|` costs more than all the rest.
        self._open_flags = int(flags)
        self._closed_flags = int(flags | BookFlag.NOT_TRADABLE)

    @property
    def markets(self) -> list[str]:
        """The markets that have a row."""
        return list(self._markets)

    def market(self, name: str) -> Market:
        """What is known of a market."""
        return self._markets[name]

    def __contains__(self, name: str) -> bool:
        """Whether a market has a row."""
        return name in self._markets

    @property
    def scales(self) -> Mapping[str, Scale]:
        """Scales known by now; it changes with what becomes known."""
        return self._scales

    def want(self, names: Iterable[str], now_ns: int) -> tuple[list[str], list[str], list[str]]:
        """Make the rows be those of `names`, new ones with an EMPTY book.

        Returns what was added, what was released, what had no room.
        """
        wanted = list(names)
        released = [name for name in self._markets if name not in wanted]
        for name in released:
            self._writer.release(name)
            del self._markets[name], self._rows[name]
            self._scales.pop(name, None)
            self._tiers.pop(name, None)
            self._updated_ns.pop(name, None)
        added, refused = [], []
        for name in wanted:
            if name in self._markets:
                continue
            market = Market(self._venue, name, DEFAULT_SCALES.get(self._venue))
            row = self._writer.claim(market_row(market, 0))
            if row is None:
                refused.append(name)
                continue
            self._keep(market)
            self._rows[name] = row
            book = Book(name, market.scale, shown=self._writer.depth)
            self.publish(book, now_ns, 0, tradable=False)
            added.append(name)
        return added, released, refused

    def describe(self, market: Market, updated_ns: int) -> None:
        """Publish metadata: what is set in `market` replaces what was known; fees follow the config.

        `updated_ns` is when the venue's REST said so, 0 for what came over the socket.
        """
        name = market.market
        known = self._markets.get(name)
        if known is None:
            return
        fresh = merge(known, market)
        if updated_ns:
            # What REST says of it is the whole truth, a no as well as a yes.
            fresh = dataclasses.replace(fresh, hides_outcome=market.hides_outcome)
        self._keep(fresh)
        if isinstance(market, TieredMarket):
            self._tiers[name] = market.tiers
        if updated_ns:
            self._updated_ns[name] = updated_ns
        self._describe(name)

    def _keep(self, market: Market) -> None:
        self._markets[market.market] = market
        if market.scale is not None:
            self._scales[market.market] = market.scale

    def set_fees(self, fees: FeeConfig | None) -> None:
        """Act on changed fee settings."""
        self._fees = fees
        for name in self._markets:
            self._describe(name)

    def _describe(self, name: str) -> None:
        """Publish what is known of a market."""
        market = self._markets[name]
        try:
            fee = schedule_from_config(self._venue, self._fees, market.fee, self._tiers.get(name))
        except ValueError:
            # A fee that cannot be is a fee that is not known: the market is watched, never traded.
            fee = UNKNOWN_FEE
        updated_ns = self._updated_ns.get(name, 0)
        self._writer.describe(market_row(dataclasses.replace(market, fee=fee), updated_ns))

    def publish(self, book: Book, now_ns: int, wall_ns: int, *, tradable: bool) -> None:
        """Publish a book as it is now; one without a row is passed over. The hot path.

        `now_ns` is CLOCK_MONOTONIC, as `book.socket_ns` is; `wall_ns` is the wall clock, for the history.
        The book must lay out as many levels as the segment shows (`Book.shown`, `BookWriter.depth`). It
        is tradable if `tradable` says so, if the venue does, and if no batch has left it unsettled.
        """
        row = self._rows.get(book.market)
        if row is None:
            return
        shown = book.shown
        bids, asks = len(book.bids.keys), len(book.asks.keys)
        self._writer.publish(
            row,
            book.page,
            bids if bids < shown else shown,  # noqa: FURB136 - `min` costs three times as much
            asks if asks < shown else shown,  # noqa: FURB136
            book.connection,
            book.state,
            book.fault,
            self._open_flags if tradable and book.tradable and not book.unsettled else self._closed_flags,
            book.venue_ns,
            book.socket_ns,
            now_ns,
            book.witness_ns,
            wall_ns,
        )


def merge(known: Market, fresh: Market) -> Market:
    """`known` with every field that `fresh` states; zeros, empty texts and unknowns state nothing."""
    changes: dict[str, object] = {}
    for field in dataclasses.fields(Market):
        value = getattr(fresh, field.name)
        if field.name == "fee":
            if value.kind != FeeKind.UNKNOWN:
                changes["fee"] = value
        elif field.name == "value_micros":
            # Here 0 is a value, and -1 states nothing.
            if value >= 0:
                changes[field.name] = value
        elif value:
            changes[field.name] = value
    return dataclasses.replace(known, **changes)  # type: ignore[arg-type]


def market_row(market: Market, updated_ns: int) -> MarketRow:
    """A market as a row of the directory; `updated_ns` is when REST last described it, 0 for never."""
    scale = market.scale
    return MARKET.empty()._replace(
        market=market.market,
        partner=market.partner,
        title=market.title,
        price_decimals=scale.price_decimals if scale else -1,
        size_decimals=scale.size_decimals if scale else -1,
        grid_ticks=market.grid_ticks,
        lot_units=market.lot_units,
        min_units=market.min_units,
        min_cost_micros=market.min_cost_micros,
        fee_kind=market.fee.kind,
        fee_rate_ppm=market.fee.rate_ppm,
        fee_maker_rate_ppm=market.fee.maker_rate_ppm,
        fee_exponent=market.fee.exponent,
        fee_precision_micros=market.fee.precision_micros,
        fee_per_unit_micros=market.fee.per_unit_micros,
        fee_waived_until_ns=market.fee.waived_until_ns,
        fee_source=market.fee.source,
        fee_as_of_ns=market.fee.as_of_ns,
        close_wall_ns=market.close_ns,
        status=market.status,
        result=market.result,
        updated_ns=updated_ns,
        hides_outcome=market.hides_outcome,
        value_micros=market.value_micros,
        rules_hash=hashlib.sha256(market.rules.encode()).hexdigest() if market.rules else "",
        rules=market.rules,
    )
