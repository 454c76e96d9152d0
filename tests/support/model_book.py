"""Books as plain dictionaries of Decimals, built from the venues' frames as JSON.

In: frames. Out: what each book holds. It shares no line with our codecs and books, so that the two can
be held against each other. It believes every frame: no sequence is watched and no checksum compared.
Used by the tests of permuted tapes and of fuzzed frames.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, NamedTuple

EXACT = Context(prec=100)
Level = tuple[Decimal, Decimal]
Ladders = tuple[tuple[Level, ...], tuple[Level, ...]]
INT64_MAX = 2**63 - 1

# Decimals of prices and sizes as DESIGN 4 has them; Kraken's are in its numbers' own text.
SCALES = {"kalshi": (6, 2), "polymarket": (6, 6), "coinbase": (8, 8), "kraken": (18, 18)}
BINARY = ("kalshi", "polymarket")


class Message(NamedTuple):
    """What one frame says of one book, numbers as they came. `kind`: snapshot, change, steps, void.

    `levels` are (True for a bid, price, size). `best` is the bid and ask that a Polymarket frame states.
    """

    kind: str
    market: str
    levels: list[tuple[bool, Any, Any]]
    checksum: Any = None
    depth: int = 0
    best: tuple[Any, Any] = (None, None)


def loads(text: str) -> Any:
    """JSON with exact numbers; ValueError for NaN and the infinities, which are no JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)


