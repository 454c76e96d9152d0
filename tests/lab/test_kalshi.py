"""Kalshi's simulated WebSocket: every command, sequence numbers, books rebuilt from its frames."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pipeline.lab.exchange import Ping
from pipeline.lab.kalshi import KalshiSession, load_public_key, refusal


def subscribe(tickers, channels=("orderbook_delta",), ident=1, **more):
    params = {"channels": list(channels), "market_tickers": tickers, **more}
    return {"id": ident, "cmd": "subscribe", "params": params}


def update(action, tickers, ident=2, **more):
    params = {"sids": [1], "market_tickers": tickers, "action": action, **more}
    return {"id": ident, "cmd": "update_subscription", "params": params}


def test_books_rebuilt_from_snapshot_and_deltas_equal_the_models(model, say, drive) -> None:
    """Sequence numbers have no gap over all markets, and signed deltas give the exact book."""
    session = KalshiSession(model)
    tickers = [e.ticker for e in model.live]
    session.opened(model.time.wall_ms)
    first = say(model, session, subscribe(tickers))
    assert first[0] == {
        "type": "subscribed",
        "id": 1,
        "msg": {"channel": "orderbook_delta", "sid": 1},
    }
    frames = [f for f in drive(model, session, 1_500) if isinstance(f, str)]
    assert all(f.endswith("}\n") for f in frames)
    later = [json.loads(f) for f in frames]
    assert [m["seq"] for m in first[1:] + later] == list(range(1, len(first) + len(later)))
    books = {}
    for message in first[1:]:
        msg = message["msg"]
        books[msg["market_ticker"]] = {
            side: {p: round(float(s) * 100) for p, s in msg[f"{side}_dollars_fp"]} for side in ("yes", "no")
        }
    for message in later:
        assert message["type"] == "orderbook_delta" and message["sid"] == 1
        msg = message["msg"]
        side = books[msg["market_ticker"]][msg["side"]]
        left = side.pop(msg["price_dollars"], 0) + round(float(msg["delta_fp"]) * 100)
        assert left >= 0
        if left:
            side[msg["price_dollars"]] = left
    for event in model.live:
        book = event.kalshi.quotes.book
        assert books[event.ticker]["yes"] == {f"{p / 1e4:.4f}": s for p, s in book.bids.items()}
        no = {f"{(10_000 - p) / 1e4:.4f}": s for p, s in book.asks.items()}
        assert books[event.ticker]["no"] == no


def test_a_delta_has_the_venues_fields(model, say, drive) -> None:
    """A delta carries fixed-point texts, an RFC 3339 time and the same time in milliseconds."""
    session = KalshiSession(model)
    say(model, session, subscribe([model.live[0].ticker]))
    delta = json.loads(drive(model, session, 300)[0])
    assert list(delta) == ["type", "sid", "seq", "msg"]
    assert list(delta["msg"]) == [
        "market_ticker",
        "market_id",
        "price_dollars",
        "delta_fp",
        "side",
        "ts",
        "ts_ms",
    ]
    assert delta["msg"]["ts"].endswith("Z") and isinstance(delta["msg"]["ts_ms"], int)


def test_the_yes_price_mode_relabels_no_levels(model, say) -> None:
    """With use_yes_price a NO bid at q is reported at 1 - q; both modes show the same book."""
    ticker = model.live[0].ticker
    plain_mode = say(model, KalshiSession(model), subscribe([ticker]))[1]["msg"]
    yes_mode = say(model, KalshiSession(model), subscribe([ticker], use_yes_price=True))[1]["msg"]
    assert plain_mode["yes_dollars_fp"] == yes_mode["yes_dollars_fp"]
    turned = sorted([f"{1 - float(p):.4f}", s] for p, s in plain_mode["no_dollars_fp"])
    assert turned == yes_mode["no_dollars_fp"]


def test_an_empty_side_has_no_key(model, say, drive) -> None:
    """The snapshot of a closed market has neither side's key."""
    event = min(model.live, key=lambda e: e.close_ms)
    model.skip(event.close_ms - model.time.wall_ms)
    session = KalshiSession(model)
    drive(model, session, 2)
    msg = say(model, session, subscribe([event.ticker]))[1]["msg"]
    assert set(msg) == {"market_ticker", "market_id"}


