"""Polymarket's codec: one book a token as sent, whatever form a frame has, and only of what is followed."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.feed.book import BookKeeper
from pipeline.model import INT64_MAX, BookState, Market, Scale
from pipeline.tape import TapeLine, read
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Listed, Settled, Snapshot, Status
from pipeline.venues.polymarket.books import PolymarketCodec, make

DATA = Path(__file__).resolve().parents[1] / "data" / "polymarket"
YES, NO = "1" * 38 + "2" * 38, "3" * 38 + "4" * 38
SCALE = Scale(6, 6)
CHANGED_NS = 1_793_607_330_300_000_000


def frame(name: str) -> bytes:
    return (DATA / f"ws_{name}.json").read_bytes()


def only(events: list[Event]) -> Event:
    assert len(events) == 1, events
    return events[0]


def subscribed(*tokens: str) -> PolymarketCodec:
    codec = make({})
    codec.subscribe(tokens)
    return codec


def change(*entries: dict[str, Any], **fields: Any) -> bytes:
    """A `price_change` of YES unless an entry says otherwise."""
    full = [{"asset_id": YES, "price": "0.5", "size": "1", "side": "BUY"} | entry for entry in entries]
    message = {"event_type": "price_change", "timestamp": "1793607330300", "price_changes": full}
    return json.dumps(message | fields).encode()


def book(bids: str = "0.4", asks: str = "0.6", token: str = YES, **fields: Any) -> dict[str, Any]:
    def side(prices: str) -> list[dict[str, str]]:
        return [{"price": price, "size": "5"} for price in prices.split()]

    return {"event_type": "book", "asset_id": token, "bids": side(bids), "asks": side(asks)} | fields


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def live(*tokens: str) -> tuple[PolymarketCodec, BookKeeper]:
    codec, keeper = subscribed(*tokens), BookKeeper("polymarket")
    keeper.apply_frame(codec.decode(text([book(token=token) for token in tokens])))
    return codec, keeper


def states(keeper: BookKeeper) -> dict[str, BookState]:
    return {name: each.state for name, each in keeper.books.items()}


# -- what is sent


def test_the_first_subscription_has_its_own_form() -> None:
    """`assets_ids` is the venue's spelling; each token is named once."""
    codec = make({})
    assert codec.subscribe([]) == []
    (first,) = map(json.loads, codec.subscribe([YES, YES]))
    assert first == {"type": "market", "assets_ids": [YES], "custom_feature_enabled": True}
    (later,) = map(json.loads, codec.subscribe([YES, NO]))
    assert later == {"operation": "subscribe", "assets_ids": [NO], "custom_feature_enabled": True}
    assert codec.subscribe([NO]) == []
    assert codec.last_sequence == 0


def test_leaving_names_only_what_was_followed() -> None:
    """An unknown token is not mentioned; coming back is a later subscription."""
    codec = subscribed(YES)
    (leave,) = map(json.loads, codec.unsubscribe([YES, NO]))
    assert leave == {"operation": "unsubscribe", "assets_ids": [YES]}
    assert codec.unsubscribe([YES]) == []
    (back,) = map(json.loads, codec.subscribe([YES]))
    assert back["operation"] == "subscribe"


def test_a_resync_leaves_and_comes_back() -> None:
    """Naming an active token again is refused as a duplicate, so it is left first."""
    codec = subscribed(YES, NO)
    leave, back = map(json.loads, codec.resync([NO, "9"]))
    assert leave == {"operation": "unsubscribe", "assets_ids": [NO]}
    assert back == {"operation": "subscribe", "assets_ids": [NO], "custom_feature_enabled": True}
    assert codec.resync(["9"]) == codec.resync([]) == []


def test_a_pong_pays_the_debt_of_pings() -> None:
    """Pings are the text PING; only PONG is their answer, books are not."""
    codec = make({})
    assert (codec.ping(), codec.ping(), codec.unanswered) == ("PING", "PING", 2)
    codec.decode(frame("book"))
    assert codec.unanswered == 2
    assert only(codec.decode(b"PONG")) == Ignored("PONG")
    assert codec.unanswered == 0
    codec.ping()
    codec.decode(b"PONG\n")
    assert codec.unanswered == 0


