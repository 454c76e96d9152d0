"""Window: the trader's segment, written and read back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.model import Action, FeeSchedule, MarketResult, Reason
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import OrderIntent, Purpose, Style
from pipeline.trader.calibration import Calibration
from pipeline.trader.equity import EVERY_NS, POINTS, EquityCurve, EquityPoint
from pipeline.trader.events_view import event_positions
from pipeline.trader.kelly import KellyPositionSizer
from pipeline.trader.window import COUNTERS, DECISIONS, MAX_ORDERS, OUTCOMES, Window, sections
from pipeline.trader.window_rows import CashFacts, Title, Totals, kelly_row, order_row, summary_row
from shm import records
from shm import segment as segments
from shm.segment import Segment, View
from shm.tables import TableReader, counter_section, read_ring
from tests.support.fills import DAY, KALSHI, a_pair, account, fill, no_mark, settle, spot

D = Decimal
TITLES = {"e": Title("Rain", "binary", DAY + 5)}
NOW = 7_000_000_000


def open_segment(directory: Path, clock: ManualClock) -> Segment:
    return segments.create(
        directory, "trader", sections(4), segments.this_owner(),
        monotonic_ns=clock.monotonic_ns(), wall_ns=clock.wall_ns(), sleep=clock.sleep,
    )  # fmt: skip


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    own = open_segment(tmp_path, ManualClock())
    yield own
    own.close()


def numbers(view: View, name: str, record: object) -> list[int]:
    reader = TableReader(view, name, record)  # type: ignore[arg-type]
    return [reader.number(row) for row in range(len(reader))]


def test_counters_have_names_of_their_own() -> None:
    """Every refusal has a counter, no name stands twice, and all fit their cells."""
    counter_section(COUNTERS)
    assert {f"rejected.{reason.name.lower()}" for reason in Reason if reason} <= set(COUNTERS)
    added = (
        "quotes withdrawn hedged unwound repairs alarms asked not_sent late_fills provisional_failed"
        " cancels halts orders_sent"
    )
    assert set(added.split()) <= set(COUNTERS)


def test_an_account_is_shown_to_the_millionth(segment: Segment, tmp_path: Path) -> None:
    """Positions, cash with what orders have reserved, and events, as they are."""
    window, positions = Window(segment), account()
    positions.apply(a_pair())
    positions.apply_fill(fill(5, "kalshi", "yes", "0.6", "4", trade="t2"))
    window.account(positions, TITLES, no_mark, CashFacts({"kalshi": D("1.25")}))
    window.events(event_positions(positions, no_mark), TITLES)
    view = segments.attach(tmp_path, "trader")
    shown = [row for _, row in TableReader(view, "positions", records.POSITION).rows()]
    assert [(row.venue, row.outcome, row.units, row.cost_micros, row.marked) for row in shown] == [
        ("kalshi", "yes", 1400, 7_200_000, 0), ("polymarket", "no", 10_000_000, 4_500_000, 0),
    ]  # fmt: skip
    cash = [row for _, row in TableReader(view, "cash", records.CASH).rows()]
    assert cash[0] == records.CashRow("kalshi", 100_000_000, 92_620_000, 7_200_000, 1_250_000)
    ((_, event),) = TableReader(view, "events", records.EVENT_POSITION).rows()
    assert event == records.EventPositionRow(
        event_id="e", title="Rain", kind="binary", hedged_units=10_000_000, net_units=4_000_000,
        size_decimals=6, gross_micros=11_700_000, net_exposure_micros=2_400_000, locked_micros=420_000,
        unrealised_micros=0, marked=0, fees_micros=280_000, band=0, state=2, close_wall_ns=DAY + 5,
        opened_wall_ns=DAY,
    )  # fmt: skip


def test_only_rows_that_changed_are_written_and_what_is_gone_is_cleared(
    segment: Segment, tmp_path: Path
) -> None:
    """Showing the same twice publishes nothing; a settled market leaves a free row."""
    window, positions = Window(segment), account()
    positions.apply(a_pair())

    def show() -> None:
        window.account(positions, TITLES, no_mark)
        window.events(event_positions(positions, no_mark), TITLES)

    show()
    view = segments.attach(tmp_path, "trader")
    tables = [("positions", records.POSITION), ("cash", records.CASH), ("events", records.EVENT_POSITION)]
    before = [numbers(view, *table) for table in tables]
    show()
    assert [numbers(view, *table) for table in tables] == before
    for venue in ("kalshi", "polymarket"):
        settle(positions, venue, "M", MarketResult.YES)
    show()
    assert list(TableReader(view, "positions", records.POSITION).rows()) == []
    assert list(TableReader(view, "events", records.EVENT_POSITION).rows()) == []
    assert numbers(view, "cash", records.CASH)[2] == before[1][2]


def test_more_positions_than_rows_are_not_shown(segment: Segment, tmp_path: Path) -> None:
    """The table is full of the oldest, and nothing else happens."""
    window, positions = Window(segment), account()
    positions.apply(fill(at, "kalshi", "yes", "0.5", "1", market=f"M{at}", event=f"e{at}") for at in range(9))
    window.account(positions, {}, no_mark)
    view = segments.attach(tmp_path, "trader")
    shown = [row.market for _, row in TableReader(view, "positions", records.POSITION).rows()]
    assert shown == ["M0", "M1", "M2", "M3"]


def test_coins_that_another_venue_closed_are_not_marked(segment: Segment, tmp_path: Path) -> None:
    """What was bought here and sold there has no price risk: nobody is asked what it would fetch."""
    window, positions = Window(segment), account()
    positions.apply(spot())
    asked = []
    window.account(positions, {}, lambda key, quantity: asked.append(key))
    view = segments.attach(tmp_path, "trader")
    rows = [row for _, row in TableReader(view, "positions", records.POSITION).rows()]
    assert [(row.venue, row.units, row.marked) for row in rows] == [
        ("kraken", 50_000_000, 0), ("coinbase", -50_000_000, 0),
    ]  # fmt: skip
    assert asked == []


@pytest.mark.parametrize(("day", "micros", "known"), [(D("-1.5"), -1_500_000, 1), (None, 0, 0)])
def test_totals_say_what_is_not_known(
    segment: Segment, tmp_path: Path, day: Decimal | None, micros: int, known: int
) -> None:
    """The day's result, or that nobody knows it; the halt and its cause; what is not hedged."""
    window, positions = Window(segment), account()
    positions.apply(a_pair())
    positions.apply_fill(fill(5, "kalshi", "yes", "0.6", "4", trade="t2"))
    totals = Totals("both", 3, 9, 6, day, halt_cause="UNHEDGED e", halted_wall_ns=DAY, armed=False, quotes=2)
    events = event_positions(positions, no_mark)
    window.summary(summary_row(positions, events, no_mark, totals, NOW))
    view = segments.attach(tmp_path, "trader")
    row = TableReader(view, "summary", records.SUMMARY).get(0)
    assert row == records.SUMMARY.empty()._replace(
        mode="both", trades=3, opportunities=9, rejected=6, unhedged=1, fees_micros=280_000,
        day_pnl_micros=micros, day_known=known, exposure_micros=11_700_000, net_exposure_micros=2_400_000,
        locked_profit_micros=420_000, halted=1, halt_cause="UNHEDGED e", halted_wall_ns=DAY, quotes=2,
        updated_ns=NOW, fill_rate_ppm=-1, pnl_micros=-280_000,
    )  # fmt: skip


