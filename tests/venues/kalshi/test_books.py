"""Kalshi's codec: bids of YES and NO become one book of YES, and a lost message is never overlooked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.feed.book import BookKeeper
from pipeline.model import INT64_MAX, BookState, Market, Scale
from pipeline.tape import TapeLine, read
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Listed,
    Settled,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.kalshi.books import KalshiCodec, make
from pipeline.venues.kalshi.subscriptions import SIDS_MAX

DATA = Path(__file__).resolve().parents[1] / "data" / "kalshi"
A, B = "KXRAIN-26NOV30-T2", "KXRAIN-26NOV30-T5"
SCALE = Scale(6, 2)


def frame(name: str) -> bytes:
    return (DATA / f"ws_{name}.json").read_bytes()


def only(events: list[Event]) -> Event:
    assert len(events) == 1, events
    return events[0]


def pairs(levels: str) -> list[list[str]]:
    """`10@0.4 5@0.5` as the venue's pairs of price and size."""
    return [level.split("@")[::-1] for level in levels.split()]


def snapshot(seq: int, market: str = A, yes: str = "10@0.4000", no: str = "5@0.5000", sid: int = 4) -> bytes:
    body: dict[str, Any] = {"market_ticker": market, "market_id": "m"}
    if yes:
        body["yes_dollars_fp"] = pairs(yes)
    if no:
        body["no_dollars_fp"] = pairs(no)
    return json.dumps({"type": "orderbook_snapshot", "sid": sid, "seq": seq, "msg": body}).encode()


def delta(seq: int, market: str = A, step: str = "1.00", sid: int = 4, **fields: Any) -> bytes:
    body = {"market_ticker": market, "price_dollars": "0.4000", "delta_fp": step, "side": "yes"} | fields
    return json.dumps({"type": "orderbook_delta", "sid": sid, "seq": seq, "msg": body}).encode()


def reply(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind} | fields).encode()


def subscribed(*markets: str) -> KalshiCodec:
    """A codec whose subscription to `markets` has been answered with number 4."""
    codec = make({})
    codec.subscribe(markets)
    codec.decode(frame("subscribed"))
    codec.decode(frame("subscribed_lifecycle"))
    return codec


def live() -> tuple[KalshiCodec, BookKeeper]:
    """Two markets of one subscription, each with its snapshot (messages 1 and 2)."""
    codec, keeper = subscribed(A, B), BookKeeper("kalshi")
    for text in (snapshot(1, A), snapshot(2, B)):
        keeper.apply_frame(codec.decode(text))
    return codec, keeper


def states(keeper: BookKeeper) -> dict[str, BookState]:
    return {name: book.state for name, book in keeper.books.items()}


# -- books


def test_a_snapshot_is_a_book_of_yes() -> None:
    """NO bids are asks at one minus their price; sub-cent prices and parts of a contract are exact."""
    assert only(make({}).decode(frame("orderbook_snapshot"))) == Snapshot(
        A,
        bids=[(1_000, 120_000), (400_000, 3_550), (410_000, 1_000)],
        asks=[(970_000, 90_000), (427_500, 1)],
    )


def test_a_side_that_is_missing_is_empty() -> None:
    """Kalshi leaves the key of an empty side out."""
    event = only(make({}).decode(frame("orderbook_snapshot_one_side")))
    assert event == Snapshot(B, bids=[], asks=[(100_000, 1_700)])
    assert only(make({}).decode(snapshot(1, yes="", no=""))) == Snapshot(A, [], [])


def test_a_delta_is_a_signed_step() -> None:
    """The number is a change of the size, not the size; its time is `ts_ms`."""
    event = only(make({}).decode(frame("orderbook_delta")))
    assert event == Change(A, [(410_000, -275)], [], 1_793_607_330_251_000_000, relative=True)


def test_without_milliseconds_the_time_is_the_text() -> None:
    """Frames of spring 2026 have only `ts`; a NO step is one of the mirrored ask."""
    event = only(make({}).decode(frame("orderbook_delta_without_ms")))
    assert event == Change(A, [], [(427_500, 499)], 1_793_607_330_250_750_000, relative=True)


@pytest.mark.parametrize("ms", ["1793607330251", 1793607330251])
def test_milliseconds_win_over_the_text(ms: Any) -> None:
    """`ts_ms` is exact, whether a number or its text."""
    event = only(make({}).decode(delta(1, ts="2026-01-01T00:00:00Z", ts_ms=ms)))
    assert isinstance(event, Change)
    assert event.venue_ns == 1_793_607_330_251_000_000


