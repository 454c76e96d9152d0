"""Coinbase's sessions: refusals, answers, product status, and frames that are not what they should be."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.feed.book import BookKeeper
from pipeline.model import BookState
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Snapshot, Status, Subscribed
from pipeline.venues.coinbase.books import CoinbaseCodec, make

DATA = Path(__file__).resolve().parents[1] / "data" / "coinbase"
TOO_MANY = {"type": "error", "message": "too many L2 streams requested in a single session"}


def text(**message: Any) -> bytes:
    return json.dumps(message).encode()


def level(side: str, price: str, size: str) -> dict[str, str]:
    return {"side": side, "price_level": price, "new_quantity": size}


def book(number: int, kind: str, *updates: dict[str, str], product: str = "BTC-USD", **more: Any) -> bytes:
    event = {"type": kind, "product_id": product, "updates": list(updates)}
    return text(**{"channel": "l2_data", "sequence_num": number, "events": [event], **more})


def snapshot(number: int, product: str = "BTC-USD") -> bytes:
    return book(number, "snapshot", level("bid", "100", "1"), level("offer", "101", "2"), product=product)


def answer(number: int, **channels: list[str]) -> bytes:
    return text(channel="subscriptions", sequence_num=number, events=[{"subscriptions": channels}])


def status(number: int, *products: dict[str, Any]) -> bytes:
    events = [{"type": "snapshot", "products": list(products)}]
    return text(channel="status", sequence_num=number, events=events)


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def started(*products: str) -> CoinbaseCodec:
    codec = make({})
    codec.subscribe(products)
    return codec


def state(keeper: BookKeeper, product: str = "BTC-USD") -> BookState:
    return BookState(keeper.books[product].state)


# Answers and refusals


def test_an_answer_lists_all_that_is_subscribed_to() -> None:
    """Products of level2 are acknowledged; an answer about other channels is of no interest."""
    recorded = (DATA / "ws_subscriptions.json").read_bytes()
    assert make({}).decode(recorded) == [Subscribed(("BTC-USD", "ETH-USD"), ok=True)]
    assert kinds(make({}).decode(answer(0, heartbeats=["heartbeats"]))) == [Ignored]


def test_too_many_books_belong_on_another_connection() -> None:
    """Those that were not acknowledged, in words or by their book, are named as refused for want of room."""
    codec = started("A-USD", "B-USD")
    codec.subscribe(["C-USD", "D-USD"])
    codec.decode(answer(0, level2=["A-USD"]))
    codec.decode(snapshot(1, "B-USD"))
    assert codec.decode(text(**TOO_MANY)) == [
        Subscribed(("C-USD", "D-USD"), ok=False, why=TOO_MANY["message"], full=True)
    ]
    assert codec.decode(snapshot(2, "A-USD")) != []


def test_other_refusals_name_the_books_that_have_no_answer() -> None:
    """They are to be asked for again here; the reason is kept."""
    codec = started("A-USD", "B-USD")
    codec.decode(snapshot(0, "A-USD"))
    error = text(type="error", message="Failed to subscribe", reason="rate limit exceeded")
    (refused,) = codec.decode(error)
    assert refused == Subscribed(("B-USD",), ok=False, why="Failed to subscribe rate limit exceeded")


def test_on_a_tape_an_error_is_about_no_book() -> None:
    """Nobody knows what was asked for; an error frame has no channel and is no bad frame."""
    assert make({}).decode(text(**TOO_MANY)) == [Subscribed((), ok=False, why=TOO_MANY["message"], full=True)]


def test_a_book_whose_new_subscription_is_refused_is_lost() -> None:
    """It was left in order to be asked for again, so nobody feeds it: it may not stay LIVE."""
    codec, keeper = started("BTC-USD", "ETH-USD"), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(snapshot(0)))
    keeper.apply_frame(codec.decode(snapshot(1, "ETH-USD")))
    codec.resync(["BTC-USD"])
    refused = codec.decode(text(type="error", message="rate limit exceeded"))
    assert kinds(refused) == [Subscribed, Gap]
    keeper.apply_frame(refused)
    assert (state(keeper), state(keeper, "ETH-USD")) == (BookState.GAP, BookState.LIVE)


@pytest.mark.parametrize("message", ["channel status is not supported", "invalid channel"])
def test_a_venue_that_refuses_the_status_channel_is_left_in_peace(message: str) -> None:
    """Nothing is refused but that, and it is not asked for again on this connection."""
    codec = started("BTC-USD")
    codec.decode(snapshot(0))
    codec.decode(answer(1, level2=["BTC-USD"]))
    assert kinds(codec.decode(text(type="error", message=message))) == [Ignored]
    assert "status" not in "".join(codec.subscribe(["ETH-USD"]))
    assert kinds(codec.decode(text(type="error", message=message))) == [Subscribed]


@pytest.mark.parametrize("error", [{"message": 5}, {"message": ["x"]}, {"message": None, "reason": {}}])
def test_an_odd_error_frame_harms_no_book(error: dict[str, Any]) -> None:
    """It is counted as a bad frame, and no change was in it."""
    (bad,) = make({}).decode(text(type="error", **error))
    assert isinstance(bad, Bad)
    assert not bad.lost


# Status


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ({"status": "online"}, Status("BTC-USD", tradable=True, word="online")),
        ({"status": "offline"}, Status("BTC-USD", tradable=False, word="offline")),
        ({"status": "delisted"}, Status("BTC-USD", tradable=False, word="delisted")),
        ({"status": "online", "trading_disabled": True}, Status("BTC-USD", False, "trading_disabled")),
        ({"status": "online", "cancel_only": True}, Status("BTC-USD", False, "cancel_only")),
        ({"status": "online", "limit_only": True}, Status("BTC-USD", False, "limit_only")),
        ({"status": "online", "post_only": True}, Status("BTC-USD", False, "post_only")),
        ({"status": "online", "auction_mode": True}, Status("BTC-USD", False, "auction_mode")),
        ({"status": "online", "view_only": True}, Status("BTC-USD", False, "view_only")),
        ({"is_disabled": True}, Status("BTC-USD", False, "is_disabled")),
        ({"status": "online", "post_only": False}, Status("BTC-USD", True, "online")),
        ({}, Ignored("status")),
        ({"status": ""}, Ignored("status")),
        ({"status": 5}, Ignored("status")),
        ({"post_only": False}, Ignored("status")),
    ],
)
def test_a_products_status(said: dict[str, Any], event: Event) -> None:
    """Only what the venue says counts, and anything but an open market is not traded."""
    codec = started("BTC-USD")
    assert codec.decode(status(0, {"id": "BTC-USD", **said})) == [event]


def test_status_is_heard_of_our_products_only_and_by_our_names() -> None:
    """The venue may tell of all products, by its own names; one that is odd does not hide the others."""
    codec = started("BTC-USDC", "ETH-USD")
    products: list[Any] = [{"id": name, "status": "online"} for name in ("A-USD", "BTC-USD", "ETH-USD")]
    events = codec.decode(status(0, 5, {"id": 7}, *products))  # type: ignore[arg-type]
    assert [event.market for event in events if isinstance(event, Status)] == ["BTC-USDC", "ETH-USD"]
    assert kinds(codec.decode(snapshot(1))) == [Snapshot]


@pytest.mark.parametrize("events", [5, [5], [{"products": 5}], [{"products": {}}], None])
def test_an_odd_status_frame_counts_in_the_sequence_and_harms_no_book(events: object) -> None:
    """It is a bad frame; the next one follows it."""
    codec = started("BTC-USD")
    codec.decode(snapshot(0))
    (bad,) = codec.decode(text(channel="status", sequence_num=1, events=events))
    assert isinstance(bad, Bad)
    assert not bad.lost
    assert kinds(codec.decode(book(2, "update", level("bid", "99", "1")))) == [Change]


def test_a_paused_product_is_shown_and_not_traded() -> None:
    """The book goes on; the keeper says that orders would be refused."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(snapshot(0)))
    keeper.apply_frame(codec.decode(status(1, {"id": "BTC-USD", "status": "online", "cancel_only": True})))
    assert (state(keeper), keeper.tradable("BTC-USD")) == (BookState.LIVE, False)
    keeper.apply_frame(codec.decode(status(2, {"id": "BTC-USD", "status": "online"})))
    assert keeper.tradable("BTC-USD")