def test_kelly_is_shown_with_all_its_statistics(segment: Segment, tmp_path: Path) -> None:
    """Three wins of $5 and a loss of $2: 75 %, odds 2.5, f* = 0.75 - 0.25 / 2.5 = 65 %."""
    sizer = KellyPositionSizer(D(1000))
    for result in (5, 5, -2, 5):
        sizer.add_trade(D(result))
    sizer.refresh(DAY)
    Window(segment).kelly(kelly_row(sizer, D(10)))
    row = TableReader(segments.attach(tmp_path, "trader"), "kelly", records.KELLY).get(0)
    assert row == records.KellyRow(
        total_trades=4, winning_trades=3, losing_trades=1, win_rate_ppm=750_000, avg_win_micros=5_000_000,
        avg_loss_micros=2_000_000, profit_factor_ppm=7_500_000, largest_win_micros=5_000_000,
        largest_loss_micros=2_000_000, consecutive_losses=0, max_consecutive_losses=1,
        recent_win_rate_ppm=750_000, trend=0, kelly_ppm=650_000, safe_ppm=100_000, confidence_ppm=200_000,
        prior=0, recommended_micros=20_000_000, capital_micros=1_000_000_000, mode="half",
        computed_wall_ns=DAY, odds_ppm=2_500_000, mode_ppm=325_000, cap_ppm=100_000, order_micros=10_000_000,
    )  # fmt: skip


