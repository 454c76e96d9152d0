"""Polymarket's market channel as a pure state machine: token subscriptions in, market data out.

In: subscription texts and `PING`, what the model emits. Out: text frames, no acknowledgement and no
error ever. Who runs it: `server.LabServer`. One engine book serves two tokens: a change of YES at p
is sent together with its mirror, a change of NO at 1 - p. There is no sequence number.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from pipeline.lab.book import BookBatch, Change, Trade, plain
from pipeline.lab.exchange import Frame, Item, compact, parse_object, text_list
from pipeline.lab.listing import Listing, Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.quotes import ONE
from pipeline.venues.polymarket.hashing import HashedBook, book_hash

PATH = "/ws/market"
MOST_ASSETS = 500
"""Above this many assets on a connection the venue sends changes but no first book."""
CHANGES_A_FRAME = 8
"""A longer engine batch comes as several frames of one timestamp, hash and best prices."""
MIN_ORDER_SIZE = "5"


class PolymarketSession:
    """One connection. Give it the model whose books it shows."""

    def __init__(self, model: MarketModel) -> None:
        """Nothing is subscribed, and nothing is sent until something is."""
        self._model = model
        self._assets: dict[str, None] = {}
        self._featured = False
        self._books_sent = 0
        self._best: dict[str, tuple[int | None, int | None]] = {}

    def opened(self, _now_ms: int) -> list[Frame]:
        """The venue is silent on connect."""
        return []

    def ticked(self, _now_ms: int) -> list[Frame]:
        """Nothing here happens by time alone."""
        return []

    def received(self, text: str, now_ms: int) -> list[Frame]:
        """Obey a subscription or answer a PING; anything else is ignored without a word."""
        if text == "PING":
            return ["PONG"]
        message = parse_object(text)
        if message is None:
            return []
        assets = text_list(message.get("assets_ids"))
        if str(message.get("type", "")).lower() == "market":
            return self._subscribe(assets, message, now_ms, first=True)
        if message.get("operation") == "subscribe":
            return self._subscribe(assets, message, now_ms, first=False)
        if message.get("operation") == "unsubscribe":
            for asset in assets:
                self._assets.pop(asset, None)
        return []

    def emitted(self, item: Item, _now_ms: int) -> list[Frame]:
        """Market data for what just happened on Polymarket."""
        if isinstance(item, Notice):
            return self._notice(item)
        if item.venue != "polymarket":
            return []
        event = self._model.by_token(item.market)
        if event is None or not self._wants(event):
            return []
        if isinstance(item, Trade):
            return self._trade(event, item)
        return [*self._changes(event, item), *self._books_after_trade(event, item)]

    def _wants(self, event: Listing) -> bool:
        return event.yes_token in self._assets or event.no_token in self._assets

    def _subscribe(self, assets: list[str], message: dict[str, Any], now_ms: int, first: bool) -> list[Frame]:
        if "custom_feature_enabled" in message:
            self._featured = message["custom_feature_enabled"] is True
        fresh = [a for a in assets if a not in self._assets]
        self._assets.update(dict.fromkeys(fresh))
        if len(self._assets) > MOST_ASSETS:
            return []
        books = [self._book(asset, now_ms) for asset in fresh if self._model.by_token(asset)]
        if not books:
            return []
        return [compact(books)] if first else [_spaced(book) for book in books]

    def _book(self, asset: str, now_ms: int) -> dict[str, Any]:
        """A book message; every third one writes its prices without the leading zero."""
        event = self._model.by_token(asset)
        assert event is not None, f"{asset} was checked before"
        self._books_sent += 1
        body = book_body(event, asset, now_ms)
        if self._books_sent % 3 == 0:
            for level in (*body["bids"], *body["asks"]):
                level["price"] = level["price"].removeprefix("0")
        return {**body, "event_type": "book"}

    def _changes(self, event: Listing, batch: BookBatch) -> list[Frame]:
        quotes = event.polymarket.quotes
        best = (quotes.book.best_bid(), quotes.book.best_ask())
        digest = hashlib.sha1(repr(batch).encode(), usedforsecurity=False).hexdigest()
        frames: list[Frame] = []
        for start in range(0, len(batch.changes), CHANGES_A_FRAME):
            entries = []
            for change in batch.changes[start : start + CHANGES_A_FRAME]:
                entries += _mirrored(event, change, best, digest)
            frames.append(
                _spaced(
                    {
                        "market": event.condition,
                        "price_changes": entries,
                        "timestamp": str(batch.time_us // 1_000),
                        "event_type": "price_change",
                    }
                )
            )
        if self._featured and self._best.get(event.id) != best:
            self._best[event.id] = best
            frames += [_best_bid_ask(event, a, batch.time_us) for a in self._held(event)]
        return frames

    def _held(self, event: Listing) -> list[str]:
        return [t for t in (event.yes_token, event.no_token) if t in self._assets]

    def _books_after_trade(self, event: Listing, batch: BookBatch) -> list[Frame]:
        """The venue repeats the whole book after each trade; a trade's batch has its time."""
        trades = self._model.trades("polymarket", event.yes_token)
        if not trades or trades[-1].time_us != batch.time_us:
            return []
        return [_spaced(self._book(a, batch.time_us // 1_000)) for a in self._held(event)]

    def _trade(self, event: Listing, trade: Trade) -> list[Frame]:
        if event.yes_token not in self._assets:
            return []
        return [
            _spaced(
                {
                    "market": event.condition,
                    "asset_id": event.yes_token,
                    "price": plain(trade.price, 4),
                    "size": plain(trade.size, 2),
                    "fee_rate_bps": "0",
                    "side": trade.taker.upper(),
                    "timestamp": str(trade.time_us // 1_000),
                    "event_type": "last_trade_price",
                    "transaction_hash": "0x" + hashlib.sha256(repr(trade).encode()).hexdigest(),
                }
            )
        ]

    def _notice(self, notice: Notice) -> list[Frame]:
        event, stamp = notice.event, str(notice.time_us // 1_000)
        if not event.condition:
            return []
        if notice.kind == "tick_size":
            frames: list[Frame] = [
                _spaced(
                    {
                        "market": event.condition,
                        "asset_id": asset,
                        "old_tick_size": plain(notice.old, 4),
                        "new_tick_size": plain(notice.new, 4),
                        "timestamp": stamp,
                        "event_type": "tick_size_change",
                    }
                )
                for asset in self._held(event)
            ]
            now_ms = notice.time_us // 1_000
            return frames + [_spaced(self._book(asset, now_ms)) for asset in self._held(event)]
        if notice.kind == "opened" and self._featured:
            return [_spaced(_new_market(event, stamp))]
        if notice.kind == "settled" and self._featured:
            return [_spaced(_resolved(event, stamp))]
        return []


def book_body(event: Listing, asset: str, now_ms: int) -> dict[str, Any]:
    """A token's whole book with the venue's own hash: bids rising, asks falling, best last."""
    book = event.polymarket.quotes.book
    own = asset == event.yes_token
    bids = book.top("bid", 0) if own else [(ONE - p, s) for p, s in book.top("ask", 0)]
    asks = book.top("ask", 0) if own else [(ONE - p, s) for p, s in book.top("bid", 0)]
    body = {
        "market": event.condition,
        "asset_id": asset,
        "timestamp": str(now_ms),
        "hash": "",
        "bids": [_level(p, s) for p, s in reversed(bids)],
        "asks": [_level(p, s) for p, s in reversed(asks)],
        "min_order_size": MIN_ORDER_SIZE,
        "tick_size": plain(event.polymarket_grid, 4),
        "neg_risk": event.neg_risk,
        "last_trade_price": last_price(event, asset),
    }
    body["hash"] = book_hash(msgspec.convert(body, HashedBook))
    return body


def last_price(event: Listing, asset: str) -> str:
    """Price text of the last trade, in this token's terms."""
    own_yes = ONE - event.last_price if event.inverse else event.last_price
    return plain(own_yes if asset == event.yes_token else ONE - own_yes, 4)


def _level(price: int, size: int) -> dict[str, str]:
    return {"price": plain(price, 4), "size": plain(size, 2)}


def _mirrored(
    event: Listing, change: Change, best: tuple[int | None, int | None], digest: str
) -> list[dict[str, str]]:
    """One change as the two tokens' books see it; an empty side's best is "0" or "1"."""
    bid, ask = best[0] or 0, ONE if best[1] is None else best[1]
    buys = change.side == "bid"
    size = plain(change.new, 2)
    return [
        {
            "asset_id": event.yes_token,
            "price": plain(change.price, 4),
            "size": size,
            "side": "BUY" if buys else "SELL",
            "hash": digest,
            "best_bid": plain(bid, 4),
            "best_ask": plain(ask, 4),
        },
        {
            "asset_id": event.no_token,
            "price": plain(ONE - change.price, 4),
            "size": size,
            "side": "SELL" if buys else "BUY",
            "hash": digest[::-1],
            "best_bid": plain(ONE - ask, 4),
            "best_ask": plain(ONE - bid, 4),
        },
    ]


def _best_bid_ask(event: Listing, asset: str, time_us: int) -> Frame:
    book = event.polymarket.quotes.book
    top_bid, top_ask = book.best_bid(), book.best_ask()
    bid, ask = top_bid or 0, ONE if top_ask is None else top_ask
    if asset == event.no_token:
        bid, ask = ONE - ask, ONE - bid
    return _spaced(
        {
            "market": event.condition,
            "asset_id": asset,
            "best_bid": plain(bid, 4),
            "best_ask": plain(ask, 4),
            "spread": plain(ask - bid, 4),
            "timestamp": str(time_us // 1_000),
            "event_type": "best_bid_ask",
        }
    )


def _new_market(event: Listing, stamp: str) -> dict[str, Any]:
    tokens = [event.yes_token, event.no_token]
    return {
        "id": str(event.number),
        "question": event.question,
        "market": event.condition,
        "slug": event.id,
        "description": event.rules,
        "assets_ids": tokens,
        "outcomes": ["Yes", "No"],
        "condition_id": event.condition,
        "active": True,
        "clob_token_ids": tokens,
        "order_price_min_tick_size": plain(event.polymarket_grid, 4),
        "fees_enabled": True,
        "fee_schedule": {"rate": event.fee_rate, "exponent": 1, "takerOnly": True},
        "tags": ["sim"],
        "timestamp": stamp,
        "event_type": "new_market",
    }


def _resolved(event: Listing, stamp: str) -> dict[str, Any]:
    won = event.polymarket_result == "yes"
    return {
        "id": str(event.number),
        "market": event.condition,
        "assets_ids": [event.yes_token, event.no_token],
        "winning_asset_id": event.yes_token if won else event.no_token,
        "winning_outcome": "Yes" if won else "No",
        "timestamp": stamp,
        "tags": ["sim"],
        "event_type": "market_resolved",
    }


def _spaced(value: object) -> Frame:
    """JSON as the venue writes it since 2026: a space after each comma, none after a colon."""
    return json.dumps(value, separators=(", ", ":"))
