"""Positions: sums of fills, exact to the last digit."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.journal_records import ConfirmationRecord
from pipeline.model import MarketResult, Scale
from pipeline.trader.holding import Key, payoff_of, yes_value
from pipeline.trader.positions import Positions
from tests.support.fills import DAY, a_pair, account, failed, fill, money, no_mark, settle, spot

D = Decimal


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
    assert positions.unhedged_events()["e"].quantity == 2


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
    assert positions.unhedged_events()["e"][1:3] == (D("-0.2"), D("20.4"))
    assert positions.results() == []
    marks = {"coinbase": D("-20.8")}
    gain = positions.unrealised(lambda key, quantity: marks.get(key.venue))
    assert gain == D("-0.4")


def test_a_spot_trade_has_its_own_result_and_no_others():
    """0.2 coins too many of one trade and 0.2 too few of the next are no risk, and both trades stay open."""
    positions = account()
    positions.apply(spot("0.5", "0.3"))
    later = [replace(each, fill_id=f"b{each.fill_id}", trade_id="t2") for each in spot("0.3", "0.5")]
    positions.apply(later)
    assert (positions.exposure(), positions.unhedged_events(), positions.results()) == (0, {}, [])
    # 0.8 bought at 100 and sold at 102, and $1 of fees.
    assert positions.day_pnl(DAY, no_mark) == D("0.6")
    positions.apply_fill(fill(8, "kraken", "base", "101", "0.2", action="sell", market="BTC/USD"))
    assert [each.trade_id for each in positions.results()] == ["t1"]


def test_an_open_price_risk_is_never_out_of_sight():
    """Coins that were all sold at the venue where they were bought may leave another venue's at risk."""
    positions = account()
    positions.apply_fill(fill(1, "kraken", "base", "100", "0.5", market="BTC/USD", trade="a"))
    positions.apply_fill(fill(2, "coinbase", "base", "101", "0.5", market="BTC-USD", trade="b"))
    positions.apply_fill(fill(3, "kraken", "base", "102", "0.5", market="BTC/USD", trade="b", action="sell"))
    assert sum(held.cost for held in positions.holdings()) == positions.exposure() == 50
    assert positions.day_pnl(DAY, lambda key, quantity: 100 * quantity) == D("0.5")


def test_what_was_settled_alone_hedges_nothing_that_comes_later():
    """A lone leg that was paid yesterday is no counterpart of the market that its event has today."""
    positions = account()
    positions.apply_fill(fill(1, "kalshi", "yes", "0.5", "5"))
    settle(positions, "kalshi", "M", MarketResult.YES)
    positions.apply_fill(fill(2, "kalshi", "yes", "0.5", "1"))
    positions.apply_fill(fill(3, "polymarket", "no", "0.5", "5", market="M2"))
    assert positions.unhedged("e") == -5


def test_what_is_paid_is_not_at_risk_whatever_is_missing_beside_it():
    """Ten YES were paid; the eight NO that are still open are hedged by eight of them."""
    positions = account()
    positions.apply_fill(fill(1, "polymarket", "no", "0.5", "8"))
    positions.apply_fill(fill(2, "kalshi", "yes", "0.5", "10"))
    assert positions.unhedged_events()["e"][1:3] == (2, 1)
    settle(positions, "kalshi", "M", MarketResult.NO)
    assert (positions.unhedged_events(), positions.net_exposure(), positions.exposure()) == ({}, 0, 4)
    assert (positions.split("e").hedged, positions.split("e").pair_cost) == (8, 8)