# -- books and changes


def test_an_array_of_books_is_a_snapshot_each() -> None:
    """Prices may lack their zero, levels come in any order, zero sizes are none, empty sides are empty."""
    ns = 1_793_607_330_251_000_000
    assert make({}).decode(frame("book")) == [
        Snapshot(
            YES,
            bids=[(480_000, 30_000_000), (500_000, 15_250_000)],
            asks=[(540_000, 10_000_000), (515_000, 25_000_000)],
            venue_ns=ns,
            batch="17936073302510x0a",
        ),
        Listed(Market("polymarket", YES, SCALE, grid_ticks=5_000, min_units=5_000_000)),
        Snapshot(NO, [(485_000, 25_000_000)], [], ns, batch="17936073302510x0b"),
    ]


def test_a_book_without_its_type_is_a_book() -> None:
    """Frames of 2025 and REST answers have no `event_type`; alone or in an array they are the same."""
    expected = Snapshot(
        YES,
        [(10_000, 77_000_000)],
        [(990_000, 5_000_000)],
        1_793_607_330_251_000_000,
        batch="17936073302510a",
    )
    assert only(make({}).decode(frame("book_untagged"))) == expected
    assert only(make({}).decode(b"[" + frame("book_untagged") + b"]")) == expected


def test_a_side_that_is_missing_is_empty() -> None:
    """No side at all is no book, one side is."""
    for side in ("bids", "asks"):
        message = book(timestamp="1") | {side: None}
        snapshot = only(make({}).decode(text(message)))
        del message[side]
        assert only(make({}).decode(text(message))) == snapshot
        assert isinstance(snapshot, Snapshot)
        assert getattr(snapshot, side) == []


def test_a_mirrored_change_is_one_change_a_token() -> None:
    """Keys come in any order and `event_type` last; empty and missing best prices are no fault."""
    assert make({}).decode(frame("price_change")) == [
        Change(YES, [(500_000, 200_000_000), (480_000, 0)], [], CHANGED_NS, batch="17936073303001c"),
        Change(
            NO,
            [],
            [(500_000, 200_000_000)],
            CHANGED_NS,
            batch="17936073303001b",
            best_bid=0,
            best_ask=500_000,
        ),
    ]


def test_only_what_is_subscribed_is_used() -> None:
    """The mirror of the other token, and messages still under way after an unsubscribe, are ignored."""
    codec = subscribed(YES)
    assert [type(event) for event in codec.decode(frame("price_change"))] == [Change]
    assert codec.decode(frame("book"))[-1] == Ignored("book")
    codec.unsubscribe([YES])
    assert only(codec.decode(frame("price_change"))) == Ignored("price_change")
    assert only(codec.decode(frame("book_untagged"))) == Ignored("book")
    assert only(codec.decode(frame("tick_size_change"))) == Ignored("tick_size_change")


def test_sizes_are_absolute_so_a_repetition_does_no_harm() -> None:
    """The same change may come twice with its tokens swapped."""
    codec, keeper = live(YES, NO)
    entries = [{"price": "0.45", "size": "7"}, {"asset_id": NO, "price": "0.55", "size": "7", "side": "SELL"}]
    for order in (entries, entries[::-1]):
        keeper.apply_frame(codec.decode(change(*order)))
    assert keeper.books[YES].top()[0] == [(450_000, 7_000_000), (400_000, 5_000_000)]
    assert keeper.books[NO].top()[1] == [(550_000, 7_000_000), (600_000, 5_000_000)]


def test_a_lock_or_cross_within_a_batch_is_no_fault() -> None:
    """Frames of one batch cross the book for a moment; what the batch leaves crossed is seen."""
    codec, keeper = live(YES)
    for price in ("0.6", "0.61"):
        keeper.apply_frame(codec.decode(change({"price": price})))
        assert states(keeper) == {YES: BookState.LIVE}
    keeper.settle()
    assert states(keeper) == {YES: BookState.CROSSED}


def test_one_price_twice_in_a_change_keeps_the_order() -> None:
    """The last one counts in the book."""
    codec, keeper = live(YES)
    keeper.apply_frame(codec.decode(change({"size": "3"}, {"size": "4"})))
    assert keeper.books[YES].top()[0][0] == (500_000, 4_000_000)


