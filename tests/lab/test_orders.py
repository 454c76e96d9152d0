"""Orders: what a running lab is told in run/faults.json, and what it then does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.lab.book import BookBatch, Trade
from pipeline.lab.faults import Fault, Faults
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.orders import ORDERS_FILE, OrderBook, give
from pipeline.lab.scenario import DIVERGE, NOTHING, Scenario, ScenarioError, Step, order_text, parse_order

START_WALL_MS = 1_795_000_000_000
CENT = 100
OPEN = 6
"""Cents of a gap of eight whose event has moved since: one venue may be a cent behind the other."""


def world(divergence: float = 0.0, scenario: Scenario = NOTHING) -> MarketModel:
    return MarketModel(7, divergence, START_WALL_MS, coinbase_levels=40, scenario=scenario)


def played(model: MarketModel, steps: int) -> list[Any]:
    """What a world emits, as plain values."""
    out: list[Any] = []

    def emit(item: BookBatch | Trade | Notice) -> None:
        out.append((item.kind, item.event.id) if isinstance(item, Notice) else tuple(item))

    for _ in range(steps):
        model.step(emit)
    return out


def crossing(model: MarketModel, event_id: str) -> int:
    """Cents that Polymarket bids above Kalshi's ask; negative where nothing crosses."""
    event = next(event for event in model.live if event.id == event_id)
    _, ask = event.kalshi.quotes.quoted()
    bid, _ = event.polymarket.quotes.quoted()
    return (bid - ask) // CENT


def planted(event_id: str, at_s: float = 0.0, for_s: float = 1.0) -> Scenario:
    step = Step(at_s, "polymarket", DIVERGE, 8, for_s=for_s, market=event_id)
    return Scenario("planted", (step,))


# -- the file ---------------------------------------------------------------------------------------------


def test_each_order_is_seen_once(tmp_path: Path) -> None:
    """A replacement is noticed, also one of the same text and length right after the other."""
    path = tmp_path / ORDERS_FILE
    book = OrderBook(path)
    assert book.new() is None
    for text in (b"one", b"one", b"two"):
        give(path, text)
        assert (book.new(), book.new()) == (text, None)
    path.unlink()
    assert book.new() is None


def test_orders_of_an_earlier_lab_are_not_played_again(tmp_path: Path) -> None:
    """What lay there when the lab began was for the one before it."""
    give(tmp_path / ORDERS_FILE, b"old")
    assert OrderBook(tmp_path / ORDERS_FILE).new() is None


def test_an_order_is_read_back_as_it_was_given() -> None:
    """Steps keep everything they say."""
    steps = (
        Step(0, "kalshi", "drop", times=1),
        Step(0.5, "kraken", "checksum", chance_pct=50, market="BTC/USD"),
        Step(0, "paper", "leg_failure", 50, for_s=3),
        planted("sim-goal-2").steps[0],
    )
    assert parse_order(order_text(steps)).steps == steps


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "no order"),
        (b"[]", "Expected `object`"),
        (b'{"title": "x", "stips": []}', "unknown field `stips`"),
        (order_text([Step(0, "moon", "drop")]), "step 1 (moon drop): no venue 'moon'"),
        (order_text([Step(0, "kalshi", DIVERGE, 8)]), "market names the event"),
        (order_text([Step(0, "kraken", DIVERGE, 8, market="e")]), "kalshi, polymarket"),
        (b" " * 70_000, "at most 65536 bytes"),
    ],
)
def test_an_order_that_cannot_be_played_says_why(text: bytes, words: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ScenarioError) as error:
        parse_order(text)
    assert words in str(error.value)


def test_at_s_counts_from_when_the_lab_sees_it() -> None:
    """Seconds of the order become seconds of the world."""
    ordered = parse_order(order_text([Step(1.5, "kalshi", "freeze", for_s=2)])).later(10_000)
    assert (ordered.steps[0].from_ms, ordered.steps[0].until_ms) == (11_500, 13_500)