def test_a_record_without_a_loss_has_no_profit_factor() -> None:
    """It is -1 and not a division by nothing."""
    row = kelly_row(KellyPositionSizer(D(1000)))
    assert (row.profit_factor_ppm, row.odds_ppm, row.prior, row.computed_wall_ns) == (-1, 0, 1, 0)


def test_orders_are_shown_while_they_are_open(segment: Segment, tmp_path: Path) -> None:
    """One row an order; when it ends its row goes to the next, and the last is free."""
    window = Window(segment)
    leg = OrderLeg("kalshi", "M", "no", "buy", 550_000, 1000, KALSHI)
    quote = OrderIntent("t-0", leg, FeeSchedule(), 0, Purpose.QUOTE, Style.MAKER, NOW, NOW + 9)
    hedge = OrderIntent("t-1", leg, FeeSchedule(), 1, Purpose.HEDGE)
    rows = [order_row(quote, "e", 2, 300, NOW), order_row(hedge, "e", 0, 0, NOW)]
    window.orders(rows)
    reader = TableReader(segments.attach(tmp_path, "trader"), "orders", records.ORDER)
    assert [row for _, row in reader.rows()] == rows
    assert rows[0] == records.OrderRow(
        "t-0", "e", "kalshi", "M", "no", "buy", "quote", "maker", 550_000, 6, 1000, 300, 2, 2, NOW, NOW + 9
    )
    window.orders(rows[1:])
    assert [row.order_id for _, row in reader.rows()] == ["t-1"]
    window.orders([])
    assert list(reader.rows()) == []
    assert len(reader) == MAX_ORDERS


def test_rings_keep_the_last_and_the_rest_is_bounded(segment: Segment, tmp_path: Path) -> None:
    """Decisions, outcomes and points of the curve: the newest stay."""
    window = Window(segment)
    for number in range(1, POINTS + 11):
        window.decision(records.DECISION.empty()._replace(sequence=number, mode="taker"))
        window.outcome(records.OUTCOME.empty()._replace(sequence=number, outcome=Action.UNWOUND))
        window.equity(EquityPoint(number, DAY, D("1.5"), D(0), D(0), D(0)))
    window.calibration(Calibration().value())
    view = segments.attach(tmp_path, "trader")
    decisions = read_ring(view, "decisions", records.DECISION)
    outcomes = read_ring(view, "outcomes", records.OUTCOME)
    points = read_ring(view, "equity", records.EQUITY)
    assert [len(ring) for ring in (decisions, outcomes, points)] == [DECISIONS, OUTCOMES, POINTS]
    assert decisions[0].sequence == outcomes[0].sequence == points[0].sequence == POINTS + 10
    assert (points[-1].sequence, points[0].equity_micros) == (11, 1_500_000)


def test_the_equity_curve_outlives_its_trader(tmp_path: Path) -> None:
    """A new trader finds the points of the last one and goes on with the next number."""
    clock = ManualClock()
    first = open_segment(tmp_path, clock)
    window, positions, curve = Window(first), account(), EquityCurve()
    for at in range(3):
        point = curve.take(positions, no_mark, at * EVERY_NS, DAY + at)
        assert point is not None
        window.equity(point)
    first.close()
    second = open_segment(tmp_path, clock)
    left = Window(second).earlier
    assert [(row.sequence, row.equity_micros) for row in left] == [(n, 5_200_000_000) for n in (1, 2, 3)]
    goes_on = EquityCurve([D(row.equity_micros) / 10**6 for row in left], left[-1].sequence)
    point = goes_on.take(positions, no_mark, 0, DAY)
    assert point is not None
    assert (point.sequence, goes_on.max_drawdown) == (4, 0)
    second.close()
