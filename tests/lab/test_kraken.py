"""Kraken's simulated WebSocket v2: acks, snapshots, updates whose checksum a client can verify."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from pipeline.lab.kraken import KrakenSession, checksum


def subscribe(symbols, depth=10, method="subscribe", **more):
    params = {"channel": "book", "symbol": symbols, "depth": depth, **more}
    return {"method": method, "params": params, "req_id": 7}


def units(pairs, price_decimals, size_decimals=8):
    scale = (10**price_decimals, 10**size_decimals)
    return [tuple(int(Decimal(v) * s) for v, s in zip(p, scale, strict=True)) for p in pairs]


def test_checksum_of_the_vendors_padded_example() -> None:
    """Trailing zeros count: the vendor's 4-decimal book gives the published number, and again
    after its update.
    """
    bids = [
        ("0.5666", "4831.75496356"),
        ("0.5665", "6658.22734739"),
        ("0.5664", "18724.91513344"),
        ("0.5663", "11563.92544914"),
        ("0.5662", "14006.65365711"),
        ("0.5661", "17454.85679807"),
        ("0.566", "18097.1547"),
        ("0.5659", "33644.89175666"),
        ("0.5658", "148.3464"),
        ("0.5657", "606.70854372"),
    ]
    asks = [
        ("0.5668", "4410.79769741"),
        ("0.5669", "4655.40412487"),
        ("0.567", "49844.89424998"),
        ("0.5671", "24306.41678"),
        ("0.5672", "29783.25223475"),
        ("0.5673", "57234.71239278"),
        ("0.5674", "45065.04744"),
        ("0.5675", "5912.76380354"),
        ("0.5676", "42514.92434778"),
        ("0.5677", "36304.0847022"),
    ]
    assert checksum(units(asks, 4), units(bids, 4)) == 2_439_117_997
    bids[-1] = ("0.5657", "1098.3947558")
    assert checksum(units(asks, 4), units(bids, 4)) == 2_114_181_697


def test_checksum_of_thin_and_empty_books() -> None:
    """A book of fewer than ten levels uses what there is; an empty one gives 0."""
    asks = [("62710.5", "0.93111634"), ("62710.6", "0.50000000"), ("62711.0", "1.20000000")]
    bids = [("62710.4", "0.01000000"), ("62709.1", "2.00000000")]
    assert checksum(units(asks, 1), units(bids, 1)) == 1_396_696_505
    assert checksum([], []) == 0


class Client:
    """A book as a client keeps it: apply, cut to the depth, check."""

    def __init__(self, depth, price_decimals):
        self.depth, self.price_decimals = depth, price_decimals
        self.sides = {"bids": {}, "asks": {}}

    def take(self, data):
        for name, side in self.sides.items():
            for level in data[name]:
                ((price, size),) = units([(level["price"], level["qty"])], self.price_decimals)
                side.pop(price, None)
                if size:
                    side[price] = size
            for price in sorted(side, reverse=name == "bids")[self.depth :]:
                del side[price]
        assert checksum(self.top("asks"), self.top("bids")) == data["checksum"]

    def top(self, name):
        return sorted(self.sides[name].items(), reverse=name == "bids")[:10]


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_every_update_checks_and_the_cut_book_equals_the_models(model, drive, depth) -> None:
    """A client that applies, cuts and sums agrees with every frame, at each depth."""
    session = KrakenSession(model, 1)
    symbols = ["BTC/USD", "ETH/USD"]
    frames = session.received(json.dumps(subscribe(symbols, depth)), model.time.wall_ms)
    clients = {"BTC/USD": Client(depth, 1), "ETH/USD": Client(depth, 2)}
    frames = frames + drive(model, session, 3_000)
    updates = 0
    for frame in frames:
        message = json.loads(frame, parse_float=Decimal)
        if message.get("channel") == "book":
            (data,) = message["data"]
            clients[data["symbol"]].take(data)
            updates += message["type"] == "update"
    assert updates > 200
    for symbol, client in clients.items():
        book = model.book("kraken", symbol)
        assert client.sides["bids"] == dict(book.top("bid", depth))
        assert client.sides["asks"] == dict(book.top("ask", depth))


def test_status_greets_and_the_pair_precisions_are_told(model, say) -> None:
    """The first frame is the status; the instrument channel gives assets and pairs."""
    session = KrakenSession(model, 42)
    (status,) = [json.loads(f) for f in session.opened(0)]
    assert status["channel"] == "status" and status["data"][0]["system"] == "online"
    assert status["data"][0]["connection_id"] == 42
    request = {"method": "subscribe", "params": {"channel": "instrument"}}
    ack, instrument = say(model, session, request)
    assert ack["success"] and ack["result"]["channel"] == "instrument"
    pairs = {p["symbol"]: p for p in instrument["data"]["pairs"]}
    assert pairs["BTC/USD"]["price_precision"] == 1 and pairs["BTC/USD"]["qty_precision"] == 8
    assert pairs["ETH/USD"]["price_precision"] == 2 and pairs["ETH/USD"]["status"] == "online"
    assert {a["id"] for a in instrument["data"]["assets"]} == {"USD", "BTC", "ETH"}


def test_one_acknowledgement_a_symbol_then_its_snapshot(model, say) -> None:
    """Acks echo req_id and depth; numbers keep their trailing zeros on the wire."""
    session = KrakenSession(model, 1)
    text = json.dumps(subscribe(["BTC/USD", "XBT/USD", "ETH/USD"]))
    frames = session.received(text, model.time.wall_ms)
    first, snapshot, refused, third, _ = [json.loads(f) for f in frames]
    assert first["method"] == "subscribe" and first["success"] is True and first["req_id"] == 7
    assert first["result"] == {
        "channel": "book",
        "depth": 10,
        "snapshot": True,
        "symbol": "BTC/USD",
    }
    assert snapshot["type"] == "snapshot" and len(snapshot["data"][0]["bids"]) == 10
    assert refused["error"] == "Currency pair not supported XBT/USD"
    assert refused["success"] is False and refused["symbol"] == "XBT/USD"
    assert third["result"]["symbol"] == "ETH/USD"
    for number in frames[1].split('"qty":')[1:]:
        assert len(number.split("}")[0].split(".")[1]) == 8


def test_refusals(model, say) -> None:
    """Bad depth, repeated or unknown subscriptions, broken requests are named as the venue does."""
    session = KrakenSession(model, 1)
    assert say(model, session, subscribe(["BTC/USD"], depth=11))[0]["error"] == (
        "Subscription depth not supported"
    )
    say(model, session, subscribe(["BTC/USD"]))
    assert say(model, session, subscribe(["BTC/USD"]))[0]["error"] == "Already subscribed"
    wrong_depth = subscribe(["BTC/USD"], depth=25, method="unsubscribe")
    assert say(model, session, wrong_depth)[0]["success"] is False
    gone = say(model, session, subscribe(["BTC/USD"], method="unsubscribe"))[0]
    assert gone["success"] and gone["result"] == {
        "channel": "book",
        "depth": 10,
        "symbol": "BTC/USD",
    }
    for broken in ("{", "[]", {"method": "subscribe"}, {"method": "dance", "params": {}}):
        answer = say(model, session, broken)[0]
        assert answer["error"] == "Malformed request" and answer["method"] == "error"
    odd = {"method": "subscribe", "params": {"channel": "gossip"}}
    assert say(model, session, odd)[0]["success"] is False


def test_ping_and_heartbeats(model, say) -> None:
    """A ping is answered at any time; heartbeats come after a silent second once subscribed."""
    session = KrakenSession(model, 1)
    now = model.time.wall_ms
    assert say(model, session, {"method": "ping", "req_id": 9})[0]["req_id"] == 9
    assert session.ticked(now + 5_000) == []
    say(model, session, {"method": "subscribe", "params": {"channel": "instrument"}})
    assert session.ticked(now + 999) == []
    assert session.ticked(now + 1_000) == ['{"channel":"heartbeat"}']
    assert session.ticked(now + 1_500) == []


def test_trades_are_numbered_and_dated(model, say, drive) -> None:
    """The trade channel gives a snapshot and then each trade."""
    session = KrakenSession(model, 1)
    request = {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}}
    ack, snapshot = say(model, session, request)
    assert ack["success"] and snapshot["type"] == "snapshot"
    trades = [json.loads(f) for f in drive(model, session, 4_000) if '"trade"' in f]
    numbers = [t["data"][0]["trade_id"] for t in trades]
    assert numbers == sorted(set(numbers)) and trades[0]["data"][0]["side"] in ("buy", "sell")
