"""Polymarket's simulated market channel: subscriptions, books rebuilt from frames, notices."""

from __future__ import annotations

import hashlib
import json

from pipeline.lab.market import MarketModel
from pipeline.lab.polymarket import PolymarketSession, book_body

START_WALL_MS = 1_795_000_000_000


def levels(rows):
    return {round(float(r["price"]) * 10_000): round(float(r["size"]) * 100) for r in rows}


def messages(frames):
    for frame in frames:
        value = json.loads(frame)
        yield from value if isinstance(value, list) else [value]


class Rebuilt:
    """Token books as a client keeps them: absolute sizes, replaced by each `book`."""

    def __init__(self):
        self.books, self.told = {}, {}

    def take(self, message):
        if message["event_type"] == "book":
            sides = {"BUY": levels(message["bids"]), "SELL": levels(message["asks"])}
            self.books[message["asset_id"]] = sides
        elif message["event_type"] == "price_change":
            for change in message["price_changes"]:
                side = self.books[change["asset_id"]][change["side"]]
                price = round(float(change["price"]) * 10_000)
                side[price] = round(float(change["size"]) * 100)
                if not side[price]:
                    del side[price]
                self.told[change["asset_id"]] = (change["best_bid"], change["best_ask"])


def test_first_frame_is_an_array_of_books_and_later_ones_are_objects(model, say) -> None:
    """The first subscription is answered with one array, a later one with objects, unknown
    tokens with nothing; there is no acknowledgement.
    """
    one, two = model.live[:2]
    session = PolymarketSession(model)
    first = say(model, session, {"type": "market", "assets_ids": [one.yes_token, "123"]})
    assert len(first) == 1 and isinstance(first[0], list)
    assert [b["asset_id"] for b in first[0]] == [one.yes_token]
    assert first[0][0]["event_type"] == "book" and first[0][0]["market"] == one.condition
    asked = {"operation": "subscribe", "assets_ids": [two.yes_token, two.no_token]}
    later = say(model, session, asked)
    assert [b["asset_id"] for b in later] == [two.yes_token, two.no_token]
    assert say(model, session, asked) == []
    assert say(model, session, "not json") == [] and say(model, session, {"x": 1}) == []


def test_ping_is_answered_with_pong_as_plain_text(model) -> None:
    """PONG is not JSON."""
    assert PolymarketSession(model).received("PING", 0) == ["PONG"]


def test_books_rebuilt_from_frames_equal_the_models_and_mirror_each_other(model, drive) -> None:
    """Both tokens' books follow the model, and the best prices told agree at the end of a batch."""
    session, client = PolymarketSession(model), Rebuilt()
    tokens = [t for e in model.live for t in (e.yes_token, e.no_token)]
    request = json.dumps({"type": "market", "assets_ids": tokens})
    frames = session.received(request, model.time.wall_ms)
    frames += drive(model, session, 1_500)
    kinds = set()
    for message in messages(frames):
        kinds.add(message["event_type"])
        client.take(message)
    assert {"book", "price_change", "last_trade_price"} <= kinds
    for event in model.live:
        book = event.polymarket.quotes.book
        yes, no = client.books[event.yes_token], client.books[event.no_token]
        assert (yes["BUY"], yes["SELL"]) == (book.bids, book.asks)
        assert no["BUY"] == {10_000 - p: s for p, s in book.asks.items()}
        assert no["SELL"] == {10_000 - p: s for p, s in book.bids.items()}
        told = tuple(round(float(price) * 1e4) for price in client.told[event.yes_token])
        assert told == (max(yes["BUY"]), min(yes["SELL"]))


def test_texts_have_the_venues_shape(model, drive) -> None:
    """Spaces follow commas but not colons, event_type stands last, a change comes with its mirror,
    and some books write their prices without the leading zero.
    """
    event = model.live[0]
    session = PolymarketSession(model)
    session.received(json.dumps({"type": "market", "assets_ids": [event.yes_token]}), 0)
    frames = drive(model, session, 1_500)
    change = next(f for f in frames if "price_changes" in f)
    assert ', "' in change and '": ' not in change
    assert list(json.loads(change)) == ["market", "price_changes", "timestamp", "event_type"]
    entries = json.loads(change)["price_changes"]
    assert [e["asset_id"] for e in entries[:2]] == [event.yes_token, event.no_token]
    assert abs(float(entries[0]["price"]) + float(entries[1]["price"]) - 1) < 1e-9
    assert {entries[0]["side"], entries[1]["side"]} == {"BUY", "SELL"}
    assert any('"price":".' in f for f in frames)
    assert any('"price":"0.' in f for f in frames if '"event_type":"book"' in f)