def test_a_late_fill_of_a_settled_market_is_no_exposure():
    """It is paid at once, while the counterpart is still open and hedged by it."""
    positions = account()
    positions.apply(a_pair())
    settle(positions, "kalshi", "M", MarketResult.YES)
    positions.apply_fill(fill(8, "polymarket", "no", "0.5", "1"))
    assert positions.unhedged("e") == -1
    positions.apply_fill(fill(9, "kalshi", "yes", "0.5", "1"))
    assert positions.unhedged("e") == 0
    assert positions.exposure() == D("5.0")


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
    """Results of yesterday do not count today; open trades count with all their fees, pairs at cost."""
    positions = account()
    positions.apply(a_pair(wall_ns=DAY - 5))
    settle(positions, "kalshi", "M", MarketResult.YES, DAY - 2)
    settle(positions, "polymarket", "M", MarketResult.YES, DAY - 1)
    assert positions.day_pnl(DAY - 1, no_mark) == D("0.42")
    assert positions.day_pnl(DAY, no_mark) == 0
    positions.apply_fill(fill(7, "kalshi", "yes", "0.5", "10", fee="0.18", trade="t2", event="f", market="N"))
    other = fill(8, "polymarket", "no", "0.6", "10", fee="0.1", trade="t2", event="f", market="P")
    positions.apply_fill(other)
    assert positions.day_pnl(DAY, no_mark) == D("-0.28")
    # YES fetches 4 of the 5 that it cost; of NO, which cost 4, no book says anything.
    assert positions.day_pnl(DAY, yes_only(D(4))) == D("-1.28")


def yes_only(dollars):
    return lambda key, quantity: dollars if key.outcome == "yes" else None


def test_a_lone_leg_counts_at_its_unwind_cost_or_nobody_knows_the_day():
    """10 YES for $5 and $0.18, of which 8 are hedged: the day is known only while YES can be sold."""
    positions = account()
    positions.apply_fill(fill(1, "kalshi", "yes", "0.5", "10", fee="0.18"))
    positions.apply_fill(fill(2, "polymarket", "no", "0.6", "8", fee="0.1"))
    assert positions.day_pnl(DAY, no_mark) is None
    assert positions.day_pnl(DAY, yes_only(D(5)), no_mark) is None
    assert positions.day_pnl(DAY, no_mark, yes_only(D("4.3"))) == D("-0.98")
    # Two shares for $1: dust is no reason not to know.
    assert positions.day_pnl(DAY, no_mark, dust=lambda rest: rest.dollars <= 1) == D("-0.28")
    assert positions.day_pnl(DAY, no_mark, dust=lambda rest: rest.dollars < 1) is None


def test_a_settled_leg_leaves_its_counterpart_hedged():
    """The day stays known: what the other leg pays is locked by what the first has paid."""
    positions = account()
    positions.apply(a_pair())
    settle(positions, "kalshi", "M", MarketResult.NO)
    assert positions.unhedged_events() == {}
    # 9.58 went out, nothing came back yet, and 4.5 are still held.
    assert positions.day_pnl(DAY, no_mark) == D("-5.08")


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


def test_losses_before_the_last_resume_are_forgiven():
    """Only results that came after the bot was resumed count for the streak."""
    positions = account()
    for number in range(4):
        event = f"e{number}"
        bought = fill(number, "kalshi", "yes", "0.5", "1", trade=event, event=event, market=event)
        positions.apply_fill(bought)
        settle(positions, "kalshi", event, MarketResult.NO, DAY + number)
    assert [positions.consecutive_losses(DAY + at) for at in (-1, 0, 1, 2, 3)] == [4, 3, 2, 1, 0]


def test_payoffs_of_a_market():
    """The winner pays 1, the loser 0, a void market one half to each, a scalar one what it states."""
    pays = {
        (outcome, result): payoff_of(outcome, result, D("0.35"))
        for outcome in ("yes", "no")
        for result in list(MarketResult)[1:]
    }
    assert list(map(str, pays.values())) == ["1", "0", "0.5", "0.35", "0", "1", "0.5", "0.65"]
    with pytest.raises(AssertionError):
        payoff_of("yes", MarketResult.NONE)
    with pytest.raises(AssertionError):
        payoff_of("yes", MarketResult.SCALAR)
    with pytest.raises(AssertionError):
        payoff_of("yes", MarketResult.SCALAR, D("1.01"))
    values = [yes_value(result, 350_000) for result in MarketResult]
    assert list(map(str, values)) == ["None", "1", "0", "0.5", "0.350000"]
    assert yes_value(MarketResult.SCALAR) is None


