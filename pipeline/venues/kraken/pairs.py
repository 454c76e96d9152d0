"""What is known of Kraken's pairs on one connection: their scales, and what the instrument channel said.

In: scales given, instruments, books. Out: readers of a pair's prices and sizes, and the news to pass on.
Pure. Used by the Kraken codec.

A pair's scale comes from the instrument channel; else from what the maker was given; else it is that of
the widest numbers of its snapshots, which only grows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from pipeline.model import Market, Scale
from pipeline.venues.codec import Event, Listed, Status
from pipeline.venues.kraken.frames import VENUE, Pair, WireBook, read_levels, read_market, widest_scale
from pipeline.venues.memo import Amounts
from pipeline.venues.parsing import MARKETS_MAX, text_of

# After so many snapshots in a row whose time does not fit, the times are not trusted to be in order.
MISFITS_MAX = 10
# The checksum covers so many levels a side (Kraken, guide to checksums v2).
PROVEN = 10


class Reading:
    """What reads one pair's prices and sizes, and the time of its last message, 0 if it had none."""

    __slots__ = ("_misfits", "_went_back", "ticks", "units", "venue_ns")

    def __init__(self, ticks: Amounts[bytes], units: Amounts[bytes]) -> None:
        self.ticks = ticks
        self.units = units
        self.venue_ns = 0
        self._misfits = 0
        self._went_back = False

    def went_back(self, venue_ns: int) -> None:
        """A change is older than the message before it: count on from its time."""
        self._went_back = True
        self.venue_ns = venue_ns

    def restart(self, venue_ns: int) -> bool:
        """A snapshot of this time has come; False if it is older than the message before it.

        A venue that stamps its snapshots by another clock than its changes must not be asked for ever.
        """
        self._misfits = self._misfits + 1 if self._went_back else 0
        self._went_back = 0 < venue_ns < self.venue_ns and self._misfits < MISFITS_MAX
        self.venue_ns = venue_ns if self._misfits < MISFITS_MAX else 0
        return not self._went_back


class Pairs:
    """The pairs of one connection. `readings` holds those in use."""

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        """`scales` are those known so far, by symbol."""
        self.readings: dict[str, Reading] = {}
        self._scales = dict(scales)
        self._guessed: set[str] = set()
        self._prices: dict[int, Amounts[bytes]] = {}
        self._sizes: dict[int, Amounts[bytes]] = {}
        # What the instrument channel said, of all pairs: one of them may be subscribed to later.
        self._said: dict[str, list[Event]] = {}
        self._announced: set[str] = set()
        # Times of changes that came before anything could be read.
        self._heard: dict[str, int] = {}

    def tell(self, pair: Pair) -> None:
        """Take what the instrument channel says of a pair. ValueError for numbers that cannot be."""
        market = read_market(pair)
        symbol, scale = market.market, market.scale
        assert scale is not None, "read_market always sets it"
        self._set(symbol, scale)
        self._guessed.discard(symbol)
        self._announced.discard(symbol)
        self._said[symbol] = [Listed(market)]
        if pair.status:
            self._said[symbol].append(Status(symbol, pair.status == "online", text_of(pair.status)))

    def guess(self, book: WireBook) -> list[Event]:
        """Widen a scale that nobody told to hold this book's numbers; the news of that."""
        symbol = book.symbol
        known = self._scales.get(symbol)
        if known is not None and symbol not in self._guessed:
            return []
        if known is None and not book.bids and not book.asks:
            return []
        wider = widest_scale(book, known)
        if wider == known:
            return []
        self._set(symbol, wider)
        self._guessed.add(symbol)
        return [Listed(Market(VENUE, symbol, wider))]

    def proven_by(self, book: WireBook) -> bool:
        """Whether a snapshot's checksum fits the scale that it would be read on, told or guessed.

        ValueError for a number that cannot be.
        """
        if not book.bids and not book.asks:
            return False
        scale = self._scales.get(book.symbol) or widest_scale(book, None)
        ticks = Amounts(scale.price_decimals, least=1, point=b".")
        units = Amounts(scale.size_decimals, least=0, point=b".")
        asks = sorted(read_levels(book.asks, ticks, units))
        bids = sorted(read_levels(book.bids, ticks, units), reverse=True)
        digits = "".join(f"{price}{size}" for price, size in [*asks[:PROVEN], *bids[:PROVEN]])
        return zlib.crc32(digits.encode()) == book.checksum

    def news(self, symbol: str) -> list[Event]:
        """What the instrument channel said of a pair, once."""
        if symbol in self._announced or symbol not in self._said:
            return []
        self._announced.add(symbol)
        return self._said[symbol]

    def heard(self, symbol: str, venue_ns: int) -> None:
        """A change that cannot be read yet was left out: an older snapshot is without it."""
        if len(self._heard) < MARKETS_MAX:
            self._heard[symbol] = venue_ns

    def open(self, symbol: str) -> Reading | None:
        """Take a pair into use; None while it has no scale."""
        reading = self.readings.get(symbol)
        scale = self._scales.get(symbol)
        if reading is not None or scale is None:
            return reading
        price_decimals, size_decimals = scale.price_decimals, scale.size_decimals
        ticks = self._prices.setdefault(price_decimals, Amounts(price_decimals, least=1, point=b"."))
        units = self._sizes.setdefault(size_decimals, Amounts(size_decimals, least=0, point=b"."))
        self.readings[symbol] = reading = Reading(ticks, units)
        reading.venue_ns = self._heard.pop(symbol, 0)
        return reading

    def close(self, symbol: str) -> None:
        """The pair is out of use; its news will be told again."""
        self.readings.pop(symbol, None)
        self._heard.pop(symbol, None)
        self._announced.discard(symbol)

    def _set(self, symbol: str, scale: Scale) -> None:
        known = self._scales.get(symbol)
        if known is None and len(self._scales) >= MARKETS_MAX:
            raise ValueError("more pairs than Kraken has")
        if known != scale:
            self._scales[symbol] = scale
            self.readings.pop(symbol, None)
