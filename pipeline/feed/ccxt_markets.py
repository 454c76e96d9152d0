"""CCXT markets: each symbol's scale, stated by the exchange or guessed, and how patient to be with it.

In: ccxt's books and listings, time. Out: snapshots or refusals; rows of the directory, through the
publisher; when an exchange object is to be made anew for a symbol's sake. Pure. Used by ccxt_feed.

A stated scale is kept: what does not fit it is refused. A guessed one, the widest text seen so far, grows
with the next wider number; then the market gets a new row, so that nobody reads old levels on a new scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.feed.ccxt_books import Refusal, market_of, snapshot_of, widest
from pipeline.feed.publisher import BELIEVED_NS, Publisher
from pipeline.model import Market, MarketStatus
from pipeline.venues.codec import Snapshot

# A book that is refused or crossed for so long is asked for anew, with everything else of the exchange.
TROUBLE_NS = 10_000_000_000


class CcxtMarkets:
    """The symbols of one exchange. `forget_book` drops what is known of a symbol's book."""

    def __init__(self, venue: str, publisher: Publisher, forget_book: Callable[[str], None]) -> None:
        self._venue = venue
        self._publisher = publisher
        self._forget_book = forget_book
        self._guessed: set[str] = set()
        self._listed_ns: dict[str, int] = {}

    def read(self, symbol: str, book: Mapping[str, Any], depth: int, now_ns: int) -> Snapshot | Refusal:
        """The best `depth` levels a side of a book as ccxt hands it out, or why it cannot be used."""
        found: Snapshot | Refusal = Refusal("it shows no scale")
        scale = self._publisher.market(symbol).scale
        if scale is not None:
            found = snapshot_of(symbol, book, scale, depth)
            if isinstance(found, Snapshot) or not found.off_scale or symbol not in self._guessed:
                return found
        wider = widest(book, depth, scale)
        if wider is None or wider == scale:
            return found
        # Judged before it is believed: a book that is refused anyway changes nothing.
        found = snapshot_of(symbol, book, wider, depth)
        if isinstance(found, Snapshot):
            self._guessed.add(symbol)
            self._describe(Market(self._venue, symbol, wider), now_ns)
        return found

    def describe(self, symbol: str, listed: Mapping[str, Any], mode: int, listed_ns: int) -> None:
        """Take what the exchange listed about a symbol at `listed_ns`.

        `mode` says how its precisions are to be read (`ccxt_books.scale_of`).
        """
        market = market_of(self._venue, symbol, listed, mode)
        if market.scale is not None:
            self._guessed.discard(symbol)
        self._listed_ns[symbol] = listed_ns
        self._describe(market, listed_ns)

    def open(self, symbol: str, now_ns: int) -> bool:
        """Whether the exchange lists the market as open, and said so not too long ago to trade on."""
        listed_ns = self._listed_ns.get(symbol)
        is_open = self._publisher.market(symbol).status == MarketStatus.OPEN
        return is_open and listed_ns is not None and now_ns - listed_ns <= BELIEVED_NS

    def _describe(self, market: Market, now_ns: int) -> None:
        """Publish metadata; a market whose scale changes gets a new row, and its book begins anew."""
        symbol, publisher = market.market, self._publisher
        known = publisher.market(symbol)
        listed_ns = self._listed_ns.get(symbol, 0)
        if market.scale is not None and known.scale not in {None, market.scale}:
            self._forget_book(symbol)
            publisher.want([name for name in publisher.markets if name != symbol], now_ns)
            publisher.want([*publisher.markets, symbol], now_ns)
            # What was listed beside the scale; grid, lot and minimum were counted on the old one.
            publisher.describe(Market(self._venue, symbol, close_ns=known.close_ns, status=known.status), 0)
        publisher.describe(market, listed_ns)

    def forget(self, symbol: str) -> None:
        """The symbol is not wanted any more."""
        self._guessed.discard(symbol)
        self._listed_ns.pop(symbol, None)


class Trouble:
    """When a symbol's trouble is worth a new exchange object, which costs all its symbols their books.

    Once is enough: a symbol for whose sake that was done is waited for until it has had a good book again,
    unless nothing else is heard either.
    """

    def __init__(self) -> None:
        self._bad_since_ns: dict[str, int] = {}
        self._hopeless: set[str] = set()
        self._heard_ns = 0

    def opened(self, now_ns: int) -> None:
        """There is a new exchange object."""
        self._bad_since_ns.clear()
        self._heard_ns = now_ns

    def heard(self, symbol: str, now_ns: int, *, good: bool) -> bool:
        """A book came, `good` or refused or crossed; whether it has been bad for too long now."""
        self._heard_ns = now_ns
        if good:
            self._bad_since_ns.pop(symbol, None)
            self._hopeless.discard(symbol)
            return False
        since_ns = self._bad_since_ns.setdefault(symbol, now_ns)
        if now_ns - since_ns < TROUBLE_NS or symbol in self._hopeless:
            return False
        self._hopeless.add(symbol)
        return True

    def silent(self, symbol: str, now_ns: int, deadline_ns: int) -> bool:
        """No book came within the deadline; whether that is worth a new exchange object."""
        others_live = now_ns - self._heard_ns < deadline_ns
        if symbol in self._hopeless and others_live:
            return False
        self._hopeless.add(symbol)
        return True

    def forget(self, symbol: str) -> None:
        """The symbol is not wanted any more."""
        self._bad_since_ns.pop(symbol, None)
        self._hopeless.discard(symbol)