class Model:
    """All books of one venue."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
        self.depths: dict[str, int] = {}
        self._asked_depths: dict[str, int] = {}

    def take(self, text: str) -> list[str]:
        """Apply one frame; the markets that it speaks of."""
        messages = list(self.messages(text))
        for message in messages:
            self.apply(message)
        return [message.market for message in messages]

    def messages(self, text: str) -> Iterator[Message]:
        """What the frame says of each book. ValueError where it is no JSON."""
        parsed = loads(text) if text.strip() != "PONG" else []
        for part in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(part, dict):
                yield from getattr(self, f"_{self.venue}")(part)

    def apply(self, message: Message) -> None:
        """Apply what was said of one book; ValueError where a number is not one that can be."""
        kind, market = message.kind, message.market
        levels = [(bid, *self._numbers(price, size, kind)) for bid, price, size in message.levels]
        if kind == "void":
            self.books.pop(market, None)
            return
        if kind == "snapshot":
            self.books[market] = ({}, {})
            self.depths[market] = message.depth
        if market not in self.books:
            return
        for bid, price, size in levels:
            side = self.books[market][0 if bid else 1]
            side[price] = side.get(price, Decimal(0)) + size if kind == "steps" else size
            if side[price] < 0:
                del self.books[market]
                return
            if not side[price]:
                del side[price]
        self._cut(market)

    def _numbers(self, price: Any, size: Any, kind: str) -> Level:
        """Price and size, exactly; ValueError unless they can be and lie on the scale."""
        try:
            numbers = Decimal(price), Decimal(size)
        except (ArithmeticError, TypeError) as error:
            raise ValueError(f"{price!r:.40} and {size!r:.40} are no numbers") from error
        for number, decimals in zip(numbers, SCALES[self.venue], strict=True):
            if not number.is_finite() or abs(number) > INT64_MAX:
                raise ValueError(f"{number} is not finite")
            units = number.scaleb(decimals, EXACT)
            if units != units.to_integral_value() or (self.venue != "kraken" and abs(units) > INT64_MAX):
                raise ValueError(f"{number} is off the scale")
        if not 0 < numbers[0] < (1 if self.venue in BINARY else INT64_MAX):
            raise ValueError(f"{price} is no price")
        if numbers[1] < 0 and kind != "steps":
            raise ValueError(f"{size} is no size")
        return numbers

    def _cut(self, market: str) -> None:
        depth = self.depths.get(market, 0)
        if depth:
            bids, asks = self.ladders(market)
            self.books[market] = (dict(bids[:depth]), dict(asks[:depth]))

    def ladders(self, market: str) -> Ladders:
        """Both sides, best first."""
        bids, asks = self.books[market]
        return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))

    # The venues

    def _kalshi(self, frame: dict[str, Any]) -> Iterator[Message]:
        """Bids of YES as they are; a bid of NO is an offer of YES at one minus its price."""
        body = frame.get("msg")
        if not isinstance(body, dict) or not isinstance(body.get("market_ticker"), str):
            return
        market = body["market_ticker"]
        if frame.get("type") == "orderbook_snapshot":
            yes, no = body.get("yes_dollars_fp") or [], body.get("no_dollars_fp") or []
            levels = [(True, price, size) for price, size in yes]
            levels += [(False, _mirror(price), size) for price, size in no]
            yield Message("snapshot", market, levels)
        elif frame.get("type") == "orderbook_delta":
            bid = body.get("side") == "yes"
            price = body.get("price_dollars")
            yield Message("steps", market, [(bid, price if bid else _mirror(price), body.get("delta_fp"))])

    def _coinbase(self, frame: dict[str, Any]) -> Iterator[Message]:
        if frame.get("channel") != "l2_data":
            return
        for event in frame.get("events") or []:
            if isinstance(event, dict) and event.get("type") in ("snapshot", "update"):
                kind = "snapshot" if event["type"] == "snapshot" else "change"
                levels = [
                    (update["side"] == "bid", update["price_level"], update["new_quantity"])
                    for update in event.get("updates") or []
                    if isinstance(update, dict) and {"side", "price_level", "new_quantity"} <= update.keys()
                ]
                yield Message(kind, event.get("product_id", ""), levels)

    def _kraken(self, frame: dict[str, Any]) -> Iterator[Message]:
        result = frame.get("result")
        if isinstance(result, dict) and isinstance(result.get("symbol"), str) and result.get("depth"):
            self._asked_depths[result["symbol"]] = int(result["depth"])
        if frame.get("channel") != "book" or not isinstance(frame.get("data"), list):
            return
        for element in frame["data"]:
            if not isinstance(element, dict) or not isinstance(element.get("symbol"), str):
                continue
            market = element["symbol"]
            levels = [
                (name == "bids", level["price"], level["qty"])
                for name in ("bids", "asks")
                for level in element.get(name) or []
                if isinstance(level, dict) and {"price", "qty"} <= level.keys()
            ]
            kind = "snapshot" if frame.get("type") == "snapshot" else "change"
            longest = max(len(element.get("bids") or []), len(element.get("asks") or []))
            offered = next(depth for depth in (10, 25, 100, 500, 1000) if depth >= longest)
            depth = self._asked_depths.get(market) or offered
            yield Message(kind, market, levels, element.get("checksum"), depth)

    def _polymarket(self, frame: dict[str, Any]) -> Iterator[Message]:
        kind = frame.get("event_type") or None
        if kind == "tick_size_change":
            yield Message("void", frame.get("asset_id", ""), [])
        elif kind == "book" or (kind is None and "price_changes" not in frame):
            levels = [
                (name == "bids", level["price"], level["size"])
                for name in ("bids", "asks")
                for level in frame.get(name) or []
                if isinstance(level, dict) and {"price", "size"} <= level.keys()
            ]
            yield Message("snapshot", frame.get("asset_id", ""), levels)
        elif kind in ("price_change", None):
            found: dict[str, Message] = {}
            for entry in frame.get("price_changes") or []:
                if isinstance(entry, dict) and isinstance(entry.get("asset_id"), str):
                    level = (entry.get("side") == "BUY", entry.get("price"), entry.get("size"))
                    best = (_stated(entry.get("best_bid"), 0), _stated(entry.get("best_ask"), 1))
                    before = found.get(entry["asset_id"])
                    levels = [*before.levels, level] if before else [level]
                    found[entry["asset_id"]] = Message("change", entry["asset_id"], levels, best=best)
            yield from found.values()


def _mirror(price: Any) -> Any:
    try:
        return 1 - Decimal(price)
    except (ArithmeticError, TypeError, ValueError):
        return price


def _stated(text: Any, empty: int) -> Decimal | None:
    """A stated best price: None where none is stated, 0 for an empty side."""
    if text is None or text == "":
        return None
    try:
        price = Decimal(text)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return Decimal(0) if price == empty else price


def kraken_checksum(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> int:
    """Kraken's CRC32 by its guide: ten asks and then ten bids, digits without point and leading zeros.

    The numbers must still have the decimals that they were sent with.
    """
    digits = [
        format(number, "f").replace(".", "").lstrip("0")
        for level in (*asks[:10], *bids[:10])
        for number in level
    ]
    return zlib.crc32("".join(digits).encode())