# -- lines ------------------------------------------------------------------------------------------------


def test_orders_stand_beside_the_script() -> None:
    """A new order takes the place of the last one; the scenario's own faults and their counts stay."""
    faults = Faults()
    faults.set([Fault("kalshi", "drop", times=1)])
    script = faults.armed("kalshi", 0)
    faults.order([Fault("kalshi", "freeze")])
    assert [each.fault.kind for each in faults.armed("kalshi", 0)] == ["drop", "freeze"]
    faults.order([Fault("kalshi", "cut"), Fault("kraken", "cut")])
    assert [each.fault.kind for each in faults.armed("kalshi", 0)] == ["drop", "cut"]
    faults.order([])
    assert faults.armed("kalshi", 0) == script


def test_an_order_with_a_wrong_fault_changes_nothing() -> None:
    """All of it is checked before any of it counts."""
    faults = Faults()
    faults.order([Fault("kalshi", "freeze")])
    with pytest.raises(ValueError, match="no fault 'dance'"):
        faults.order([Fault("kalshi", "cut"), Fault("kalshi", "dance")])
    assert [each.fault.kind for each in faults.armed("kalshi", 0)] == ["freeze"]


# -- markets ----------------------------------------------------------------------------------------------


def test_a_planted_gap_opens_when_it_is_due_and_closes_again() -> None:
    """For its time the venue bids as many cents more as were asked, or a cent of the grid more; then not."""
    model = world()
    event = model.live[2].id
    played(model, 150)
    assert crossing(model, event) < 0
    model.order(planted(event, at_s=0.2).later(model.time.elapsed_ms))
    played(model, 19)
    assert crossing(model, event) < 0
    played(model, 3)
    assert 8 <= crossing(model, event) <= 9
    played(model, 90)
    assert crossing(model, event) >= OPEN
    played(model, 15)
    assert crossing(model, event) < 0


def test_a_gap_can_be_scripted_too() -> None:
    """A scenario names the event and the second."""
    event = world().live[1].id
    model = world(scenario=planted(event, at_s=2))
    played(model, 195)
    assert crossing(model, event) < 0
    played(model, 10)
    assert crossing(model, event) >= OPEN


def test_a_gap_is_opened_once_and_waits_until_it_can_be() -> None:
    """An event that has just opened, or diverges already, does so a little later; then it has been done."""
    model = world()
    event = model.live[1].id
    model.order(planted(event, for_s=3).later(0))
    played(model, 50)
    assert crossing(model, event) < 0
    played(model, 60)
    assert crossing(model, event) >= OPEN
    model.live[1].diverged_until_ms = model.time.elapsed_ms
    played(model, 100)
    assert crossing(model, event) < 0


def test_a_gap_is_over_when_another_order_comes() -> None:
    """What is ordered stands in place of what was: a gap that it does not name closes, and can open again."""
    model = world()
    event = model.live[1].id
    played(model, 150)
    model.order(planted(event, for_s=60).later(model.time.elapsed_ms))
    played(model, 5)
    assert crossing(model, event) >= OPEN
    model.order(NOTHING)
    played(model, 3)
    assert crossing(model, event) < 0
    model.order(planted(event, for_s=50).later(model.time.elapsed_ms))
    played(model, 5)
    assert crossing(model, event) >= OPEN


def test_an_event_that_is_never_to_pay_does_not() -> None:
    """Whatever is ordered: its quotes are too wide to be crossed."""
    model = world()
    event = next(event for event in model.live if event.topic.never_pays)
    model.order(planted(event.id, for_s=5))
    played(model, 300)
    assert crossing(model, event.id) < 0


def test_a_world_without_orders_is_the_same_as_ever() -> None:
    """Reading no order, or taking one that asks nothing of the markets, draws nothing and changes nothing."""
    quiet, told = world(1.0), world(1.0)
    for _ in range(4):
        told.order(Scenario("lines", (Step(0, "kalshi", "drop"),)))
        assert played(told, 500) == played(quiet, 500)