# Frames that are not what they should be


def test_a_book_event_that_lost_its_updates_loses_the_book() -> None:
    """No updates at all are not the same as none to tell."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(snapshot(0)))
    assert kinds(codec.decode(book(1, "update"))) == [Change]
    bare = text(channel="l2_data", sequence_num=2, events=[{"type": "update", "product_id": "BTC-USD"}])
    keeper.apply_frame(codec.decode(bare))
    assert state(keeper) == BookState.GAP
    assert keeper.resync == {"BTC-USD"}


def test_book_changes_under_another_channels_name_are_a_loss() -> None:
    """One wrong letter in the channel's name must not swallow a change."""
    codec = started("BTC-USD")
    codec.decode(snapshot(0))
    (bad,) = codec.decode(book(1, "update", level("bid", "99", "1"), channel="l2_date"))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ())


@pytest.mark.parametrize("stamp", [None, "", "yesterday", "2026-11-02T08:15:30", 17])
def test_a_time_that_cannot_be_read_harms_no_book(stamp: object) -> None:
    """The sequence and the levels are sound, so they count; the time is 0."""
    codec = started("BTC-USD")
    (change,) = codec.decode(book(0, "update", level("bid", "99", "1"), timestamp=stamp))
    assert isinstance(change, Change)
    assert (change.bids, change.venue_ns) == ([(9_900_000_000, 100_000_000)], 0)