def test_a_token_has_its_own_scale_where_one_is_known() -> None:
    """Scales are arguments; the default is 6 and 6."""
    event = only(PolymarketCodec({YES: Scale(4, 2)}).decode(change({"price": ".0025", "size": "1.25"})))
    assert event == Change(YES, [(25, 125)], [], CHANGED_NS, batch="1793607330300")


@pytest.mark.parametrize("timestamp", ["", None, "soon", -1, 1.5, [], "99999999999999999999"])
def test_a_time_that_makes_no_sense_is_no_time(timestamp: Any) -> None:
    """Eight rows of a real log had the time 0; the book is right all the same."""
    event = only(make({}).decode(change({}, timestamp=timestamp)))
    assert isinstance(event, Change)
    assert event.venue_ns == 0


@pytest.mark.parametrize("frame_text", [b"[]", b"[ ]", b" []\n", change()])
def test_a_frame_with_nothing_in_it_changes_nothing(frame_text: bytes) -> None:
    """An empty array is sent at times; no event list is ever empty."""
    assert isinstance(only(make({}).decode(frame_text)), Ignored)


# -- batches


def entries(yes: str, best: tuple[str, str] = ("0.5", "0.52"), digest: str = "aa") -> list[dict[str, Any]]:
    """A change of YES such as `BUY 7@0.45` and its mirror, both with the best prices of their token."""
    side, _, level = yes.partition(" ")
    size, _, price = level.partition("@")
    bid, ask = best
    mirror = {"BUY": "SELL", "SELL": "BUY"}[side]
    return [
        {
            "asset_id": YES,
            "price": price,
            "size": size,
            "side": side,
            "hash": digest,
            "best_bid": bid,
            "best_ask": ask,
        },
        {
            "asset_id": NO,
            "price": str(1 - Decimal(price)),
            "size": size,
            "side": mirror,
            "hash": digest[::-1] + "n",
            "best_bid": str(1 - Decimal(ask)),
            "best_ask": str(1 - Decimal(bid)),
        },
    ]


def changes_of(events: list[Event]) -> list[Change]:
    assert all(isinstance(event, Change) for event in events), events
    return [event for event in events if isinstance(event, Change)]


def test_one_batch_that_comes_in_several_frames_has_one_name() -> None:
    """Each token's changes carry the best prices at the end of the batch, whichever frame they are in.

    Shaped like thirteen real frames: the first lifts the bid into the old ask (a lock), the next ones
    take the old asks away, one comes a second time with its tokens swapped, and the top of book that
    sums it up comes before the last change and a millisecond later.
    """
    best = ("0.52", "0.53")
    batch = [
        entries("BUY 40@0.52", best),
        entries("SELL 0@0.52", best),
        entries("SELL 25@0.53", best),
        entries("SELL 25@0.53", best)[::-1],
        entries("BUY 0@0.49", best),
    ]
    top = {"event_type": "best_bid_ask", "asset_id": YES, "best_bid": "0.52", "best_ask": "0.53"}
    frames = [change(*each) for each in batch]
    frames.insert(4, text(top | {"timestamp": "1793607330301"}))
    codec = subscribed(YES, NO)
    told = [event for each in frames for event in codec.decode(each)]
    assert told.count(Ignored("best_bid_ask")) == 1
    found = changes_of([event for event in told if not isinstance(event, Ignored)])
    assert [event.market for event in found] == [YES, NO] * 3 + [NO, YES] + [YES, NO]
    for token, name, bests in ((YES, "aa", (520_000, 530_000)), (NO, "aan", (470_000, 480_000))):
        mine = [event for event in found if event.market == token]
        assert {event.batch for event in mine} == {"1793607330300" + name}
        assert {(event.best_bid, event.best_ask) for event in mine} == {bests}