def test_a_scalar_market_pays_what_it_states_and_nothing_before():
    """10 YES and 4 NO of a market settled at 0.35 are paid 3.5 and 2.6, once the value is known."""
    positions = account()
    positions.apply([fill(1, "kalshi", "yes", "0.4", "10"), fill(2, "kalshi", "no", "0.5", "4")])
    assert positions.due("kalshi", "M", MarketResult.SCALAR) == []
    assert positions.due("kalshi", "M", MarketResult.NONE) == []
    yes, no = settle(positions, "kalshi", "M", MarketResult.SCALAR, value=D("0.35"))
    assert (yes.payoff, no.payoff, yes.value, no.value) == (D("3.5"), D("2.6"), D("0.35"), D("0.35"))
    assert positions.realised() == D("3.5") + D("2.6") - 4 - 2
    late = fill(3, "kalshi", "no", "0.4", "1", trade="t2")
    positions.apply_fill(late)
    assert positions.results()[-1].result == D("0.05")


def test_the_account_begins_with_its_cash_records():
    """Dollars and coins that come or go move cash and stock, and are no result."""
    positions = Positions()
    positions.apply([money("kalshi", "80"), money("kraken", "1.5", "BTC/USD"), money("kalshi", "-30.01")])
    assert (positions.cash("kalshi"), positions.start_cash("kalshi")) == (D("49.99"), D("49.99"))
    assert (positions.venues(), positions.coins()) == (["kalshi"], [("kraken", "BTC/USD")])
    assert positions.inventory("kraken", "BTC/USD") == D("1.5")
    assert positions.day_pnl(DAY, no_mark) == positions.realised() == positions.exposure() == 0
    assert positions.equity(no_mark) == D("49.99")


def test_a_failed_fill_never_happened():
    """Cash, fees, units and hedge are as if only the other leg had been filled."""
    positions, without = account(), account()
    positions.apply(a_pair())
    without.apply(a_pair()[:1])
    assert positions.apply_confirmation(failed("polymarket", 1))
    assert not positions.apply_confirmation(failed("polymarket", 1))
    assert positions.holdings() == without.holdings()
    assert (positions.cash("polymarket"), positions.fees()) == (100, D("0.18"))
    assert positions.unhedged_events()["e"].dollars == D("4.8")
    assert not positions.apply_fill(a_pair()[1])
    assert positions.cash("polymarket") == 100


def test_a_confirmed_fill_stays():
    """The first word on a fill is the last."""
    positions = account()
    positions.apply([*a_pair(), ConfirmationRecord("polymarket", "f1", "CONFIRMED", 1)])
    assert not positions.apply_confirmation(failed("polymarket", 1))
    assert positions.unhedged("e") == 0


def test_a_fill_that_failed_before_it_was_heard_of_never_counts():
    """A venue's reports may come in any order."""
    positions = account()
    positions.apply([failed("polymarket", 1), *a_pair()])
    assert positions.cash("polymarket") == 100
    assert positions.unhedged("e") == 10


def test_a_fill_that_fails_after_its_trade_was_settled_takes_its_payoff_along():
    """Of 10 NO that were paid 10, 4 never were: 6 stay paid, and the result is told anew."""
    positions = account()
    first = fill(1, "polymarket", "no", "0.6", "6", fee="0.1")
    positions.apply([first, fill(2, "polymarket", "no", "0.6", "4", fee="0.2")])
    (paid,) = settle(positions, "polymarket", "M", MarketResult.NO)
    assert (paid.payoff, positions.realised(), positions.rewrites) == (10, D("5.7"), 0)
    positions.apply_confirmation(failed("polymarket", 2))
    assert positions.cash("polymarket") == 100 - D("2.4") - D("0.1") + 6
    (result,) = positions.results()
    assert (result.result, result.cash, positions.rewrites) == (D("3.5"), D("2.5"), 1)
    positions.apply_confirmation(failed("polymarket", 1))
    assert (positions.results(), positions.cash("polymarket"), positions.rewrites) == ([], 100, 2)
    late = fill(3, "polymarket", "no", "0.6", "1")
    positions.apply_fill(late)
    assert positions.cash("polymarket") == D("100.6")