def test_one_odd_event_does_not_hide_its_neighbour() -> None:
    """Of two products in a frame the sound one is used and the other is lost, without a gap."""
    codec = started("BTC-USD", "ETH-USD")
    events = [
        {"type": "update", "product_id": "ETH-USD", "updates": [level("left", "1", "1")]},
        {"type": "update", "product_id": "BTC-USD", "updates": [level("bid", "99", "1")]},
    ]
    bad, change = codec.decode(text(channel="l2_data", sequence_num=0, events=events))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ("ETH-USD",))
    assert isinstance(change, Change)


def test_removing_an_unknown_level_and_changing_one_twice() -> None:
    """A zero for a level that is not there changes nothing; of a price that comes twice the last counts."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(snapshot(0)))
    twice = (level("bid", "99", "0.00000000"), level("bid", "98", "5"), level("bid", "98", "7"))
    keeper.apply_frame(codec.decode(book(1, "update", *twice)))
    assert keeper.books["BTC-USD"].top()[0] == [
        (10_000_000_000, 100_000_000),
        (9_800_000_000, 700_000_000),
    ]


def stamp(number: int) -> str:
    return f"2026-11-02T08:15:30.{number:06}Z"


@pytest.mark.parametrize("fall", [1, 2, 3, 50, 4_000])
def test_a_count_that_falls_is_a_gap(fall: int) -> None:
    """A lower number with a later time is no old frame; the count goes on from there."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    one = level("bid", "99", "1")
    keeper.apply_frame(codec.decode(snapshot(5_000)))
    keeper.apply_frame(codec.decode(book(5_001, "update", one, timestamp=stamp(1))))
    events = codec.decode(book(5_001 - fall + 1, "update", one, timestamp=stamp(2)))
    assert kinds(events) == [Gap]
    keeper.apply_frame(events)
    assert (state(keeper), keeper.gaps) == (BookState.GAP, 1)
    assert kinds(codec.decode(snapshot(5_001 - fall + 2))) == [Snapshot]


