"""What becomes of a leg that stands alone, with a real exchange whose books move meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.fees import fee_high
from pipeline.journal_records import TradeRecord
from pipeline.trader.plan import TradePlan, plan_of
from tests.support.trader_run import TraderRun

SLOW = {"paper_latency_ms": 120, "paper_latency_p95_ms": 120, "order_seconds": 0.6}
"""Every order takes just so long: time enough to move a book before it arrives."""
HEDGE_SECONDS = 0.3
REPAIRS = {"hedge", "unwind"}


def commits(run: TraderRun) -> list[TradeRecord]:
    """What was committed, one by one."""
    with closing(run.ledger()) as ledger:
        return ledger.commits()


def repairs(run: TraderRun) -> list[TradeRecord]:
    """The commits that mend a trade."""
    return [each for each in commits(run) if each.intents[0].purpose in REPAIRS]


def plans(run: TraderRun) -> dict[str, TradePlan]:
    """The plan of each trade."""
    return {
        each.trade_id: plan_of(each.trade_id, each.event_id, each.kind, each.direction, each.plan)
        for each in commits(run)
    }


def worth(plan: TradePlan, leg: int, *, undo: bool, book: dict[str, Any], quantity: Decimal) -> Decimal:
    """Dollars that completing a quantity by this leg is worth, or with `undo` taking it back, on a book."""
    of = plan.legs[leg]
    action = of.undo if undo else of.action
    scale, dollar = of.scale, 10**of.scale.price_decimals
    asks = (action == "buy") is (of.outcome != "no")
    left, parts = int(quantity.scaleb(scale.size_decimals)), []
    for ticks, units in book["asks" if asks else "bids"]:
        own, taken = dollar - ticks if of.outcome == "no" else ticks, min(left, units)
        parts.append((own, taken))
        left -= taken
    assert not left, "the book is too small"
    paid = Decimal(sum(own * units for own, units in parts)).scaleb(
        -scale.price_decimals - scale.size_decimals
    )
    flow = (-paid if action == "buy" else paid) - fee_high(of.fee, [part for part in parts if part[1]], scale)
    return flow if undo else plan.payoff * quantity + flow


def check_cost(repair: TradeRecord, plan: TradePlan) -> None:
    """The way that was gone is worth more than the other on the journalled books; both costs are right."""
    edge: Any = repair.edge
    lone, quantity = edge["excess_leg"], Decimal(edge["compared"])
    worths = {
        "hedge": worth(plan, 1 - lone, undo=False, book=edge["books"][1 - lone], quantity=quantity),
        "unwind": worth(plan, lone, undo=True, book=edge["books"][lone], quantity=quantity),
    }
    chosen = repair.intents[0].purpose
    other = "unwind" if chosen == "hedge" else "hedge"
    assert (Decimal(edge["cost"]), Decimal(edge["other_cost"])) == (-worths[chosen], -worths[other])
    assert worths[chosen] > worths[other]


def spring(run: TraderRun, trap: Callable[[], None], done: Callable[[], object]) -> None:
    """Offer a trade and move the books while its orders are on their way, until it is as wanted."""
    while not done():
        run.gap, run.dead, run.unwanted = 0, set(), False
        run.offering = True
        run.more("orders_sent", 2)
        run.offering = False
        trap()
        run.wait_for(lambda: run.count("alarms") or quiet(run))


def quiet(run: TraderRun) -> bool:
    """Whether every trade that was opened has ended."""
    ends = ("hedged", "unwound", "not_filled", "unhedged")
    return run.count("approved") == sum(run.count(name) for name in ends)


def test_a_lone_leg_is_mended_by_cost(tmp_path: Path) -> None:
    """The pair is completed where that costs less than taking the leg back, else the other way; the journal
    shows the books and both costs, and they are right. Where the other venue is dead it is taken back.
    """
    with TraderRun(tmp_path, calm=True, hedge_seconds=30, paper_provisional_ms=0, **SLOW) as run:
        run.events = run.events[:1]
        run.offering = False
        run.start()
        run.wait_for(run.summary)
        for gap, dead, purpose in (
            (12, set(), "hedge"),
            (30, set(), "unwind"),
            (0, {"polymarket"}, "unwind"),
        ):
            known = len(repairs(run))

            def trap(gap: int = gap, dead: set[str] = dead) -> None:
                run.gap, run.dead = gap, dead

            def done(known: int = known, purpose: str = purpose) -> bool:
                return any(each.intents[0].purpose == purpose for each in repairs(run)[known:])

            spring(run, trap, done)
        found, made = repairs(run), plans(run)
        compared = [each for each in found if each.edge["other_cost"] is not None]
        assert {each.intents[0].purpose for each in compared} == REPAIRS
        for each in compared:
            check_cost(each, made[each.trade_id])
        assert any(each.edge["other_cost"] is None for each in found), "the dead venue was not met"
        assert run.count("unwound") >= 2 and run.halt.read() is None
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()


def test_a_leg_that_nothing_mends_halts_until_it_can_be(tmp_path: Path) -> None:
    """With no book to complete or to sell to it halts in `hedge_seconds` and says UNHEDGED; nothing new is
    opened; when the books are back the leg is mended under HALT, and after a resume the event is traded.
    """
    hedge_ns = round(HEDGE_SECONDS * 1e9)
    with TraderRun(tmp_path, calm=True, hedge_seconds=HEDGE_SECONDS, paper_provisional_ms=0, **SLOW) as run:
        run.events = run.events[:1]
        run.offering = False
        run.start()
        run.wait_for(run.summary)

        def trap() -> None:
            run.unwanted, run.dead = True, {"polymarket"}

        spring(run, trap, lambda: run.count("alarms"))
        halt = run.wait_for(run.halt.read)
        assert halt.cause.startswith("UNHEDGED: ") and halt.who.startswith("rule unhedged ")
        row = run.wait_for(lambda: (row := run.summary()) and row.halted and row.unhedged and row)
        assert row.halt_cause == halt.cause
        with closing(run.ledger()) as ledger:
            filled = ledger.fills()[-1]
        late_ns = halt.wall_ns - filled.wall_ns
        assert hedge_ns * 9 // 10 <= late_ns < hedge_ns * 10
        # Offers go on, and an UNHEDGED trade is all that there is of the event.
        run.offering = True
        run.more("rejected", 20)
        before = {each.trade_id for each in commits(run)}
        assert filled.trade_id in before
        run.gap, run.dead, run.unwanted = 0, set(), False
        run.wait_for(lambda: (row := run.summary()) and not row.unhedged)
        assert repairs(run)[-1].trade_id == filled.trade_id
        assert {each.trade_id for each in commits(run)} == before
        assert run.halt.read() is not None, "a person resumes, nobody else"
        run.halt.clear()
        run.wait_for(lambda: {each.trade_id for each in commits(run)} - before)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()


def test_the_second_leg_waits_for_the_first(tmp_path: Path) -> None:
    """With `harder_first` the other leg is committed after the first one's end is booked, for what the first
    one got as far as the book shows it; where it got nothing, nothing is sent.
    """
    with TraderRun(
        tmp_path, legs="harder_first", hedge_seconds=30, paper_latency_ms=8, paper_leg_failure_pct="25"
    ) as run:
        run.gap = 0
        run.start()
        run.counted("trades", 8)
        run.counted("not_filled", 2)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()
        with closing(run.ledger()) as ledger:
            ends = {row["order_id"]: row["seq"] for row in ledger.rows("orders")}
            starts = {row["order_id"]: row["seq"] for row in ledger.rows("intents")}
            trades, fills = ledger.trades(), ledger.fills()
    followed = 0
    for trade in trades:
        first, *others = trade.intents
        assert first.leg == trade.plan["first"]
        got = sum(fill.size_units for fill in fills if fill.order_id == first.order_id)
        if not got:
            assert not others
            continue
        second = others[0]
        assert ends[first.order_id] < starts[second.order_id]
        quantity = Decimal(got).scaleb(-first.order.scale.size_decimals)
        wanted = int(quantity.scaleb(second.order.scale.size_decimals))
        buys_no = second.order.outcome == "no"
        side: Any = second.book["asks" if (second.order.action == "buy") is not buys_no else "bids"]
        assert second.order.size_units == min(wanted, sum(units for _, units in side))
        followed += second.leg != first.leg
    assert followed >= 8
