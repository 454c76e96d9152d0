"""Events view: what is held of an event over all venues, in dollars counted by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import MarketResult
from pipeline.trader.events_view import Band, EventPosition, Hedge, band_of, event_positions
from pipeline.trader.holding import Key
from pipeline.trader.positions import Positions
from tests.support.fills import DAY, a_pair, account, failed, fill, no_mark, settle, spot

D = Decimal


def only(positions: Positions, **more: object) -> EventPosition:
    (event,) = event_positions(positions, no_mark, **more)  # type: ignore[arg-type]
    return event


@pytest.mark.parametrize(
    ("dollars", "band"),
    [
        ("0", Band.GREEN),
        ("19.999999", Band.GREEN),
        ("20", Band.YELLOW),
        ("50", Band.YELLOW),
        ("50.01", Band.RED),
    ],
)
def test_bands_are_those_of_the_seed(dollars: str, band: Band) -> None:
    """Green below $20, yellow from $20 to $50 with both ends, red above."""
    assert band_of(D(dollars)) is band


def test_a_pair_locks_its_payoff_less_cost_and_fees() -> None:
    """Ten pairs at 0.48 + 0.45 with 0.28 of fees lock 10 - 9.3 - 0.28."""
    positions = account()
    positions.apply(a_pair())
    event = only(positions)
    assert event.quantities == {("kalshi", "yes"): 10, ("polymarket", "no"): 10}
    assert event.averages == {("kalshi", "yes"): D("0.48"), ("polymarket", "no"): D("0.45")}
    assert (event.hedged, event.net, event.gross, event.net_exposure) == (10, 0, D("9.3"), 0)
    assert (event.fees, event.locked, event.unrealised) == (D("0.28"), D("0.42"), None)
    assert (event.band, event.state, event.opened_wall_ns) == (Band.GREEN, Hedge.HEDGED, DAY)
    # A pair that pays 0.97 at worst, where one venue may call its market off.
    assert only(positions, payoff=lambda event_id: D("0.97")).locked == D("0.12")


def test_what_is_beyond_the_pairs_is_the_newest_of_the_heavier_side() -> None:
    """4 YES more at 0.60, after ten pairs: $2.40 are not hedged, and the pairs pay all fees."""
    positions = account()
    positions.apply(a_pair())
    positions.apply_fill(fill(5, "kalshi", "yes", "0.6", "4", fee="0.07", trade="t2"))
    event = only(positions)
    assert (event.hedged, event.net, event.gross, event.net_exposure) == (10, 4, D("11.7"), D("2.4"))
    assert event.locked == D("10") - D("9.3") - D("0.35")
    assert event.state is Hedge.UNHEDGED
    assert only(positions, working={"e"}).state is Hedge.ON_ITS_WAY
    assert only(positions, dust=lambda rest: rest.dollars <= D("2.4")).state is Hedge.HEDGED
    assert only(positions, dust=lambda rest: rest.dollars < D("2.4"), working={"e"}).state is Hedge.ON_ITS_WAY


def test_a_pair_with_one_leg_settled_is_still_locked() -> None:
    """Kalshi has paid its YES nothing; the NO at Polymarket is hedged by that, and will pay."""
    positions = account()
    positions.apply(a_pair())
    settle(positions, "kalshi", "M", MarketResult.NO)
    event = only(positions)
    assert event.quantities == {("polymarket", "no"): 10}
    assert (event.hedged, event.net, event.gross, event.locked) == (10, 0, D("4.5"), D("0.42"))
    assert event.state is Hedge.HEDGED
    settle(positions, "polymarket", "M", MarketResult.NO)
    assert event_positions(positions, no_mark) == []
    assert positions.realised() == event.locked


def test_a_leg_that_failed_leaves_the_other_unhedged() -> None:
    """Nothing is locked, and all that is left is at risk."""
    positions = account()
    positions.apply([*a_pair(), failed("polymarket", 1)])
    event = only(positions)
    assert (event.hedged, event.net, event.net_exposure, event.locked) == (0, 10, D("4.8"), 0)
    assert (event.fees, event.state) == (D("0.18"), Hedge.UNHEDGED)


def test_spot_inventory_lies_across_venues() -> None:
    """0.3 coins moved from Coinbase to Kraken, 0.2 more were sold there at 102: $20.40, yellow."""
    positions = account()
    positions.apply(spot("0.3", "0.5"))
    event = only(positions)
    assert event.quantities == {("kraken", "base"): D("0.3"), ("coinbase", "base"): D("-0.5")}
    assert (event.hedged, event.net, event.gross, event.net_exposure) == (
        D("0.3"), D("-0.2"), D("20.4"), D("20.4"),
    )  # fmt: skip
    assert (event.locked, event.fees, event.band) == (0, D("0.5"), Band.YELLOW)
    assert event.averages == {("kraken", "base"): 0, ("coinbase", "base"): 102}


def test_unrealised_is_what_all_legs_would_bring_now_or_unknown() -> None:
    """4.6 for the YES that cost 4.8 and 4.4 for the NO that cost 4.5; without one of them nobody can say."""
    positions = account()
    positions.apply(a_pair())
    marks = {"kalshi": D("4.6"), "polymarket": D("4.4")}

    def mark(key: Key, quantity: Decimal) -> Decimal | None:
        assert quantity == 10
        return marks.get(key.venue)

    assert event_positions(positions, mark)[0].unrealised == D("-0.3")
    del marks["polymarket"]
    assert event_positions(positions, mark)[0].unrealised is None


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99), st.integers(1, 50)), min_size=1, max_size=12))
def test_pairs_and_rest_are_everything_and_a_pair_pays_what_was_locked(
    legs: list[tuple[bool, int, int]],
) -> None:
    """Whatever was bought when: cost is that of pairs and rest, and at the end pairs have earned what they
    locked, apart from the rest.
    """
    positions = account()
    for number, (yes, cents, size) in enumerate(legs):
        venue, outcome = ("kalshi", "yes") if yes else ("polymarket", "no")
        bought = fill(number, venue, outcome, D(cents).scaleb(-2), str(size), fee="0.01")
        positions.apply_fill(replace(bought, trade_id=f"t{number}"))
    event = only(positions)
    split = positions.split("e")
    assert split.pair_cost + event.net_exposure == event.gross
    assert event.hedged == min(sum(size for yes, _, size in legs if yes is side) for side in (True, False))
    # The rest loses: what is left is the pairs' payoff, less all cost and fees.
    lost = MarketResult.NO if event.net > 0 else MarketResult.YES
    settle(positions, "kalshi", "M", lost)
    settle(positions, "polymarket", "M", lost)
    worth = event.locked if event.hedged else -event.fees
    assert positions.realised() == worth - event.net_exposure
