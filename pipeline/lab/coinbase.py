"""Coinbase Advanced Trade's WebSocket as a pure state machine: subscriptions in, frames out.

In: subscription texts, what the model emits. Out: text frames numbered over the whole connection.
Who runs it: `server.LabServer`. level2 sends the full book, then absolute sizes in batches of about
50 ms. A client that subscribes to nothing within 5 s is cut off.
"""

from __future__ import annotations

from typing import Any

from pipeline.lab.book import BookBatch, Side, Trade, fixed, plain
from pipeline.lab.exchange import Close, Frame, Item, compact, parse_object, text_list, utc
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel

SUBSCRIBE_WITHIN_MS = 5_000
BATCH_MS = 50
IDLE_CLOSE_MS = 90_000
MOST_LEVEL2 = 16
ALIASES = {"BTC-USDC": "BTC-USD", "ETH-USDC": "ETH-USD"}
"""USDC products show the USD book under the USD name."""
WITH_PRODUCTS = ("level2", "ticker", "market_trades", "status")


class CoinbaseSession:
    """One connection. Give it the model whose books it shows."""

    def __init__(self, model: MarketModel) -> None:
        """Nothing is subscribed and the first sequence number is 0."""
        self._model = model
        self._channels: dict[str, list[str]] = {}
        self._sequence = 0
        self._opened_ms = 0
        self._last_sent_ms = 0
        self._asked = False
        self._heartbeats = 0
        self._next_heartbeat_ms = 0
        self._pending: dict[str, dict[tuple[Side, int], tuple[int, int]]] = {}
        self._next_batch_ms: dict[str, int] = {}

    def opened(self, now_ms: int) -> list[Frame]:
        """The venue is silent on connect; the subscribe deadline starts."""
        self._opened_ms = self._last_sent_ms = now_ms
        return []

    def received(self, text: str, now_ms: int) -> list[Frame]:
        """Obey one subscribe or unsubscribe message; a jwt in it is not looked at."""
        message = parse_object(text)
        kind = message.get("type") if message else None
        if message is None or kind not in ("subscribe", "unsubscribe"):
            return [_error("invalid message")]
        channel = message.get("channel")
        products = [ALIASES.get(p, p) for p in text_list(message.get("product_ids"))]
        products = list(dict.fromkeys(products))
        if channel != "heartbeats" and channel not in WITH_PRODUCTS:
            return [_error(f"channel {channel} is not supported")]
        if channel == "heartbeats":
            products = ["heartbeats"]
        if kind == "unsubscribe":
            return self._leave(channel, products, now_ms)
        problem = self._problem(channel, products)
        if problem:
            return [_error(problem)]
        return self._join(channel, products, now_ms)

    def emitted(self, item: Item, now_ms: int) -> list[Frame]:
        """Trades at once; book changes wait for the next batch."""
        if isinstance(item, Notice) or item.venue != "coinbase":
            return []
        if isinstance(item, BookBatch):
            if item.market in self._channels.get("level2", ()):
                waiting = self._pending.setdefault(item.market, {})
                for change in item.changes:
                    waiting[change.side, change.price] = (change.new, item.time_us)
            return []
        return self._traded(item, now_ms)

    def ticked(self, now_ms: int) -> list[Frame]:
        """Batches, the heartbeat, and the two deadlines."""
        if not self._asked and now_ms - self._opened_ms >= SUBSCRIBE_WITHIN_MS:
            return [Close(1008, "no subscribe message within 5 seconds")]
        frames: list[Frame] = []
        for product in list(self._pending):
            if now_ms >= self._next_batch_ms.get(product, 0):
                self._next_batch_ms[product] = now_ms + BATCH_MS
                frames.append(self._batch(product, now_ms))
        if "heartbeats" in self._channels and now_ms >= self._next_heartbeat_ms:
            self._next_heartbeat_ms = now_ms + 1_000
            frames.append(self._heartbeat(now_ms))
        if not frames and now_ms - self._last_sent_ms >= IDLE_CLOSE_MS:
            return [Close(1000, "idle")]
        return frames

    def _problem(self, channel: str, products: list[str]) -> str:
        held = self._channels.get(channel, [])
        if channel == "level2" and len({*held, *products}) > MOST_LEVEL2:
            return "too many L2 streams requested in a single session"
        if channel != "heartbeats" and not products:
            return "product_ids are required"
        unknown = [p for p in products if self._model.spot("coinbase", p) is None]
        if channel != "heartbeats" and unknown:
            return f"{unknown[0]} is not a valid product"
        return ""

    def _join(self, channel: str, products: list[str], now_ms: int) -> list[Frame]:
        """Snapshots come first, then the acknowledgement with the connection's full set."""
        self._asked = True
        held = self._channels.setdefault(channel, [])
        fresh = [p for p in products if p not in held]
        held += fresh
        frames: list[Frame] = []
        if channel == "level2":
            for product in fresh:
                self._pending.pop(product, None)
                frames.append(self._snapshot(product, now_ms))
        elif channel != "heartbeats":
            frames += [self._opening(channel, product, now_ms) for product in fresh]
        return [*frames, self._acknowledge(now_ms)]

    def _leave(self, channel: str, products: list[str], now_ms: int) -> list[Frame]:
        self._asked = True
        kept = [p for p in self._channels.get(channel, []) if p not in products]
        self._channels.pop(channel, None)
        if kept:
            self._channels[channel] = kept
        if channel == "level2":
            for product in products:
                self._pending.pop(product, None)
        return [self._acknowledge(now_ms)]

    def _acknowledge(self, now_ms: int) -> Frame:
        held = {name: self._channels[name] for name in sorted(self._channels)}
        return self._frame("subscriptions", compact([{"subscriptions": held}]), now_ms)

    def _frame(self, channel: str, events: str, now_ms: int) -> Frame:
        """One numbered frame; the count runs over all channels of the connection."""
        number = self._sequence
        self._sequence += 1
        self._last_sent_ms = now_ms
        stamp = utc(now_ms * 1_000 + number % 1_000)
        return f'{{"channel":"{channel}","timestamp":"{stamp}","sequence_num":{number},"events":{events}}}'

    def _snapshot(self, product: str, now_ms: int) -> Frame:
        book = self._model.book("coinbase", product)
        assert book is not None, f"{product} was checked before"
        stamp = utc(now_ms * 1_000)
        sides = (("bid", book.top("bid", 0)), ("offer", book.top("ask", 0)))
        updates = ",".join(
            f'{{"side":"{side}","event_time":"{stamp}",'
            f'"price_level":"{plain(price, book.price_decimals)}",'
            f'"new_quantity":"{plain(size, book.size_decimals)}"}}'
            for side, levels in sides
            for price, size in levels
        )
        event = f'[{{"type":"snapshot","product_id":"{product}","updates":[{updates}]}}]'
        return self._frame("l2_data", event, now_ms)

    def _batch(self, product: str, now_ms: int) -> Frame:
        book = self._model.book("coinbase", product)
        assert book is not None, f"{product} was checked before"
        updates = ",".join(
            f'{{"side":"{"bid" if side == "bid" else "offer"}","event_time":"{utc(time_us)}",'
            f'"price_level":"{plain(price, book.price_decimals)}",'
            f'"new_quantity":"{plain(size, book.size_decimals)}"}}'
            for (side, price), (size, time_us) in self._pending.pop(product).items()
        )
        event = f'[{{"type":"update","product_id":"{product}","updates":[{updates}]}}]'
        return self._frame("l2_data", event, now_ms)

    def _heartbeat(self, now_ms: int) -> Frame:
        self._heartbeats += 1
        moment = utc(now_ms * 1_000)
        uptime_s = fixed(now_ms - self._opened_ms, 3)
        text = f"{moment[:10]} {moment[11:26]}000 +0000 UTC m=+{uptime_s}"
        event = {"current_time": text, "heartbeat_counter": self._heartbeats}
        return self._frame("heartbeats", compact([event]), now_ms)

    def _traded(self, trade: Trade, now_ms: int) -> list[Frame]:
        frames: list[Frame] = []
        if trade.market in self._channels.get("market_trades", ()):
            event = {"type": "update", "trades": [_trade_body(trade)]}
            frames.append(self._frame("market_trades", compact([event]), now_ms))
        if trade.market in self._channels.get("ticker", ()):
            event = {"type": "update", "tickers": [self._ticker(trade.market)]}
            frames.append(self._frame("ticker", compact([event]), now_ms))
        return frames

    def _opening(self, channel: str, product: str, now_ms: int) -> Frame:
        event: dict[str, Any] = {"type": "snapshot"}
        if channel == "ticker":
            event["tickers"] = [self._ticker(product)]
        elif channel == "status":
            event["products"] = [_status(product)]
        else:
            recent = reversed(self._model.trades("coinbase", product))
            event["trades"] = [_trade_body(trade) for trade in recent]
        return self._frame(channel, compact([event]), now_ms)

    def _ticker(self, product: str) -> dict[str, str]:
        spot = self._model.spot("coinbase", product)
        assert spot is not None, f"{product} was checked before"
        bid, ask = spot.book.best_bid(), spot.book.best_ask()
        assert bid is not None, "a spot book lost its bids"
        assert ask is not None, "a spot book lost its asks"
        last = plain(spot.last_price, 2)
        return {
            "type": "ticker",
            "product_id": product,
            "price": last,
            "volume_24_h": str(2_000 + spot.trades),
            "low_24_h": last,
            "high_24_h": last,
            "low_52_w": last,
            "high_52_w": last,
            "price_percent_chg_24_h": "0",
            "best_bid": plain(bid, 2),
            "best_ask": plain(ask, 2),
            "best_bid_quantity": plain(spot.book.bids[bid], 8),
            "best_ask_quantity": plain(spot.book.asks[ask], 8),
        }


def _status(product: str) -> dict[str, str]:
    """What the status channel says about a product; here every one is online for as long as it exists."""
    base, quote = product.split("-")
    return {
        "product_type": "SPOT",
        "id": product,
        "base_currency": base,
        "quote_currency": quote,
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "display_name": f"{base}/{quote}",
        "status": "online",
        "status_message": "",
        "min_market_funds": "1",
    }


def _trade_body(trade: Trade) -> dict[str, str]:
    """A trade as the venue writes it; `side` is the maker's."""
    return {
        "product_id": trade.market,
        "trade_id": str(1_000_000 + trade.number),
        "price": plain(trade.price, 2),
        "size": plain(trade.size, 8),
        "time": utc(trade.time_us),
        "side": "SELL" if trade.taker == "buy" else "BUY",
    }


def _error(message: str) -> Frame:
    """An error frame: it has no channel and no sequence number."""
    return compact({"type": "error", "message": message})