def test_commands_and_their_replies(model, say) -> None:
    """Adding, deleting, a fresh snapshot, merging, listing and unsubscribing share one sequence."""
    one, two, three = (e.ticker for e in model.live[:3])
    session = KalshiSession(model)
    say(model, session, subscribe([one]))
    added = say(model, session, update("add_markets", [one, two]))
    assert [(m["type"], m["seq"]) for m in added] == [("ok", 2), ("orderbook_snapshot", 3)]
    assert added[0]["msg"] == {"market_tickers": [one, two]} and added[0]["id"] == 2
    merged = say(model, session, subscribe([two, three], ident=3))
    assert [(m["type"], m["sid"], m["seq"]) for m in merged] == [
        ("ok", 1, 4),
        ("orderbook_snapshot", 1, 5),
    ]
    fresh = say(model, session, update("get_snapshot", [one, two], ident=4))
    assert [(m["type"], m["id"], m["seq"]) for m in fresh] == [
        ("orderbook_snapshot", 4, 6),
        ("orderbook_snapshot", 4, 7),
    ]
    left = say(model, session, update("delete_markets", [two], ident=5))
    assert left[0]["msg"]["market_tickers"] == [one, three] and left[0]["seq"] == 8
    held = say(model, session, {"id": 6, "cmd": "list_subscriptions"})
    assert held == [
        {"id": 6, "type": "ok", "msg": [{"channel": "orderbook_delta", "sid": 1}]},
    ]
    gone = say(model, session, {"id": 7, "cmd": "unsubscribe", "params": {"sids": [1]}})
    assert gone == [{"id": 7, "sid": 1, "seq": 9, "type": "unsubscribed"}]
    again = say(model, session, subscribe([one], ident=8))
    assert again[0]["msg"]["sid"] == 2 and again[1]["seq"] == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("not json", 1),
        ({"id": 1, "cmd": "jump"}, 5),
        ({"id": 1, "cmd": "subscribe"}, 2),
        ({"id": 1, "cmd": "subscribe", "params": {}}, 3),
        (subscribe(["X"], channels=("nonsense",)), 8),
        (subscribe(["X"], channels=("fill",)), 9),
        (subscribe([]), 14),
        (subscribe(["NO-SUCH"]), 11),
        ({"id": 1, "cmd": "unsubscribe", "params": {}}, 4),
        ({"id": 1, "cmd": "unsubscribe", "params": {"sids": [9]}}, 7),
        (update("add_markets", ["X"], sids=[]), 12),
        (update("add_markets", ["X"], sids=[5]), 7),
        (update(None, ["X"]), 15),
        (update("shake", ["X"]), 13),
        (update("add_markets", []), 14),
        (update("get_snapshot", ["NO-SUCH"]), 11),
    ],
)
def test_every_wrong_command_gets_its_error_code(model, say, command, code) -> None:
    """A command that cannot be obeyed is answered with the protocol's code."""
    session = KalshiSession(model)
    say(model, session, subscribe([model.live[0].ticker]))
    answer = say(model, session, command)
    assert [(m["type"], m["msg"]["code"]) for m in answer] == [("error", code)]


def test_one_reply_a_channel_and_data_on_each(model, say, drive) -> None:
    """Each channel has its own sid; trades and lifecycle are numbered, tickers are not."""
    event = min(model.live, key=lambda e: e.close_ms)
    session = KalshiSession(model)
    channels = ("ticker", "trade", "market_lifecycle_v2")
    replies = say(model, session, subscribe([event.ticker], channels=channels))
    assert [m["msg"] for m in replies] == [
        {"channel": name, "sid": sid} for sid, name in enumerate(channels, start=1)
    ]
    model.skip(event.close_ms - model.time.wall_ms - 15_000)
    seen = [json.loads(f) for f in drive(model, session, 1_800) if isinstance(f, str)]
    kinds = {m["type"] for m in seen}
    assert kinds == {"ticker", "trade", "market_lifecycle_v2"}
    for kind in ("trade", "market_lifecycle_v2"):
        numbers = [m["seq"] for m in seen if m["type"] == kind]
        assert numbers == list(range(1, len(numbers) + 1))
    assert all("seq" not in m for m in seen if m["type"] == "ticker")
    life = [m["msg"] for m in seen if m["type"] == "market_lifecycle_v2"]
    mine = [m for m in life if m["market_ticker"] == event.ticker]
    assert [m["event_type"] for m in mine] == ["determined", "settled"]
    assert mine[0]["result"] == event.result
    assert mine[0]["settlement_value"] == ("1.0000" if event.result == "yes" else "0.0000")
    assert "created" in {m["event_type"] for m in life}


def test_a_heartbeat_ping_every_ten_seconds(model, drive) -> None:
    """The server pings with the body `heartbeat`, subscribed or not."""
    session = KalshiSession(model)
    session.opened(model.time.wall_ms)
    assert drive(model, session, 2_000) == [Ping(b"heartbeat")] * 2


def test_signed_headers_are_verified() -> None:
    """A right RSA-PSS signature passes; each wrong part is named."""
    key = rsa.generate_private_key(65_537, 2_048)
    public = key.public_key()
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    stamp = "1795000000000"
    signature = key.sign(f"{stamp}GET/trade-api/ws/v2".encode(), scheme, hashes.SHA256())
    good = {
        "KALSHI-ACCESS-KEY": "an-id",
        "KALSHI-ACCESS-TIMESTAMP": stamp,
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }
    assert refusal(good, public, int(stamp) + 900) is None
    assert refusal(good, public, int(stamp) + 60_000) is not None
    assert refusal({**good, "KALSHI-ACCESS-KEY": ""}, public, int(stamp)) is not None
    assert refusal({**good, "KALSHI-ACCESS-SIGNATURE": "AAAA"}, public, int(stamp)) is not None
    assert refusal({}, public, int(stamp)) is not None


def test_only_rsa_keys_are_taken() -> None:
    """Another kind of key is refused when the lab starts, not at the first handshake."""
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(TypeError):
        load_public_key(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form))