def test_a_batch_is_judged_when_it_is_whole() -> None:
    """Between its frames the book contradicts the best prices; at its end it must not."""
    codec, keeper = live(YES, NO)
    best = ("0.4", "0.58")
    for each in (entries("SELL 3@0.58", best), entries("SELL 0@0.6", best)):
        keeper.apply_frame(codec.decode(change(*each)))
    keeper.settle()
    assert set(states(keeper).values()) == {BookState.LIVE}
    for each in (entries("BUY 3@0.45", ("0.45", "0.58"), "b"), entries("BUY 3@0.46", ("0.47", "0.58"), "c")):
        keeper.apply_frame(codec.decode(change(*each)))
        assert set(states(keeper).values()) == {BookState.LIVE}
    keeper.settle()
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.GAP}
    assert (keeper.best_mismatches, keeper.resync) == (2, {YES, NO})


@pytest.mark.parametrize("fields", [{"timestamp": "1793607330301"}, {}])
def test_another_time_or_another_hash_is_another_batch(fields: dict[str, Any]) -> None:
    """Either alone is enough; for each token its own hash counts."""
    codec = make({})
    first, mirror = changes_of(codec.decode(change(*entries("BUY 7@0.45"))))
    digest = "aa" if fields else "bb"
    second, _ = changes_of(codec.decode(change(*entries("BUY 8@0.45", digest=digest), **fields)))
    assert len({first.batch, mirror.batch, second.batch}) == 3


@pytest.mark.parametrize("timestamp", [None, "", "soon", 0, -1, []])
def test_without_a_time_there_is_no_batch(timestamp: Any) -> None:
    """Nothing says where it would end."""
    for event in changes_of(make({}).decode(change(*entries("BUY 7@0.45"), timestamp=timestamp))):
        assert (event.batch, event.best_ask is None) == ("", False)


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        ("0.5", "1", (500_000, 0)),
        ("0", "0.52", (0, 520_000)),
        ("0.0", "1.00", (0, 0)),
        (".5", ".5025", (500_000, 502_500)),
        ("", "", (None, None)),
        (None, "0.52", (None, 520_000)),
    ],
)
def test_best_prices_may_be_at_the_ends_or_missing(bid: Any, ask: Any, expected: tuple[Any, Any]) -> None:
    """0 and 1 are an empty side; nothing at all is no statement."""
    (event,) = changes_of(make({}).decode(change({"best_bid": bid, "best_ask": ask})))
    assert (event.best_bid, event.best_ask) == expected
    (event,) = changes_of(make({}).decode(change({})))
    assert (event.best_bid, event.best_ask) == (None, None)


@pytest.mark.parametrize("best", ["-0.1", "1.01", "0.0000001", "NaN", "x", 0.5, [], "0." + "5" * 40])
def test_a_best_price_that_cannot_be_read_loses_its_token_only(best: Any) -> None:
    """It may be the one that contradicts the book."""
    codec, keeper = live(YES, NO)
    first, second = entries("BUY 7@0.45", best=("0.45", "0.6"))
    for key in ("best_bid", "best_ask"):
        events = codec.decode(change(first | {key: best}, second))
        (bad,) = [event for event in events if isinstance(event, Bad)]
        assert (bad.lost, bad.markets) == (True, (YES,))
        assert [event.market for event in events if isinstance(event, Change)] == [NO]
    keeper.apply_frame(events)
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.LIVE}


def test_a_token_that_comes_several_times_is_one_change_with_the_last_best_prices() -> None:
    """In the order of the frame, whichever token is between."""
    first, second = entries("BUY 7@0.45"), entries("SELL 8@0.55", ("0.45", "0.55"), "bb")
    yes, no = changes_of(make({}).decode(change(*first, *second)))
    assert yes == Change(
        YES,
        [(450_000, 7_000_000)],
        [(550_000, 8_000_000)],
        CHANGED_NS,
        batch="1793607330300bb",
        best_bid=450_000,
        best_ask=550_000,
    )
    assert (no.market, no.batch, no.best_bid) == (NO, "1793607330300bbn", 450_000)


def test_frames_of_changes_may_be_arrays() -> None:
    """One object or several in an array, keys in any order, spaces or none: the same changes."""
    alone: list[Event] = []
    for each in ("BUY 7@0.45", "SELL 8@.55"):
        alone += make({}).decode(change(*entries(each)))
    messages = [json.loads(change(*entries(each))) for each in ("BUY 7@0.45", "SELL 8@.55")]
    turned = [dict(reversed(message.items())) for message in messages]
    for array in (messages, turned):
        assert make({}).decode(json.dumps(array, separators=(", ", ":")).encode()) == alone
        assert make({}).decode(json.dumps(array, separators=(",", ":")).encode()) == alone


