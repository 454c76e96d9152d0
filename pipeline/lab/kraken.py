"""Kraken's WebSocket v2 as a pure state machine: requests in, acks and market data out.

In: request texts, what the model emits. Out: text frames; numbers are plain JSON decimals with the
pair's full precision. Who runs it: `server.LabServer`. A book subscription is a view of the best
`depth` levels; every snapshot and update carries the CRC32 of the view it leaves the client with.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.lab.book import Book, BookBatch, Side, Trade, fixed
from pipeline.lab.exchange import Frame, Item, compact, parse_object, text_list, utc
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.spot import SpotBook

PATH = "/v2"
DEPTHS = (10, 25, 100, 500, 1000)
HEARTBEAT_AFTER_MS = 1_000
CRC_LEVELS = 10

Levels = list[tuple[int, int]]
"""Prices and sizes in units, best first."""


@dataclass
class View:
    """What one subscribed book looks like to the client: the best `depth` levels of each side."""

    depth: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)


class KrakenSession:
    """One connection. Give it the model whose books it shows."""

    def __init__(self, model: MarketModel, connection_id: int) -> None:
        """`connection_id` stands in the status frame."""
        self._model = model
        self._connection_id = connection_id
        self._views: dict[str, View] = {}
        self._trades: dict[str, None] = {}
        self._instrument = False
        self._last_sent_ms = 0

    def opened(self, now_ms: int) -> list[Frame]:
        """The status frame that greets every client."""
        data = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": self._connection_id,
        }
        frame = compact({"channel": "status", "type": "update", "data": [data]})
        return self._sent([frame], now_ms)

    def ticked(self, now_ms: int) -> list[Frame]:
        """A heartbeat after a second without other traffic, once anything is subscribed."""
        subscribed = self._views or self._trades or self._instrument
        if not subscribed or now_ms - self._last_sent_ms < HEARTBEAT_AFTER_MS:
            return []
        return self._sent(['{"channel":"heartbeat"}'], now_ms)

    def received(self, text: str, now_ms: int) -> list[Frame]:
        """Obey one request."""
        request = parse_object(text)
        if request is None:
            return self._sent([_malformed({}, now_ms)], now_ms)
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            pong = {"method": "pong", **_req(request), **_times(now_ms)}
            return self._sent([compact(pong)], now_ms)
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return self._sent([_malformed(request, now_ms)], now_ms)
        channel = params.get("channel")
        if channel == "instrument":
            frames = self._instruments(request, method, now_ms)
        elif channel in ("book", "trade"):
            frames = self._symbols(request, method, params, now_ms)
        else:
            frames = [_refused(request, method, "Event(s) not found", now_ms)]
        return self._sent(frames, now_ms)

    def emitted(self, item: Item, now_ms: int) -> list[Frame]:
        """Market data for what just happened on Kraken."""
        if isinstance(item, Notice) or item.venue != "kraken":
            return []
        if isinstance(item, Trade):
            return self._sent(self._trade(item), now_ms)
        return self._sent(self._update(item), now_ms)

    def _sent(self, frames: list[Frame], now_ms: int) -> list[Frame]:
        if frames:
            self._last_sent_ms = now_ms
        return frames

    def _symbols(
        self, request: dict[str, Any], method: str, params: dict[str, Any], now_ms: int
    ) -> list[Frame]:
        """One acknowledgement (or refusal) a symbol; a snapshot follows its acknowledgement."""
        symbols = text_list(params.get("symbol"))
        if not symbols:
            return [_malformed(request, now_ms)]
        frames: list[Frame] = []
        for symbol in symbols:
            frames += self._symbol(request, method, params, symbol, now_ms)
        return frames

    def _symbol(
        self, request: dict[str, Any], method: str, params: dict[str, Any], symbol: str, now_ms: int
    ) -> list[Frame]:
        spot, channel = self._model.spot("kraken", symbol), params["channel"]
        depth, snapshot = params.get("depth", 10), params.get("snapshot", True) is True
        held = self._views if channel == "book" else self._trades
        same = symbol in self._views and self._views[symbol].depth == depth
        problem = ""
        if spot is None:
            problem = f"Currency pair not supported {symbol}"
        elif channel == "book" and (isinstance(depth, bool) or depth not in DEPTHS):
            problem = "Subscription depth not supported"
        elif method == "subscribe" and symbol in held:
            problem = "Already subscribed"
        elif method == "unsubscribe" and not (same if channel == "book" else symbol in held):
            problem = "Subscription Not Found"
        if problem or spot is None:
            return [_refused(request, method, problem, now_ms, symbol)]
        result: dict[str, Any] = {"channel": channel}
        if channel == "book":
            result["depth"] = depth
        if method == "unsubscribe":
            del held[symbol]
            return [_ack(request, method, {**result, "symbol": symbol}, now_ms)]
        ack = _ack(request, method, {**result, "snapshot": snapshot, "symbol": symbol}, now_ms)
        if channel == "trade":
            self._trades[symbol] = None
            return [ack, *([self._trade_snapshot(spot)] if snapshot else [])]
        return [ack, *self._start_view(spot, depth, snapshot, now_ms)]

    def _start_view(self, spot: SpotBook, depth: int, snapshot: bool, now_ms: int) -> list[Frame]:
        symbol, book = spot.venue.market, spot.book
        bids, asks = book.top("bid", depth), book.top("ask", depth)
        self._views[symbol] = View(depth, dict(bids), dict(asks))
        if not snapshot:
            return []
        return [_book_frame("snapshot", symbol, book, bids, asks, depth, now_ms * 1_000)]

    def _update(self, batch: BookBatch) -> list[Frame]:
        view = self._views.get(batch.market)
        book = self._model.book("kraken", batch.market)
        if view is None or book is None:
            return []
        bids = _changes(view.bids, book, "bid", view.depth, batch)
        asks = _changes(view.asks, book, "ask", view.depth, batch)
        if not bids and not asks:
            return []
        return [_book_frame("update", batch.market, book, bids, asks, view.depth, batch.time_us)]

    def _trade(self, trade: Trade) -> list[Frame]:
        spot = self._model.spot("kraken", trade.market)
        if trade.market not in self._trades or spot is None:
            return []
        data = f"[{_trade_text(trade, spot)}]"
        return [f'{{"channel":"trade","type":"update","data":{data}}}']

    def _trade_snapshot(self, spot: SpotBook) -> Frame:
        recent = list(self._model.trades("kraken", spot.venue.market))[-50:]
        data = ",".join(_trade_text(trade, spot) for trade in recent)
        return f'{{"channel":"trade","type":"snapshot","data":[{data}]}}'

    def _instruments(self, request: dict[str, Any], method: str, now_ms: int) -> list[Frame]:
        if (method == "subscribe") == self._instrument:
            problem = "Already subscribed" if self._instrument else "Subscription Not Found"
            return [_refused(request, method, problem, now_ms)]
        self._instrument = method == "subscribe"
        ack = _ack(request, method, {"channel": "instrument", "snapshot": True}, now_ms)
        return [ack, instrument_snapshot(self._model)] if self._instrument else [ack]


def checksum(asks: Iterable[tuple[int, int]], bids: Iterable[tuple[int, int]]) -> int:
    """CRC32 of the best ten asks, then the best ten bids, best first, in integer units: a
    fixed-precision decimal without its dot and leading zeros is the integer's own text.
    """
    levels = [*list(asks)[:CRC_LEVELS], *list(bids)[:CRC_LEVELS]]
    return zlib.crc32("".join(f"{p or ''}{q or ''}" for p, q in levels).encode())


def instrument_snapshot(model: MarketModel) -> Frame:
    """The instrument channel's snapshot: assets and pairs with their precisions."""
    books = [book for (venue, _), book in model.spot_books() if venue == "kraken"]
    assets = [
        {
            "id": "USD",
            "status": "enabled",
            "precision": 4,
            "precision_display": 2,
            "borrowable": True,
            "collateral_value": 1.0,
            "margin_rate": 0.025,
        }
    ]
    pairs = []
    for book in books:
        base = book.venue.market.split("/")[0]
        assets.append(
            {
                "id": base,
                "status": "enabled",
                "precision": 10,
                "precision_display": 5,
                "borrowable": True,
                "collateral_value": 1.0,
                "margin_rate": 0.01,
            }
        )
        pairs.append(_pair_text(book, base))
    body = f'{{"assets":{compact(assets)},"pairs":[{",".join(pairs)}]}}'
    return f'{{"channel":"instrument","type":"snapshot","data":{body}}}'