@pytest.mark.parametrize("yes_prices", [False, True])
def test_no_levels_come_in_prices_of_no_or_of_yes(yes_prices: bool) -> None:
    """Kalshi will change the default: what was asked for is what is read, and the book is the same."""
    codec = KalshiCodec({}, use_yes_price=yes_prices)
    (command, _) = map(json.loads, codec.subscribe([A]))
    assert command["params"]["use_yes_price"] is yes_prices
    at = "0.4500" if yes_prices else "0.5500"
    keeper = BookKeeper("kalshi")
    keeper.apply_frame(codec.decode(snapshot(1, no=f"5@{at}")))
    keeper.apply_frame(codec.decode(delta(2, side="no", price_dollars=at, step="1.50")))
    assert keeper.books[A].top() == ([(400_000, 1_000)], [(450_000, 650)])


@pytest.mark.parametrize("ts", [None, 5, "soon", "", [], {"a": 1}, "0001-01-01T00:00:00Z"])
def test_a_time_that_makes_no_sense_is_no_time(ts: Any) -> None:
    """A book is not lost for the sake of a clock that we do not trust anyway."""
    event = only(make({}).decode(delta(1, ts=ts, ts_ms=None)))
    assert isinstance(event, Change)
    assert event.venue_ns == 0


def test_steps_add_up_and_end_at_zero() -> None:
    """A session ends with the book that the steps make, and a level that reaches 0 is gone."""
    codec, keeper = live()
    for seq, step in enumerate(["2.50", "-0.01", "-12.49"], 3):
        keeper.apply_frame(codec.decode(delta(seq, step=step)))
    assert keeper.books[A].top() == ([], [(500_000, 500)])
    assert (keeper.bad_frames, keeper.gaps, keeper.desyncs) == (0, 0, 0)


def test_a_step_below_zero_proves_the_book_wrong() -> None:
    """Only one of the two books is lost, and it is asked for again."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(delta(3, step="-10.01")))
    assert states(keeper) == {A: BookState.GAP, B: BookState.LIVE}
    assert (keeper.desyncs, keeper.resync) == (1, {A})


def test_a_market_has_its_own_scale_where_one_is_known() -> None:
    """Scales are arguments; the default is 6 and 2."""
    event = only(KalshiCodec({A: Scale(4, 0)}).decode(snapshot(1, yes="10@0.4000", no="5@0.5555")))
    assert event == Snapshot(A, [(4_000, 10)], [(4_445, 5)])


BAD_LEVELS = [
    {"price_dollars": "0.0000"},
    {"price_dollars": "1.0000"},
    {"price_dollars": "1.2000"},
    {"price_dollars": "-0.4000"},
    {"price_dollars": "0.4000001"},
    {"price_dollars": "NaN"},
    {"price_dollars": "Infinity"},
    {"price_dollars": ""},
    {"price_dollars": "0,4"},
    {"price_dollars": 0.4},
    {"price_dollars": None},
    {"price_dollars": "0." + "4" * 40},
    {"delta_fp": "0.001"},
    {"delta_fp": "nan"},
    {"delta_fp": "1e30"},
    {"delta_fp": str(INT64_MAX)},
    {"delta_fp": 1},
    {"delta_fp": ""},
    {"side": "maybe"},
    {"side": None},
]


@pytest.mark.parametrize("fields", BAD_LEVELS, ids=str)
def test_a_step_that_cannot_be_loses_its_market_only(fields: dict[str, Any]) -> None:
    """Nothing is rounded in, the number is counted, and the other market goes on without a gap."""
    codec, keeper = live()
    events = codec.decode(delta(3, **fields))
    bad = only(events)
    assert isinstance(bad, Bad)
    assert (bad.lost, bad.markets) == (True, (A,))
    keeper.apply_frame(events)
    keeper.apply_frame(codec.decode(delta(4, B)))
    assert states(keeper) == {A: BookState.GAP, B: BookState.LIVE}
    assert (keeper.bad_frames, keeper.gaps, keeper.resync) == (1, 0, {A})


@pytest.mark.parametrize("levels", ["-1@0.4", "1@0.4 2@0.40", "1@1", "1.005@0.4", "1e99@0.4", "@0.4", "x@y"])
def test_a_snapshot_with_a_level_that_cannot_be_is_refused_whole(levels: str) -> None:
    """Half a book is worse than none; a price that comes twice is nobody's size."""
    codec = subscribed(A)
    for text in (snapshot(1, yes=levels), snapshot(2, no=levels)):
        bad = only(codec.decode(text))
        assert isinstance(bad, Bad)
        assert (bad.lost, bad.markets) == (True, (A,))


def test_frames_end_in_a_line_feed_or_not() -> None:
    """Kalshi's do."""
    assert make({}).decode(snapshot(1) + b"\n") == make({}).decode(snapshot(1))


# -- sequence


