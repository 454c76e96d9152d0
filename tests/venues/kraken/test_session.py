"""Kraken's sessions: what comes before the scale is known, answers for each symbol, refusals, lost books."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.feed.book import BookKeeper
from pipeline.model import BookState, Market, Scale
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Listed, Snapshot, Status, Subscribed
from pipeline.venues.kraken import books
from pipeline.venues.kraken.books import KrakenCodec, make
from pipeline.venues.kraken.pairs import MISFITS_MAX

DATA = Path(__file__).resolve().parents[1] / "data" / "kraken"
INSTRUMENTS = (DATA / "ws_instrument_snapshot.json").read_bytes()


def text(**message: Any) -> bytes:
    return json.dumps(message).encode()


def book(kind: str, bids: str, asks: str, total: str, symbol: str = "BTC/USD") -> bytes:
    """A frame whose checksum is that of the digits in `total`."""

    def side(levels: str) -> list[dict[str, float]]:
        pairs = [level.split("@") for level in levels.split()]
        return [{"price": float(price), "qty": float(size)} for size, price in pairs]

    element = {"symbol": symbol, "bids": side(bids), "asks": side(asks)}
    element["checksum"] = zlib.crc32(total.encode())  # type: ignore[assignment]
    return text(channel="book", type=kind, data=[element])


# On the scale 1/8 of the instrument channel; taken literally the numbers have no decimals.
SNAPSHOT = book("snapshot", "1@100", "2@101", "1010200000000" + "1000100000000")
UPDATE = book("update", "3@100", "", "1010200000000" + "1000300000000")


def answer(request: str, symbol: str = "", error: str = "", **more: Any) -> bytes:
    """Kraken's answer to a request of ours, for one of its symbols or for none."""
    sent = json.loads(request)
    head = {"method": sent["method"], "req_id": sent["req_id"], "success": not error}
    if error:
        return text(**head, error=error, **({"symbol": symbol} if symbol else {}), **more)
    result = {"channel": sent["params"]["channel"], "symbol": symbol, "depth": 10}
    return text(**head, result=result, **more)


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def state(keeper: BookKeeper) -> BookState:
    return BookState(keeper.books["BTC/USD"].state)


def started(*symbols: str) -> tuple[KrakenCodec, list[str]]:
    """A codec that has subscribed and knows the instruments, and the book requests it sent."""
    codec = make({})
    requests = codec.subscribe(symbols)
    codec.decode(INSTRUMENTS)
    return codec, requests[1:]


def test_a_book_that_comes_before_its_scale_is_kept() -> None:
    """Snapshot and change wait for the instrument channel; then both are verified, and none was wrong."""
    codec, keeper = make({"BTC/USD": Scale(0, 0)}), BookKeeper("kraken", {"BTC/USD": Scale(0, 0)})
    codec.subscribe(["BTC/USD"])
    for sent in (SNAPSHOT, UPDATE):
        events = codec.decode(sent)
        assert kinds(events) == [Ignored]
        keeper.apply_frame(events)
    events = codec.decode(INSTRUMENTS)
    assert kinds(events) == [Listed, Status, Snapshot, Change]
    keeper.apply_frame(events)
    assert (keeper.checksums_ok, keeper.checksums_bad) == (2, 0)
    assert keeper.books["BTC/USD"].top() == ([(1000, 300_000_000)], [(1010, 200_000_000)])


@pytest.mark.parametrize("scales", [{"BTC/USD": Scale(1, 8)}, {}])
def test_a_book_whose_checksum_fits_its_scale_waits_for_nobody(scales: dict[str, Scale]) -> None:
    """A venue without an instrument channel is no reason to wait: the checksum proves the digits."""
    codec, keeper = make(scales), BookKeeper("kraken", scales)
    codec.subscribe(["BTC/USD"])
    padded = SNAPSHOT.replace(b'"qty": 1.0', b'"qty": 1.00000000')
    padded = padded.replace(b'"qty": 2.0', b'"qty": 2.00000000')
    for sent in (padded, UPDATE):
        keeper.apply_frame(codec.decode(sent))
    assert (state(keeper), keeper.checksums_ok) == (BookState.LIVE, 2)
    keeper.apply_frame(codec.decode(INSTRUMENTS))
    assert (state(keeper), keeper.books["BTC/USD"].scale) == (BookState.LIVE, Scale(1, 8))