def test_a_hash_that_is_none_costs_no_book() -> None:
    """The time alone names the batch then."""
    for digest in (None, ""):
        (event,) = changes_of(make({}).decode(change({"hash": digest})))
        assert event.batch == "1793607330300"
    bad = only(make({}).decode(change({"hash": "a" * 200})))
    assert isinstance(bad, Bad)
    assert bad.lost


# -- nonsense


BAD_ENTRIES = [
    {"price": "0"},
    {"price": "1"},
    {"price": "1.5"},
    {"price": "-0.5"},
    {"price": ""},
    {"price": "."},
    {"price": "NaN"},
    {"price": "0.0000001"},
    {"price": 0.5},
    {"price": None},
    {"price": "0." + "5" * 40},
    {"size": ""},
    {"size": "-1"},
    {"size": "0.0000001"},
    {"size": "1e30"},
    {"size": str(INT64_MAX)},
    {"size": 5},
    {"side": "buy"},
    {"side": ""},
    {"side": None},
]


@pytest.mark.parametrize("entry", BAD_ENTRIES, ids=str)
def test_an_entry_that_cannot_be_loses_its_token_only(entry: dict[str, Any]) -> None:
    """Nothing of that token's change is used; the mirrored one is."""
    codec, keeper = live(YES, NO)
    events = codec.decode(change({"price": "0.3"}, entry, {"asset_id": NO, "price": "0.45"}))
    (bad,) = [event for event in events if isinstance(event, Bad)]
    assert (bad.lost, bad.markets) == (True, (YES,))
    keeper.apply_frame(events)
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.LIVE}
    assert keeper.books[NO].top()[0][0][0] == 450_000
    assert (keeper.bad_frames, keeper.gaps, keeper.resync) == (1, 0, {YES})


@pytest.mark.parametrize("token", [None, "", 5, "9" * 200])
def test_an_entry_of_nobody_loses_every_book(token: Any) -> None:
    """It may have been about any of them."""
    codec, keeper = live(YES, NO)
    bad = only(codec.decode(change({"asset_id": token})))
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, ())
    keeper.apply_frame(codec.decode(change({}, {"asset_id": token})))
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.GAP}


def test_nonsense_about_others_is_no_matter() -> None:
    """An entry, a book and a grid of a token that is not followed are ignored, however broken."""
    codec, keeper = live(YES)
    frames = [
        change({"price": "0.45"}, {"asset_id": NO, "price": 1}),
        text(book(token=NO) | {"bids": 5}),
        text({"event_type": "tick_size_change", "asset_id": NO}),
        change({"asset_id": NO, "price": "7"}),
    ]
    for each in frames:
        keeper.apply_frame(codec.decode(each))
    assert (keeper.bad_frames, states(keeper)) == (0, {YES: BookState.LIVE})
    assert keeper.books[YES].top()[0][0][0] == 450_000


@pytest.mark.parametrize(
    "broken",
    [
        book(bids="0.4 .4"),
        book(asks="0.6 0.600"),
        book(bids="1"),
        book() | {"bids": None, "asks": None},
        book() | {"asks": [["0.6", "5"]]},
        book() | {"bids": "none"},
        book() | {"event_type": "", "bids": [{"price": "0.4"}]},
        {"event_type": "book", "asset_id": YES},
        {"event_type": "price_change", "asset_id": YES, "changes": []},
        {"event_type": "tick_size_change", "asset_id": YES},
    ],
    ids=str,
)
def test_a_broken_message_loses_its_token(broken: dict[str, Any]) -> None:
    """A price that comes twice, no sides at all, or the wrong shape: the book is unknown; so is no other."""
    codec, keeper = live(YES, NO)
    keeper.apply_frame(codec.decode(text(broken)))
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.LIVE}


def test_one_broken_message_of_an_array_does_not_hide_the_others() -> None:
    """What is sound before and after it is used."""
    codec, keeper = live(YES, NO)
    array = [book("0.41", token=NO), {"event_type": "book", "asset_id": YES, "bids": 1}, 5, "x", None]
    keeper.apply_frame(codec.decode(text([*array, book("0.42", token=NO)])))
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.LIVE}
    assert keeper.books[NO].top()[0][0][0] == 420_000
    assert keeper.bad_frames == 1


