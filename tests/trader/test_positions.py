"""Positions: sums of fills, exact to the last digit."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal_records import FillRecord, SettlementRecord
from pipeline.model import MarketResult, Scale
from pipeline.trader.holding import Key, payoff_of
from pipeline.trader.positions import DAY_NS, Positions

KALSHI, POLY, KRAKEN, COINBASE = Scale(6, 2), Scale(6, 6), Scale(1, 8), Scale(8, 8)
DAY = 20_000 * DAY_NS
D = Decimal


def fill(number, venue, outcome, price, size, *, action="buy", fee="0", trade="t1", event="e",
         market="M", scale=None, polarity="same", wall_ns=DAY):  # fmt: skip
    scale = scale or {"kalshi": KALSHI, "polymarket": POLY, "kraken": KRAKEN}.get(venue, COINBASE)
    ticks = int(D(price).scaleb(scale.price_decimals))
    units = int(D(size).scaleb(scale.size_decimals))
    return FillRecord(venue, f"f{number}", f"{trade}-0", trade, event, market, outcome, action,
                      ticks, units, scale, D(fee), 1, polarity, {}, wall_ns)  # fmt: skip


def a_pair(trade="t1", size="10", wall_ns=DAY, start=0):
    """YES on Kalshi at 0.48 and NO on Polymarket against a book of 0.55: costs 0.93, pays 1."""
    return [
        fill(start, "kalshi", "yes", "0.48", size, fee="0.18", trade=trade, wall_ns=wall_ns),
        fill(start + 1, "polymarket", "no", "0.55", size, fee="0.1", trade=trade, wall_ns=wall_ns),
    ]


def account(**changes):
    return Positions({"kalshi": D(100), "polymarket": D(100), "kraken": D(5000)}, **changes)


def settle(positions, venue, market, result, wall_ns=DAY):
    for record in positions.due(venue, market, result):
        assert positions.apply_settlement(replace(record, wall_ns=wall_ns))


def no_mark(key, quantity):
    return None


def test_a_pair_costs_what_both_sides_cost():
    """Buying YES costs its price and buying NO one minus the book's, each with its fee."""
    positions = account()
    positions.apply(a_pair())
    assert positions.cash("kalshi") == D("95.02")
    assert positions.cash("polymarket") == D("95.4")
    yes, no = positions.holdings()
    assert (yes.cost, yes.fees, yes.average, yes.units) == (D("4.8"), D("0.18"), D("0.48"), 1000)
    assert (no.cost, no.average, no.units) == (D("4.5"), D("0.45"), 10_000_000)
    assert positions.exposure() == positions.exposure("e") == D("9.3")
    assert positions.exposure("other") == 0
    assert positions.locked("polymarket") == D("4.5")
    assert positions.unhedged("e") == 0
    assert positions.unhedged_events() == {}


@pytest.mark.parametrize(
    ("result", "kalshi", "polymarket"),
    [
        (MarketResult.YES, "105.02", "95.4"),
        (MarketResult.NO, "95.02", "105.4"),
        (MarketResult.VOID, "100.02", "100.4"),
    ],
)
def test_a_hedged_pair_earns_the_same_whatever_happens(result, kalshi, polymarket):
    """The pair pays 10 in all for any result, so its result is 10 less cost and fees."""
    positions = account()
    positions.apply(a_pair())
    settle(positions, "kalshi", "M", result)
    assert positions.results() == []
    assert positions.unhedged("e") == 0
    settle(positions, "polymarket", "M", result)
    assert (positions.cash("kalshi"), positions.cash("polymarket")) == (D(kalshi), D(polymarket))
    (trade,) = positions.results()
    assert (trade.result, trade.cash) == (D("0.42"), D("9.58"))
    assert positions.realised() == D("0.42")
    assert positions.holdings() == []
    assert positions.exposure() == 0


def test_an_inverse_market_hedges_with_the_same_outcome():
    """When a venue's YES is our NO, YES on both venues is a hedged pair."""
    positions = account()
    yes = fill(1, "kalshi", "yes", "0.48", "10")
    positions.apply_fill(yes)
    assert positions.unhedged("e") == 10
    positions.apply_fill(fill(2, "polymarket", "yes", "0.45", "8", polarity="inverse"))
    assert positions.unhedged("e") == 2
    assert positions.unhedged_events() == {"e": 2}