def test_one_counter_serves_all_markets_and_the_replies() -> None:
    """Messages of two markets and an `ok` between them follow each other without a gap."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(delta(3, B)))
    keeper.apply_frame(codec.decode(reply("ok", id=0, sid=4, seq=4, msg={})))
    keeper.apply_frame(codec.decode(delta(5, A)))
    assert (keeper.gaps, codec.last_sequence) == (0, 5)


def test_replies_may_have_a_counter_of_their_own() -> None:
    """Whether replies share the books' numbers is not published: a book message may continue either."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("ok", id=0, sid=4, seq=3, msg={})))
    keeper.apply_frame(codec.decode(delta(3)))
    keeper.apply_frame(codec.decode(delta(4)))
    assert (keeper.gaps, keeper.duplicates) == (0, 0)


def test_a_gap_makes_every_book_of_the_subscription_unknown_and_counts_once() -> None:
    """Both markets are lost, the change after the gap is not applied, and the count goes on from there."""
    codec, keeper = live()
    events = codec.decode(delta(5))
    assert isinstance(events[0], Gap)
    assert (set(events[0].markets), events[0].counted) == ({A, B}, True)
    keeper.apply_frame(events)
    for text in (delta(6), delta(7, B)):
        keeper.apply_frame(codec.decode(text))
    assert states(keeper) == {A: BookState.GAP, B: BookState.GAP}
    assert (keeper.gaps, keeper.resync) == (1, {A, B})


def test_a_gap_that_a_reply_shows_counts_once_too() -> None:
    """The number of an `ok` jumps; the next book message continues it."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("ok", id=0, sid=4, seq=9, msg={})))
    keeper.apply_frame(codec.decode(delta(10)))
    assert (keeper.gaps, states(keeper)[B]) == (1, BookState.GAP)


def test_a_gap_shows_even_on_a_reply_that_cannot_be_read() -> None:
    """What the number says does not depend on the rest of the frame."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("error", sid=4, seq=9, msg={"code": "many"})))
    assert (keeper.gaps, keeper.bad_frames, states(keeper)[A]) == (1, 1, BookState.GAP)


def test_another_subscription_is_not_touched_by_a_gap() -> None:
    """Numbers are counted for each subscription."""
    codec, keeper = make({}), BookKeeper("kalshi")
    for text in (snapshot(1, A, sid=1), snapshot(1, B, sid=2), delta(3, A, sid=1), delta(2, B, sid=2)):
        keeper.apply_frame(codec.decode(text))
    assert states(keeper) == {A: BookState.GAP, B: BookState.LIVE}
    assert keeper.gaps == 1


@pytest.mark.parametrize("sid", [5, 7, 99])
def test_a_step_on_a_strange_subscription_is_not_applied(sid: int) -> None:
    """Without a snapshot there it cannot be in order, whether that subscription is known or not."""
    codec, keeper = live()
    codec.decode(snapshot(1, "KXOTHER-1", sid=7))
    before = keeper.books[A].top()
    events = codec.decode(delta(2, sid=sid))
    assert not [event for event in events if isinstance(event, Change)]
    keeper.apply_frame(events)
    assert states(keeper) == {A: BookState.GAP, B: BookState.LIVE}
    assert before != keeper.books[A].top()
    assert codec.decode(frame("lifecycle_metadata")) == [Settled(A)]


def test_a_duplicate_is_counted_and_dropped() -> None:
    """Applied twice a step would be wrong."""
    codec, keeper = live()
    for _ in range(2):
        keeper.apply_frame(codec.decode(delta(3)))
    assert only(codec.decode(delta(3))) == Ignored("duplicate", duplicate=True)
    assert keeper.books[A].top()[0] == [(400_000, 1_100)]
    assert (keeper.duplicates, keeper.gaps) == (1, 0)


def test_numbers_that_go_back_are_a_reset() -> None:
    """The books are unknown and asked for; counting begins anew at the lower number."""
    codec, keeper = live()
    codec.decode(delta(3))
    events = codec.decode(snapshot(1, A))
    assert [type(event) for event in events] == [Gap]
    keeper.apply_frame(events)
    keeper.apply_frame(codec.decode(snapshot(2, A)))
    assert states(keeper) == {A: BookState.LIVE, B: BookState.GAP}


def test_a_snapshot_that_shows_a_gap_is_still_the_book() -> None:
    """What was lost came before it; the other market stays unknown."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(snapshot(9, A, yes="1@0.3")))
    assert states(keeper) == {A: BookState.LIVE, B: BookState.GAP}
    assert keeper.resync == {B}


def test_the_answer_to_a_resync_ends_the_gap() -> None:
    """One `get_snapshot` a subscription; its answer carries the command's id."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(delta(7)))
    (command,) = map(json.loads, codec.resync(sorted(keeper.resync)))
    assert command["cmd"] == "update_subscription"
    assert command["params"] == {"sids": [4], "market_tickers": [A, B], "action": "get_snapshot"}
    for seq, market in ((8, A), (9, B)):
        answer = json.loads(snapshot(seq, market)) | {"id": command["id"]}
        keeper.apply_frame(codec.decode(json.dumps(answer).encode()))
    assert states(keeper) == {A: BookState.LIVE, B: BookState.LIVE}
    assert (keeper.gaps, keeper.resync) == (1, set())


