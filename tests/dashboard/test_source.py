"""What a picture of a run says: the truth, whatever the processes do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.snapshot import Snapshot
from dashboard.source import MemorySource
from pipeline.clock import ManualClock
from pipeline.model import BookState, ConnectionState, MarketStatus, Reason, StateLimits, WorkerState
from shm import records as rec
from shm import segment as seg
from shm.tables import counter_section

S = 10**9


def leg(picture: Snapshot, event_id: str, at: int):
    return next(event for event in picture.events if event.id == event_id).legs[at]


def venue(picture: Snapshot, name: str):
    return next(venue for venue in picture.venues if venue.name == name)


def worker(picture: Snapshot, name: str):
    return next(worker for worker in picture.workers if worker.name == name)


def test_before_the_bot_starts(source: MemorySource) -> None:
    """Without any memory the picture is empty and not running; nothing fails."""
    picture = source.snapshot()
    assert not picture.run.seen
    assert not picture.run.alive
    assert len(picture.events) == 0
    assert picture.venues == picture.workers == ()
    assert picture.summary is None


def test_attaches_to_a_run_that_starts_later(
    source: MemorySource, tmp_path: Path, clock: ManualClock, request: pytest.FixtureRequest
) -> None:
    """A dashboard that was there first shows the run as soon as it is there."""
    assert not source.snapshot().run.seen
    request.getfixturevalue("run")
    picture = source.snapshot()
    assert picture.run.alive
    assert [event.id for event in picture.events] == ["btc-97k", "eth-3400", "fed-hold", "btc-spot"]
    assert [venue.name for venue in picture.venues] == ["kalshi", "polymarket", "kraken", "coinbase"]


def test_books_as_published(source: MemorySource, run) -> None:
    """Both legs of an event show their book's best levels on their own scales."""
    picture = source.snapshot()
    kalshi, polymarket = leg(picture, "btc-97k", 0), leg(picture, "btc-97k", 1)
    assert (kalshi.bid, kalshi.ask) == ((600_000, 68_000), (605_000, 68_750))
    assert (polymarket.bid, polymarket.size_decimals) == ((620_000, 566_000_000), 6)
    assert kalshi.state is polymarket.state is BookState.LIVE


def test_inverse_polarity_is_turned_round_once(source: MemorySource, run) -> None:
    """The bid of an inverse leg is 1 minus its book's ask, and the other way about."""
    run.event("turned", "", "binary", ("kalshi", "KX-btc-97k"), ("polymarket", "770"), inverse=(0, 1))
    turned = leg(source.snapshot(), "turned", 1)
    assert turned.bid == (340_000, 44_100_000_000)
    assert turned.ask == (380_000, 566_000_000)


def test_edges_are_the_scanner_s(source: MemorySource, run) -> None:
    """Direction 0 buys the first leg; figures and reason are those of the event rows."""
    event = source.snapshot().events[0]
    assert [edge.edge_bp for edge in event.edges] == [95, -265]
    assert [(edge.buy_venue, edge.sell_venue) for edge in event.edges] == [
        ("kalshi", "polymarket"),
        ("polymarket", "kalshi"),
    ]
    assert [edge.reason for edge in event.edges] == [Reason.NONE, Reason.NO_EDGE]


def test_a_killed_feed_is_dead_and_its_ages_grow(source: MemorySource, run, clock: ManualClock) -> None:
    """250 ms after a feed's last heartbeat its books are DEAD; the others stay LIVE."""
    source.snapshot()
    run.dead.add("feed-kraken")
    clock.advance(300_000_000)
    run.step()
    picture = source.snapshot()
    assert leg(picture, "btc-spot", 0).state is BookState.DEAD
    assert leg(picture, "btc-spot", 1).state is BookState.LIVE
    assert not venue(picture, "kraken").connected
    assert venue(picture, "kraken").state == "dead"
    clock.advance(7 * S)
    run.step()
    picture = source.snapshot()
    assert leg(picture, "btc-spot", 0).age_ns == 7_300_000_000
    assert worker(picture, "feed-kraken").state == "no beat"
    assert worker(picture, "feed-coinbase").state == "running"


