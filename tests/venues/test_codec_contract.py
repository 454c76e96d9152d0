"""What every codec promises, whatever its venue: it never raises and never lets nonsense through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.feed.book import BookKeeper
from pipeline.model import INT64_MAX, BookState
from pipeline.venues.codec import (
    Bad,
    Change,
    Codec,
    Event,
    Gap,
    Ignored,
    Listed,
    Settled,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.registry import CODECS

KINDS = (Snapshot, Change, Gap, Bad, Listed, Status, Subscribed, Settled, Ignored)
VENUES = sorted(CODECS)

# A market of each venue, and a short session about it: first the snapshot, then a change, then the
# rest. `KX-1` and `11` are made up.
MARKETS = {"coinbase": "BTC-USD", "kalshi": "KX-1", "kraken": "BTC/USD", "polymarket": "11"}
SESSIONS: dict[str, list[bytes]] = {
    "coinbase": [
        (
            b'{"channel":"l2_data","timestamp":"2026-11-02T08:15:30.123456789Z","sequence_num":0,'
            b'"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid",'
            b'"event_time":"1970-01-01T00:00:00Z","price_level":"100.01","new_quantity":"0.25"},'
            b'{"side":"offer","event_time":"1970-01-01T00:00:00Z","price_level":"100.5",'
            b'"new_quantity":"3"}]}]}'
        ),
        (
            b'{"channel":"l2_data","timestamp":"2026-11-02T08:15:30.2Z","sequence_num":1,"events":['
            b'{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":'
            b'"2026-11-02T08:15:30Z","price_level":"100.02","new_quantity":"1"}]}]}'
        ),
        (
            b'{"channel":"subscriptions","timestamp":"2026-11-02T08:15:30.3Z","sequence_num":2,'
            b'"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}'
        ),
        (
            b'{"channel":"heartbeats","timestamp":"2026-11-02T08:15:31Z","sequence_num":3,"events":'
            b'[{"current_time":"2026-11-02 08:15:31 +0000 UTC m=+1.5","heartbeat_counter":"17"}]}'
        ),
        b'{"type":"error","message":"authentication failure"}',
    ],
    "kalshi": [
        (
            b'{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"KX-1","market_id":'
            b'"a","yes_dollars_fp":[["0.4000","10.00"]],"no_dollars_fp":[["0.5500","7.50"]]}}'
        ),
        (
            b'{"type":"orderbook_delta","sid":1,"seq":2,"msg":{"market_ticker":"KX-1","market_id":'
            b'"a","price_dollars":"0.4100","delta_fp":"3.00","side":"yes","ts":'
            b'"2026-11-02T08:15:30Z","ts_ms":1793607330000}}'
        ),
        b'{"type":"subscribed","id":1,"msg":{"channel":"orderbook_delta","sid":1}}',
        b'{"id":2,"sid":1,"seq":3,"type":"ok","msg":{"market_tickers":["KX-1"]}}',
        b'{"id":3,"type":"error","msg":{"code":8,"msg":"Unknown channel name"}}',
        (
            b'{"type":"market_lifecycle_v2","sid":2,"msg":{"market_ticker":"KX-1","event_type":'
            b'"determined","result":"yes","settlement_value":"1.0000"}}'
        ),
    ],
    "kraken": [
        (
            b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":100.1,'
            b'"qty":0.25000000}],"asks":[{"price":100.5,"qty":3.00000000}],"checksum":3155677037}]}'
        ),
        (
            b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":100.2,'
            b'"qty":1.00000000}],"asks":[],"checksum":1516310209,"timestamp":"2026-11-02T08:15:30.250750Z"'
            b"}]}"
        ),
        (
            b'{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,"symbol":'
            b'"BTC/USD"},"success":true}'
        ),
        b'{"channel":"status","type":"update","data":[{"system":"online"}]}',
        (
            b'{"channel":"instrument","type":"update","data":{"assets":[],"pairs":[{"symbol":'
            b'"BTC/USD","status":"online","qty_precision":8,"qty_increment":1e-08,"price_precision":1,'
            b'"cost_min":0.5,"price_increment":0.1,"qty_min":0.00005}]}}'
        ),
        b'{"method":"pong","req_id":1}',
    ],
    "polymarket": [
        (
            b'[{"event_type":"book","market":"0xaa","asset_id":"11","bids":[{"price":".48","size":'
            b'"30"}],"asks":[{"price":"0.52","size":"25"}],"timestamp":"1793607330000","hash":"0x0"}]'
        ),
        (
            b'{"event_type":"price_change","market":"0xaa","timestamp":"1793607330001",'
            b'"price_changes":[{"asset_id":"11","price":"0.49","size":"200","side":"BUY","hash":"1",'
            b'"best_bid":"0.49","best_ask":"0.52"}]}'
        ),
        (
            b'{"event_type":"tick_size_change","market":"0xaa","asset_id":"11","old_tick_size":'
            b'"0.01","new_tick_size":"0.001","timestamp":"1793607330002"}'
        ),
        (
            b'{"event_type":"last_trade_price","market":"0xaa","asset_id":"11","price":"0.49",'
            b'"side":"BUY","size":"2","fee_rate_bps":"0","timestamp":"1793607330003"}'
        ),
        b"PONG",
    ],
}

HOSTILE = [
    b"",
    b" ",
    b"\x00",
    b"\xff\xfe\xfd",
    b"\xef\xbb\xbf{}",
    b"null",
    b"true",
    b"5",
    b'""',
    b"[]",
    b"{}",
    b"[[]]",
    b"[null]",
    b"[{}]",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"channel":' + b"[" * 100_000,
    b"9" * 5000,
    b'{"seq":' + b"9" * 5000 + b"}",
    b'{"sequence_num":' + b"9" * 5000 + b',"channel":"l2_data"}',
    b'{"sequence_num":-1e999,"channel":"l2_data"}',
    b"NaN",
    b'"\\ud800"',
    b'{"type":"\\ud800","channel":"\\udfff","event_type":"\\ud800"}',
    b"PING",
    b"<html>502 Bad Gateway</html>",
]


def check(events: Any) -> list[Event]:
    """What may be in the events of any frame at all."""
    assert isinstance(events, list)
    for event in events:
        assert isinstance(event, KINDS)
        if isinstance(event, Snapshot | Change):
            assert event.market
            assert isinstance(event.venue_ns, int)
            assert 0 <= event.venue_ns <= INT64_MAX
            lowest = -INT64_MAX if isinstance(event, Change) and event.relative else 0
            for ticks, units in [*event.bids, *event.asks]:
                assert type(ticks) is type(units) is int
                assert 0 < ticks <= INT64_MAX
                assert lowest <= units <= INT64_MAX
        elif isinstance(event, Bad | Gap):
            assert event.why
            assert len(event.why) <= 400
    return events


def codecs(venue: str) -> list[Codec]:
    """A codec that only listens, as on a tape, and one that has subscribed."""
    listening, subscribed = CODECS[venue]({}), CODECS[venue]({})
    subscribed.subscribe([MARKETS[venue], "other"])
    return [listening, subscribed]


def requests(codec: Codec, call: Callable[[], list[str]]) -> list[str]:
    frames = call()
    assert isinstance(frames, list)
    assert all(type(text) is str and text for text in frames), codec.venue
    return frames


@pytest.mark.parametrize("venue", VENUES)
def test_a_session_makes_a_live_book(venue: str) -> None:
    """Snapshot and change of a made-up session are understood without any complaint."""
    codec, keeper = CODECS[venue]({}), BookKeeper(venue)
    for frame in SESSIONS[venue][:2]:
        keeper.apply_frame(check(codec.decode(frame)))
    book = keeper.books[MARKETS[venue]]
    bids, asks = book.top()
    assert (book.state, len(asks)) == (BookState.LIVE, 1)
    assert len(bids) == 2
    assert bids[0] > bids[1]
    for frame in SESSIONS[venue][2:]:
        keeper.apply_frame(check(codec.decode(frame)))
    assert (keeper.bad_frames, keeper.gaps, keeper.checksums_bad) == (0, 0, 0)


@pytest.mark.parametrize("venue", VENUES)
def test_white_space_around_a_frame_means_nothing(venue: str) -> None:
    """Some recorders, and some venues, end frames with a line feed."""
    plain, spaced = CODECS[venue]({}), CODECS[venue]({})
    for frame in SESSIONS[venue]:
        assert spaced.decode(b" " + frame + b"\n") == plain.decode(frame)


@pytest.mark.parametrize("venue", VENUES)
def test_codecs_share_no_state(venue: str) -> None:
    """The same frames give the same events in every new codec."""
    first = [CODECS[venue]({}).decode(frame) for frame in SESSIONS[venue]]
    second = [CODECS[venue]({}).decode(frame) for frame in SESSIONS[venue]]
    assert first == second


@pytest.mark.parametrize("venue", VENUES)
def test_requests_are_text_frames_that_name_the_markets(venue: str) -> None:
    """Subscribing names each market; asking for nothing about nothing sends no market's name."""
    codec = CODECS[venue]({})
    market = MARKETS[venue]
    assert market in "".join(requests(codec, lambda: codec.subscribe([market])))
    for frame in SESSIONS[venue]:
        codec.decode(frame)
    for call in (codec.resync, codec.unsubscribe, codec.subscribe):
        requests(codec, lambda call=call: call([market]))  # type: ignore[misc]
        requests(codec, lambda call=call: call([]))  # type: ignore[misc]
    assert codec.ping() is None or isinstance(codec.ping(), str)