def test_a_broken_message_of_a_market_not_followed_still_counts() -> None:
    """Its number is taken, so the next message shows no gap, and no book is lost for it."""
    codec, keeper = live()
    bad = only(codec.decode(delta(3, "KXOTHER-1", price_dollars=None)))
    assert isinstance(bad, Bad)
    assert not bad.lost
    keeper.apply_frame(codec.decode(delta(4)))
    assert (keeper.gaps, states(keeper)[A]) == (0, BookState.LIVE)


def test_a_broken_message_without_a_market_loses_its_subscription() -> None:
    """Nobody knows whose change it was; its number shows what else is missing."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("orderbook_delta", sid=4, seq=3, msg={"delta_fp": "1.00"})))
    assert states(keeper) == {A: BookState.GAP, B: BookState.GAP}
    assert (keeper.gaps, keeper.bad_frames) == (0, 1)
    keeper.apply_frame(codec.decode(reply("orderbook_delta", sid=4, seq=5, msg={})))
    assert (keeper.gaps, keeper.bad_frames) == (1, 2)
    again = only(codec.decode(reply("orderbook_delta", sid=4, seq=5, msg={})))
    assert again == Ignored("duplicate", duplicate=True)


@pytest.mark.parametrize("sid", [None, 77, "4"])
def test_a_broken_message_of_no_known_subscription_loses_its_market(sid: Any) -> None:
    """The ticker says whose it was; without one it may have been anybody's."""
    codec, keeper = live()
    text = json.loads(delta(3, price_dollars=None)) | {"sid": sid}
    keeper.apply_frame(codec.decode(json.dumps(text).encode()))
    assert states(keeper)[A] == BookState.GAP
    keeper.apply_frame(codec.decode(reply("orderbook_delta", seq=3, msg={})))
    assert states(keeper)[B] == BookState.GAP


