"""Lanes: directions find their rows, are found by their books, and come and go with what is held."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from pipeline.model_events import MODEL, Digital, Event, EventLeg
from pipeline.pairs import CLOSE_BASE, Direction
from pipeline.scanner.lanes import Lane, Lanes


def event(name: str = "e", **extra) -> Event:
    return Event(
        name, name, "binary", (EventLeg("kalshi", "K" + name), EventLeg("polymarket", "P" + name)), **extra
    )


class Told:
    """What the lanes said of themselves."""

    def __init__(self) -> None:
        self.cleared: list[Lane] = []
        self.refused: list[Direction] = []

    def lanes(self, rows: int) -> Lanes:
        return Lanes(rows, self.cleared.append, self.refused.append)


def nothing(_direction: Direction) -> Decimal:
    return Decimal(0)


def keys(lanes: Lanes) -> list[tuple[str, int]]:
    return [lane.direction.key for lane in lanes]


def test_a_direction_keeps_its_row() -> None:
    """What stays in the config keeps its lane; what goes is cleared, and its row is given out again."""
    told = Told()
    lanes = told.lanes(4)
    lanes.follow([event("a"), event("b")], nothing)
    kept = {lane.direction.key: lane for lane in lanes}
    assert len({lane.row for lane in lanes}) == 4
    lanes.follow([event("b", close_ns=5), event("c")], nothing)
    assert keys(lanes) == [("b", 0), ("b", 1), ("c", 0), ("c", 1)]
    assert [lane for lane in lanes if lane.direction.event.id == "b"] == [kept["b", 0], kept["b", 1]]
    assert kept["b", 0].direction.event.close_ns == 5
    assert {lane.direction.event.id for lane in told.cleared} == {"a"}
    assert {lane.row for lane in lanes} == {0, 1, 2, 3}


def test_a_full_table_says_so() -> None:
    """A direction without a row is named, and the others work on."""
    told = Told()
    lanes = told.lanes(3)
    lanes.follow([event("a"), event("b")], nothing)
    assert len(lanes) == 3
    assert [direction.key for direction in told.refused] == [("b", 1)]


def test_a_held_pair_can_be_closed() -> None:
    """A closing direction is there as long as both of its legs are held, and knows how many."""
    told = Told()
    lanes = told.lanes(8)
    lanes.follow([event()], nothing)
    version = lanes.version
    lanes.hold(lambda direction: Decimal(7) if direction.index == CLOSE_BASE + 1 else Decimal(0))
    assert keys(lanes) == [("e", 0), ("e", 1), ("e", CLOSE_BASE + 1)]
    assert [lane.held for lane in lanes] == [None, None, 7]
    assert lanes.version > version
    lanes.hold(nothing)
    assert keys(lanes) == [("e", 0), ("e", 1)]
    assert [lane.direction.index for lane in told.cleared] == [CLOSE_BASE + 1]


def test_a_book_finds_all_who_need_it() -> None:
    """A changed book leads to every direction that it prices, converts or models, and to no other."""
    spot = EventLeg("kraken", "BTC/USD", "base")
    other = replace(spot, venue="coinbase", market="BTC-USDT", convert=("kraken", "USDT/USD"))
    model = Event("m", "m", MODEL, (EventLeg("kalshi", "KX"), spot), 9, digital=Digital(Decimal(1)))
    lanes = Told().lanes(20)
    lanes.follow([event(), Event("s", "s", "spot", (spot, other)), model], nothing)
    of = {book: [lane.direction.key for lane in lanes.of(book)] for book in
          (("kalshi", "Ke"), ("kraken", "USDT/USD"), ("kraken", "BTC/USD"), ("kraken", "x"))}  # fmt: skip
    assert of["kalshi", "Ke"] == [("e", 0), ("e", 1)]
    assert of["kraken", "USDT/USD"] == [("s", 0), ("s", 1)]
    assert of["kraken", "BTC/USD"] == [("s", 0), ("s", 1), ("m", 0), ("m", 1)]
    assert of["kraken", "x"] == []