def test_a_second_snapshot_replaces_the_kept_one() -> None:
    """What was kept for a pair begins anew with each of its snapshots."""
    codec = make({})
    codec.subscribe(["BTC/USD"])
    for sent in (SNAPSHOT, UPDATE, SNAPSHOT):
        codec.decode(sent)
    assert kinds(codec.decode(INSTRUMENTS)) == [Listed, Status, Snapshot]


def test_a_change_before_any_snapshot_is_dropped() -> None:
    """There is nothing it could change, before the scale is known and after."""
    codec, keeper = make({}), BookKeeper("kraken")
    codec.subscribe(["BTC/USD"])
    assert kinds(codec.decode(UPDATE)) == [Ignored]
    assert kinds(codec.decode(INSTRUMENTS)) == [Listed, Status]
    keeper.apply_frame(codec.decode(UPDATE))
    assert state(keeper) == BookState.EMPTY
    assert (keeper.checksums_bad, keeper.resync) == (0, set())


def test_a_book_that_is_asked_for_again_waits_no_longer() -> None:
    """Without an answer of the instrument channel the given scale serves, and what was kept is not lost."""
    codec = make({"BTC/USD": Scale(2, 8), "ETH/USD": Scale(2, 8)})
    codec.subscribe(["BTC/USD", "ETH/USD"])
    for sent in (SNAPSHOT, SNAPSHOT.replace(b"BTC", b"ETH")):
        assert kinds(codec.decode(sent)) == [Ignored]
    codec.resync(["BTC/USD"])
    assert kinds(codec.decode(SNAPSHOT)) == [Snapshot]
    assert kinds(codec.decode(UPDATE.replace(b"BTC", b"ETH"))) == [Snapshot, Change]