def test_both_outcomes_of_one_market_stay_apart():
    """YES and NO of one Kalshi market are two positions that pay 1 together."""
    positions = account()
    positions.apply([fill(1, "kalshi", "yes", "0.4", "5"), fill(2, "kalshi", "no", "0.5", "5")])
    assert [held.key.outcome for held in positions.holdings()] == ["yes", "no"]
    settle(positions, "kalshi", "M", MarketResult.NO)
    assert positions.realised() == D("0.5")


def test_the_same_fill_counts_once():
    """Records taken again change nothing, so a journal may be replayed over an account."""
    positions = account()
    records = [*a_pair(), *a_pair("t2", start=10)]
    positions.apply(records)
    before = positions.cash("kalshi"), positions.holdings()
    assert not positions.apply_fill(records[0])
    positions.apply(records)
    assert (positions.cash("kalshi"), positions.holdings()) == before
    paid = positions.due("kalshi", "M", MarketResult.YES)[0]
    assert positions.apply_settlement(paid)
    assert not positions.apply_settlement(paid)
    assert positions.due("kalshi", "M", MarketResult.YES) == []


def test_a_wrong_payoff_is_a_broken_record():
    """A settlement that does not pay what is held stops the rebuild instead of passing."""
    positions = account()
    positions.apply(a_pair())
    paid = positions.due("kalshi", "M", MarketResult.YES)[0]
    with pytest.raises(AssertionError, match="pays 10"):
        positions.apply_settlement(replace(paid, payoff=D(9)))
    assert positions.exposure() == D("9.3")
    assert positions.apply_settlement(paid)


def test_a_late_fill_is_paid_by_the_known_result():
    """A fill booked after its market's settlement is paid at once and is part of the result."""
    positions = account()
    positions.apply(a_pair())
    settle(positions, "kalshi", "M", MarketResult.YES)
    settle(positions, "polymarket", "M", MarketResult.YES)
    positions.apply_fill(fill(9, "kalshi", "yes", "0.9", "1", fee="0.01"))
    assert positions.cash("kalshi") == D("105.11")
    assert positions.realised() == D("0.51")
    assert len(positions.results()) == 1
    assert positions.holdings() == []


def test_selling_an_outcome_again_closes_it_first_in_first_out():
    """Sold shares leave at the price of the oldest, and the trade closes when none is left."""
    positions = account()
    positions.apply([fill(1, "kalshi", "yes", "0.4", "5"), fill(2, "kalshi", "yes", "0.6", "5")])
    positions.apply_fill(fill(3, "kalshi", "yes", "0.5", "6", action="sell"))
    (held,) = positions.holdings()
    assert (held.units, held.cost) == (400, D("2.4"))
    assert positions.results() == []
    positions.apply_fill(fill(4, "kalshi", "yes", "0.5", "4", action="sell"))
    assert positions.realised() == 0
    assert positions.holdings() == []


def spot(size_bought="0.5", size_sold="0.5"):
    return [
        fill(1, "kraken", "base", "100", size_bought, fee="0.2", market="BTC/USD"),
        fill(2, "coinbase", "base", "102", size_sold, action="sell", fee="0.3", market="BTC-USD"),
    ]


def test_a_spot_pair_is_closed_at_once():
    """Bought on one exchange and sold on the other is a result, no exposure, and moved coins."""
    stock = {("kraken", "BTC/USD"): D(1), ("coinbase", "BTC-USD"): D(1)}
    positions = account(inventory=stock)
    first, second = spot()
    positions.apply_fill(first)
    assert (positions.exposure("e"), positions.results()) == (50, [])
    positions.apply_fill(second)
    (trade,) = positions.results()
    assert (trade.result, trade.cash) == (D("0.5"), D("50.5"))
    assert positions.exposure() == 0
    assert positions.unhedged_events() == {}
    assert positions.inventory("kraken", "BTC/USD") == D("1.5")
    assert positions.inventory("coinbase", "BTC-USD") == D("0.5")
    assert [held.units for held in positions.holdings()] == [50_000_000, -50_000_000]
    assert positions.cash("coinbase") == D("50.7")


