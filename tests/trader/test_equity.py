"""Equity: points ten seconds apart, and the deepest fall from the best of them."""

from __future__ import annotations

from decimal import Decimal

from pipeline.model import MarketResult
from pipeline.trader.equity import EVERY_NS, EquityCurve
from pipeline.trader.holding import Key
from tests.support.fills import DAY, a_pair, account, money, no_mark, settle

D = Decimal


def test_a_point_is_taken_every_ten_seconds() -> None:
    """The first at once; between two moments there is none."""
    curve, positions = EquityCurve(), account()
    times = [0, 1, EVERY_NS - 1, EVERY_NS, EVERY_NS + 1, 2 * EVERY_NS + 1]
    points = [curve.take(positions, no_mark, now_ns, DAY + now_ns) for now_ns in times]
    assert [point and point.sequence for point in points] == [1, None, None, 2, None, 3]
    assert points[3] is not None
    assert points[3].wall_ns == DAY + EVERY_NS


def test_equity_is_cash_and_what_is_held_at_what_it_would_fetch() -> None:
    """$5200 less 0.28 of fees while pairs count at cost; where a book says less, less."""
    positions = account()
    positions.apply(a_pair())
    curve = EquityCurve()
    point = curve.take(positions, no_mark, 0, DAY)
    assert point is not None
    assert (point.equity, point.realised, point.unrealised, point.exposure) == (D("5199.72"), 0, 0, D("9.3"))

    def mark(key: Key, _quantity: Decimal) -> Decimal | None:
        return D(4) if key.venue == "kalshi" else None

    point = curve.take(positions, mark, EVERY_NS, DAY)
    assert point is not None
    assert (point.equity, point.unrealised, curve.drawdown) == (D("5198.92"), D("-0.8"), D("0.8"))
    for venue in ("kalshi", "polymarket"):
        settle(positions, venue, "M", MarketResult.YES)
    point = curve.take(positions, mark, 2 * EVERY_NS, DAY)
    assert point is not None
    assert (point.equity, point.realised, curve.drawdown) == (D("5200.42"), D("0.42"), 0)
    assert curve.max_drawdown == D("0.8")


def test_the_curve_goes_on_after_a_restart() -> None:
    """Numbers go on, and an earlier best is remembered."""
    curve = EquityCurve([D(10), D(5300), D(5250)], last=3)
    assert (curve.drawdown, curve.max_drawdown) == (50, 50)
    positions = account()
    positions.apply_cash(money("kalshi", "-20"))
    point = curve.take(positions, no_mark, 0, DAY)
    assert point is not None
    assert (point.sequence, point.equity, curve.max_drawdown) == (4, 5180, 120)