def test_a_killed_bot_never_shows_running(source: MemorySource, run, clock: ManualClock) -> None:
    """A second after the last heartbeat the run is stopped, and its silence keeps growing."""
    assert source.snapshot().run.alive
    clock.advance(1_100_000_000)
    first = source.snapshot()
    assert not first.run.alive
    assert first.run.seen
    assert not first.scanner_alive
    # The memory here is this very process's: it is there and does not beat.
    assert {one.state for one in first.workers} <= {"gone", "no beat"}
    clock.advance(60 * S)
    second = source.snapshot()
    assert second.run.beat_age_ns == 61_100_000_000
    assert leg(second, "btc-97k", 0).age_ns == 61_100_000_000


def test_workers_without_a_supervisor_are_orphans(source: MemorySource, run, clock: ManualClock) -> None:
    """A dead supervisor's table is not believed: who still beats is an orphan."""
    run.dead.add("supervisor")
    clock.advance(2 * S)
    run.step()
    picture = source.snapshot()
    assert not picture.run.alive
    assert worker(picture, "feed-kalshi").state == "orphan"
    assert worker(picture, "supervisor").state == "no beat"


def test_down_leaves_the_last_picture_marked(source: MemorySource, run, clock: ManualClock) -> None:
    """After `down` has removed every segment, the last figures stay and nothing in them is alive."""
    source.snapshot()
    run.close(unlink=True)
    picture = source.snapshot()
    assert picture.run.seen
    assert not picture.run.alive
    assert picture.summary is not None
    assert {leg.state for event in picture.events for leg in event.legs} == {BookState.DEAD}


def test_a_new_run_replaces_the_old_picture(
    source: MemorySource, run, clock: ManualClock, tmp_path: Path
) -> None:
    """`up` after `down` makes new files; the picture moves over to them by itself."""
    source.snapshot()
    run.close(unlink=True)
    source.snapshot()
    clock.advance(5 * S)
    fresh = type(run)(tmp_path / "shm", clock)
    picture = source.snapshot()
    fresh.close()
    assert picture.run.alive
    assert picture.run.uptime_ns == 0
    assert leg(picture, "btc-97k", 0).age_ns == 0


def test_a_restarted_feed_begins_empty(source: MemorySource, run, clock: ManualClock) -> None:
    """A feed's new epoch is followed at once: EMPTY until it publishes, then LIVE."""
    assert leg(source.snapshot(), "btc-spot", 0).state is BookState.LIVE
    feed = run.restart_feed("kraken")
    assert leg(source.snapshot(), "btc-spot", 0).state is BookState.EMPTY
    feed.book("BTC/USD", [("97100", "1")], [("97101", "1")])
    kraken = leg(source.snapshot(), "btc-spot", 0)
    assert (kraken.state, kraken.bid) == (BookState.LIVE, (9_710_000, 10**8))


def test_frozen_silent_and_quiet_look_different(source: MemorySource, run, clock: ManualClock) -> None:
    """No proof of life is STALE, proof without news is QUIET, a lost message is GAP."""
    run.feeds["kraken"].book("BTC/USD", [("97100", "1")], [("97101", "1")], state=BookState.GAP)
    assert leg(source.snapshot(), "btc-spot", 0).state is BookState.GAP
    clock.advance(4 * S)
    for part in run.parts():
        part.segment.beat(clock.monotonic_ns())
    silent = source.snapshot()
    assert leg(silent, "btc-97k", 0).state is BookState.STALE
    assert venue(silent, "kalshi").state == "silent"
    clock.advance(30 * S)
    run.step()
    assert leg(source.snapshot(), "btc-97k", 0).state is BookState.QUIET


