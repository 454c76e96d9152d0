"""Coinbase's codec: frames in Coinbase's shape become the right events, one sequence over all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.feed.book import BookKeeper
from pipeline.model import BookState, Scale
from pipeline.tape import TapeLine, read
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Snapshot
from pipeline.venues.coinbase.books import CoinbaseCodec, make

DATA = Path(__file__).resolve().parents[1] / "data" / "coinbase"


def frame(name: str) -> bytes:
    return (DATA / f"ws_{name}.json").read_bytes()


def update(number: int, product: str = "BTC-USD", level: tuple[str, str, str] | None = None) -> bytes:
    side, price, size = level or ("bid", "100", "1")
    one = {"side": side, "price_level": price, "new_quantity": size}
    event = {"type": "update", "product_id": product, "updates": [one]}
    return json.dumps({"channel": "l2_data", "sequence_num": number, "events": [event]}).encode()


def only(events: list[Event]) -> Event:
    assert len(events) == 1, events
    return events[0]


def test_subscribing_sends_one_channel_a_message_and_heartbeats_once() -> None:
    """Books first, then the heartbeats that keep a quiet connection open, then the products' status."""
    codec = make({})
    books, beats, status = map(json.loads, codec.subscribe(["BTC-USD", "ETH-USD"]))
    assert books == {
        "type": "subscribe",
        "channel": "level2",
        "product_ids": ["BTC-USD", "ETH-USD"],
    }
    assert beats == {"type": "subscribe", "channel": "heartbeats"}
    assert status == {**books, "channel": "status"}
    later = [json.loads(text) for text in codec.subscribe(["SOL-USD"])]
    assert [(request["channel"], request["product_ids"]) for request in later] == [
        ("level2", ["SOL-USD"]),
        ("status", ["SOL-USD"]),
    ]
    assert codec.ping() is None


def test_a_resync_unsubscribes_and_subscribes_again() -> None:
    """A fresh subscription is the only way to a fresh snapshot."""
    codec = make({})
    codec.subscribe(["BTC-USD"])
    requests = [json.loads(text) for text in codec.resync(["BTC-USD"])]
    assert [request["type"] for request in requests] == ["unsubscribe", "subscribe"]
    assert all(request["product_ids"] == ["BTC-USD"] for request in requests)
    assert all(request["channel"] == "level2" for request in requests)
    assert codec.resync([]) == codec.subscribe([]) == codec.unsubscribe([]) == []


def test_a_snapshot_becomes_exact_integers() -> None:
    """Eight decimals each by default, `offer` is the ask, the frame's time counts to the microsecond."""
    assert only(make({}).decode(frame("l2_snapshot"))) == Snapshot(
        "BTC-USD",
        bids=[(6_410_001_000_000, 25_000_000), (6_409_950_000_000, 100_000_001)],
        asks=[(6_410_002_000_000, 10_000_000), (6_410_100_000_000, 300_000_000)],
        venue_ns=1_793_607_330_123_457_000,
    )


def test_a_given_scale_is_used() -> None:
    """A market's own scale replaces the default."""
    event = only(make({"BTC-USD": Scale(2, 3)}).decode(update(0)))
    assert isinstance(event, Change)
    assert event.bids == [(10_000, 1_000)]


def test_a_session_makes_the_book_the_venue_has() -> None:
    """Snapshot, answer, update with deletions, heartbeat and another channel: no gap, no fault."""
    codec, keeper = make({}), BookKeeper("coinbase")
    for name in ["l2_snapshot", "subscriptions", "l2_update", "heartbeats", "ticker", "error"]:
        keeper.apply_frame(codec.decode(frame(name)))
    bids, asks = keeper.books["BTC-USD"].top()
    assert bids == [(6_409_950_000_000, 100_000_001)]
    assert asks == [(6_410_050_000_000, 75_000_000), (6_410_100_000_000, 300_000_000)]
    assert keeper.books["BTC-USD"].state == BookState.LIVE
    assert keeper.books["ETH-USD"].state == BookState.EMPTY
    assert (keeper.book_messages, keeper.gaps, keeper.bad_frames) == (2, 0, 0)
    assert codec.last_sequence == 4


def test_several_events_of_a_frame_keep_their_order() -> None:
    """One frame may be about several products."""
    changes = make({}).decode(frame("l2_update"))
    assert [event.market for event in changes if isinstance(event, Change)] == [
        "BTC-USD",
        "ETH-USD",
    ]


def test_the_first_frame_sets_the_sequence_whatever_it_is() -> None:
    """A connection may be heard from its middle."""
    codec = make({})
    assert isinstance(only(codec.decode(update(77))), Change)
    assert isinstance(only(codec.decode(update(78))), Change)
    assert codec.last_sequence == 78


