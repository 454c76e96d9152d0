"""What the trader tells the screens beside its account: each figure is one that its orders came of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.journal_records import FillRecord
from pipeline.model import MarketResult, Reason, Scale
from pipeline.pricing import unwind_cost
from pipeline.trader.calibration import leg_gap_ns
from pipeline.trader.equity import EquityCurve, worth_after_results
from pipeline.trader.window_rows import CashFacts, Totals, cash_row, closes_by_venue
from tests.support.fills import DAY, a_pair, account, no_mark, settle
from tests.support.trader_parts import ROOMY, Parts

D = Decimal


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def test_a_decision_carries_its_waterfall(parts):
    """gross - depth - both fees = net, of the size that was sent; leg risk is what undoing one leg costs, as
    often as the race is lost.
    """
    parts.show()
    record = parts.decide(parts.record(race_ppm=900_000))
    row = record.row()
    assert row.net_micros > 0 and row.fee_buy_micros > 0 and row.fee_sell_micros > 0
    fees = row.fee_buy_micros + row.fee_sell_micros
    assert row.gross_micros - row.depth_micros - fees == row.net_micros
    priced = parts.desk.price(parts.desk.directions["rain", 0], parts.clock.monotonic_ns())
    sent = replace(priced, edge=priced.within(None, None, row.size_units))
    assert row.leg_risk_micros == int(unwind_cost(sent) * 10**6) // 10 > 0
    assert row.trade_id == record.trade_id != ""
    # Told again, the figures are the same.
    assert record.row() == row


def test_a_refusal_says_what_kelly_would_have_bet(parts):
    """The share of the bankroll that the edge is worth and Kelly's dollars stand beside a limit that cut
    them; no trade has an id.
    """
    parts.adopt(risk=ROOMY.__class__(**{**_fields(ROOMY), "max_mismatch": "0", "min_race": "0.99"}))
    parts.show()
    row = parts.decide(parts.record()).row()
    assert row.reason == Reason.RACE_LOST
    assert 0 < row.kelly_ppm <= 1_000_000
    assert row.wanted_micros == int(parts.ledger.sizer.get_recommended_position_size() * 10**6)
    assert (row.trade_id, row.gross_micros > 0) == ("", True)


def _fields(struct) -> dict[str, object]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_what_never_was_priced_has_no_waterfall(parts):
    """Without books every figure of the waterfall is 0."""
    row = parts.decide(parts.record()).row()
    waterfall = row.gross_micros, row.depth_micros, row.fee_buy_micros, row.fee_sell_micros
    assert (*waterfall, row.leg_risk_micros, row.lock_up_micros, row.kelly_ppm) == (0,) * 7


def test_a_venue_without_cash_is_named(tmp_path):
    """A trade that was cut or refused because of a venue's cash counts there, with what it wanted; other
    limits do not.
    """
    parts = Parts(tmp_path, cash="2")
    try:
        parts.show()
        assert parts.decide(parts.record()).reason is Reason.NONE
        count, wanted = parts.desk.cash_wants["kalshi"]
        assert (count, wanted > 2) == (1, True)
        parts.show("snow")
        parts.decide(parts.record("snow"))
        assert parts.desk.cash_wants["kalshi"][0] == 2
        row = cash_row(parts.ledger.positions, "kalshi", CashFacts(wants=parts.desk.cash_wants))
        assert (row.refused, row.wanted_micros) == (2, int(wanted * 10**6))
    finally:
        parts.close()


def test_another_limit_is_no_want_of_cash(parts):
    """Cut by the size of an order while there is cash enough: no venue is blamed."""
    parts.adopt(risk=ROOMY.__class__(**{**_fields(ROOMY), "max_order_usd": "6"}))
    parts.show()
    assert parts.decide(parts.record()).reason is Reason.NONE
    assert parts.desk.cash_wants == {}


def test_locked_cash_is_free_when_its_markets_close():
    """The earliest and the latest close of what is held at a venue; nothing where nobody knows."""
    positions = account()
    positions.apply(a_pair())
    times = {"kalshi": DAY + 5, "polymarket": 0}
    closes = closes_by_venue(positions, lambda key: times[key.venue])
    assert closes == {"kalshi": (DAY + 5, DAY + 5)}
    row = cash_row(positions, "kalshi", CashFacts(closes=closes))
    assert (row.next_free_wall_ns, row.all_free_wall_ns) == (DAY + 5, DAY + 5)
    row = cash_row(positions, "polymarket", CashFacts(closes=closes))
    assert (row.next_free_wall_ns, row.all_free_wall_ns) == (0, 0)


def test_a_drawdown_before_this_run_is_known():
    """What earlier trades lost counts, as the ledger has it, until points of the curve tell more."""
    positions = account()
    positions.apply(a_pair())
    for venue, result in (("kalshi", MarketResult.NO), ("polymarket", MarketResult.YES)):
        settle(positions, venue, "M", result)
    lost = -positions.realised()
    assert lost > 0
    start, after = worth_after_results(positions, 2 * DAY)
    assert start - after == lost
    curve = EquityCurve(worth_after_results(positions, 2 * DAY))
    curve.take(positions, no_mark, 0, 2 * DAY)
    assert (curve.peak, curve.drawdown, curve.max_drawdown) == (start, lost, lost)
    assert worth_after_results(positions, 0) == [start]


def test_the_fill_rate_is_of_trades_that_ended():
    """Hedged ones of all that ended; -1 says that none has."""
    assert Totals("taker", 0, 0, 0, None).fill_rate_ppm == -1
    assert Totals("taker", 0, 0, 0, None, executed=3, ended=4).fill_rate_ppm == 750_000


def test_the_gap_between_legs_is_of_their_first_fills():
    """Further fills of a leg do not count; a trade of one leg has none."""

    def a_fill(venue: str, at_ns: int) -> FillRecord:
        return FillRecord(
            venue, f"{venue}{at_ns}", "o", "t", "e", "M", "yes", "buy", 1, 1, Scale(2, 2), D(0), at_ns
        )

    fills = [a_fill("kalshi", 50), a_fill("kalshi", 900), a_fill("polymarket", 700), a_fill("polymarket", 80)]
    assert leg_gap_ns(fills) == 30
    assert (leg_gap_ns(fills[:2]), leg_gap_ns([])) == (0, 0)