def test_rates_come_from_two_counts(source: MemorySource, run, clock: ManualClock) -> None:
    """Messages a second are unknown at first, then the difference of two counts over their time."""
    assert venue(source.snapshot(), "kalshi").rate is None
    run.feeds["kalshi"].counters.add("frames", 421)
    clock.advance(S // 2)
    run.step()
    assert venue(source.snapshot(), "kalshi").rate == 842


def test_a_venue_that_reconnects_says_so(source: MemorySource, run, clock: ManualClock) -> None:
    """A feed that lives while its socket is down is shown by the state of its connection."""
    run.feeds["coinbase"].connect(ConnectionState.BACKOFF)
    coinbase = venue(source.snapshot(), "coinbase")
    assert coinbase.alive
    assert (coinbase.connected, coinbase.state) == (False, "backoff")


def test_positions_are_netted_in_the_event_s_terms(source: MemorySource, run) -> None:
    """YES at one venue and NO at the other hedge each other; an inverse market counts the other way."""
    held = source.snapshot().positions[0]
    assert [(leg.venue, leg.units) for leg in held.legs] == [("kalshi", 2000), ("polymarket", -2000)]
    assert (held.net_units, held.unrealised_micros) == (0, 120_000)
    run.event("turned", "", "binary", ("kalshi", "KX-btc-97k"), ("polymarket", "77"), inverse=(0, 1))
    run.position(2, "turned", "polymarket", "77", "yes", "5", marked=0)
    turned = source.snapshot().positions[1]
    assert (turned.net_units, turned.unrealised_micros) == (-500, None)


def test_the_last_decisions_newest_first(source: MemorySource, run) -> None:
    """Of many decisions the last 64 are there, the newest first."""
    for _ in range(100):
        run.decide(1, Reason.NONE)
    assert [row.sequence for row in source.snapshot().decisions] == list(range(103, 39, -1))


@pytest.mark.parametrize("garbage", [b"", b"x" * 100, b"x" * 8192])
def test_a_file_that_is_no_segment_is_named(
    source: MemorySource, run, tmp_path: Path, garbage: bytes
) -> None:
    """A file that is not ours is reported after a moment, and the rest is shown."""
    run.feeds["kraken"].close(unlink=True)
    path = tmp_path / "shm" / "feed-kraken"
    path.write_bytes(garbage)
    path.chmod(0o600)
    pictures = [source.snapshot() for _ in range(5)]
    assert pictures[0].problems == ()
    assert any("feed-kraken" in problem for problem in pictures[-1].problems)
    assert leg(pictures[-1], "btc-spot", 0).state is BookState.DEAD
    assert leg(pictures[-1], "btc-spot", 1).state is BookState.LIVE


def test_tables_of_another_shape_are_left_alone(
    source: MemorySource, run, tmp_path: Path, clock: ManualClock
) -> None:
    """A segment of another program version is not guessed at: its tables are absent."""
    run.trader.close()
    other = seg.create(
        tmp_path / "shm",
        "trader",
        [counter_section(["x"]), rec.CASH.section("summary", 1), rec.RUN.section("positions", 1)],
        seg.this_owner(),
        monotonic_ns=clock.monotonic_ns(),
        wall_ns=clock.wall_ns(),
        sleep=clock.sleep,
    )
    picture = source.snapshot()
    other.close()
    assert picture.summary is None
    assert picture.positions == picture.decisions == picture.cash == ()


def test_numbers_that_this_program_does_not_know(source: MemorySource, run) -> None:
    """States and reasons of another version are shown as foreign, and believed as little."""
    run.feeds["kraken"].book("BTC/USD", [("1", "1")], [("2", "1")], state=77)
    run.worker(2, "feed-kraken", WorkerState.RUNNING, 1)
    row = rec.WORKER.empty()._replace(name="novel", state=99)
    run.workers.put(9, row)
    picture = source.snapshot()
    assert leg(picture, "btc-spot", 0).state is BookState.GAP
    assert worker(picture, "novel").state == "state 99"


def test_closed_markets_are_known(source: MemorySource, run) -> None:
    """The venue's word about its market travels with the leg."""
    run.feeds["kalshi"].book("KX-btc-97k", [], [], status=MarketStatus.SETTLED)
    assert leg(source.snapshot(), "btc-97k", 0).status is MarketStatus.SETTLED


def test_memory_of_an_earlier_boot_is_not_believed(
    run, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats of before a reboot lie on another clock: such files count as absent."""
    monkeypatch.setattr("dashboard.source.boot_id", lambda: b"\x01" * 16)
    later = MemorySource(tmp_path / "shm", StateLimits(), clock)
    assert not later.snapshot().run.seen


def test_looking_changes_nothing(source: MemorySource, run, tmp_path: Path) -> None:
    """A dashboard writes no byte into any segment."""

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((tmp_path / "shm").iterdir())}

    before = content()
    for _ in range(3):
        source.snapshot()
    assert content() == before


def test_segments_of_workers_that_left_are_let_go(source: MemorySource, run) -> None:
    """A feed that the supervisor no longer names disappears from the picture."""
    source.snapshot()
    run.workers.clear(4)
    for _ in range(2):
        names = [one.name for one in source.snapshot().venues]
        assert names == ["kalshi", "polymarket", "kraken"]
    assert "feed-coinbase" not in source._attached


YES, NO = ("buy", "yes"), ("buy", "no")
K, P = ("kalshi", "KX-btc-97k"), ("polymarket", "770")


def test_other_directions_are_lines_and_leave_the_pairs_alone(source: MemorySource, run) -> None:
    """A basket, a ladder, a model and a pair to close are lines of their own, in the scanner's order."""
    before = list(source.snapshot().events)
    run.direction("winner", "basket", [(*P, *YES), ("polymarket", "771", *YES), ("polymarket", "772", *YES)])
    run.direction("strikes", "ladder", [(*K, *YES), (*P, *NO)], reason=Reason.NO_EDGE, edge=-80)
    run.direction("btc-97k", "close", [(*K, "sell", "yes"), (*P, "sell", "no")], number=1000)
    run.direction("asked", "model", [(*K, *YES)], model_low_ppm=1, model_ppm=2, model_high_ppm=3)
    run.direction("novel", "foreign", [(*K, *YES)])
    picture = source.snapshot()
    assert list(picture.events)[: len(before)] == before
    lines = list(picture.events)[len(before) :]
    assert [(line.id, line.kind, line.count, len(line.legs)) for line in lines] == [
        ("winner", "basket", 3, 2),
        ("strikes", "ladder", 2, 2),
        ("btc-97k", "close", 2, 2),
        ("asked", "model", 1, 1),
        ("novel", "foreign", 1, 1),
    ]
    assert lines[2].deals == (("sell", "yes"), ("sell", "no"))
    assert [line.odds for line in lines] == [None, None, None, (1, 2, 3), None]
    assert len(picture.events.ids) == len(before) + 4


def test_three_legs_are_three_pairs(source: MemorySource, run) -> None:
    """Of an event on three venues each pair is a row; even numbers buy its first leg, odd its second."""
    legs = [K, P, ("polymarket", "771")]
    number = 0
    for at, first in enumerate(legs):
        for second in legs[at + 1 :]:
            for buy, sell in ((first, second), (second, first)):
                run.direction("three", "binary", [(*buy, *YES), (*sell, *NO)], number=number, edge=number)
                number += 1
    pairs = [event for event in source.snapshot().events if event.id == "three"]
    assert [tuple(edge.edge_bp for edge in pair.edges) for pair in pairs] == [(0, 1), (2, 3), (4, 5)]
    assert [tuple(leg.market for leg in pair.legs) for pair in pairs] == [
        ("KX-btc-97k", "770"),
        ("KX-btc-97k", "771"),
        ("770", "771"),
    ]


def test_baskets_and_complements_are_hedged_by_equal_legs(source: MemorySource, run) -> None:
    """As much of every leg is no exposure; a leg that is missing or short is all of it."""
    run.direction("winner", "basket", [("polymarket", str(at), *YES) for at in range(3)])
    for at, size in enumerate(("30", "30", "30")):
        run.position(at + 4, "winner", "polymarket", str(at), "yes", size)
    held = next(one for one in source.snapshot().positions if one.event_id == "winner")
    assert [(leg.units, leg.markets) for leg in held.legs] == [(3000, 3)]
    assert held.net_units == 0
    run.position(6, "winner", "polymarket", "2", "yes", "12")
    assert source.snapshot().positions[-1].net_units == 1800
    run.positions.clear(6)
    assert source.snapshot().positions[-1].net_units == 3000