def test_what_cannot_be_understood_in_a_book_subscription_may_have_been_a_change() -> None:
    """A message type of the future loses the books it may be about."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("orderbook_merge", sid=4, seq=3, msg={"market_ticker": A})))
    assert states(keeper) == {A: BookState.GAP, B: BookState.LIVE}


def test_more_subscriptions_than_can_be_are_refused() -> None:
    """What a hostile venue makes us remember is bounded."""
    codec = make({})
    for sid in range(SIDS_MAX + 5):
        events = codec.decode(snapshot(1, sid=sid))
    bad = only(events)
    assert isinstance(bad, Bad)
    assert bad.lost
    assert isinstance(
        only(codec.decode(reply("subscribed", msg={"channel": "orderbook_delta", "sid": 900}))), Bad
    )


@settings(max_examples=150, deadline=None)
@given(numbers=st.lists(st.integers(1, 12), min_size=1, max_size=20))
def test_a_live_book_never_missed_a_number(numbers: list[int]) -> None:
    """Whatever numbers come, a book is LIVE only if every number since its snapshot was seen in order."""
    codec, keeper = live()
    last, whole = 2, True
    for seq in numbers:
        keeper.apply_frame(codec.decode(delta(seq)))
        if seq != last:
            whole = whole and seq == last + 1
            last = seq
    assert (states(keeper)[A] == BookState.LIVE) == whole
    assert (keeper.gaps == 0) == whole


# -- replies, errors


def test_an_answer_names_what_was_asked_for() -> None:
    """`subscribed` has only a channel; the markets are those of the command with its id."""
    codec = make({})
    codec.subscribe([A, B])
    assert only(codec.decode(frame("subscribed"))) == Subscribed((A, B), ok=True)
    assert only(codec.decode(frame("subscribed_lifecycle"))) == Ignored("subscribed market_lifecycle_v2")


def test_an_ok_that_leaves_a_market_out_refuses_it() -> None:
    """The list in `ok` is the subscription as it is now; what is not in it can be asked for again."""
    codec = subscribed(A)
    (command,) = map(json.loads, codec.subscribe([B, "KXNONE-1"]))
    assert command["params"]["action"] == "add_markets"
    answer = reply("ok", id=command["id"], sid=4, seq=1, msg={"market_tickers": [A, B]})
    first, second = codec.decode(answer)
    assert first == Subscribed((B,), ok=True)
    assert isinstance(second, Subscribed)
    assert (second.markets, second.ok) == (("KXNONE-1",), False)
    (again,) = map(json.loads, codec.subscribe([A, B, "KXNONE-1"]))
    assert again["params"]["market_tickers"] == ["KXNONE-1"]


@pytest.mark.parametrize("fields", [{"sid": 4, "seq": 1}, {}, {"sid": 77}, {"msg": [{"sid": 4}]}])
def test_an_ok_without_a_list_accepts_all(fields: dict[str, Any]) -> None:
    """The list may be left out, and so may the subscription."""
    codec = subscribed(A)
    (command,) = map(json.loads, codec.subscribe([B]))
    assert only(codec.decode(reply("ok", id=command["id"], **fields))) == Subscribed((B,), ok=True)


def test_channels_that_are_not_ours_have_no_books() -> None:
    """On a recording there may be trades too: their numbers are their own."""
    codec, keeper = live()
    trades = reply("subscribed", id=0, msg={"channel": "trade", "sid": 7})
    assert only(codec.decode(trades)) == Ignored("subscribed trade")
    for _ in range(2):
        assert only(codec.decode(frame("trade"))) == Ignored("trade")
    keeper.apply_frame(codec.decode(reply("unsubscribed", sid=7, seq=900)))
    assert set(states(keeper).values()) == {BookState.LIVE}


@pytest.mark.parametrize("name", ["error_overflow", "error_channel", "unsubscribed"])
def test_a_subscription_that_the_venue_ended_is_unknown_and_opened_again(name: str) -> None:
    """Errors 10 and 25 and an `unsubscribed` that nobody asked for: no number jumped, the books are gone."""
    codec, keeper = live()
    for seq in (3, 4, 5):
        codec.decode(delta(seq))
    gap = only(codec.decode(frame(name)))
    assert isinstance(gap, Gap)
    assert (gap.markets, gap.counted) == ((A, B), False)
    keeper.apply(gap)
    assert states(keeper) == {A: BookState.GAP, B: BookState.GAP}
    (command,) = map(json.loads, codec.resync([A, B]))
    assert (command["cmd"], command["params"]["market_tickers"]) == ("subscribe", [A, B])
    codec.decode(reply("subscribed", id=command["id"], msg={"channel": "orderbook_delta", "sid": 8}))
    keeper.apply_frame(codec.decode(snapshot(1, A, sid=8)))
    assert (keeper.gaps, states(keeper)[A]) == (0, BookState.LIVE)


def test_an_ending_error_without_a_number_ends_what_it_names() -> None:
    """With a market named its subscription is gone; with nothing named all are."""
    codec, _ = live()
    named = reply("error", msg={"code": 25, "msg": "overflow", "market_ticker": B})
    gap = only(codec.decode(named))
    assert isinstance(gap, Gap)
    assert set(gap.markets) == {A, B}
    codec = make({})
    for text in (snapshot(1, A, sid=1), snapshot(1, B, sid=2)):
        codec.decode(text)
    gap = only(codec.decode(named))
    assert isinstance(gap, Gap)
    assert gap.markets == (B,)
    codec = make({})
    assert only(codec.decode(reply("error", msg={"code": 10, "msg": "x"}))) == Gap(
        (), "error 10: x", counted=False
    )


def test_an_error_about_our_command_refuses_its_markets() -> None:
    """A full connection says so with the command's markets; these can be asked for again all the same."""
    codec = make({})
    codec.subscribe([A, B])
    why = "error 26: Subscription market limit exceeded"
    refusal = Subscribed((A, B), ok=False, why=why, full=True)
    assert only(codec.decode(frame("error_limit"))) == refusal
    assert [json.loads(text)["params"]["market_tickers"] for text in codec.resync([A])] == [[A]]


@pytest.mark.parametrize("names", [{"market_ticker": B}, {"market_tickers": [B]}])
def test_a_refusal_may_be_of_some_of_the_markets(names: dict[str, Any]) -> None:
    """Those that the venue names are refused, and subscribed to anew when they are wanted again."""
    codec = make({})
    codec.subscribe([A, B])
    codec.decode(frame("subscribed"))
    refusal = reply("error", id=1, msg={"code": 11, "msg": "no such market"} | names)
    assert only(codec.decode(refusal)) == Subscribed((B,), ok=False, why="error 11: no such market")
    first, second = map(json.loads, codec.resync([A, B]))
    assert (first["params"]["action"], first["params"]["market_tickers"]) == ("get_snapshot", [A])
    assert (second["params"]["action"], second["params"]["market_tickers"]) == ("add_markets", [B])


