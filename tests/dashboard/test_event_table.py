"""The scanner's table as the screen gets it: rows as of a plain list, at the price of those in sight."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from dashboard.event_table import TICKS
from dashboard.event_views import EVENT_SORTS, ListedEvents
from dashboard.source import MemorySource
from pipeline.clock import ManualClock
from pipeline.model import BookState
from shm import records as rec
from shm.tables import TableWriter
from tests.dashboard.conftest import LIMITS, Feed, Part

S = 10**9
VENUES = ("kalshi", "polymarket", "kraken")
ROWS = 256


class Scanner(Part):
    """A scanner's table, filled at random, and feeds with some of the markets that it names."""

    def __init__(self, directory: Path, clock: ManualClock, random: Random) -> None:
        super().__init__(directory, "scanner", [rec.EVENT.section("events", ROWS)], clock)
        self.events = TableWriter(self.segment, "events", rec.EVENT)
        self._random = random
        self._now = clock
        self.feeds = [Feed(directory, venue, clock) for venue in VENUES]

    def fill(self, rows: int) -> None:
        """So many directions of few events, some of them again in the same place."""
        for at in range(rows):
            self.events.put(at, self.direction())
        for feed in self.feeds:
            for market in range(self._random.randrange(8)):
                self._now.advance(self._random.randrange(S))
                feed.book(f"m{market}", [("0.4", "10")], [("0.5", "10")])

    def direction(self) -> rec.EventRow:
        """A row with whatever may be in one."""
        pick = self._random
        kind = pick.choice(["binary", "spot", "binary", "basket", "close", "model"])
        buy, sell = pick.sample(VENUES, 2)
        return rec.EVENT.empty()._replace(
            event_id=pick.choice(["", *(f"e{n}" for n in range(9))]),
            title=pick.choice(["", "Straße", "İstanbul [red]", "rain\x1b[31m", "雨" * 40]),
            kind=kind,
            direction=pick.randrange(4),
            legs=pick.randrange(4),
            buy_venue=buy,
            buy_market=f"m{pick.randrange(5)}",
            buy_inverse=pick.randrange(2),
            buy_action=pick.choice(["buy", "sell"]),
            buy_outcome=pick.choice(["yes", "no"]),
            sell_venue=sell,
            sell_market=f"m{pick.randrange(5)}",
            close_wall_ns=pick.choice([0, 5, 7, 7]),
            has_numbers=pick.randrange(2),
            edge_bp=pick.choice([-300, 0, 40, 40, 95, -(2**40), 2**62]),
            net_micros=pick.choice([-(2**63), -5, 0, 0, 10**9]),
            born_ns=pick.choice([0, 1]),
            computed_ns=self._now.monotonic_ns(),
        )


@pytest.mark.parametrize("seed", range(12))
def test_it_arranges_as_a_plain_list_does(tmp_path: Path, clock: ManualClock, seed: int) -> None:
    """Every sort, both ways, with and without a needle, keys and groups: the same as ListedEvents."""
    random = Random(seed)
    scanner = Scanner(tmp_path / "shm", clock, random)
    source = MemorySource(tmp_path / "shm", LIMITS, clock)
    for _ in range(2):
        scanner.fill(random.randrange(1, 60))
        picture = source.snapshot()
        events, plain = picture.events, ListedEvents(list(picture.events))
        assert len(events) == len(plain)
        assert events.ids == plain.ids
        for index in range(len(plain)):
            assert events.key(index) == plain.key(index)
            assert events.group(index) == plain.group(index)
            assert events.find(events.key(index)) == plain.find(plain.key(index))
        for sort in ("", *EVENT_SORTS):
            for descending in (False, True):
                for needle in ("", "E1", "strasse", "M3", "kraken", "BASKET", "nowhere"):
                    ours = events.arrange(sort, descending=descending, needle=needle)
                    assert list(ours) == plain.arrange(sort, descending=descending, needle=needle), (
                        sort,
                        needle,
                    )
    assert events.find("no such key") is None
    scanner.close()


def test_only_rows_that_are_asked_for_are_unpacked(source: MemorySource, run) -> None:
    """A picture of many events unpacks none of them; two looks at one row unpack its directions once."""
    for at in range(12):
        run.event(f"more-{at}", "", "binary", ("kalshi", f"KX-{at}"), ("polymarket", str(at)))
    events = source.snapshot().events
    for sort in EVENT_SORTS:
        events.arrange(sort, descending=True, needle="more")
    assert [events.group(index) for index in range(len(events))]
    assert events.unpacked == 0
    assert events[3] is events[3]
    assert events.unpacked == 2


