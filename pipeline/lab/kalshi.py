"""Kalshi's WebSocket as a pure state machine: commands in, replies and market data out.

In: command texts, what the model emits. Out: text frames, each ending in a newline as on the real
wire, and a Ping with body `heartbeat` every 10 s. Who runs it: `server.LabServer`.
Prices are 4-decimal dollar strings, counts 2-decimal strings; a book has bids only, on both legs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipeline.lab.book import Book, BookBatch, Change, Trade, fixed
from pipeline.lab.exchange import Frame, Item, Ping, compact, parse_object, text_list, utc
from pipeline.lab.listing import Listing, Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.quotes import ONE

PATH = "/trade-api/ws/v2"
PUBLIC_CHANNELS = frozenset({"orderbook_delta", "ticker", "trade", "market_lifecycle_v2"})
PRIVATE_CHANNELS = frozenset({"fill", "user_orders", "market_positions", "order_group_updates"})
ERRORS = {
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    9: "Authentication required",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market ticker required",
    15: "Action required",
}
"""Error codes of the protocol and the words this simulator uses for them."""
CLOCK_SKEW_MS = 30_000


@dataclass
class Subscription:
    """One sid: its channel, its markets in order, and the last sequence number sent."""

    channel: str
    sid: int
    tickers: list[str] = field(default_factory=list)
    use_yes_price: bool = False
    everything: bool = False
    seq: int = 0

    def wants(self, ticker: str) -> bool:
        """Whether messages about this market go to this subscription."""
        return self.everything or ticker in self.tickers


class KalshiSession:
    """One connection. Give it the model whose books it shows."""

    def __init__(self, model: MarketModel, ping_interval_ms: int = 10_000) -> None:
        """`ping_interval_ms` is the time between two `heartbeat` pings."""
        self._model = model
        self._ping_interval_ms = ping_interval_ms
        self._next_ping_ms = 0
        self._subs: dict[str, Subscription] = {}
        self._last_sid = 0

    def opened(self, now_ms: int) -> list[Frame]:
        """Nothing is sent on connect; the heartbeat clock starts."""
        self._next_ping_ms = now_ms + self._ping_interval_ms
        return []

    def ticked(self, now_ms: int) -> list[Frame]:
        """The heartbeat ping when it is due."""
        if now_ms < self._next_ping_ms:
            return []
        self._next_ping_ms = now_ms + self._ping_interval_ms
        return [Ping(b"heartbeat")]

    def received(self, text: str, _now_ms: int) -> list[Frame]:
        """Obey one command."""
        command = parse_object(text)
        if command is None:
            return [_error(None, 1)]
        ident = command.get("id")
        name = command.get("cmd")
        if name == "list_subscriptions":
            held = [{"channel": s.channel, "sid": s.sid} for s in self._subs.values()]
            return [_line({**_id(ident), "type": "ok", "msg": held})]
        handlers = {
            "subscribe": self._subscribe,
            "update_subscription": self._update,
            "unsubscribe": self._unsubscribe,
        }
        if name not in handlers:
            return [_error(ident, 5)]
        params = command.get("params")
        if not isinstance(params, dict):
            return [_error(ident, 2)]
        return handlers[name](ident, params)

    def emitted(self, item: Item, _now_ms: int) -> list[Frame]:
        """Market data for what just happened on Kalshi."""
        if isinstance(item, Notice):
            return self._lifecycle(item)
        if item.venue != "kalshi":
            return []
        if isinstance(item, Trade):
            return self._trade(item)
        return [*self._deltas(item), *self._ticker(item)]

    def _subscribe(self, ident: object, params: dict[str, Any]) -> list[Frame]:
        channels = text_list(params.get("channels"))
        if not channels:
            return [_error(ident, 3)]
        tickers = _tickers(params)
        frames: list[Frame] = []
        for channel in channels:
            if channel in PRIVATE_CHANNELS:
                frames.append(_error(ident, 9))
            elif channel not in PUBLIC_CHANNELS:
                frames.append(_error(ident, 8))
            elif channel == "orderbook_delta" and not tickers:
                frames.append(_error(ident, 14))
            else:
                frames += self._join(ident, channel, tickers, params)
        return frames

    def _join(self, ident: object, channel: str, tickers: list[str], params: dict[str, Any]) -> list[Frame]:
        """Open a subscription, or merge into the one the channel already has."""
        known = [t for t in tickers if self._model.by_ticker(t) is not None]
        refused = [_error(ident, 11, market_ticker=t) for t in tickers if t not in known]
        if tickers and not known:
            return list(refused)
        sub = self._subs.get(channel)
        if sub is not None:
            return [*self._add(ident, sub, known, acknowledge=True), *refused]
        self._last_sid += 1
        yes_terms = params.get("use_yes_price") is True
        sub = Subscription(channel, self._last_sid, [], yes_terms, everything=not tickers)
        self._subs[channel] = sub
        body = {"channel": channel, "sid": sub.sid}
        reply = _line({"type": "subscribed", **_id(ident), "msg": body})
        return [reply, *self._add(ident, sub, known, acknowledge=False), *refused]

    def _add(self, ident: object, sub: Subscription, tickers: list[str], acknowledge: bool) -> list[Frame]:
        fresh = [t for t in tickers if t not in sub.tickers]
        sub.tickers += fresh
        frames = [self._ok(ident, sub)] if acknowledge else []
        if sub.channel == "orderbook_delta":
            frames += [self._snapshot(sub, t) for t in fresh]
        return list(frames)

    def _update(self, ident: object, params: dict[str, Any]) -> list[Frame]:
        sids = params.get("sids", [params["sid"]] if "sid" in params else [])
        if not isinstance(sids, list) or len(sids) != 1:
            return [_error(ident, 12)]
        sub = self._by_sid(sids[0])
        if sub is None:
            return [_error(ident, 7)]
        action, tickers = params.get("action"), _tickers(params)
        if action is None:
            return [_error(ident, 15)]
        if action not in ("add_markets", "delete_markets", "get_snapshot"):
            return [_error(ident, 13)]
        if not tickers:
            return [_error(ident, 14)]
        if action == "get_snapshot":
            return self._snapshots(ident, sub, tickers)
        if action == "delete_markets":
            sub.tickers = [t for t in sub.tickers if t not in tickers]
            return [] if params.get("skip_ticker_ack") is True else [self._ok(ident, sub)]
        known = [t for t in tickers if self._model.by_ticker(t) is not None]
        refused = [_error(ident, 11, market_ticker=t) for t in tickers if t not in known]
        quiet = params.get("skip_ticker_ack") is True
        return [*self._add(ident, sub, known, acknowledge=not quiet), *refused]

    def _snapshots(self, ident: object, sub: Subscription, tickers: list[str]) -> list[Frame]:
        frames: list[Frame] = []
        for ticker in tickers:
            if sub.channel == "orderbook_delta" and ticker in sub.tickers:
                frames.append(self._snapshot(sub, ticker, ident))
            else:
                frames.append(_error(ident, 11, market_ticker=ticker))
        return frames

    def _unsubscribe(self, ident: object, params: dict[str, Any]) -> list[Frame]:
        sids = params.get("sids", [params["sid"]] if "sid" in params else None)
        if not isinstance(sids, list) or not sids:
            return [_error(ident, 4)]
        frames: list[Frame] = []
        for sid in sids:
            sub = self._by_sid(sid)
            if sub is None:
                frames.append(_error(ident, 7))
                continue
            del self._subs[sub.channel]
            sub.seq += 1
            body = {"sid": sub.sid, "seq": sub.seq, "type": "unsubscribed"}
            frames.append(_line({**_id(ident), **body}))
        return frames

    def _by_sid(self, sid: object) -> Subscription | None:
        return next((s for s in self._subs.values() if s.sid == sid), None)

    def _ok(self, ident: object, sub: Subscription) -> Frame:
        sub.seq += 1
        body = {"sid": sub.sid, "seq": sub.seq, "type": "ok"}
        return _line({**_id(ident), **body, "msg": {"market_tickers": sub.tickers}})

    def _snapshot(self, sub: Subscription, ticker: str, ident: object = None) -> Frame:
        event = self._model.by_ticker(ticker)
        assert event is not None, f"{ticker} was checked before"
        sub.seq += 1
        msg: dict[str, Any] = {"market_ticker": ticker, "market_id": event.market_uuid}
        yes, no = legs(event.kalshi.quotes.book, sub.use_yes_price)
        if yes:
            msg["yes_dollars_fp"] = yes
        if no:
            msg["no_dollars_fp"] = no
        head = {"type": "orderbook_snapshot", **_id(ident), "sid": sub.sid, "seq": sub.seq}
        return _line({**head, "msg": msg})

    def _deltas(self, batch: BookBatch) -> list[Frame]:
        sub = self._subs.get("orderbook_delta")
        event = self._model.by_ticker(batch.market)
        if sub is None or event is None or not sub.wants(batch.market):
            return []
        return [self._delta(sub, event, change, batch.time_us) for change in batch.changes]

    def _delta(self, sub: Subscription, event: Listing, change: Change, time_us: int) -> Frame:
        sub.seq += 1
        yes = change.side == "bid"
        price = change.price if yes or sub.use_yes_price else ONE - change.price
        msg = {
            "market_ticker": event.ticker,
            "market_id": event.market_uuid,
            "price_dollars": fixed(price, 4),
            "delta_fp": fixed(change.new - change.old, 2),
            "side": "yes" if yes else "no",
            "ts": utc(time_us),
            "ts_ms": time_us // 1_000,
        }
        return _line({"type": "orderbook_delta", "sid": sub.sid, "seq": sub.seq, "msg": msg})

    def _ticker(self, batch: BookBatch) -> list[Frame]:
        sub = self._subs.get("ticker")
        event = self._model.by_ticker(batch.market)
        if sub is None or event is None or not sub.wants(batch.market):
            return []
        book = event.kalshi.quotes.book
        tops = {(c.side, c.price) for c in batch.changes}
        if not tops & {("bid", book.best_bid()), ("ask", book.best_ask())}:
            return []
        msg = {
            "market_id": event.market_uuid,
            "market_ticker": event.ticker,
            **top_fields(event),
            "ts": batch.time_us // 1_000_000,
            "ts_ms": batch.time_us // 1_000,
            "time": utc(batch.time_us),
        }
        return [_line({"type": "ticker", "sid": sub.sid, "msg": msg})]

    def _trade(self, trade: Trade) -> list[Frame]:
        sub = self._subs.get("trade")
        event = self._model.by_ticker(trade.market)
        if sub is None or event is None or not sub.wants(trade.market):
            return []
        sub.seq += 1
        buys = trade.taker == "buy"
        msg = {
            "trade_id": f"{event.market_uuid[:24]}{trade.number:012x}",
            "market_ticker": event.ticker,
            "yes_price_dollars": fixed(trade.price, 4),
            "no_price_dollars": fixed(ONE - trade.price, 4),
            "count_fp": fixed(trade.size, 2),
            "taker_side": "yes" if buys else "no",
            "taker_outcome_side": "yes" if buys else "no",
            "taker_book_side": "bid" if buys else "ask",
            "is_block_trade": False,
            "ts": trade.time_us // 1_000_000,
            "ts_ms": trade.time_us // 1_000,
        }
        return [_line({"type": "trade", "sid": sub.sid, "seq": sub.seq, "msg": msg})]

    def _lifecycle(self, notice: Notice) -> list[Frame]:
        sub = self._subs.get("market_lifecycle_v2")
        if sub is None or not notice.event.ticker:
            return []
        frames: list[Frame] = []
        for body in lifecycle_bodies(notice):
            sub.seq += 1
            msg = {"market_ticker": notice.event.ticker, **body}
            head = {"type": "market_lifecycle_v2", "sid": sub.sid, "seq": sub.seq}
            frames.append(_line({**head, "msg": msg}))
        return frames


def legs(book: Book, use_yes_price: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Both legs' bids as the venue writes them, rising price, best last."""
    yes = [[fixed(p, 4), fixed(book.bids[p], 2)] for p in book.bid_prices]
    asks = [(p if use_yes_price else ONE - p, book.asks[p]) for p in book.ask_prices]
    return yes, [[fixed(p, 4), fixed(size, 2)] for p, size in sorted(asks)]