def test_too_many_requests_refuse_the_command_and_nothing_else() -> None:
    """Error 27 names what was asked, so that it is asked again later; the books stay what they are."""
    codec, keeper = live()
    (command,) = map(json.loads, codec.resync([A]))
    refusal = reply("error", id=command["id"], msg={"code": 27, "msg": "too many requests"})
    assert only(codec.decode(refusal)) == Subscribed((A,), ok=False, why="error 27: too many requests")
    (again,) = map(json.loads, codec.resync([B]))
    assert again["params"] == {"sids": [4], "market_tickers": [B], "action": "get_snapshot"}
    assert set(states(keeper).values()) == {BookState.LIVE}


def test_a_subscription_that_the_venue_does_not_know_is_gone() -> None:
    """Error 7 to a command is as good as an end of the subscription: it is opened anew."""
    codec, keeper = live()
    (command,) = map(json.loads, codec.resync([A]))
    unknown = reply("error", id=command["id"], msg={"code": 7, "msg": "Unknown subscription ID"})
    keeper.apply_frame(codec.decode(unknown))
    assert set(states(keeper).values()) == {BookState.GAP}
    (again,) = map(json.loads, codec.resync([A, B]))
    assert (again["cmd"], again["params"]["market_tickers"]) == ("subscribe", [A, B])


def test_a_subscription_merged_into_an_old_one_is_asked_for_snapshots() -> None:
    """After an ending error the venue may answer `ok` for what it still has, and then sends no books."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(frame("error_channel")))
    (command,) = map(json.loads, codec.resync([A, B]))
    assert command["cmd"] == "subscribe"
    merged = reply("ok", id=command["id"], sid=4, seq=9, msg={"market_tickers": [A, B]})
    assert only(codec.decode(merged)) == Subscribed((A, B), ok=True)
    keeper.apply_frame(codec.decode(delta(10)))
    assert set(states(keeper).values()) == {BookState.GAP}
    (repair,) = map(json.loads, codec.resync([A, B]))
    assert repair["params"] == {"sids": [4], "market_tickers": [A, B], "action": "get_snapshot"}
    for text in (snapshot(11, A), snapshot(12, B)):
        keeper.apply_frame(codec.decode(text))
    assert (set(states(keeper).values()), keeper.gaps) == ({BookState.LIVE}, 0)


def test_gap_upon_gap_is_not_request_upon_request() -> None:
    """While snapshots are under way, books lost anew wait for them, unless they are asked for once more."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(delta(7)))
    assert len(codec.resync([A, B])) == 1
    keeper.apply_frame(codec.decode(snapshot(8, A)))
    keeper.apply_frame(codec.decode(delta(20)))
    assert states(keeper) == {A: BookState.GAP, B: BookState.GAP}
    assert codec.resync([A]) == []
    (again,) = map(json.loads, codec.resync([A, B]))
    assert again["params"]["market_tickers"] == [A, B]
    for text in (snapshot(21, A), snapshot(22, B)):
        keeper.apply_frame(codec.decode(text))
    assert set(states(keeper).values()) == {BookState.LIVE}
    assert len(codec.resync([A])) == 1


def test_errors_about_nothing_of_ours_change_nothing() -> None:
    """An unknown channel on a recording is ignored; any other error without an id is told."""
    codec, keeper = live()
    assert only(codec.decode(frame("error_unknown_channel"))) == Ignored("error 8: Unknown channel name")
    event = only(codec.decode(reply("error", msg={"code": 27, "msg": "too many requests"})))
    assert event == Subscribed((), ok=False, why="error 27: too many requests")
    keeper.apply(event)
    assert states(keeper) == {A: BookState.LIVE, B: BookState.LIVE}


@pytest.mark.parametrize(
    "end",
    [
        {"type": "error", "sid": 5, "msg": {"code": 10, "msg": "x"}},
        {"type": "error", "sid": 5, "msg": {"code": 25, "msg": "x"}},
        {"type": "unsubscribed", "sid": 5, "seq": 1},
    ],
    ids=str,
)
def test_the_end_of_the_lifecycle_channel_leaves_the_books(end: dict[str, Any]) -> None:
    """It is told, and asked for again by whatever is asked next; what was missed is read by REST."""
    codec, keeper = live()
    event = only(codec.decode(json.dumps(end).encode()))
    assert isinstance(event, Subscribed)
    assert (event.markets, event.ok, "market_lifecycle_v2" in event.why) == ((), False, True)
    keeper.apply(event)
    assert set(states(keeper).values()) == {BookState.LIVE}
    (command,) = map(json.loads, codec.subscribe([]))
    assert command["params"] == {"channels": ["market_lifecycle_v2"]}
    assert codec.subscribe([]) == []
    answer = reply("subscribed", id=command["id"], msg={"channel": "market_lifecycle_v2", "sid": 6})
    assert codec.decode(answer)[1:] == [Settled(A), Settled(B)]