def test_texts_are_looked_at_only_where_they_changed(source: MemorySource, run) -> None:
    """New numbers leave the layout as it is; a new event or another title makes a new one."""
    layout = source.snapshot().events.layout
    legs = ("kalshi", "KX-btc-97k"), ("polymarket", "770")
    run.event("btc-97k", "Bitcoin above 97,000 at 14:05", "binary", *legs, edges=(7, 8))
    second = source.snapshot().events
    assert second.layout is layout
    assert [edge.edge_bp for edge in second[0].edges] == [7, 8]
    run.event("new", "", "binary", ("kalshi", "KX"), ("polymarket", "9"))
    third = source.snapshot().events
    assert third.layout is not layout
    assert third.ids == layout.ids | {"new"}


def test_a_picture_that_is_kept_stands_still(source: MemorySource, run, clock: ManualClock) -> None:
    """A paused view that is scrolled later shows rows and books as they were, not as they are."""
    kept = source.snapshot()
    run.event("btc-97k", "", "binary", ("kalshi", "KX-btc-97k"), ("polymarket", "770"), edges=(7, 8))
    run.feeds["kalshi"].book("KX-btc-97k", [("0.1", "1")], [("0.2", "1")])
    run.dead.add("feed-kalshi")
    clock.advance(S)
    fresh = source.snapshot()
    old, new = kept.events[0], fresh.events[0]
    assert [edge.edge_bp for edge in old.edges] == [95, -265]
    assert (old.legs[0].bid, old.legs[0].state) == ((600_000, 68_000), BookState.LIVE)
    assert [edge.edge_bp for edge in new.edges] == [7, 8]
    assert (new.legs[0].bid, new.legs[0].state) == ((100_000, 100), BookState.DEAD)


def test_a_free_row_is_no_event(source: MemorySource, run) -> None:
    """What the scanner lets go of is gone with the next picture, and its key leads nowhere."""
    events = source.snapshot().events
    key = events.key(0)
    run.events.clear(run.rows["btc-97k/0"])
    assert source.snapshot().events.find(key) is not None, "its other direction is still there"
    run.events.clear(run.rows["btc-97k/1"])
    picture = source.snapshot()
    assert picture.events.find(key) is None
    assert "btc-97k" not in picture.events.ids


def test_recent_edges_are_remembered(source: MemorySource, run, clock: ManualClock) -> None:
    """Oldest first, each with its age, at most TICKS; where nothing was priced there is None."""

    def look(edge: int) -> None:
        legs = ("kalshi", "KX-btc-97k"), ("polymarket", "770")
        run.event("btc-97k", "", "binary", *legs, edges=(edge, -edge))
        run.step()
        source.snapshot()

    for edge in (1, 2, 3):
        look(edge)
        clock.advance(S // 2)
    run.dead.add("scanner")
    clock.advance(2 * S)
    run.step()
    source.snapshot()
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    ages = [age for age, _ in detail.history]
    assert ages == sorted(ages, reverse=True)
    assert [edges for _, edges in detail.history] == [(1, -1), (2, -2), (3, -3), (None, None), (None, None)]
    assert ages[:3] == [7 * S // 2, 3 * S, 5 * S // 2]
    run.dead.clear()
    for edge in range(2 * TICKS):
        look(edge)
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    assert len(detail.history) == TICKS
    assert detail.history[-1][1] == (2 * TICKS - 1, 1 - 2 * TICKS)


def test_another_event_in_the_same_row_has_no_past(source: MemorySource, run) -> None:
    """What the row held before is not shown as the history of who lies there now."""
    source.snapshot()
    for direction in (0, 1):
        run.events.clear(run.rows.pop(f"btc-97k/{direction}"))
    run.rows = {"fresh/0": 0, "fresh/1": 1, **{name: at for name, at in run.rows.items() if at > 1}}
    run.event("fresh", "", "binary", ("kalshi", "KX-btc-97k"), ("polymarket", "770"), edges=(5, 6))
    picture = source.snapshot()
    place = next(at for at in range(len(picture.events)) if picture.events[at].id == "fresh")
    detail = source.detail(picture.events.key(place))
    assert detail is not None
    assert [edges for _, edges in detail.history] == [(5, 6)]


def test_both_directions_of_a_basket_have_keys_of_their_own(source: MemorySource, run) -> None:
    """They name the same legs; what is done with them tells one from the other, for cursor and detail."""
    legs = [("polymarket", str(at)) for at in range(3)]
    for number, outcome in enumerate(("yes", "no")):
        run.direction(
            "winner", "basket", [(*leg, "buy", outcome) for leg in legs], number=number, edge=number
        )
    events = source.snapshot().events
    places = [at for at in range(len(events)) if events[at].id == "winner"]
    assert [events.find(events.key(at)) for at in places] == places
    details = [source.detail(events.key(at)) for at in places]
    assert [one.row.edge.edge_bp for one in details if one is not None] == [0, 1]