def _pair_text(spot: SpotBook, base: str) -> str:
    precision = spot.venue.price_decimals
    return (
        f'{{"symbol":"{spot.venue.market}","base":"{base}","quote":"USD","status":"online",'
        f'"qty_precision":8,"qty_increment":0.00000001,"price_precision":{precision},'
        f'"cost_precision":5,"marginable":true,"has_index":true,"cost_min":0.5,'
        f'"margin_initial":0.2,"position_limit_long":300,"position_limit_short":240,'
        f'"tick_size":{fixed(1, precision)},"price_increment":{fixed(1, precision)},'
        f'"qty_min":{order_minimum(base)}}}'
    )


def order_minimum(base: str) -> str:
    """Smallest order of a base currency, in units of it."""
    return "0.00005" if base == "BTC" else "0.001"


def _changes(view: dict[int, int], book: Book, side: Side, depth: int, batch: BookBatch) -> Levels:
    """What a client must be told so that, cut to the depth afterwards, it has the new best levels.

    A level that was pushed out by better ones is not told: cutting removes it.
    """
    if not any(change.side == side for change in batch.changes):
        return []
    top = dict(book.top(side, depth))
    standing = book.sizes(side)
    gone = [(price, 0) for price in view if price not in standing]
    told = gone + [(price, size) for price, size in top.items() if view.get(price) != size]
    view.clear()
    view.update(top)
    return told