def test_a_frame_cut_off_loses_every_book() -> None:
    """Nobody knows what was in the rest."""
    for cut in (frame("price_change")[:-20], frame("book")[:-20]):
        codec, keeper = live(YES, NO)
        keeper.apply_frame(codec.decode(cut))
        assert states(keeper) == {YES: BookState.GAP, NO: BookState.GAP}
        assert keeper.bad_frames == 1


@pytest.mark.parametrize("noise", [b"", b"[5", b"[]]", b"OK", b'"x"', b"5"])
def test_noise_without_an_object_is_bad_and_loses_nothing(noise: bytes) -> None:
    """No change of a book fits into it."""
    bad = only(make({}).decode(noise))
    assert isinstance(bad, Bad)
    assert not bad.lost


@settings(max_examples=100, deadline=None)
@given(
    levels=st.dictionaries(st.integers(1, 999), st.integers(0, 10**12), max_size=12),
    changes=st.lists(st.tuples(st.integers(1, 999), st.integers(0, 10**12)), max_size=12),
)
def test_a_book_is_what_snapshot_and_changes_say(
    levels: dict[int, int], changes: list[tuple[int, int]]
) -> None:
    """Written as text and read again, every size is exactly what was sent last for its price."""
    codec, keeper = make({}), BookKeeper("polymarket")

    def level(price: int, units: int) -> dict[str, str]:
        return {"price": f".{price:03d}", "size": f"{units // 10**6}.{units % 10**6:06d}"}

    bids = [level(price, units) for price, units in levels.items()]
    keeper.apply_frame(codec.decode(text(book(asks="") | {"bids": bids})))
    keeper.apply_frame(codec.decode(change(*[level(*each) for each in changes])))
    expected = {price * 1_000: units for price, units in (levels | dict(changes)).items() if units}
    assert keeper.books[YES].top()[0] == sorted(expected.items(), reverse=True)


FILES = sorted(DATA.glob("ws_*.json"))
PIECES = st.sampled_from([b"", b"0", b"-", b"null", b"[]", b"{}", b'"', b"1e400", b"9" * 30, b"\\ud800"])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_payloads_changed_anywhere_never_raise(data: st.DataObject) -> None:
    """Every frame gives events, and what is in a book is in range whatever came before."""
    keeper = BookKeeper("polymarket")
    pair = (make({}), subscribed(YES))
    for _ in range(data.draw(st.integers(1, 5))):
        content = bytearray(data.draw(st.sampled_from(FILES)).read_bytes())
        for _ in range(data.draw(st.integers(0, 2))):
            start = data.draw(st.integers(0, len(content)))
            end = data.draw(st.integers(start, min(len(content), start + 20)))
            content[start:end] = data.draw(PIECES | st.binary(max_size=3))
        for codec in pair:
            events = codec.decode(bytes(content))
            assert events
            keeper.apply_frame(events)
            codec.resync(sorted(keeper.resync))
    for each in keeper.books.values():
        bids, asks = each.top()
        for ticks, units in [*bids, *asks]:
            assert 0 < ticks < 1_000_000
            assert 0 < units <= INT64_MAX


# -- other messages


def test_a_new_grid_voids_the_book_without_counting_a_gap() -> None:
    """No message was lost: the venue says so itself. Changes are ignored until the next `book`."""
    codec, keeper = live(YES, NO)
    events = codec.decode(frame("tick_size_change"))
    assert events == [
        Gap((YES,), "tick size change", counted=False),
        Listed(Market("polymarket", YES, SCALE, grid_ticks=1_000)),
    ]
    keeper.apply_frame(events)
    keeper.apply_frame(codec.decode(change({"price": "0.45"})))
    assert states(keeper) == {YES: BookState.GAP, NO: BookState.LIVE}
    assert (keeper.gaps, keeper.resync) == (0, {YES})
    keeper.apply_frame(codec.decode(text(book())))
    assert states(keeper)[YES] == BookState.LIVE