def test_a_refused_instrument_channel_holds_nobody_up() -> None:
    """The books go on with the scale they have, and the channel is asked for again with the next request."""
    codec = make({"BTC/USD": Scale(2, 8)})
    (instruments, _) = codec.subscribe(["BTC/USD"])
    codec.decode(SNAPSHOT)
    refused = codec.decode(answer(instruments, error="Exceeded msg rate"))
    assert kinds(refused) == [Subscribed, Snapshot]
    assert refused[0] == Subscribed((), ok=False, why="instrument: Exceeded msg rate")
    assert json.loads(codec.subscribe(["ETH/USD"])[0])["params"]["channel"] == "instrument"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many messages the books wait no longer."""
    monkeypatch.setattr(books, "KEPT_MAX", 3)
    codec = make({"BTC/USD": Scale(2, 8)})
    codec.subscribe(["BTC/USD"])
    for sent in (SNAPSHOT, UPDATE, UPDATE):
        assert kinds(codec.decode(sent)) == [Ignored]
    assert kinds(codec.decode(UPDATE)) == [Snapshot, Change, Change, Change]
    assert kinds(codec.decode(UPDATE)) == [Change]


def test_a_scale_that_changes_is_told_and_the_book_asked_for_again() -> None:
    """On a new precision the old levels mean nothing: GAP until a snapshot on the new one."""
    codec, keeper = make({}), BookKeeper("kraken")
    codec.subscribe(["BTC/USD"])
    for sent in (INSTRUMENTS, SNAPSHOT):
        keeper.apply_frame(codec.decode(sent))
    assert state(keeper) == BookState.LIVE
    keeper.apply_frame(codec.decode(INSTRUMENTS.replace(b'"price_precision":1', b'"price_precision":2')))
    assert state(keeper) == BookState.GAP
    assert keeper.resync == {"BTC/USD"}
    keeper.apply_frame(codec.decode(UPDATE))
    assert state(keeper) == BookState.GAP
    fine = book("snapshot", "1@100", "2@101", "10100200000000" + "10000100000000")
    keeper.apply_frame(codec.decode(fine))
    assert state(keeper) == BookState.LIVE
    assert keeper.books["BTC/USD"].scale == Scale(2, 8)


def test_pairs_subscribed_to_later_have_their_scale_too() -> None:
    """The instrument channel lists all pairs once; what it said of a pair is passed on when it is wanted."""
    codec, _ = started("BTC/USD")
    assert len(codec.subscribe(["PEPE/USD"])) == 1
    snapshot = book("snapshot", "5@0.5", "", "", symbol="PEPE/USD")
    events = codec.decode(snapshot)
    assert kinds(events) == [Listed, Status, Snapshot]
    assert isinstance(events[0], Listed)
    assert isinstance(events[0].market, Market)
    assert events[0].market.scale == Scale(9, 5)
    assert events[1] == Status("PEPE/USD", tradable=False, word="post_only")
    assert kinds(codec.decode(snapshot)) == [Snapshot]


def test_an_instrument_without_a_status_says_nothing_of_trading() -> None:
    """Only what the venue says becomes a status."""
    codec = make({})
    codec.subscribe(["BTC/USD"])
    silent = INSTRUMENTS.replace(b'"quote":"USD","status":"online"', b'"quote":"USD"')
    assert kinds(codec.decode(silent)) == [Listed]


def test_each_symbol_is_answered_for_itself() -> None:
    """One request, one good and one bad pair: each has its own answer, and the good one goes on."""
    codec, (request,) = started("BTC/USD", "XBT/USD")
    assert codec.decode(answer(request, "BTC/USD")) == [Subscribed(("BTC/USD",), ok=True)]
    words = "Currency pair not supported XBT/USD"
    assert codec.decode(answer(request, "XBT/USD", words)) == [Subscribed(("XBT/USD",), ok=False, why=words)]
    assert kinds(codec.decode(SNAPSHOT)) == [Snapshot]


@pytest.mark.parametrize(
    "complaint",
    [{"Error": "Exceeded msg rate"}, {"error": "Malformed request", "method": "error", "success": False}],
)
def test_a_complaint_without_symbol_is_about_all_that_is_unanswered(complaint: dict[str, Any]) -> None:
    """Those already answered keep what they have; the others are to be asked for again."""
    codec, (request,) = started("BTC/USD", "ETH/USD", "SOL/USD")
    codec.decode(answer(request, "ETH/USD"))
    (event,) = codec.decode(text(**complaint))
    assert isinstance(event, Subscribed)
    assert (event.markets, event.ok, event.full) == (("BTC/USD", "SOL/USD"), False, False)
    (again,) = codec.decode(text(**complaint))
    assert isinstance(again, Subscribed)
    assert again.markets == ()


def test_a_request_that_is_refused_whole_names_its_own_symbols() -> None:
    """Of two requests only the one with that number is refused."""
    codec, (first,) = started("BTC/USD")
    (second,) = codec.subscribe(["ETH/USD"])
    why = "Subscription depth not supported"
    assert codec.decode(answer(second, error=why)) == [Subscribed(("ETH/USD",), ok=False, why=why)]
    assert codec.decode(answer(first, error=why)) == [Subscribed(("BTC/USD",), ok=False, why=why)]


def test_already_subscribed_is_no_loss() -> None:
    """The subscription is there; nothing of the book is lost by asking twice."""
    codec, (request,) = started("BTC/USD")
    codec.decode(answer(request, "BTC/USD"))
    (twice,) = codec.subscribe(["BTC/USD"])
    (event,) = codec.decode(answer(twice, "BTC/USD", "Already subscribed"))
    assert event == Subscribed(("BTC/USD",), ok=True, why="Already subscribed")


def test_a_book_whose_new_subscription_is_refused_is_lost() -> None:
    """It was left in order to be asked for again, so nobody feeds it: it may not stay LIVE."""
    codec, (request,) = started("BTC/USD")
    keeper = BookKeeper("kraken")
    for sent in (INSTRUMENTS, answer(request, "BTC/USD"), SNAPSHOT):
        keeper.apply_frame(codec.decode(sent))
    leave, again = codec.resync(["BTC/USD"])
    keeper.apply_frame(codec.decode(answer(leave, "BTC/USD")))
    assert state(keeper) == BookState.LIVE
    refused = codec.decode(answer(again, error="Exceeded msg rate"))
    assert kinds(refused) == [Subscribed, Gap]
    keeper.apply_frame(refused)
    assert state(keeper) == BookState.GAP


def test_an_unsubscription_nobody_asked_for_is_a_lost_book() -> None:
    """Those that we asked for are not, however many are under way."""
    codec, (request,) = started("BTC/USD")
    codec.decode(answer(request, "BTC/USD"))
    one, two = codec.resync(["BTC/USD"]), codec.resync(["BTC/USD"])
    told = [codec.decode(answer(sent, "BTC/USD")) for sent in (*one, *two)]
    assert [kinds(events) for events in told] == [[Ignored], [Subscribed], [Ignored], [Subscribed]]
    assert codec.decode(answer(two[0], "BTC/USD")) == [Gap(("BTC/USD",), "unsubscribed", counted=False)]
    (leave,) = codec.unsubscribe(["BTC/USD"])
    assert kinds(codec.decode(answer(leave, "BTC/USD"))) == [Ignored]


@pytest.mark.parametrize(
    "message",
    [{"error": "Malformed request", "method": "ping"}, {"error": "not there", "method": "unsubscribe"}],
)
def test_other_refusals_change_nothing(message: dict[str, str]) -> None:
    """A ping or an unsubscription that was refused costs no book."""
    codec, _ = started("BTC/USD")
    assert kinds(codec.decode(text(**message))) == [Ignored]


@pytest.mark.parametrize("word", ["maintenance", "cancel_only", "post_only", "limit_only", "anything"])
def test_any_status_but_online_stops_trading_everywhere(word: str) -> None:
    """The books go on; orders do not, until the venue is online again."""
    codec, keeper = make({}), BookKeeper("kraken")
    for sent in (INSTRUMENTS, SNAPSHOT, text(channel="status", type="update", data=[{"system": word}])):
        keeper.apply_frame(codec.decode(sent))
    assert not keeper.tradable("BTC/USD")
    assert state(keeper) == BookState.LIVE
    keeper.apply_frame(codec.decode(text(channel="status", type="update", data=[{"system": "online"}])))
    assert keeper.tradable("BTC/USD")


@pytest.mark.parametrize("field", ["checksum", "bids", "asks"])
def test_a_message_without_an_essential_field_loses_the_book(field: str) -> None:
    """Without its checksum a message proves nothing; without a side it is not whole."""
    codec, _ = started("BTC/USD")
    message = json.loads(SNAPSHOT)
    for removed in (True, False):
        element = dict(message["data"][0])
        if removed:
            del element[field]
        else:
            element[field] = None
        (bad,) = codec.decode(text(**{**message, "data": [element]}))
        assert isinstance(bad, Bad)
        assert (bad.lost, bad.markets) == (True, ("BTC/USD",))


@pytest.mark.parametrize("stamp", [None, "", "yesterday", "2026-11-02T08:15:30", 17, {}])
def test_a_time_that_cannot_be_read_harms_no_book(stamp: object) -> None:
    """The levels and the checksum are sound, so they count; the time is 0."""
    codec, _ = started("BTC/USD")
    message = json.loads(SNAPSHOT)
    message["data"][0]["timestamp"] = stamp
    (snapshot,) = codec.decode(text(**message))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.venue_ns == 0


def timed(second: int, size: float, digits: str) -> bytes:
    element = json.loads(book("update", f"{size}@100", "", digits))["data"][0]
    element["timestamp"] = f"2026-11-02T08:15:{second:02}.25075Z"
    return text(channel="book", type="update", data=[element])


def test_swapped_changes_that_undo_each_other_are_noticed() -> None:
    """Their sums are right in either order; their times are not, so the book is not LIVE as it was before."""
    codec, keeper = make({}), BookKeeper("kraken")
    there = timed(7, 3, "1010200000000" + "1000300000000")
    back = timed(8, 1, "1010200000000" + "1000100000000")
    for sent in (INSTRUMENTS, SNAPSHOT, back):
        keeper.apply_frame(codec.decode(sent))
    assert state(keeper) == BookState.LIVE
    keeper.apply_frame(codec.decode(there))
    assert state(keeper) == BookState.GAP
    assert (keeper.checksums_bad, keeper.gaps, keeper.resync) == (0, 0, {"BTC/USD"})


def test_equal_and_missing_times_are_no_fault() -> None:
    """A change that comes again and one without a time are applied."""
    codec, keeper = make({}), BookKeeper("kraken")
    there = timed(7, 3, "1010200000000" + "1000300000000")
    for sent in (INSTRUMENTS, SNAPSHOT, there, there, UPDATE, there, SNAPSHOT, there):
        keeper.apply_frame(codec.decode(sent))
        assert "BTC/USD" not in keeper.books or state(keeper) == BookState.LIVE


def stamped(second: int) -> bytes:
    message = json.loads(SNAPSHOT)
    message["data"][0]["timestamp"] = f"2026-11-02T08:15:{second:02}.25075Z"
    return text(**message)


def test_a_late_snapshot_and_a_change_older_than_its_snapshot_are_not_taken() -> None:
    """Either way a change is missing that no sum tells of; the next snapshot repairs it."""
    there = timed(7, 3, "1010200000000" + "1000300000000")
    for swapped in ((stamped(8), there), (there, stamped(6))):
        codec, keeper = make({}), BookKeeper("kraken")
        for sent in (INSTRUMENTS, *swapped):
            keeper.apply_frame(codec.decode(sent))
        assert state(keeper) != BookState.LIVE
        assert keeper.resync == {"BTC/USD"}
        keeper.apply_frame(codec.decode(stamped(9)))
        assert state(keeper) == BookState.LIVE


@pytest.mark.parametrize("subscribed", [True, False])
def test_a_snapshot_older_than_a_change_that_could_not_be_read_is_not_taken(subscribed: bool) -> None:
    """The change came before any scale was known; the snapshot is without it: the next one counts."""
    codec, keeper = make({}), BookKeeper("kraken")
    if subscribed:
        codec.subscribe(["BTC/USD"])
    for sent in (timed(7, 3, ""), stamped(6), *([INSTRUMENTS] if subscribed else [])):
        keeper.apply_frame(codec.decode(sent))
    assert "BTC/USD" not in keeper.books or state(keeper) != BookState.LIVE
    keeper.apply_frame(codec.decode(INSTRUMENTS))
    keeper.apply_frame(codec.decode(stamped(8)))
    assert state(keeper) == BookState.LIVE


def test_a_time_far_in_the_future_does_not_deafen() -> None:
    """One damaged time costs the book until its next snapshots, and no longer."""
    codec, keeper = make({}), BookKeeper("kraken")
    there = timed(7, 3, "1010200000000" + "1000300000000")
    damaged = there.replace(b"2026-", b"2096-")
    states = []
    for sent in (INSTRUMENTS, stamped(6), damaged, there, stamped(8), there.replace(b":07.", b":09.")):
        keeper.apply_frame(codec.decode(sent))
        states.append(state(keeper) if keeper.books else BookState.EMPTY)
    live, gap = BookState.LIVE, BookState.GAP
    assert states == [BookState.EMPTY, live, live, gap, live, live]


def test_snapshots_stamped_by_another_clock_do_not_ask_for_ever() -> None:
    """Where each snapshot is newer than the change after it, the times are given up at last."""
    codec, keeper = make({}), BookKeeper("kraken")
    there = timed(7, 3, "1010200000000" + "1000300000000")
    keeper.apply_frame(codec.decode(INSTRUMENTS))
    for _ in range(MISFITS_MAX):
        for sent in (stamped(9), there):
            keeper.apply_frame(codec.decode(sent))
        assert state(keeper) == BookState.GAP
    for sent in (stamped(9), there):
        keeper.apply_frame(codec.decode(sent))
    assert state(keeper) == BookState.LIVE


def test_several_books_in_a_frame_and_a_level_that_comes_twice() -> None:
    """Each element counts, in order; of a price that comes twice the last size counts."""
    codec, keeper = make({}), BookKeeper("kraken")
    for sent in (INSTRUMENTS, SNAPSHOT):
        keeper.apply_frame(codec.decode(sent))
    first, second = json.loads(UPDATE)["data"][0], json.loads(UPDATE)["data"][0]
    second["asks"] = [{"price": 101, "qty": 9}, {"price": 101, "qty": 5e-06}]
    second["checksum"] = zlib.crc32(b"1010500" + b"1000300000000")
    events = codec.decode(text(channel="book", type="update", data=[first, second]))
    assert kinds(events) == [Change, Change]
    keeper.apply_frame(events)
    assert keeper.books["BTC/USD"].top() == ([(1000, 300_000_000)], [(1010, 500)])
    assert keeper.checksums_bad == 0


def test_a_snapshot_sent_twice_is_still_the_book() -> None:
    """It replaces itself."""
    codec, keeper = make({}), BookKeeper("kraken")
    for sent in (INSTRUMENTS, SNAPSHOT, SNAPSHOT, UPDATE):
        keeper.apply_frame(codec.decode(sent))
    assert state(keeper) == BookState.LIVE
    assert keeper.checksums_ok == 3