def _book_frame(
    kind: str, symbol: str, book: Book, bids: Levels, asks: Levels, depth: int, time_us: int
) -> Frame:
    levels = min(depth, CRC_LEVELS)
    crc = checksum(book.top("ask", levels), book.top("bid", levels))
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}",'
        f'"bids":[{_levels_text(bids, book)}],"asks":[{_levels_text(asks, book)}],'
        f'"checksum":{crc},"timestamp":"{utc(time_us)}"}}]}}'
    )


def _levels_text(levels: Levels, book: Book) -> str:
    price_decimals, size_decimals = book.price_decimals, book.size_decimals
    return ",".join(
        f'{{"price":{fixed(p, price_decimals)},"qty":{fixed(q, size_decimals)}}}' for p, q in levels
    )


def _trade_text(trade: Trade, spot: SpotBook) -> str:
    price, qty = fixed(trade.price, spot.venue.price_decimals), fixed(trade.size, 8)
    return (
        f'{{"symbol":"{trade.market}","side":"{trade.taker}","price":{price},"qty":{qty},'
        f'"ord_type":"limit","trade_id":{trade.number},"timestamp":"{utc(trade.time_us)}"}}'
    )


def _req(request: dict[str, Any]) -> dict[str, int]:
    ident = request.get("req_id")
    return {"req_id": ident} if isinstance(ident, int) and not isinstance(ident, bool) else {}


def _times(now_ms: int) -> dict[str, str]:
    return {"time_in": utc(now_ms * 1_000), "time_out": utc(now_ms * 1_000 + 45)}


def _ack(request: dict[str, Any], method: str, result: dict[str, Any], now_ms: int) -> Frame:
    head = {"method": method, **_req(request), "result": result}
    return compact({**head, "success": True, **_times(now_ms)})


def _refused(request: dict[str, Any], method: str, problem: str, now_ms: int, symbol: str = "") -> Frame:
    about = {"symbol": symbol} if symbol else {}
    body = {"error": problem, "method": method, **_req(request), "success": False, **about}
    return compact({**body, **_times(now_ms)})


def _malformed(request: dict[str, Any], now_ms: int) -> Frame:
    body = {"error": "Malformed request", "method": "error", **_req(request), "success": False}
    return compact({**body, **_times(now_ms)})