@pytest.mark.parametrize("size", ["0", "-0.01", "0.0000001", "x"])
def test_a_grid_that_cannot_be_is_a_bad_frame(size: str) -> None:
    """The book is void all the same."""
    gap, bad = make({}).decode(frame("tick_size_change").replace(b"0.001", size.encode()))
    assert isinstance(gap, Gap)
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, (YES,))


def test_a_book_that_states_its_terms_tells_them_once() -> None:
    """Grid and smallest order are told when they differ from those stated last; a new grid is stated too."""
    codec = subscribed(YES)
    stated = text(book(tick_size="0.01", min_order_size="5"))
    assert codec.decode(stated)[1:] == [
        Listed(Market("polymarket", YES, SCALE, grid_ticks=10_000, min_units=5_000_000))
    ]
    assert codec.decode(stated)[1:] == []
    codec.decode(frame("tick_size_change"))
    assert codec.decode(text(book(tick_size="0.001", min_order_size="5")))[1:] == []
    assert codec.decode(text(book(tick_size="0.001", min_order_size="15")))[1:] == [
        Listed(Market("polymarket", YES, SCALE, grid_ticks=1_000, min_units=15_000_000))
    ]


@pytest.mark.parametrize("size", ["0", "-0.01", "0.0000001", "x"])
def test_terms_that_cannot_be_cost_no_book(size: str) -> None:
    """The levels are as sound as they are; what is no text is not read."""
    snapshot, bad = make({}).decode(text(book(tick_size=size)))
    assert isinstance(snapshot, Snapshot)
    assert isinstance(bad, Bad)
    assert not bad.lost
    odds: list[Any] = [0.01, "", [], {}]
    for odd in odds:
        events = make({}).decode(text(book(tick_size=odd, hash=odd)))
        assert type(events[0]) is Snapshot
        assert events[1:] in ([], [Listed(Market("polymarket", YES, SCALE))])


def test_a_result_ends_trading_and_is_told_for_the_tokens_followed() -> None:
    """Their metadata is read again; a stranger's result is not told."""
    told: list[Event] = [Status(token, tradable=False, word="resolved") for token in (YES, NO)]
    told += [Settled(token) for token in (YES, NO)]
    assert make({}).decode(frame("market_resolved")) == told
    assert subscribed(NO).decode(frame("market_resolved")) == told[1::2]
    assert only(subscribed("9").decode(frame("market_resolved"))) == Ignored("market_resolved")


def test_a_result_for_a_thousand_tokens_is_bounded() -> None:
    """A binary market has two."""
    message = {"event_type": "market_resolved", "assets_ids": [str(number) for number in range(1_000)]}
    assert len(make({}).decode(text(message))) == 2 * 16


@pytest.mark.parametrize("name", ["last_trade_price", "best_bid_ask", "new_market"])
def test_messages_that_say_nothing_new(name: str) -> None:
    """A top of book may come before the changes that it sums up, so it is not used."""
    assert only(make({}).decode(frame(name))) == Ignored(name)


def test_a_message_of_the_future_is_ignored() -> None:
    """New event types were added before; one without a type at all is a bad frame that loses nothing."""
    assert only(make({}).decode(b'{"event_type":"fee_change","asset_id":"1"}')) == Ignored("fee_change")
    bad = only(make({}).decode(b'{"asset_id":"1"}'))
    assert isinstance(bad, Bad)
    assert not bad.lost


# -- recordings


@pytest.mark.parametrize("name", ["polymarket_20251030_btc15m", "polymarket_20260709_worldcup"])
def test_a_recording_is_read_without_a_complaint(tapes: Path, name: str) -> None:
    """Every frame is understood, and the books are never crossed."""
    codec, keeper = make({}), BookKeeper("polymarket")
    for line in read(tapes / f"{name}.jsonl.gz"):
        assert isinstance(line, TapeLine)
        events = codec.decode(line.data.encode())
        assert not [event for event in events if isinstance(event, Bad)]
        keeper.apply_frame(events)
        assert set(states(keeper).values()) == {BookState.LIVE}
    assert keeper.book_messages > 100
    assert (keeper.bad_frames, keeper.gaps, keeper.desyncs) == (0, 0, 0)
