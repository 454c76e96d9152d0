"""The risk gate: nothing passes that breaks a limit, and every check can refuse."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import RiskConfig
from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.model import FeeKind, FeeSchedule, Reason, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader import risk
from pipeline.trader.broker import OrderIntent, Refused
from pipeline.trader.risk import (
    CHECKS,
    FIXED_REASONS,
    HOUR_NS,
    SIZE_REASONS,
    Account,
    Limits,
    Look,
    LookLeg,
    Passed,
    allowed_cash,
    approve,
    failures,
    gate,
)

D = Decimal
NOW = 10**15
SCALE = Scale(6, 2)
LIMITS = Limits.of(RiskConfig(max_order_usd="25"))
KELLY = D(25)
ACCOUNT = Account(cash={"kalshi": D(100), "polymarket": D(100)})
FREE = FeeSchedule(FeeKind.BPS)
BUY = EdgeLeg(((480_000, 1000), (490_000, 3000)), SCALE, FREE)
SELL = EdgeLeg(((550_000, 1500), (530_000, 3000)), SCALE, FREE)


def reprice(max_cash, kind="binary", size=None, cash=None, buy=BUY, sell=SELL):
    return priced(kind, buy, sell, size, max_cash, cash)


def priced(kind, buy, sell, size=None, max_cash=None, cash=None):
    """Buy on one ladder and sell on the other: the NO of a binary pair, the coins of a spot pair."""
    how = ("buy", "no") if kind == "binary" else ("sell", "base")
    first = replace(buy, action="buy", outcome="yes" if kind == "binary" else "base")
    second = replace(sell, action=how[0], outcome=how[1])
    payoff = D(1 if kind == "binary" else 0)
    return evaluate((first, second), payoff, max_size_units=size, max_cash=max_cash, cash=cash)


def a_look(edge=None, **changes):
    edge = edge or reprice(D(10))
    look = Look("e", 0, "binary", look_legs(NOW - 10**6, NOW), edge, NOW + 1, NOW)
    return replace(look, **changes)


def look_legs(first_ns, second_ns, kind="binary"):
    how = ("no", "buy") if kind == "binary" else ("base", "sell")
    first = LookLeg("kalshi", "K", "yes" if kind == "binary" else "base", "buy", SCALE, first_ns)
    return first, LookLeg("polymarket", "P", *how, SCALE, second_ns)


def three_legs():
    edge, legs = reprice(D(10)), look_legs(NOW, NOW)
    return a_look(replace(edge, legs=(*edge.legs, edge.legs[1])), legs=(*legs, legs[1]))


def tried(look=None, account=ACCOUNT, limits=LIMITS, kelly=KELLY, price=reprice):
    return gate(look or a_look(), account, limits, kelly, price)


def old(look, age_ns):
    return replace(look, legs=look_legs(NOW - age_ns, NOW - age_ns))


def thin(**numbers):
    return a_look(replace(reprice(D(10)), **numbers))


SPOT = a_look(reprice(D(10), "spot"), kind="spot", legs=look_legs(NOW, NOW, "spot"))
COINS = replace(ACCOUNT, inventory={("polymarket", "P"): D(1)})

# One provocation of each check: what is wrong, alone, and its figures.
PROVOKED = {
    Reason.HALTED: (a_look(), {"halted": True}, {}, KELLY, "1", "0"),
    Reason.NO_SUPERVISOR: (a_look(), {"supervisor_alive": False}, {}, KELLY, "0", "1"),
    Reason.JOURNAL: (a_look(), {"journal_ok": False}, {}, KELLY, "0", "1"),
    Reason.EXPIRED: (a_look(expires_ns=NOW - 1), {}, {}, KELLY, "0.000001", "0"),
    Reason.UNHEDGED_LEG: (a_look(), {"unhedged": frozenset("e")}, {}, KELLY, "1", "0"),
    Reason.TOO_MANY_LEGS: (three_legs(), {}, {}, KELLY, "3", "2"),
    Reason.DUPLICATE: (a_look(), {"in_flight": frozenset("e")}, {}, KELLY, "1", "0"),
    Reason.COOLDOWN: (
        a_look(), {"last_trade_ns": {("e", 0): NOW - 499_999_999}}, {}, KELLY, "499.999999", "500",
    ),
    Reason.BOOK_TOO_OLD: (old(a_look(), 2_000_000_001), {}, {}, KELLY, "2000.000001", "2000"),
    Reason.LEG_SKEW: (
        a_look(legs=look_legs(NOW - 1_000_000_001, NOW)), {}, {}, KELLY,
        "1000.000001", "1000",
    ),
    Reason.EDGE_TOO_SMALL: (thin(net_low=D("0.0498"), cash=D("9.9956")), {}, {}, KELLY, "49", "50"),
    Reason.PROFIT_TOO_SMALL: (thin(net_low=D("0.019"), cash=D(1)), {}, {}, KELLY, "0.019", "0.02"),
    Reason.DAILY_LOSS: (a_look(), {"day_pnl": D(-50)}, {}, KELLY, "50", "50"),
    Reason.CONSECUTIVE_LOSSES: (a_look(), {"consecutive_losses": 5}, {}, KELLY, "5", "5"),
    Reason.TRADES_PER_HOUR: (
        a_look(), {"trades_ns": (NOW - HOUR_NS, NOW - HOUR_NS + 1, NOW)}, {"max_trades_per_hour": 2},
        KELLY, "2", "2",
    ),
    Reason.ORDER_SIZE: (a_look(), {}, {"max_order_usd": D(0)}, KELLY, "9.9956", "0"),
    Reason.EVENT_EXPOSURE: (a_look(), {"event_exposure": {"e": D(50)}}, {}, KELLY, "59.9956", "50"),
    Reason.TOTAL_EXPOSURE: (a_look(), {"exposure": D(400)}, {}, KELLY, "409.9956", "400"),
    Reason.VENUE_CASH: (
        a_look(), {"cash": {"kalshi": D(9), "polymarket": D(4)}}, {}, KELLY, "4.833", "4",
    ),
    Reason.INVENTORY: (SPOT, {}, {}, KELLY, "20.61", "0"),
    Reason.KELLY_SIZE: (a_look(), {}, {}, D(0), "9.9956", "0"),
}  # fmt: skip


def test_the_plain_look_passes():
    """With nothing wrong the gate passes the edge unchanged, binary and spot."""
    assert tried() == Passed(a_look(), KELLY)
    assert isinstance(tried(SPOT, replace(COINS, inventory={("polymarket", "P"): D(30)})), Passed)


def test_every_check_is_in_the_table():
    """A check without a provocation below would not be tested."""
    assert list(PROVOKED) == list(CHECKS)
    assert FIXED_REASONS | SIZE_REASONS | {Reason.EDGE_TOO_SMALL, Reason.PROFIT_TOO_SMALL} == set(CHECKS)


@pytest.mark.parametrize("reason", list(CHECKS), ids=lambda reason: reason.name)
def test_each_check_refuses_alone_and_nothing_else_would(monkeypatch, reason):
    """Each check refuses its case with value and limit; without the check the same case passes."""
    look, account, limits, kelly, value, limit = PROVOKED[reason]
    account = replace(ACCOUNT, **account)
    limits = replace(LIMITS, **limits)
    refused = gate(look, account, limits, kelly, lambda _cash: None)
    assert refused == Refused(reason, D(value), D(limit))
    monkeypatch.setattr(risk, "CHECKS", {key: CHECKS[key] for key in CHECKS if key != reason})
    assert isinstance(gate(look, account, limits, kelly, lambda _cash: None), Passed)


def test_the_first_failing_check_is_the_reason():
    """Of several failures the first in the list is given, and all of them can be asked for."""
    account = replace(ACCOUNT, halted=True, unhedged=frozenset("e"), day_pnl=D(-99))
    look = a_look(expires_ns=0)
    assert tried(look, account).reason is Reason.HALTED
    found = [refused.reason for refused in failures(look, account, LIMITS, KELLY)]
    assert found == [Reason.HALTED, Reason.EXPIRED, Reason.UNHEDGED_LEG, Reason.DAILY_LOSS]


@pytest.mark.parametrize("age_ns", [2_000_000_000, 0])
def test_a_limit_itself_is_within(age_ns):
    """A value equal to its limit passes, on the last nanosecond as on the cent."""
    assert isinstance(tried(old(a_look(), age_ns)), Passed)
    assert isinstance(tried(a_look(expires_ns=NOW)), Passed)
    assert isinstance(tried(limits=replace(LIMITS, max_order_usd=D("9.9956"))), Passed)


def test_profit_is_asked_in_dollars_and_in_percent():
    """The larger of `min_profit_usd` and `min_profit_pct` of the cash counts."""
    any_edge = replace(LIMITS, min_edge_bp=0)
    look = thin(cash=D(20), net_low=D("0.039"))
    assert tried(look, limits=any_edge) == Refused(Reason.PROFIT_TOO_SMALL, D("0.039"), D("0.040"))
    assert isinstance(tried(thin(cash=D(20), net_low=D("0.04")), limits=any_edge), Passed)


def test_nothing_without_profit_passes_whatever_the_limits():
    """With all profit limits at zero an edge of nothing is still refused."""
    none = replace(LIMITS, min_edge_bp=0, min_profit=D(0), min_profit_usd=D(0))
    assert tried(thin(net_low=D(0)), limits=none).reason is Reason.PROFIT_TOO_SMALL


def test_too_large_is_cut_and_checked_again():
    """A trade over its limit is priced again for the room there is, and passes at that size."""
    look = a_look(reprice(None))
    assert look.edge.cash > 25
    passed = tried(look)
    assert D(24) < passed.edge.cash <= 25
    assert passed.look == replace(look, edge=passed.edge)
    event = replace(ACCOUNT, event_exposure={"e": D(45)})
    assert tried(look, event).edge.cash <= 5
    assert tried(look, kelly=D(3)).edge.cash <= 3


def test_a_cut_trade_must_still_pay():
    """When what is left after the cut earns too little, it is refused for that."""
    crumbs = replace(ACCOUNT, exposure=D("399.8"))
    refused = tried(a_look(reprice(None)), crumbs)
    assert refused.reason is Reason.PROFIT_TOO_SMALL


def test_a_smaller_size_may_have_the_edge_a_larger_one_lacks():
    """An edge too small only because of its size is not refused before it is cut."""
    look = a_look(replace(reprice(None), edge_bp=10))
    assert isinstance(tried(look), Passed)


def test_a_cut_for_one_venue_keeps_within_both():
    """When a venue is short of cash, both legs shrink to what it has."""
    account = replace(ACCOUNT, cash={"kalshi": D(2), "polymarket": D(100)})
    cash = (D(2), D(100))
    passed = tried(a_look(), account, price=lambda room: reprice(room, cash=cash))
    bought, sold = passed.look.venue_cash().values()
    assert bought <= 2
    assert sold <= bought
    assert tried(a_look(), account).reason is Reason.VENUE_CASH


def test_both_legs_on_one_venue_share_its_cash():
    """Two legs at one venue count together."""
    first, second = look_legs(NOW, NOW)
    look = a_look(legs=(first, replace(second, venue="kalshi")))
    assert isinstance(tried(look, replace(ACCOUNT, cash={"kalshi": D("9.9956")})), Passed)
    short = replace(ACCOUNT, cash={"kalshi": D("9.99")})
    assert tried(look, short, price=lambda _room: None).reason is Reason.VENUE_CASH


def test_a_hopeless_trade_is_not_priced_again():
    """What no size can cure is refused at once."""

    def never(_room):
        raise AssertionError("priced again")

    look = a_look(reprice(None))
    assert tried(look, replace(ACCOUNT, halted=True), price=never).reason is Reason.HALTED
    full = replace(ACCOUNT, exposure=D(401))
    assert tried(look, full, price=never).reason is Reason.TOTAL_EXPOSURE


def test_room_is_the_tightest_limit():
    """The room is the least of order, event, total and Kelly, and never below zero."""
    account = Account(cash={}, exposure=D(390), event_exposure={"e": D(46)})
    assert allowed_cash(LIMITS, account, "e", D(7)) == 4
    assert allowed_cash(LIMITS, account, "f", D(7)) == 7
    assert allowed_cash(LIMITS, account, "f", D(99)) == 10
    assert allowed_cash(LIMITS, Account({}), "f", D(99)) == 25
    assert allowed_cash(LIMITS, replace(account, exposure=D(500)), "e", D(7)) == 0


def intents(size=1070, market="K"):
    legs = (
        OrderLeg("kalshi", market, "yes", "buy", 490_000, size, SCALE),
        OrderLeg("polymarket", "P", "no", "buy", 550_000, size * 10_000, Scale(6, 6)),
    )
    return tuple(OrderIntent(f"t-{n}", leg, FeeSchedule()) for n, leg in enumerate(legs))


def test_approval_follows_the_commit():
    """An Approved exists only after the intents are committed, and carries what passed."""
    passed = tried()
    size = passed.edge.size_units
    done = []
    approved = approve(passed, "t", intents(size), lambda: done.append(1))
    assert done == [1]
    assert (approved.net, approved.cash) == (passed.edge.net, passed.edge.cash)
    assert (approved.event_id, approved.kind) == ("e", "binary")

    def broken():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        approve(passed, "t", intents(size), broken)


@pytest.mark.parametrize("wrong", [{"size": 1}, {"market": "other"}])
def test_only_what_passed_is_approved(wrong):
    """Legs of another size or market than those checked are not approved, and not committed."""
    passed = tried()
    done = []
    legs = intents(**{"size": passed.edge.size_units} | wrong)
    with pytest.raises(AssertionError):
        approve(passed, "t", legs, lambda: done.append(1))
    assert done == []


def test_limits_come_from_the_config():
    """Every figure of [risk] that the gate knows arrives in its own unit."""
    limits = Limits.of(RiskConfig(min_profit_pct="0.25", max_order_usd="7.50", cooldown_ms=3))
    assert (limits.min_profit, limits.max_order_usd) == (D("0.0025"), D("7.50"))
    assert limits.cooldown_ns == 3_000_000


def mostly(plain, wild):
    """Nine times in ten something plain: with everything wild nothing would ever pass."""
    return st.integers(0, 9).flatmap(lambda dice: wild if dice == 9 else plain)


dollars = st.integers(0, 60_000).map(lambda cents: D(cents).scaleb(-2))
losing = st.integers(-10_000, 0).map(lambda cents: D(cents).scaleb(-2))
ages = st.integers(0, 3_000_000_000)


def side(low, high):
    level = st.tuples(st.integers(low, high), st.integers(1, 5000))
    return st.lists(level, min_size=1, max_size=6)


flag = mostly(st.just(0), st.just(1))


@settings(max_examples=300)
@given(
    asks=mostly(side(20, 60), side(1, 99)), bids=mostly(side(55, 80), side(1, 99)),
    kind=st.sampled_from(["binary", "spot"]), kelly=mostly(st.just(D(25)), dollars),
    cash=st.tuples(dollars, dollars), exposure=mostly(st.just(D(380)), dollars),
    event=mostly(st.just(D(30)), dollars), coins=st.integers(0, 100),
    day=mostly(st.just(D(3)), losing), losses=mostly(st.just(0), st.integers(0, 6)),
    stamps=st.tuples(*[mostly(st.just(plain), ages).map(lambda age: NOW - age)
                       for plain in (5, 7, 500_000_000)]),
    trades=mostly(st.just(0), st.integers(1990, 2010)), capped=st.booleans(),
    flags=st.tuples(*[flag] * 5),
)  # fmt: skip
def test_nothing_passes_that_breaks_a_limit(
    asks, bids, kind, kelly, cash, exposure, event, coins, day, losses, stamps, trades, capped, flags
):  # fmt: skip
    """Whatever the books and the account, what passes is within every limit, computed apart."""
    fee = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
    buy = EdgeLeg(ladder(asks, 1), SCALE, fee)
    sell = EdgeLeg(ladder(bids, -1), SCALE, fee)
    first = priced(kind, buy, sell)
    if first is None:
        return
    held, trade_ns = event, stamps[2]
    account = Account(
        {"kalshi": cash[0], "polymarket": cash[1]}, exposure, {"e": held},
        {("polymarket", "P"): D(coins)}, {}, day, losses, (NOW,) * trades, {("e", 0): trade_ns},
        frozenset("e" if flags[0] else "f"), frozenset("e" if flags[1] else "f"),
        bool(flags[2]), not flags[3], not flags[4],
    )  # fmt: skip
    look = Look("e", 0, kind, look_legs(*stamps[:2], kind), first, NOW, NOW)
    caps = (coins * 100 if kind == "spot" else None, cash if kind == "binary" else None)

    def again(room):
        return priced(kind, buy, sell, caps[0] if capped else None, room, caps[1] if capped else None)

    passed = gate(look, account, LIMITS, kelly, again)
    if isinstance(passed, Refused):
        assert passed.reason in CHECKS
        return
    edge: Edge = passed.edge
    bought = sum(D(t * u).scaleb(-8) for t, u in edge.legs[0].fills) + edge.legs[0].fee
    sold = D(0)
    if kind == "binary":
        sold = sum(D((10**6 - t) * u).scaleb(-8) for t, u in edge.legs[1].fills) + edge.legs[1].fee
        assert bought + sold == edge.cash
    else:
        assert D(edge.size_units).scaleb(-2) <= coins
    assert bought <= cash[0]
    assert sold <= cash[1]
    assert 0 < edge.cash <= min(kelly, D(25), 50 - held, 400 - exposure)
    assert edge.net >= edge.net_low >= max(D("0.02"), edge.cash * D("0.002"))
    assert edge.net_low * 10_000 >= edge.cash * 50
    assert day > -50
    assert losses < 5
    assert trades < 2000
    assert not any(flags)
    assert NOW - min(stamps[:2]) <= 2_000_000_000
    assert abs(stamps[0] - stamps[1]) <= 1_000_000_000
    assert NOW - trade_ns >= 500_000_000


def ladder(levels, sign):
    best = {}
    for cents, size in levels:
        best[cents * 10_000] = size
    return tuple(sorted(best.items(), key=lambda level: sign * level[0]))