def test_a_jump_voids_every_book_and_the_frame_itself_is_still_read() -> None:
    """A lost frame may have been about any product; a snapshot in the same frame repairs its own."""
    codec, keeper = make({}), BookKeeper("coinbase")
    keeper.apply_frame(codec.decode(frame("l2_snapshot")))
    gap, change = codec.decode(update(3))
    assert isinstance(gap, Gap)
    assert (gap.markets, gap.counted) == ((), True)
    assert isinstance(change, Change)
    keeper.apply_frame([gap, change])
    states = [keeper.books["BTC-USD"].state]
    late = frame("l2_snapshot").replace(b'"sequence_num":0', b'"sequence_num":9')
    keeper.apply_frame(codec.decode(late))
    states.append(keeper.books["BTC-USD"].state)
    assert states == [BookState.GAP, BookState.LIVE]
    assert keeper.gaps == 2


def test_frames_of_every_channel_count_in_the_sequence() -> None:
    """A ticker that is missing is a gap too, and one that came is not."""
    codec = make({})
    codec.decode(update(10))
    assert isinstance(only(codec.decode(frame("ticker").replace(b":4,", b":11,"))), Ignored)
    assert isinstance(only(codec.decode(update(12))), Change)
    assert isinstance(codec.decode(frame("heartbeats").replace(b":3,", b":14,"))[0], Gap)


@pytest.mark.parametrize("number", [0, 4, 5])
def test_an_old_frame_is_a_duplicate_and_changes_nothing(number: int) -> None:
    """The same frame again, or one from before, is counted and dropped."""

    def timed(number: int) -> bytes:
        return update(number).replace(b'"events"', b'"timestamp":"2026-11-02T08:15:3%dZ","events"' % number)

    codec = make({})
    codec.decode(timed(5))
    assert only(codec.decode(timed(number))) == Ignored("duplicate", duplicate=True)
    assert codec.last_sequence == 5


def test_a_frame_that_cannot_be_read_still_counts_in_the_sequence() -> None:
    """Its own market is lost; the others go on without a gap."""
    codec = make({})
    codec.decode(update(0))
    broken = update(1).replace(b'"bid"', b'"bud"')
    bad = only(codec.decode(broken))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ("BTC-USD",))
    assert isinstance(only(codec.decode(update(2, "ETH-USD"))), Change)


@pytest.mark.parametrize(
    "level",
    [
        ("bid", "0", "1"),
        ("bid", "-1", "1"),
        ("offer", "5", "-1"),
        ("offer", "NaN", "1"),
        ("offer", "5", "Infinity"),
        ("bid", "0.123456789", "1"),
        ("bid", "5", "0.000000001"),
        ("bid", "99999999999999", "1"),
        ("bid", "", "1"),
        ("bid", " 5", "1"),
        ("bid", "٥", "1"),
    ],
)
def test_a_level_that_cannot_be_loses_the_book(level: tuple[str, str, str]) -> None:
    """Off the scale, negative, zero, beyond int64 or no number: the message is refused whole."""
    bad = only(make({}).decode(update(0, level=level)))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ("BTC-USD",))


def test_a_book_frame_without_a_number_proves_nothing() -> None:
    """Without sequence_num nobody can say what was lost before it."""
    bad = only(make({}).decode(update(0).replace(b'"sequence_num"', b'"number"')))
    assert isinstance(bad, Bad)
    assert bad.lost


def test_a_usdc_alias_is_given_the_name_that_was_asked_for() -> None:
    """The venue answers with the canonical product; the book keeps the name in our config."""
    codec = make({})
    codec.subscribe(["BTC-USDC"])
    event = only(codec.decode(update(0, "BTC-USD")))
    assert isinstance(event, Change)
    assert event.market == "BTC-USDC"
    own = only(codec.decode(update(1, "BTC-USDC")))
    assert isinstance(own, Change)
    assert own.market == "BTC-USDC"


def test_alias_and_product_asked_together_stay_apart() -> None:
    """The product keeps its book and the alias has none: they are one book, not two."""
    codec = make({})
    codec.subscribe(["BTC-USDC", "BTC-USD"])
    event = only(codec.decode(update(0, "BTC-USD")))
    assert isinstance(event, Change)
    assert event.market == "BTC-USD"


def test_products_no_longer_subscribed_are_ignored_and_still_counted() -> None:
    """Frames still under way after an unsubscribe do not bring a book back, nor tear a gap."""
    codec = make({})
    codec.subscribe(["BTC-USD", "ETH-USD"])
    codec.decode(update(0))
    codec.unsubscribe(["ETH-USD"])
    assert isinstance(only(codec.decode(update(1, "ETH-USD"))), Ignored)
    assert isinstance(only(codec.decode(update(2))), Change)


def test_a_real_recording_has_no_gap_and_no_crossed_book(tapes: Path) -> None:
    """All 500 frames of one connection, 46,000 levels in one of them."""
    codec, keeper = CoinbaseCodec({}), BookKeeper("coinbase")
    for line in read(tapes / "coinbase_20260809_btc_eth.jsonl.gz"):
        assert isinstance(line, TapeLine)
        keeper.apply_frame(codec.decode(line.data.encode()))
        assert all(book.state == BookState.LIVE for book in keeper.books.values())
    assert (keeper.gaps, keeper.bad_frames, keeper.duplicates) == (0, 0, 0)
    assert sorted(keeper.books) == ["BTC-USD", "ETH-USD"]
    assert len(keeper.books["BTC-USD"].top()[0]) > 10_000