def test_an_inverse_market_asks_the_opposite() -> None:
    """The YES book of an inverse market stands around one minus the event's price."""
    model = MarketModel(13, 0.0, START_WALL_MS, coinbase_levels=20)
    for _ in range(40):
        model.skip(10_000)
        model.step(lambda item: None)
    event = next(e for e in model.live if e.inverse and e.state == "active")
    body = book_body(event, event.no_token, 0)
    bid = float(body["bids"][-1]["price"])
    assert abs(bid - event.fair) < 0.12
    own = book_body(event, event.yes_token, 0)["bids"][-1]["price"]
    assert abs(float(own) + event.fair - 1) < 0.12


def test_the_book_hash_is_the_venues(model) -> None:
    """The hash is the SHA-1 of the compact JSON with an empty hash, in the venue's key order."""
    body = book_body(model.live[0], model.live[0].yes_token, 123_456_789)
    assert list(body) == [
        "market",
        "asset_id",
        "timestamp",
        "hash",
        "bids",
        "asks",
        "min_order_size",
        "tick_size",
        "neg_risk",
        "last_trade_price",
    ]
    text = json.dumps({**body, "hash": ""}, separators=(",", ":"))
    assert body["hash"] == hashlib.sha1(text.encode()).hexdigest()
    assert float(body["bids"][0]["price"]) < float(body["bids"][-1]["price"])
    assert float(body["asks"][0]["price"]) > float(body["asks"][-1]["price"])


def test_unsubscribing_stops_the_data(model, say, drive) -> None:
    """After an unsubscribe nothing more comes for that token."""
    event = model.live[0]
    session = PolymarketSession(model)
    say(model, session, {"type": "market", "assets_ids": [event.yes_token]})
    say(model, session, {"operation": "unsubscribe", "assets_ids": [event.yes_token]})
    assert drive(model, session, 500) == []


def test_more_than_500_assets_get_no_first_book(model, say) -> None:
    """The venue's undocumented limit: changes come, snapshots do not."""
    tokens = [model.live[0].yes_token, *(str(n) for n in range(500))]
    assert say(model, PolymarketSession(model), {"type": "market", "assets_ids": tokens}) == []


def test_a_finer_grid_is_announced_and_followed_by_books() -> None:
    """tick_size_change comes for both tokens, then both books, then prices on the new grid."""
    model = MarketModel(7, 0.0, START_WALL_MS, coinbase_levels=20)
    session = PolymarketSession(model)
    tokens = [t for e in model.live for t in (e.yes_token, e.no_token)]
    session.received(json.dumps({"type": "market", "assets_ids": tokens}), 0)
    frames = []
    for _ in range(3_000):
        model.step(lambda item: frames.extend(session.emitted(item, model.time.wall_ms)))
    seen = list(messages(frames))
    at = next(i for i, m in enumerate(seen) if m["event_type"] == "tick_size_change")
    assert (seen[at]["old_tick_size"], seen[at]["new_tick_size"]) == ("0.01", "0.001")
    assert [m["event_type"] for m in seen[at : at + 4]] == ["tick_size_change"] * 2 + ["book"] * 2
    assert seen[at + 2]["tick_size"] == "0.001"


def test_custom_features_bring_best_prices_openings_and_resolutions(model, say, drive) -> None:
    """Only with custom_feature_enabled come best_bid_ask, new_market and market_resolved."""
    event = min(model.live, key=lambda e: e.close_ms)
    rich, poor = PolymarketSession(model), PolymarketSession(model)
    request = {"type": "market", "assets_ids": [event.yes_token]}
    say(model, rich, {**request, "custom_feature_enabled": True})
    say(model, poor, request)
    model.skip(event.close_ms - model.time.wall_ms - 3_000)
    frames, plain_frames = [], []

    def emit(item):
        frames.extend(rich.emitted(item, model.time.wall_ms))
        plain_frames.extend(poor.emitted(item, model.time.wall_ms))

    for _ in range(500):
        model.step(emit)
    seen = list(messages(frames))
    extra = {"best_bid_ask", "new_market", "market_resolved"}
    assert extra <= {m["event_type"] for m in seen}
    assert not extra & {m["event_type"] for m in messages(plain_frames)}
    resolved = next(m for m in seen if m["event_type"] == "market_resolved")
    won = event.yes_token if event.polymarket_result == "yes" else event.no_token
    assert resolved["winning_asset_id"] == won
    empty = [m for m in seen if m["event_type"] == "price_change"][-1]["price_changes"][0]
    assert (empty["best_bid"], empty["best_ask"], empty["size"]) == ("0", "1", "0")