@pytest.mark.parametrize(("code", "again"), [(27, 1), (18, 1), (10, 1), (8, 0)])
def test_a_lifecycle_channel_that_is_refused_is_asked_for_again(code: int, again: int) -> None:
    """Unless the venue does not have such a channel."""
    codec = make({})
    codec.subscribe([A])
    codec.decode(reply("error", id=2, msg={"code": code, "msg": "no"}))
    assert len(codec.subscribe([])) == again


# -- lifecycle and other channels


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("lifecycle_determined", [Status(A, tradable=False, word="determined"), Settled(A)]),
        ("lifecycle_deactivated", [Status(A, tradable=False, word="deactivated")]),
        ("lifecycle_activated", [Status(A, tradable=True, word="activated"), Settled(A)]),
        ("lifecycle_price_levels", [Listed(Market("kalshi", A, SCALE, grid_ticks=1_000))]),
        (
            "lifecycle_close_date",
            [Listed(Market("kalshi", A, SCALE, close_ns=1_796_101_200_000_000_000)), Settled(A)],
        ),
        ("lifecycle_created", [Ignored("market_lifecycle_v2 created")]),
        ("lifecycle_metadata", [Settled(A)]),
        ("ok", [Ignored("ok")]),
        ("ticker", [Ignored("ticker")]),
        ("trade", [Ignored("trade")]),
    ],
)
def test_messages_beside_the_book(name: str, events: list[Event]) -> None:
    """Each has its one meaning, and none is a bad frame."""
    assert subscribed(A).decode(frame(name)) == events
    assert make({}).decode(frame(name)) == events


@pytest.mark.parametrize("name", ["event_fee_update", "event_lifecycle"])
def test_news_of_an_event_is_news_of_its_markets(name: str) -> None:
    """The metadata of all that we follow of it is read again, and of no other."""
    codec = subscribed(A, B, "KXRAIN-26NOV301-T2", "KXRAIN-26NOV30")
    assert codec.decode(frame(name)) == [Settled(A), Settled(B), Settled("KXRAIN-26NOV30")]
    assert isinstance(only(subscribed("KXSNOW-1").decode(frame(name))), Ignored)
    listening = make({})
    listening.decode(snapshot(1, A))
    assert listening.decode(frame(name)) == [Settled(A)]


def test_news_of_an_event_counts_in_its_channel() -> None:
    """What follows it is in order; a number that is missing makes all metadata be read again."""
    codec, keeper = live()
    for name, seq in (("lifecycle_metadata", 1), ("event_fee_update", 2), ("event_lifecycle", 3)):
        text = json.loads(frame(name)) | {"seq": seq}
        assert codec.decode(json.dumps(text).encode())[0] == Settled(A)
    lost = json.loads(frame("lifecycle_created")) | {"seq": 5}
    events = codec.decode(json.dumps(lost).encode())
    assert events[1:] == [Settled(A), Settled(B), Ignored("market_lifecycle_v2 created")]
    keeper.apply_frame(events)
    assert (keeper.bad_frames, keeper.gaps, set(states(keeper).values())) == (1, 0, {BookState.LIVE})


@pytest.mark.parametrize("flag", [True, False, None, "no"])
def test_a_market_trades_only_when_word_and_flag_agree(flag: Any) -> None:
    """`is_deactivated` is cautious beside the word: nothing is opened by it."""
    text = json.loads(frame("lifecycle_activated"))
    text["msg"]["is_deactivated"] = flag
    opened = make({}).decode(json.dumps(text).encode())[0]
    assert opened == Status(A, tradable=flag is not True, word="activated")
    text["msg"]["event_type"] = "deactivated"
    closed = only(make({}).decode(json.dumps(text).encode()))
    assert closed == Status(A, tradable=False, word="deactivated")


@pytest.mark.parametrize("when", [None, "soon", -5, 10**30, 1.5])
def test_a_close_that_cannot_be_read_is_read_by_rest(when: Any) -> None:
    """The socket says only that it moved."""
    text = json.loads(frame("lifecycle_close_date"))
    text["msg"]["close_ts"] = when
    assert make({}).decode(json.dumps(text).encode()) == [Settled(A)]


@pytest.mark.parametrize("body", [{}, {"event_type": "settled"}, {"market_ticker": 5}, [], None])
def test_news_of_nobody_is_a_bad_frame(body: Any) -> None:
    """It has a number all the same, so nothing seems to be missing after it."""
    codec, keeper = live()
    keeper.apply_frame(codec.decode(reply("market_lifecycle_v2", sid=5, seq=1, msg=body)))
    assert codec.decode(frame("lifecycle_metadata").replace(b'"seq":1', b'"seq":2')) == [Settled(A)]
    assert (keeper.bad_frames, set(states(keeper).values())) == (1, {BookState.LIVE})