def test_results_of_other_trades_survive_a_failed_fill():
    """What was told of trades before is told again, so nobody has to be fed anew."""
    positions = account()
    positions.apply(a_pair("a"))
    settle(positions, "kalshi", "M", MarketResult.YES)
    settle(positions, "polymarket", "M", MarketResult.YES)
    positions.apply_fill(fill(7, "polymarket", "no", "0.6", "1", trade="b", event="f", market="F"))
    told = positions.results()
    positions.apply_confirmation(failed("polymarket", 7))
    assert positions.results() == told
    assert positions.rewrites == 0


def test_an_unwound_leg_is_its_own_trades():
    """A trade that sells what it bought takes its own contracts, not an older pair's, and has the result."""
    positions = account()
    positions.apply(a_pair("old"))
    positions.apply_fill(fill(5, "kalshi", "yes", "0.6", "5", fee="0.1", trade="new"))
    assert positions.unhedged_events()["e"][1:3] == (5, 3)
    positions.apply_fill(fill(6, "kalshi", "yes", "0.58", "5", fee="0.1", trade="new", action="sell"))
    (result,) = positions.results()
    assert (result.trade_id, result.result) == ("new", D("-0.3"))
    assert [held.cost for held in positions.holdings()] == [D("4.8"), D("4.5")]
    assert positions.day_pnl(DAY, no_mark) == D("-0.58")
    assert positions.open_trades() == 1


def test_exposure_is_known_by_market_by_venue_and_without_a_hedge():
    """10 pairs for 4.8 and 4.5, 5 more YES at 0.6, and 0.2 coins sold at 102 beyond those bought."""
    positions = account()
    positions.apply(a_pair())
    positions.apply_fill(fill(5, "kalshi", "yes", "0.6", "5", trade="t2"))
    positions.apply(
        [replace(each, event_id="coin", fill_id=f"c{each.fill_id}") for each in spot("0.3", "0.5")]
    )
    assert positions.market_exposure() == {
        ("kalshi", "M"): D("7.8"), ("polymarket", "M"): D("4.5"), ("coinbase", "BTC-USD"): D("20.4"),
    }  # fmt: skip
    assert positions.venue_exposure() == {"kalshi": D("7.8"), "polymarket": D("4.5"), "coinbase": D("20.4")}
    assert positions.net_exposure() == D("23.4")
    assert positions.net_exposure(lambda rest: rest.event_id == "e") == D("20.4")
    rests = positions.unhedged_events()
    assert rests["e"].legs == ((Key("e", "kalshi", "M", "yes"), D(5)),)
    assert rests["coin"][1:] == (
        D("-0.2"),
        D("20.4"),
        ((Key("coin", "coinbase", "BTC-USD", "base"), D("-0.2")),),
    )


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


def test_a_venue_may_count_more_finely():
    """A market whose sizes got more decimals, and one whose sizes lost some, is held on the finer scale."""
    positions = account()
    first = fill(1, "kalshi", "yes", "0.5", "3")
    fine = replace(fill(2, "kalshi", "yes", "0.5", "0"), size_units=1250, scale=Scale(6, 4))
    positions.apply([first, fine, fill(3, "kalshi", "yes", "0.5", "1")])
    (held,) = positions.holdings()
    assert (held.units, held.size_decimals, held.open_quantity) == (41_250, 4, D("4.125"))