@pytest.mark.parametrize("venue", VENUES)
def test_an_answer_settles_what_the_venue_owes(venue: str) -> None:
    """Pings are owed until any answer comes; venues without pings owe nothing."""
    codec = CODECS[venue]({})
    assert codec.unanswered == 0
    if codec.ping() is not None:
        assert codec.unanswered == 1
        codec.decode(SESSIONS[venue][-1])
    assert codec.unanswered == 0


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("frame", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_frames_are_events_like_any_other(venue: str, frame: bytes) -> None:
    """Nothing of what a stranger may send raises, and the book survives it or says so."""
    for codec in codecs(venue):
        codec.decode(SESSIONS[venue][0])
        check(codec.decode(frame))
        check(codec.decode(SESSIONS[venue][1]))


@pytest.mark.parametrize("venue", VENUES)
def test_every_cut_of_a_change_is_lost_and_noticed(venue: str) -> None:
    """However short a book change is cut, the codec says that something was lost, or nothing."""
    snapshot, change = SESSIONS[venue][:2]
    for length in range(len(change)):
        codec, keeper = CODECS[venue]({}), BookKeeper(venue)
        keeper.apply_frame(codec.decode(snapshot))
        keeper.apply_frame(check(codec.decode(change[:length])))
        state = keeper.books[MARKETS[venue]].state
        assert keeper.bad_frames == 1, change[:length]
        assert state == (BookState.GAP if length else BookState.LIVE), change[:length]


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_sessions_never_raise(venue: str, data: st.DataObject) -> None:
    """Bytes changed, cut out or put in anywhere give events within bounds, and books too."""
    listening, subscribed = codecs(venue)
    keeper = BookKeeper(venue)
    for _ in range(data.draw(st.integers(1, 4))):
        frame = bytearray(data.draw(st.sampled_from(SESSIONS[venue])))
        for _ in range(data.draw(st.integers(0, 3))):
            start = data.draw(st.integers(0, len(frame)))
            end = data.draw(st.integers(start, min(len(frame), start + 12)))
            frame[start:end] = data.draw(
                st.sampled_from([b"", b"0", b"-", b"null", b"{}", b"1e400", b'"', b"9" * 30])
                | st.binary(max_size=4)
            )
        for codec in (listening, subscribed):
            events = check(codec.decode(bytes(frame)))
            for market in keeper.apply_frame(events):
                assert market in keeper.books


def shapes() -> st.SearchStrategy[Any]:
    """JSON values made of the words that codecs look for."""
    words = st.sampled_from(
        "channel type data events msg book l2_data snapshot update orderbook_delta price_change"
        " orderbook_snapshot price_changes seq sid sequence_num symbol bids asks price size qty"
        " product_id updates side bid offer BUY yes asset_id market_ticker yes_dollars_fp"
        " timestamp ts result method subscribe subscribed error pairs event_type".split()
    )
    leaves = words | st.integers() | st.floats() | st.none() | st.booleans() | st.text(max_size=5)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=6),
        max_leaves=12,
    )


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=shapes())
def test_any_json_value_gives_events(venue: str, value: Any) -> None:
    """Right words at wrong places are as harmless as nonsense."""
    for codec in codecs(venue):
        check(codec.decode(json.dumps(value).encode()))


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=100, deadline=None)
@given(frame=st.binary(max_size=200))
def test_any_bytes_give_events(venue: str, frame: bytes) -> None:
    """Not even text is required."""
    for codec in codecs(venue):
        check(codec.decode(frame))