def test_an_unequal_spot_pair_stays_open():
    """Coins sold beyond those bought are exposed and valued at buying them back."""
    positions = account()
    positions.apply(spot("0.3", "0.5"))
    assert positions.exposure() == D("20.4")
    assert positions.unhedged_events() == {"e": D("-0.2")}
    assert positions.results() == []
    marks = {"coinbase": D("-20.8")}
    gain = positions.unrealised(lambda key, quantity: marks.get(key.venue))
    assert gain == D("-0.4")


def test_marks_give_what_selling_now_would_earn():
    """Unrealised is the mark less the cost; what has no mark counts nothing."""
    positions = account()
    positions.apply(a_pair())
    asked = []

    def mark(key, quantity):
        asked.append((key, quantity))
        return D("4.6") if key.venue == "kalshi" else None

    assert positions.unrealised(mark) == D("-0.2")
    assert asked == [(Key("e", "kalshi", "M", "yes"), 10), (Key("e", "polymarket", "M", "no"), 10)]


def test_the_days_result_starts_at_midnight_utc():
    """Results of yesterday do not count today; open trades count with all their fees."""
    positions = account()
    positions.apply(a_pair(wall_ns=DAY - 5))
    settle(positions, "kalshi", "M", MarketResult.YES, DAY - 2)
    settle(positions, "polymarket", "M", MarketResult.YES, DAY - 1)
    assert positions.day_pnl(DAY - 1, no_mark) == D("0.42")
    assert positions.day_pnl(DAY, no_mark) == 0
    positions.apply_fill(fill(7, "kalshi", "yes", "0.5", "10", fee="0.18", trade="t2", event="f", market="N"))
    assert positions.day_pnl(DAY, no_mark) == D("-0.18")
    assert positions.day_pnl(DAY, lambda key, quantity: D("4")) == D("-1.18")


def test_losses_in_a_row_are_those_at_the_end():
    """A win ends the streak of losses, a trade without gain or loss as well."""
    positions = account()
    for number, result in enumerate(["no", "yes", "no", "no"]):
        event = f"e{number}"
        positions.apply_fill(
            fill(number, "kalshi", "yes", "0.5", "1", trade=event, event=event, market=event)
        )
        settle(positions, "kalshi", event, MarketResult[result.upper()])
    assert positions.consecutive_losses() == 2
    assert positions.open_trades() == 0


def test_payoffs_of_a_binary_market():
    """The winner pays 1, the loser 0, a void market one half to each."""
    pays = {
        (outcome, result): payoff_of(outcome, result)
        for outcome in ("yes", "no")
        for result in (MarketResult.YES, MarketResult.NO, MarketResult.VOID)
    }
    assert list(map(str, pays.values())) == ["1", "0", "0.5", "0", "1", "0.5"]
    with pytest.raises(AssertionError):
        payoff_of("yes", MarketResult.NONE)


fills = st.builds(
    lambda venue, outcome, price, size, fee, event, trade, action, polarity: fill(
        0, venue, outcome, D(price).scaleb(-6), D(size).scaleb(-2), fee=f"0.{fee:029d}",
        event=event, trade=f"{event}-{trade}", action=action, polarity=polarity,
        market=event,
    ),
    st.sampled_from(["kalshi", "polymarket"]), st.sampled_from(["yes", "no"]),
    st.integers(1, 999_999), st.integers(1, 10**12), st.integers(0, 10**28),
    st.sampled_from(["e1", "e2", "e3"]), st.integers(0, 3),
    st.sampled_from(["buy", "buy", "sell"]), st.sampled_from(["same", "inverse"]),
)  # fmt: skip
coins = st.builds(
    lambda venue, price, size, fee, trade, action: fill(
        0, venue, "base", D(price).scaleb(-1), D(size).scaleb(-8), fee=D(fee).scaleb(-8),
        event="coin", trade=f"coin-{trade}", action=action,
    ),
    st.sampled_from(["kraken", "coinbase"]), st.integers(1, 10**7), st.integers(1, 10**9),
    st.integers(0, 10**9), st.integers(0, 3), st.sampled_from(["buy", "sell"]),
)  # fmt: skip
ends = st.tuples(
    st.sampled_from(["kalshi", "polymarket"]), st.sampled_from(["e1", "e2", "e3"]),
    st.sampled_from([MarketResult.YES, MarketResult.NO, MarketResult.VOID]),
)  # fmt: skip


