"""Coinbase's simulated WebSocket: one sequence a connection, snapshots, batches, deadlines."""

from __future__ import annotations

import json

from pipeline.lab.coinbase import CoinbaseSession
from pipeline.lab.exchange import Close
from pipeline.lab.market import MarketModel
from pipeline.venues.codec import Bad, Gap, Status
from pipeline.venues.coinbase.books import make

START_WALL_MS = 1_795_000_000_000


def subscribe(channel, products=(), kind="subscribe"):
    return {"type": kind, "channel": channel, "product_ids": list(products)}


def test_books_rebuilt_from_frames_equal_the_models_under_one_sequence(model, drive) -> None:
    """sequence_num rises by one over all channels, and absolute sizes give the exact book."""
    session = CoinbaseSession(model)
    session.opened(model.time.wall_ms)
    frames = []
    for request in (
        subscribe("heartbeats"),
        subscribe("level2", ["BTC-USD", "ETH-USD"]),
        subscribe("ticker", ["BTC-USD"]),
        subscribe("market_trades", ["BTC-USD"]),
    ):
        frames += session.received(json.dumps(request), model.time.wall_ms)
    frames += drive(model, session, 1_000)
    seen = [json.loads(f) for f in frames]
    assert [m["sequence_num"] for m in seen] == list(range(len(seen)))
    assert {m["channel"] for m in seen} == {
        "subscriptions",
        "heartbeats",
        "l2_data",
        "ticker",
        "market_trades",
    }
    books = {}
    for message in seen:
        for event in message["events"] if message["channel"] == "l2_data" else []:
            book = books.setdefault(event["product_id"], {"bid": {}, "offer": {}})
            assert event["type"] == ("snapshot" if not book["bid"] else "update")
            for row in event["updates"]:
                side = book[row["side"]]
                side.pop(row["price_level"], None)
                if float(row["new_quantity"]):
                    side[row["price_level"]] = row["new_quantity"]
    waiting = model.time.wall_ms
    for frame in session.ticked(waiting + 50):
        for event in json.loads(frame)["events"]:
            for row in event.get("updates", []):
                side = books[event["product_id"]][row["side"]]
                side.pop(row["price_level"], None)
                if float(row["new_quantity"]):
                    side[row["price_level"]] = row["new_quantity"]
    for product, sides in books.items():
        book = model.book("coinbase", product)
        got = {round(float(p) * 100): round(float(q) * 1e8) for p, q in sides["bid"].items()}
        assert got == book.bids
        got = {round(float(p) * 100): round(float(q) * 1e8) for p, q in sides["offer"].items()}
        assert got == book.asks


def test_batches_come_about_every_50_ms(model, say, drive) -> None:
    """A product's changes are gathered: at most twenty frames a second each."""
    session = CoinbaseSession(model)
    say(model, session, subscribe("level2", ["BTC-USD"]))
    frames = drive(model, session, 1_000)
    assert 150 <= len(frames) <= 200
    assert any(len(json.loads(f)["events"][0]["updates"]) > 1 for f in frames)


def test_the_acknowledgement_lists_the_full_set_and_follows_the_snapshot(model, say) -> None:
    """Each (un)subscribe is answered with everything held; an alias becomes the canonical id."""
    session = CoinbaseSession(model)
    (beats,) = say(model, session, subscribe("heartbeats"))
    assert beats["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]
    snapshot, ack = say(model, session, subscribe("level2", ["BTC-USDC"]))
    event = snapshot["events"][0]
    assert (event["type"], event["product_id"]) == ("snapshot", "BTC-USD")
    assert set(event["updates"][0]) == {"side", "event_time", "price_level", "new_quantity"}
    assert ack["events"] == [
        {"subscriptions": {"heartbeats": ["heartbeats"], "level2": ["BTC-USD"]}},
    ]
    (left,) = say(model, session, subscribe("level2", ["BTC-USD"], "unsubscribe"))
    assert left["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]
    (none,) = say(model, session, subscribe("heartbeats", kind="unsubscribe"))
    assert none["events"] == [{"subscriptions": {}}]
    again = say(model, session, subscribe("level2", ["BTC-USD"]))
    assert [m["channel"] for m in again] == ["l2_data", "subscriptions"]


def test_a_client_that_subscribes_to_nothing_is_cut_off_after_five_seconds(model) -> None:
    """The subscribe deadline is 5 s; an idle subscription without heartbeats ends after 90 s."""
    session = CoinbaseSession(model)
    session.opened(1_000)
    assert session.ticked(5_900) == []
    assert isinstance(session.ticked(6_000)[0], Close)
    idle = CoinbaseSession(model)
    idle.opened(1_000)
    idle.received(json.dumps(subscribe("market_trades", ["ETH-USD"])), 1_000)
    assert idle.ticked(90_000) == []
    assert isinstance(idle.ticked(91_000)[0], Close)


def test_errors_have_no_channel(model, say) -> None:
    """Broken and impossible requests get a frame of type error; nothing is subscribed."""
    session = CoinbaseSession(model)
    many = [f"COIN{n}-USD" for n in range(17)]
    for request in (
        "nonsense",
        {"type": "dance"},
        subscribe("gossip", ["BTC-USD"]),
        subscribe("level2", ["NO-SUCH"]),
        subscribe("level2"),
        subscribe("level2", many),
    ):
        (answer,) = say(model, session, request)
        assert answer["type"] == "error" and "channel" not in answer
    (answer,) = say(model, session, subscribe("level2", many))
    assert answer["message"] == "too many L2 streams requested in a single session"


def test_heartbeats_count_once_a_second(model, say, drive) -> None:
    """The counter is an integer that rises by one each second."""
    session = CoinbaseSession(model)
    say(model, session, subscribe("heartbeats"))
    beats = [json.loads(f)["events"][0] for f in drive(model, session, 310)]
    assert [b["heartbeat_counter"] for b in beats] == [1, 2, 3, 4]
    assert " +0000 UTC m=+" in beats[0]["current_time"]


def test_a_snapshot_can_be_larger_than_four_mebibytes() -> None:
    """With 20,000 levels a side one frame is over 4 MiB, as on the real venue."""
    model = MarketModel(1, 0.0, START_WALL_MS, coinbase_levels=20_000)
    text = json.dumps(subscribe("level2", ["BTC-USD"]))
    snapshot = CoinbaseSession(model).received(text, model.time.wall_ms)[0]
    assert isinstance(snapshot, str) and len(snapshot) > 4 * 2**20


def test_the_status_of_a_product_is_told_and_read(model) -> None:
    """Who subscribes to `status` hears that a product is online, in a shape that our codec reads."""
    session = CoinbaseSession(model)
    session.opened(model.time.wall_ms)
    codec = make({})
    frames = [session.received(text, model.time.wall_ms) for text in codec.subscribe(["BTC-USD"])]
    events = [event for told in frames for frame in told for event in codec.decode(frame.encode())]
    assert [(event.market, event.tradable) for event in events if isinstance(event, Status)] == [
        ("BTC-USD", True)
    ]
    assert not any(isinstance(event, Bad | Gap) for event in events)
