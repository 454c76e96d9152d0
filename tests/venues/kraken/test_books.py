"""Kraken's codec: frames in Kraken's shape become the right events, and nothing is rounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.feed.book import BookKeeper
from pipeline.model import BookState, Market, MarketStatus, Scale
from pipeline.tape import TapeLine, read
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Ignored,
    Listed,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.kraken.books import DEFAULT_DEPTH, KrakenCodec, make

DATA = Path(__file__).resolve().parents[1] / "data" / "kraken"
BTC = {"BTC/USD": Scale(1, 8)}


def frame(name: str) -> bytes:
    return (DATA / f"ws_{name}.json").read_bytes()


def book_frame(kind: str, bids: str = "", asks: str = "", rest: str = ',"checksum":0') -> bytes:
    def side(levels: str) -> str:
        pairs = [level.split("@") for level in levels.split()]
        return ",".join(f'{{"price":{price},"qty":{size}}}' for size, price in pairs)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD",'
        f'"bids":[{side(bids)}],"asks":[{side(asks)}]{rest}}}]}}'
    ).encode()


def only(events: list[Event]) -> Event:
    assert len(events) == 1, events
    return events[0]


def test_subscribing_asks_for_instruments_once_and_for_books_of_the_depth() -> None:
    """The scales are asked for before the first book; every request has its own id."""
    codec = KrakenCodec({}, depth=100)
    first, second = map(json.loads, codec.subscribe(["BTC/USD", "ETH/USD"]))
    assert first["params"]["channel"] == "instrument"
    assert second == {
        "method": "subscribe",
        "params": {
            "channel": "book",
            "symbol": ["BTC/USD", "ETH/USD"],
            "depth": 100,
            "snapshot": True,
        },
        "req_id": 2,
    }
    (third,) = map(json.loads, codec.subscribe(["SOL/USD"]))
    assert third["params"]["symbol"] == ["SOL/USD"]
    assert third["req_id"] == 3


def test_many_symbols_are_asked_for_in_chunks() -> None:
    """No request names more than 50 symbols, and together they name each once."""
    symbols = [f"A{number}/USD" for number in range(120)]
    codec = make({})
    for texts in (codec.subscribe(symbols)[1:], codec.unsubscribe(symbols)):
        asked = [json.loads(text)["params"]["symbol"] for text in texts]
        assert [len(chunk) for chunk in asked] == [50, 50, 20]
        assert [symbol for chunk in asked for symbol in chunk] == symbols


def test_a_resync_unsubscribes_with_the_depth_and_subscribes_again() -> None:
    """Kraken refuses an unsubscribe that does not repeat the depth."""
    codec = make({})
    codec.subscribe(["BTC/USD"])
    leave, again = map(json.loads, codec.resync(["BTC/USD"]))
    assert (leave["method"], leave["params"]["depth"]) == ("unsubscribe", DEFAULT_DEPTH)
    assert (again["method"], again["params"]["symbol"]) == ("subscribe", ["BTC/USD"])
    assert codec.resync([]) == codec.subscribe([]) == codec.unsubscribe([]) == []


def test_a_depth_that_kraken_does_not_offer_is_a_broken_invariant() -> None:
    """The depth is ours to choose, so a wrong one is a mistake of ours."""
    with pytest.raises(AssertionError):
        KrakenCodec({}, depth=20)


def test_a_snapshot_becomes_exact_integers() -> None:
    """Trailing zeros, checksum and depth survive; a missing time is 0."""
    codec = make(BTC)
    assert only(codec.decode(frame("book_snapshot"))) == Snapshot(
        "BTC/USD",
        bids=[(627104, 1_000_000), (627091, 200_000_000)],
        asks=[(627105, 93_111_634), (627106, 50_000_000), (627110, 120_000_000)],
        checksum=1396696505,
        depth=10,
    )


def test_an_update_keeps_order_exponents_and_time() -> None:
    """The same level may come twice; 5e-06 is exact; the time is in nanoseconds."""
    codec = make(BTC)
    change = only(codec.decode(frame("book_update")))
    assert isinstance(change, Change)
    assert change.bids == [(627105, 25_000_000), (627105, 500)]
    assert change.asks == [(627105, 0), (627110, 75_000_000)]
    assert change.venue_ns == 1_793_607_330_250_750_000
    assert not change.relative


def test_a_session_keeps_the_book_verified() -> None:
    """Acknowledgement, snapshot and update of our own recording give two good checksums."""
    codec, keeper = make({}), BookKeeper("kraken")
    names = ["status", "subscribe_ack", "book_snapshot", "heartbeat", "book_update", "pong"]
    for name in names:
        keeper.apply_frame(codec.decode(frame(name)))
    book = keeper.books["BTC/USD"]
    assert (keeper.checksums_ok, keeper.checksums_bad, keeper.bad_frames) == (2, 0, 0)
    assert (book.state, book.depth, book.scale) == (BookState.LIVE, 10, Scale(1, 8))
    assert book.top()[0][0] == (627105, 500)


def test_instruments_tell_scale_grid_minimum_and_status() -> None:
    """Everything an order needs to know of a pair comes from the instrument channel."""
    events = make({}).decode(frame("instrument_snapshot"))
    assert events == [
        Listed(
            Market(
                "kraken",
                "BTC/USD",
                Scale(1, 8),
                grid_ticks=1,
                lot_units=1,
                min_units=5_000,
                min_cost_micros=500_000,
                status=MarketStatus.OPEN,
            )
        ),
        Status("BTC/USD", tradable=True, word="online"),
        Listed(
            Market(
                "kraken",
                "PEPE/USD",
                Scale(9, 5),
                grid_ticks=1,
                lot_units=1,
                min_units=45_000_000_000,
                min_cost_micros=500_000,
                status=MarketStatus.PAUSED,
            )
        ),
        Status("PEPE/USD", tradable=False, word="post_only"),
    ]


def test_only_pairs_asked_for_are_listed() -> None:
    """Kraken lists over a thousand pairs; a feed hears of its own."""
    codec = make({})
    codec.subscribe(["PEPE/USD"])
    events = codec.decode(frame("instrument_snapshot"))
    assert [event.market.market for event in events if isinstance(event, Listed)] == ["PEPE/USD"]


def test_one_odd_pair_does_not_spoil_the_others() -> None:
    """A pair that cannot be read is named; the rest are listed."""
    text = frame("instrument_snapshot").replace(b'"price_precision":9', b'"price_precision":"9"')
    events = make({}).decode(text)
    assert isinstance(events[0], Listed)
    assert isinstance(events[-1], Bad)
    assert (events[-1].markets, events[-1].lost) == (("PEPE/USD",), False)


def test_a_scale_nobody_told_is_that_of_the_widest_numbers() -> None:
    """The first snapshot sets the scale and says so; 5e-06 counts six decimals."""
    codec = make({})
    listed, snapshot = codec.decode(book_frame("snapshot", "1@0.5 5e-06@0.25", "2.5@1e1"))
    assert listed == Listed(Market("kraken", "BTC/USD", Scale(2, 6)))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.bids == [(50, 1_000_000), (25, 5)]
    assert snapshot.asks == [(1000, 2_500_000)]


def test_a_guessed_scale_that_proves_narrow_widens() -> None:
    """A message off the guessed scale is lost, and the same does not happen twice."""
    codec = make({})
    codec.decode(book_frame("snapshot", "1@0.5", "2@0.6"))
    bad, listed = codec.decode(book_frame("update", "1@0.55"))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ("BTC/USD",))
    assert listed == Listed(Market("kraken", "BTC/USD", Scale(2, 0)))
    listed, snapshot = codec.decode(book_frame("snapshot", "1@0.5", "2.5@0.6"))
    assert listed == Listed(Market("kraken", "BTC/USD", Scale(2, 1)))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.bids == [(50, 10)]


def test_before_the_scale_is_known_nothing_becomes_a_level() -> None:
    """An empty snapshot tells no scale, and a change has none to stand on."""
    codec = make({})
    assert isinstance(only(codec.decode(book_frame("snapshot"))), Ignored)
    assert isinstance(only(codec.decode(book_frame("update", "1@0.5"))), Ignored)


@pytest.mark.parametrize(
    ("levels", "depth"), [(0, 10), (3, 10), (10, 10), (11, 25), (25, 25), (26, 100), (101, 500)]
)
def test_without_an_answer_the_depth_is_the_smallest_that_holds_the_snapshot(levels: int, depth: int) -> None:
    """A tape without acknowledgement still gives the right depth when the book is not thin."""
    asks = " ".join(f"1@{100 + number}" for number in range(levels))
    snapshot = make(BTC).decode(book_frame("snapshot", "1@99", asks))[-1]
    assert isinstance(snapshot, Snapshot)
    assert snapshot.depth == depth


def test_the_acknowledged_depth_wins_over_the_one_asked_for() -> None:
    """What the venue says it sends is what the book is cut to."""
    codec = KrakenCodec(BTC, depth=100)
    codec.subscribe(["BTC/USD"])
    codec.decode(frame("instrument_snapshot"))
    before = only(codec.decode(frame("book_snapshot")))
    codec.decode(frame("subscribe_ack"))
    after = only(codec.decode(frame("book_snapshot")))
    assert isinstance(before, Snapshot)
    assert isinstance(after, Snapshot)
    assert (before.depth, after.depth) == (100, 10)


def test_an_answer_after_the_snapshot_mends_a_guessed_depth() -> None:
    """On a tape the acknowledgement may come second; the checksum still counts once."""
    codec, keeper = make(BTC), BookKeeper("kraken", BTC)
    keeper.apply_frame(codec.decode(frame("book_snapshot")))
    ack = frame("subscribe_ack").replace(b'"depth":10', b'"depth":25')
    keeper.apply_frame(codec.decode(ack))
    keeper.apply_frame(codec.decode(frame("book_update")))
    assert keeper.books["BTC/USD"].depth == 25
    assert (keeper.checksums_ok, keeper.checksums_bad, keeper.book_messages) == (2, 0, 2)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("status", Status("", tradable=True, word="online")),
        ("status_maintenance", Status("", tradable=False, word="maintenance")),
        ("heartbeat", Ignored("heartbeat")),
        ("pong", Ignored("pong")),
        ("unsubscribe_ack", Ignored("unsubscribe")),
        ("subscribe_ack", Subscribed(("BTC/USD",), ok=True, why="depth 10 is the default")),
        (
            "subscribe_error",
            Subscribed(("XBT/USD",), ok=False, why="Currency pair not supported XBT/USD"),
        ),
        ("request_error", Subscribed((), ok=False, why="Malformed request")),
        ("rate_error", Subscribed((), ok=False, why="Exceeded msg rate")),
    ],
)
def test_frames_beside_the_book(name: str, event: Event) -> None:
    """Each has its one meaning, and none is a bad frame."""
    assert only(make({}).decode(frame(name))) == event


def test_a_pong_pays_the_debt_of_pings() -> None:
    """Unanswered pings are counted until any answer comes; heartbeats are none."""
    codec = make({})
    pings = [json.loads(str(codec.ping())) for _ in range(2)]
    assert [ping["method"] for ping in pings] == ["ping", "ping"]
    assert pings[0]["req_id"] != pings[1]["req_id"]
    codec.decode(frame("heartbeat"))
    assert codec.unanswered == 2
    codec.decode(frame("pong"))
    assert codec.unanswered == 0


@pytest.mark.parametrize(
    "level",
    ["1@0", "1@-1", "-1@5", "1@0.12", "0.123456789@5", "1@1e30", '1@"5"', "null@5", "1@[]"],
)
def test_a_level_that_cannot_be_loses_the_book(level: str) -> None:
    """Off the scale, negative, zero, beyond int64 or no number: the message is refused whole."""
    bad = only(make(BTC).decode(book_frame("update", f"1@5 {level}")))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ("BTC/USD",))


@pytest.mark.parametrize("level", ["1@NaN", "1@Infinity", "1@01", "1@+5", "1@.5"])
def test_what_is_not_json_loses_every_book(level: str) -> None:
    """Nobody knows whose change it was."""
    bad = only(make(BTC).decode(book_frame("update", level)))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ())


def test_one_bad_element_does_not_hide_its_neighbour() -> None:
    """Of two books in a frame the sound one is used and the other is named."""
    frame_text = (
        b'{"channel":"book","type":"update","data":[{"symbol":"ETH/USD","bids":5},'
        b'{"symbol":"BTC/USD","bids":[{"price":5.0,"qty":1.0}],"asks":[],"checksum":1}]}'
    )
    bad, change = make(BTC).decode(frame_text)
    assert isinstance(bad, Bad)
    assert bad.markets == ("ETH/USD",)
    assert isinstance(change, Change)


def test_markets_no_longer_subscribed_are_ignored() -> None:
    """Messages still under way after an unsubscribe do not bring a book back."""
    codec = make(BTC)
    codec.subscribe(["BTC/USD", "ETH/USD"])
    codec.unsubscribe(["BTC/USD"])
    assert isinstance(only(codec.decode(frame("book_update"))), Ignored)


def test_a_real_recording_verifies_after_every_message(tapes: Path) -> None:
    """Every checksum of the recording is right and the book is never crossed."""
    codec, keeper = make({}), BookKeeper("kraken")
    for line in read(tapes / "kraken_20260719_btcusd_d10.jsonl.gz"):
        assert isinstance(line, TapeLine)
        keeper.apply_frame(codec.decode(line.data.encode()))
        assert all(book.state == BookState.LIVE for book in keeper.books.values())
    assert (keeper.checksums_bad, keeper.bad_frames) == (0, 0)
    assert keeper.checksums_ok == keeper.book_messages == 652


def test_a_recording_with_one_flipped_size_is_caught_at_once(tapes: Path) -> None:
    """One digit that is not the venue's own, among the ten best levels, ends in GAP."""
    codec, keeper = make({}), BookKeeper("kraken")
    lines = list(read(tapes / "kraken_20260719_btcusd_d10.jsonl.gz"))
    frames = [line.data.encode() for line in lines if isinstance(line, TapeLine)]
    snapshot = next(text for text in frames if b'"type":"snapshot"' in text)
    keeper.apply_frame(codec.decode(snapshot.replace(b'"qty":0.', b'"qty":1.', 1)))
    assert keeper.checksums_bad == 1
    assert keeper.resync == {"BTC/USD"}
    assert keeper.books["BTC/USD"].state == BookState.GAP
