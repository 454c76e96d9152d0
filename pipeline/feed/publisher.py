"""Publisher: a feed's markets, their metadata and their rows in shared memory.

In: the markets wanted, metadata from REST and from the socket, books. Out: directory rows and book rows.
Used by the feed's worker; it touches memory only through the `BookWriter` it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pipeline.config import FeeConfig
from pipeline.fees import schedule_from_config
from pipeline.model import (
    DEFAULT_SCALES,
    UNKNOWN_FEE,
    BookFlag,
    BookState,
    FeeKind,
    Level,
    Market,
    MarketStatus,
    Scale,
)
from shm.books import BookWriter
from shm.records import MARKET, MarketRow

CONNECTION = 0


class Publisher:
    """The markets of one feed. A market is tradable once its metadata is known and says OPEN."""

    def __init__(self, venue: str, writer: BookWriter, flags: BookFlag, fees: FeeConfig | None) -> None:
        self._venue = venue
        self._writer = writer
        self._flags = flags
        self._fees = fees
        self._markets: dict[str, Market] = {}
        self._socket_ns: dict[str, int] = {}

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

    def scales(self) -> dict[str, Scale]:
        """Scales known so far, for a new codec."""
        return {name: market.scale for name, market in self._markets.items() if market.scale}

    def want(self, names: Iterable[str], now_ns: int) -> tuple[list[str], list[str], list[str]]:
        """Make the rows be those of `names`. Returns what was added, what was released, what had no room."""
        wanted = list(names)
        released = [name for name in self._markets if name not in wanted]
        for name in released:
            self._writer.release(name)
            del self._markets[name]
            self._socket_ns.pop(name, None)
        added, refused = [], []
        for name in wanted:
            if name in self._markets:
                continue
            market = Market(self._venue, name, DEFAULT_SCALES.get(self._venue))
            if self._writer.claim(market_row(market, now_ns)) is None:
                refused.append(name)
                continue
            self._markets[name] = market
            self.publish(name, BookState.EMPTY, 0, [], [], 0, now_ns, tradable=False)
            added.append(name)
        return added, released, refused

    def describe(self, market: Market, now_ns: int) -> None:
        """Publish metadata: what is set in `market` replaces what was known; fees follow the config."""
        known = self._markets.get(market.market)
        if known is None:
            return
        fresh = merge(known, market)
        try:
            fee = schedule_from_config(self._venue, self._fees, fresh.fee)
        except ValueError:
            # A fee that cannot be is a fee that is not known: the market is watched, never traded.
            fee = UNKNOWN_FEE
        self._markets[market.market] = fresh
        self._writer.describe(market_row(dataclasses.replace(fresh, fee=fee), now_ns))

    def set_fees(self, fees: FeeConfig | None, now_ns: int) -> None:
        """Act on changed fee settings."""
        self._fees = fees
        for market in list(self._markets.values()):
            self.describe(market, now_ns)

    def publish(  # the hot path: positional
        self,
        name: str,
        state: BookState,
        venue_ns: int,
        bids: list[Level],
        asks: list[Level],
        socket_ns: int,
        now_ns: int,
        *,
        tradable: bool,
    ) -> None:
        """Publish one book. `socket_ns` 0 means that no message came: the age goes on from the last one."""
        if socket_ns:
            self._socket_ns[name] = socket_ns
        flags = self._flags if tradable else self._flags | BookFlag.NOT_TRADABLE
        self._writer.publish(
            name,
            CONNECTION,
            state,
            0,
            flags,
            venue_ns,
            socket_ns or self._socket_ns.get(name, 0),
            now_ns,
            bids,
            asks,
        )

    def closing(self, wall_ns: int) -> list[str]:
        """Markets past their close whose result is not known yet."""
        return [
            name
            for name, market in self._markets.items()
            if market.close_ns and wall_ns >= market.close_ns and market.status != MarketStatus.SETTLED
        ]


def merge(known: Market, fresh: Market) -> Market:
    """`known` with every field that `fresh` states; zeros, empty texts and unknowns state nothing."""
    changes: dict[str, object] = {}
    for field in dataclasses.fields(Market):
        value = getattr(fresh, field.name)
        if field.name == "fee":
            if value.kind != FeeKind.UNKNOWN:
                changes["fee"] = value
        elif value:
            changes[field.name] = value
    return dataclasses.replace(known, **changes)  # type: ignore[arg-type]


def market_row(market: Market, now_ns: int) -> MarketRow:
    """A market as a row of the directory."""
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
        close_wall_ns=market.close_ns,
        status=market.status,
        result=market.result,
        updated_ns=now_ns,
    )
