"""Shapes of Kraken's WebSocket v2 frames, and the readers of their numbers.

In: JSON text. Out: typed frames, integers, or ValueError. Pure. Used by the Kraken codec.

Numbers stay raw text until they meet the pair's scale: the checksum is over exact digits, which
float would lose. Source of the shapes: Kraken's v2 documentation, channels book and instrument.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from pipeline.model import Level, Market, MarketStatus, Scale, to_units
from pipeline.venues.memo import NUMBER_MAX, Amounts, Moment
from pipeline.venues.parsing import MarketName

VENUE = "kraken"
DECIMALS_MAX = 18
STATUSES = {
    "online": MarketStatus.OPEN,
    "delisted": MarketStatus.CLOSED,
    "cancel_only": MarketStatus.PAUSED,
    "limit_only": MarketStatus.PAUSED,
    "maintenance": MarketStatus.PAUSED,
    "post_only": MarketStatus.PAUSED,
    "reduce_only": MarketStatus.PAUSED,
    "work_in_progress": MarketStatus.PAUSED,
}

_NOTHING = msgspec.Raw(b"null")


class WireLevel(msgspec.Struct, gc=False):
    """One level: two JSON numbers as they stood in the text."""

    price: msgspec.Raw
    qty: msgspec.Raw


class WireBook(msgspec.Struct, gc=False):
    """One element of a book frame's `data`. Without a checksum it proves nothing, so it must have one."""

    symbol: MarketName
    bids: list[WireLevel]
    asks: list[WireLevel]
    checksum: int
    timestamp: Moment | None = None


class _UntimedBook(msgspec.Struct, gc=False):
    symbol: MarketName
    bids: list[WireLevel]
    asks: list[WireLevel]
    checksum: int


class BookFrame(msgspec.Struct, gc=False):
    """A sound book frame; a heartbeat fits into it too, and then `channel` says so."""

    channel: str = ""
    type: str = ""
    data: list[WireBook] = []


class Envelope(msgspec.Struct, gc=False):
    """Any frame: a channel's or a method's answer. `Error` is how the rate limit is reported."""

    channel: str = ""
    type: str = ""
    data: msgspec.Raw = _NOTHING
    method: str = ""
    success: bool | None = None
    error: str | None = None
    symbol: str | None = None
    result: msgspec.Raw = _NOTHING
    req_id: object = None
    rate_error: str | None = msgspec.field(default=None, name="Error")


class Result(msgspec.Struct, gc=False):
    """What a subscription's answer says about it; one answer a symbol."""

    channel: str = ""
    symbol: str = ""
    depth: int = 0
    warnings: list[str] | None = None


class System(msgspec.Struct, gc=False):
    """The engine's state: online, maintenance, cancel_only, post_only or limit_only."""

    system: str


class Named(msgspec.Struct, gc=False):
    """The name in an element whose other fields cannot be read."""

    symbol: MarketName


class Instruments(msgspec.Struct, gc=False):
    """The instrument channel's data. Pairs stay raw, so that an odd one does not spoil the rest."""

    pairs: list[msgspec.Raw] = []


class Pair(msgspec.Struct, gc=False):
    """One pair of the instrument channel."""

    symbol: MarketName
    price_precision: int
    qty_precision: int
    status: str = ""
    price_increment: msgspec.Raw = _NOTHING
    qty_increment: msgspec.Raw = _NOTHING
    qty_min: msgspec.Raw = _NOTHING
    cost_min: msgspec.Raw = _NOTHING


decode_book_frame = msgspec.json.Decoder(BookFrame).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_timed = msgspec.json.Decoder(WireBook).decode
_decode_untimed = msgspec.json.Decoder(_UntimedBook).decode
decode_named = msgspec.json.Decoder(Named).decode
decode_result = msgspec.json.Decoder(Result | None).decode
decode_systems = msgspec.json.Decoder(list[System]).decode
decode_instruments = msgspec.json.Decoder(Instruments).decode
decode_pair = msgspec.json.Decoder(Pair).decode


def decode_book(element: msgspec.Raw) -> WireBook:
    """One element of a book frame. A time that cannot be read harms nobody: it is left out."""
    try:
        return _decode_timed(element)
    except ValueError:
        book = _decode_untimed(element)
        return WireBook(book.symbol, book.bids, book.asks, book.checksum)


def read_levels(side: list[WireLevel], ticks: Amounts[bytes], units: Amounts[bytes]) -> list[Level]:
    """Levels of one side in the order sent. ValueError for a price or size that cannot be."""
    return [(ticks[bytes(level.price)], units[bytes(level.qty)]) for level in side]


def widest_scale(book: WireBook, known: Scale | None) -> Scale:
    """The smallest scale that holds every number of `book` as written, and is no less than `known`.

    ValueError when a number is none, or needs more than 18 decimals.
    """
    levels = book.bids + book.asks
    prices = [_decimals(level.price) for level in levels]
    sizes = [_decimals(level.qty) for level in levels]
    if known is not None:
        prices.append(known.price_decimals)
        sizes.append(known.size_decimals)
    return Scale(max(prices), max(sizes))


def _decimals(raw: msgspec.Raw) -> int:
    """How many decimals a number is written with: 2 for 0.10, 6 for 5e-06. ValueError if none."""
    text = str(raw, "ascii")
    if len(text) > NUMBER_MAX or text[:1] not in "-0123456789":
        raise ValueError(f"{text[:NUMBER_MAX]!r} is not a number")
    # The decoder has checked the syntax, so this can only fail for an absurd exponent.
    try:
        exponent = Decimal(text).as_tuple().exponent
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is out of range") from error
    if not isinstance(exponent, int) or exponent < -DECIMALS_MAX:
        raise ValueError(f"{text!r} has more than {DECIMALS_MAX} decimals")
    return max(0, -exponent)


def read_market(pair: Pair) -> Market:
    """What the instrument channel says about a pair. ValueError for numbers off their own scale."""
    if not (0 <= pair.price_precision <= DECIMALS_MAX and 0 <= pair.qty_precision <= DECIMALS_MAX):
        raise ValueError(f"{pair.symbol} has impossible precisions")
    scale = Scale(pair.price_precision, pair.qty_precision)
    # The least cost is in the quote currency; a fraction of a millionth counts as a whole one.
    cost = _optional(pair.cost_min, 12)
    return Market(
        VENUE,
        pair.symbol,
        scale,
        grid_ticks=_optional(pair.price_increment, scale.price_decimals),
        lot_units=_optional(pair.qty_increment, scale.size_decimals),
        min_units=_optional(pair.qty_min, scale.size_decimals),
        min_cost_micros=-(-cost // 10**6),
        status=STATUSES.get(pair.status, MarketStatus.UNKNOWN),
    )


def _optional(raw: msgspec.Raw, decimals: int) -> int:
    """A number that may be missing or null (then 0), and is never negative."""
    text = str(raw, "ascii")
    if text == "null":
        return 0
    value = to_units(text, decimals)
    if value < 0:
        raise ValueError(f"{text} is negative")
    return value