@given(st.lists(st.one_of(fills, coins, ends), max_size=30))
def test_cash_is_conserved_exactly(steps):
    """Cash is what it started with and every flow; results and open trades add up to the change."""
    positions, history = account(), []
    cash = {venue: Fraction(positions.cash(venue)) for venue in positions.venues()}
    for number, step in enumerate(steps):
        if isinstance(step, FillRecord):
            record = replace(step, fill_id=f"f{number}", wall_ns=DAY + number)
            history.append(record)
            positions.apply_fill(record)
        else:
            venue, market, result = step
            for paid in positions.due(venue, market, result):
                history.append(replace(paid, wall_ns=DAY + number))
                positions.apply_settlement(history[-1])
        now = {venue: Fraction(positions.cash(venue)) for venue in positions.venues()}
        expected = flows(history)
        assert {venue: now[venue] - cash.get(venue, 0) for venue in now} == expected | {
            venue: Fraction(0) for venue in now if venue not in expected
        }
        worth = positions.day_pnl(DAY, no_mark)
        held = sum(Fraction(item.cost) for item in positions.holdings())
        assert Fraction(worth) == sum(expected.values()) + held
        assert Fraction(positions.realised()) == sum(
            Fraction(result.result) for result in positions.results()
        )
    again = account()
    again.apply(history)
    assert again.holdings() == positions.holdings()
    assert again.results() == positions.results()
    assert [again.cash(venue) for venue in again.venues()] == [
        positions.cash(venue) for venue in positions.venues()
    ]


def flows(history):
    """Cash by venue, computed apart: fractions, and payoffs by each market's first result."""
    results = {
        (record.venue, record.market, record.outcome): record.result
        for record in history
        if isinstance(record, SettlementRecord)
    }
    total = {}
    for record in history:
        if isinstance(record, SettlementRecord):
            continue
        one = 10**record.scale.price_decimals
        ticks = one - record.price_ticks if record.outcome == "no" else record.price_ticks
        size = Fraction(record.size_units, 10**record.scale.size_decimals)
        sign = 1 if record.action == "buy" else -1
        flow = -sign * size * Fraction(ticks, one) - Fraction(record.fee)
        result = results.get((record.venue, record.market, record.outcome))
        if result is not None:
            flow += sign * size * Fraction(payoff_of(record.outcome, result))
        total[record.venue] = total.get(record.venue, Fraction(0)) + flow
    return total


def bought(number, trade, size):
    """A pair at 90 cents and 2 cents of fees: YES at 40 on Kalshi, NO at 50 on Polymarket."""
    return [
        fill(number, "kalshi", "yes", "0.4", size, fee="0.01", trade=trade),
        fill(number + 1, "polymarket", "no", "0.5", size, fee="0.01", trade=trade),
    ]


def sold(number, trade, size):
    """The same pair sold again for 97 cents, with 4 cents of fees."""
    return [
        fill(number, "kalshi", "yes", "0.45", size, action="sell", fee="0.03", trade=trade),
        fill(number + 1, "polymarket", "no", "0.48", size, action="sell", fee="0.01", trade=trade),
    ]


def test_a_close_gives_its_result_to_the_trades_that_made_the_pair():
    """What is sold leaves the oldest trade first, which has its result then; the close itself has none."""
    positions = account()
    positions.apply([*bought(1, "a", "5"), *bought(3, "b", "5")])
    positions.apply(sold(5, "close", "6"))
    (first,) = positions.results()
    # 5 of each at 0.9 with 2 cents, sold at 0.97 with all 4 cents of the close.
    assert (first.trade_id, first.result) == ("a", D("0.35") - D("0.06"))
    assert positions.open_trades() == 1
    assert [held.open_quantity for held in positions.holdings()] == [4, 4]
    positions.apply(positions.due("kalshi", "M", MarketResult.YES))
    positions.apply(positions.due("polymarket", "M", MarketResult.YES))
    first, second = positions.results()
    # One of b was sold, four were paid a dollar.
    assert (second.trade_id, second.result) == ("b", D("0.97") + 4 - D("4.5") - D("0.02"))
    assert positions.realised() == first.result + second.result
    cash = sum(positions.cash(venue) - positions.start_cash(venue) for venue in positions.venues())
    assert (cash, positions.open_trades(), positions.consecutive_losses()) == (positions.realised(), 0, 0)