def test_a_new_grid_that_is_not_told_is_read_by_rest() -> None:
    """No steps are no grid."""
    text = json.loads(frame("lifecycle_price_levels"))
    text["msg"]["price_ranges"] = []
    assert only(make({}).decode(json.dumps(text).encode())) == Settled(A)


def test_a_settlement_is_told_like_a_determination() -> None:
    """From either on nobody trades, and the metadata is read again."""
    text = frame("lifecycle_determined").replace(b"determined", b"settled")
    assert make({}).decode(text) == [Status(A, tradable=False, word="settled"), Settled(A)]


def test_the_lifecycle_of_others_is_not_told() -> None:
    """The channel is about every market that Kalshi has."""
    assert only(subscribed(B).decode(frame("lifecycle_determined"))) == Ignored("market_lifecycle_v2")


@pytest.mark.parametrize("step", ["0.0000", "-0.0100", "0.0000001", "x"])
def test_a_price_grid_that_cannot_be_is_a_bad_frame(step: str) -> None:
    """The grid stays what it was, and no book is lost."""
    text = frame("lifecycle_price_levels").replace(b"0.0100", step.encode())
    bad = only(make({}).decode(text))
    assert isinstance(bad, Bad)
    assert not bad.lost


def test_lost_lifecycle_messages_are_seen_and_lose_no_book() -> None:
    """That channel has its own numbers: a jump is a bad frame, a repetition a duplicate."""
    codec, keeper = live()
    first = frame("lifecycle_metadata")
    codec.decode(first)
    assert only(codec.decode(first)) == Ignored("duplicate", duplicate=True)
    events = codec.decode(first.replace(b'"seq":1', b'"seq":4'))
    assert events[1:] == [Settled(A), Settled(B), Settled(A)]
    keeper.apply_frame(events)
    assert (keeper.bad_frames, keeper.gaps, states(keeper)[A]) == (1, 0, BookState.LIVE)


def test_markets_no_longer_subscribed_are_ignored() -> None:
    """Late messages are counted in the sequence and bring no book back."""
    codec, keeper = live()
    codec.unsubscribe([A])
    keeper.forget(A)
    assert only(codec.decode(delta(3, A))) == Ignored("market not subscribed")
    keeper.apply_frame(codec.decode(delta(4, B)))
    assert (states(keeper), keeper.gaps) == ({B: BookState.LIVE}, 0)


def test_a_book_may_come_before_the_answer() -> None:
    """The subscription is known from its first message."""
    codec, keeper = make({}), BookKeeper("kalshi")
    codec.subscribe([A])
    keeper.apply_frame(codec.decode(snapshot(1)))
    keeper.apply_frame(codec.decode(frame("subscribed")))
    keeper.apply_frame(codec.decode(delta(2)))
    assert keeper.books[A].top()[0] == [(400_000, 1_100)]


FILES = sorted(DATA.glob("ws_*.json"))
PIECES = st.sampled_from([b"", b"0", b"-", b"null", b"[]", b"{}", b'"', b"1e400", b"9" * 30, b"\\ud800"])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_payloads_changed_anywhere_never_raise(data: st.DataObject) -> None:
    """Every frame gives events, and what is in a book is in range whatever came before."""
    keeper = BookKeeper("kalshi")
    pair = (make({}), subscribed(A, B))
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


def test_a_recording_is_read_without_a_complaint(tapes: Path) -> None:
    """Eight markets on one subscription, with error frames in the middle, give eight sound books."""
    codec, keeper = make({}), BookKeeper("kalshi")
    for line in read(tapes / "kalshi_20260418_kxbtc.jsonl.gz"):
        assert isinstance(line, TapeLine)
        keeper.apply_frame(codec.decode(line.data.encode()))
        assert BookState.CROSSED not in states(keeper).values()
    assert (keeper.bad_frames, keeper.gaps, keeper.desyncs, keeper.duplicates) == (0, 0, 0, 0)
    assert set(states(keeper).values()) == {BookState.LIVE}
    assert (len(keeper.books), keeper.book_messages, codec.last_sequence) == (8, 40, 40)


def test_a_recording_with_one_message_cut_out_has_one_gap(tapes: Path) -> None:
    """Whichever book message is missing, every book is unknown after it and one gap is counted."""
    lines = [line for line in read(tapes / "kalshi_20260418_kxbtc.jsonl.gz") if isinstance(line, TapeLine)]
    frames = [line.data.encode() for line in lines]
    for missing in [place for place, text in enumerate(frames) if b"orderbook_delta" in text][1:-1]:
        codec, keeper = make({}), BookKeeper("kalshi")
        for place, text in enumerate(frames):
            if place != missing:
                keeper.apply_frame(codec.decode(text))
        assert keeper.gaps == 1
        assert set(states(keeper).values()) == {BookState.GAP}