def test_a_snapshot_that_comes_late_is_not_taken() -> None:
    """Swapped with the change after it and without a time to tell: GAP, and not LIVE without that change."""
    codec, keeper = started("BTC-USD", "ETH-USD"), BookKeeper("coinbase")
    for frame in (snapshot(0), book(2, "update", level("bid", "99", "1")), snapshot(1)):
        keeper.apply_frame(codec.decode(frame))
    assert state(keeper) == BookState.GAP


def test_a_number_far_too_high_does_not_deafen() -> None:
    """One damaged number voids the books once more when the true count goes on, and no longer."""
    codec = started("BTC-USD")
    one = level("bid", "99", "1")
    numbers = [10, 10 + 2**40, 11, 12]
    told = [
        kinds(codec.decode(book(number, "update", one, timestamp=stamp(at))))
        for at, number in enumerate(numbers)
    ]
    assert told == [[Change], [Gap, Change], [Gap], [Change]]


def test_frames_that_come_again_never_cost_a_book() -> None:
    """Every frame doubled, and older ones again much later: each is dropped, and no book is lost."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    sent = [snapshot(0)]
    sent += [book(at, "update", level("bid", "99", str(at)), timestamp=stamp(at)) for at in range(1, 200)]
    for at, frame in enumerate(sent):
        for again in (frame, frame, *(sent[at // 2 : at // 2 + 2] if at > 5 else ())):
            keeper.apply_frame(codec.decode(again))
    assert state(keeper) == BookState.LIVE
    assert (keeper.gaps, keeper.duplicates) == (0, 200 + 2 * 194)


def test_a_book_event_without_a_product_loses_every_book() -> None:
    """Nobody knows whose change it was, so it is not taken for one of another market."""
    codec, keeper = started("BTC-USD"), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(snapshot(0)))
    nameless = [{"type": "update", "updates": [level("bid", "1.5", "1")]}]
    keeper.apply_frame(codec.decode(text(channel="l2_data", sequence_num=1, events=nameless)))
    assert state(keeper) == BookState.GAP


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_lost_a_live_book_is_the_venues(seed: int) -> None:
    """Frames of two products and of heartbeats dropped, doubled, swapped or cut: LIVE means equal."""
    chance, codec, keeper = random.Random(seed), started("BTC-USD", "ETH-USD"), BookKeeper("coinbase")
    truth: dict[str, dict[int, int]] = {"BTC-USD": {100: 1}, "ETH-USD": {100: 1}}
    number, caught, applied = 0, 0, 0

    def sent() -> bytes:
        nonlocal number
        number += 1
        if chance.random() < 0.2:
            return text(channel="heartbeats", sequence_num=number, events=[{"heartbeat_counter": number}])
        product, price, size = chance.choice(list(truth)), chance.randint(90, 100), chance.randint(0, 3)
        truth[product][price] = size
        return book(number, "update", level("bid", str(price), str(size)), product=product)

    def hear(frame: bytes) -> None:
        keeper.apply_frame(codec.decode(frame))

    def refresh(product: str) -> None:
        nonlocal number
        number += 1
        levels = [level("bid", str(price), str(size)) for price, size in truth[product].items()]
        hear(book(number, "snapshot", *levels, product=product))

    for product in truth:
        refresh(product)
    for _ in range(300):
        fate, frames = chance.choice(["plain"] * 5 + ["double", "lose", "swap", "cut"]), [sent()]
        if fate == "swap":
            frames.insert(0, sent())
        if fate == "cut":
            frames = [frames[0][: chance.randrange(1, len(frames[0]))]]
        for frame in [] if fate == "lose" else frames * (2 if fate == "double" else 1):
            hear(frame)
        if fate == "lose":
            hear(text(channel="ticker", sequence_num=(number := number + 1), events=[]))
        for product, held in truth.items():
            if state(keeper, product) == BookState.LIVE:
                applied += 1
                mine = {ticks // 10**8: units // 10**8 for ticks, units in keeper.books[product].top(0)[0]}
                assert mine == {price: size for price, size in held.items() if size}
            else:
                caught += 1
                refresh(product)
    assert caught > 20
    assert applied > 200