def top_fields(event: Listing) -> dict[str, Any]:
    """Best prices and volumes of a market, in the ticker channel's fields."""
    book = event.kalshi.quotes.book
    bid, ask = book.best_bid(), book.best_ask()
    volume = event.trades * 2_500
    return {
        "price_dollars": fixed(event.last_price, 4),
        "yes_bid_dollars": fixed(bid or 0, 4),
        "yes_ask_dollars": fixed(ONE if ask is None else ask, 4),
        "yes_bid_size_fp": fixed(0 if bid is None else book.bids[bid], 2),
        "yes_ask_size_fp": fixed(0 if ask is None else book.asks[ask], 2),
        "volume_fp": fixed(volume, 2),
        "open_interest_fp": fixed(volume // 2, 2),
        "dollar_volume": volume // 200,
        "dollar_open_interest": volume // 400,
    }


def lifecycle_bodies(notice: Notice) -> list[dict[str, Any]]:
    """The lifecycle messages (without ticker) that a notice causes; times in unix seconds."""
    event, now_s = notice.event, notice.time_us // 1_000_000
    if notice.kind == "opened":
        close_s = event.close_ms // 1_000
        return [
            {"event_type": "created", "open_ts": now_s, "close_ts": close_s},
            {"event_type": "activated", "is_deactivated": False},
        ]
    if notice.kind == "determined":
        value = "1.0000" if event.result == "yes" else "0.0000"
        return [
            {
                "event_type": "determined",
                "result": event.result,
                "settlement_value": value,
                "determination_ts": now_s,
            }
        ]
    if notice.kind == "settled":
        return [{"event_type": "settled", "settled_ts": now_s}]
    return []


def refusal(
    headers: Mapping[str, str], public_key: rsa.RSAPublicKey, now_ms: int, path: str = PATH
) -> str | None:
    """Why a handshake's signed headers are no good, None when they are. RSA-PSS with SHA-256 and a
    32-byte salt over timestamp, method and path.
    """
    stamp = headers.get("KALSHI-ACCESS-TIMESTAMP", "")
    if not headers.get("KALSHI-ACCESS-KEY"):
        return "missing key id"
    if not (stamp.isascii() and stamp.isdigit()) or abs(int(stamp) - now_ms) > CLOCK_SKEW_MS:
        return "timestamp missing or too far off"
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    try:
        signature = base64.b64decode(headers.get("KALSHI-ACCESS-SIGNATURE", ""), validate=True)
        public_key.verify(signature, f"{stamp}GET{path}".encode(), scheme, hashes.SHA256())
    except (binascii.Error, InvalidSignature):
        return "bad signature"
    return None


def load_public_key(pem: bytes) -> rsa.RSAPublicKey:
    """The RSA key in a PEM text. TypeError for another kind of key, ValueError for none."""
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("Kalshi's simulator takes RSA keys only")
    return key


def _tickers(params: dict[str, Any]) -> list[str]:
    one = params.get("market_ticker")
    return [one] if isinstance(one, str) else text_list(params.get("market_tickers"))


def _id(ident: object) -> dict[str, Any]:
    """The echoed command id; 0 and anything that is no integer mean none."""
    return {"id": ident} if isinstance(ident, int) and ident else {}


def _error(ident: object, code: int, **more: str) -> Frame:
    msg = {"code": code, "msg": ERRORS[code], **more}
    return _line({"type": "error", **_id(ident), "msg": msg})


def _line(value: object) -> str:
    return compact(value) + "\n"
