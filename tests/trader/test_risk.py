"""The risk gate: nothing passes that breaks a limit, and every check can refuse."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import pytest

from dashboard.reasons import reason_plain
from pipeline.config import Config, RiskConfig, TraderConfig
from pipeline.edge import EdgeLeg
from pipeline.model import MarketStatus, Reason, Scale
from pipeline.model_events import CLOSE
from pipeline.pairs_checks import YEAR_NS
from pipeline.trader import risk
from pipeline.trader.broker import Refused
from pipeline.trader.plan import MAKER_HEDGE, TAKER
from pipeline.trader.risk import (
    CHECKS,
    FIXED_REASONS,
    HOUR_NS,
    SIZE_REASONS,
    Account,
    Limits,
    Look,
    Passed,
    Rooms,
    failures,
    gate,
    rooms,
)
from pipeline.trader.risk_checks import MINUTE_NS, SECOND_NS
from tests.support.risk_looks import (
    ACCOUNT,
    FREE,
    KELLY,
    LIMITS,
    NOW,
    SCALE,
    a_look,
    look_legs,
    priced,
    spoiled,
    thin,
    within,
)

D = Decimal
CASH = D("9.9956")


def tried(look=None, account=ACCOUNT, limits=LIMITS, kelly=KELLY, price=None):
    return gate(look or a_look(), account, limits, kelly, price or within())


class Case(NamedTuple):
    """What one check is asked."""

    look: Look = a_look()
    account: Mapping[str, object] = MappingProxyType({})
    limits: Mapping[str, object] = MappingProxyType({})
    kelly: Decimal = KELLY

    def gate(self):
        account, limits = replace(ACCOUNT, **self.account), replace(LIMITS, **self.limits)
        return gate(self.look, account, limits, self.kelly, lambda _rooms: None)


def three_legs():
    look = a_look()
    edge = replace(look.edge, legs=(*look.edge.legs, look.edge.legs[1]))
    return a_look(edge, legs=(*look.legs, look.legs[1]))


def aged(first_ns, second_ns):
    return a_look(legs=look_legs(NOW - first_ns, NOW - second_ns))


def ago(*ages_ns):
    return tuple(NOW - age_ns for age_ns in ages_ns)


SPOT = a_look(kind="spot")
COINS = {("polymarket", "P"): D("20.61")}
NONE_ASKED = {"min_edge_bp": 0, "min_profit_usd": D(0), "min_profit_pct": D(0)}
SEA = {"kalshi": D(100), "polymarket": D(100)}

# Of each check: what it passes to the last, what it refuses by the least, and the two numbers it names.
CASES = {
    Reason.HALTED: (Case(), Case(account={"halted": True}), "1", "0"),
    Reason.NOT_ARMED: (Case(), Case(account={"armed": False}), "0", "1"),
    Reason.NO_SUPERVISOR: (Case(), Case(account={"supervisor_alive": False}), "0", "1"),
    Reason.JOURNAL: (Case(), Case(account={"journal_ok": False}), "0", "1"),
    Reason.UNRESOLVED: (Case(), Case(account={"unresolved": 1}), "1", "0"),
    Reason.OTHER_MODE: (
        Case(a_look(mode=MAKER_HEDGE)),
        Case(a_look(mode=MAKER_HEDGE), limits={"modes": frozenset({TAKER})}), "0", "1",
    ),
    Reason.EXPIRED: (Case(a_look(expires_ns=NOW)), Case(a_look(expires_ns=NOW - 1)), "0.000001", "0"),
    Reason.UNHEDGED_LEG: (
        Case(account={"unhedged": frozenset("f")}), Case(account={"unhedged": frozenset("e")}), "1", "0",
    ),
    Reason.NET_EXPOSURE: (
        Case(account={"net_exposure": D(10)}), Case(account={"net_exposure": D("10.01")}), "10.01", "10",
    ),
    Reason.TOO_MANY_LEGS: (Case(), Case(three_legs()), "3", "2"),
    Reason.MARKET_CLOSED: (Case(), Case(spoiled(1, status=MarketStatus.CLOSED)), "3", "1"),
    Reason.NOT_REVIEWED: (Case(), Case(a_look(reviewed=False)), "0", "1"),
    Reason.FEE_UNKNOWN: (Case(), Case(spoiled(0, fee_known=False)), "1", "0"),
    Reason.DUPLICATE: (
        Case(account={"in_flight": frozenset("f")}), Case(account={"in_flight": frozenset("e")}), "1", "0",
    ),
    Reason.COOLDOWN: (
        Case(account={"last_trade_ns": {("e", 0): NOW - 500_000_000, ("e", 1): NOW}}),
        Case(account={"last_trade_ns": {("e", 0): NOW - 499_999_999}}), "499.999999", "500",
    ),
    Reason.ORDERS_PER_SECOND: (
        Case(account={"orders_ns": ago(SECOND_NS, 9, 8)}, limits={"max_orders_per_second": 5}),
        Case(account={"orders_ns": ago(SECOND_NS - 1, 9, 8)}, limits={"max_orders_per_second": 5}), "6", "5",
    ),
    Reason.ORDERS_PER_MINUTE: (
        Case(account={"orders_ns": ago(MINUTE_NS, 9, 8)}, limits={"max_orders_per_minute": 5}),
        Case(account={"orders_ns": ago(MINUTE_NS - 1, 9, 8)}, limits={"max_orders_per_minute": 5}), "6", "5",
    ),
    Reason.TRADES_PER_HOUR: (
        Case(account={"trades_ns": ago(HOUR_NS, 9)}, limits={"max_trades_per_hour": 2}),
        Case(account={"trades_ns": ago(HOUR_NS - 1, 9)}, limits={"max_trades_per_hour": 2}), "2", "2",
    ),
    Reason.OPEN_ORDERS: (Case(account={"open_orders": 18}), Case(account={"open_orders": 19}), "21", "20"),
    Reason.BOOK_TOO_OLD: (
        Case(aged(2 * 10**9, 2 * 10**9)), Case(aged(2 * 10**9 + 1, 2 * 10**9)), "2000.000001", "2000",
    ),
    Reason.LEG_SKEW: (Case(aged(10**9, 0)), Case(aged(10**9 + 1, 0)), "1000.000001", "1000"),
    Reason.RACE_LOST: (
        Case(a_look(race_ppm=300_000)), Case(a_look(race_ppm=299_999)), "0.299999", "0.3",
    ),
    Reason.DAILY_LOSS: (
        Case(account={"day_pnl": D("-49.99")}), Case(account={"day_pnl": D(-50)}), "50", "50",
    ),
    Reason.CONSECUTIVE_LOSSES: (
        Case(account={"consecutive_losses": 4}), Case(account={"consecutive_losses": 5}), "5", "5",
    ),
    Reason.NO_EDGE: (
        Case(thin(net_low=D("0.000001")), limits=NONE_ASKED), Case(thin(net_low=D(0)), limits=NONE_ASKED),
        "0", "0",
    ),
    Reason.EDGE_TOO_SMALL: (
        Case(thin(net_low=D("0.05"), cash=D(10))), Case(thin(net_low=D("0.0499"), cash=D(10))), "49", "50",
    ),
    Reason.PROFIT_TOO_SMALL: (
        Case(thin(net_low=D("0.02"), cash=D(1))), Case(thin(net_low=D("0.019"), cash=D(1))), "0.019", "0.02",
    ),
    Reason.MISMATCH: (
        Case(a_look(mismatch=D("0.02"))), Case(a_look(mismatch=D("0.021"))), "0.021", "0.02",
    ),
    Reason.BELOW_HURDLE: (
        Case(replace(thin(net_low=D("0.4"), cash=D(10)), left_ns=YEAR_NS)),
        Case(replace(thin(net_low=D("0.399"), cash=D(10)), left_ns=YEAR_NS)), "3.99", "4",
    ),
    Reason.NOT_TRADABLE: (
        Case(), Case(spoiled(0, scale=Scale(5, 2)), limits={"price_collar_pct": D(10)}), "4.9", "1",
    ),
    Reason.PRICE_COLLAR: (
        Case(limits={"price_collar_pct": D(1)}), Case(limits={"price_collar_pct": D("0.99")}), "1", "0.99",
    ),
    Reason.OFF_GRID: (Case(spoiled(0, grid_ticks=490_000)), Case(spoiled(0, grid_ticks=20_000)), "1", "0"),
    Reason.BELOW_MINIMUM: (
        Case(spoiled(1, min_units=1074)), Case(spoiled(1, min_units=1075)), "10.74", "10.75",
    ),
    Reason.ORDER_SIZE: (
        Case(limits={"max_order_usd": CASH}), Case(limits={"max_order_usd": D("9.9955")}), "9.9956", "9.9955",
    ),
    Reason.MARKET_EXPOSURE: (
        Case(account={"market_exposure": {("kalshi", "K"): D("44.8374"), ("kalshi", "P"): D(99)}}),
        Case(account={"market_exposure": {("kalshi", "K"): D("44.8375")}}), "50.0001", "50",
    ),
    Reason.EVENT_EXPOSURE: (
        Case(account={"event_exposure": {"e": D("40.0044"), "f": D(99)}}),
        Case(account={"event_exposure": {"e": D("40.0045")}}), "50.0001", "50",
    ),
    Reason.VENUE_EXPOSURE: (
        Case(account={"venue_exposure": {"polymarket": D("245.167"), "kraken": D(999)}}),
        Case(account={"venue_exposure": {"polymarket": D("245.1671")}}), "250.0001", "250",
    ),
    Reason.TOTAL_EXPOSURE: (
        Case(account={"exposure": D("390.0044")}), Case(account={"exposure": D("390.0045")}),
        "400.0001", "400",
    ),
    Reason.VENUE_CASH: (
        Case(account={"cash": SEA | {"polymarket": D("4.833")}}),
        Case(account={"cash": SEA | {"polymarket": D("4.8329")}}), "4.833", "4.8329",
    ),
    Reason.INVENTORY: (
        Case(SPOT, {"inventory": COINS}), Case(SPOT, {"inventory": {("polymarket", "P"): D("20.6")}}),
        "20.61", "20.6",
    ),
    Reason.KELLY_SIZE: (Case(kelly=CASH), Case(kelly=D("9.9955")), "9.9956", "9.9955"),
}  # fmt: skip


def test_the_plain_look_passes():
    """With nothing wrong the gate passes the edge unchanged."""
    assert tried() == Passed(a_look(), KELLY)


def test_every_check_is_in_the_table():
    """No check is without its case below, and each is either cured by size, never, or perhaps."""
    assert list(CASES) == list(CHECKS)
    assert not FIXED_REASONS & SIZE_REASONS
    assert set(CHECKS) - FIXED_REASONS - SIZE_REASONS == {
        Reason.NO_EDGE, Reason.EDGE_TOO_SMALL, Reason.PROFIT_TOO_SMALL, Reason.MISMATCH, Reason.BELOW_HURDLE,
        Reason.NOT_TRADABLE, Reason.PRICE_COLLAR, Reason.OFF_GRID, Reason.BELOW_MINIMUM,
    }  # fmt: skip


@pytest.mark.parametrize("reason", list(CHECKS), ids=lambda reason: reason.name)
def test_each_check_passes_its_limit_and_refuses_one_step_beyond(reason):
    """At the limit a look passes; one step beyond it is refused by this check alone, with both numbers."""
    at, beyond, value, limit = CASES[reason]
    assert isinstance(at.gate(), Passed)
    assert beyond.gate() == Refused(reason, D(value), D(limit))


@pytest.mark.parametrize("reason", list(CHECKS), ids=lambda reason: reason.name)
def test_without_the_check_its_case_would_pass(monkeypatch, reason):
    """Each check taken out, one at a time, lets its own case through: the test above would catch that."""
    beyond = CASES[reason][1]
    monkeypatch.setattr(risk, "CHECKS", {key: CHECKS[key] for key in CHECKS if key != reason})
    assert isinstance(beyond.gate(), Passed)


@pytest.mark.parametrize("reason", list(CHECKS), ids=lambda reason: reason.name)
def test_every_check_has_a_sentence(reason):
    """Whoever is refused can read why."""
    assert len(reason_plain(reason)) > 5


def test_the_first_failing_check_is_the_reason():
    """Of several failures the first in the list is given, and all of them can be asked for."""
    account = replace(ACCOUNT, halted=True, unhedged=frozenset("e"), day_pnl=D(-99))
    look = a_look(expires_ns=0)
    assert tried(look, account).reason is Reason.HALTED
    found = [refused.reason for refused in failures(look, account, LIMITS, KELLY)]
    assert found == [Reason.HALTED, Reason.EXPIRED, Reason.UNHEDGED_LEG, Reason.DAILY_LOSS]


def test_a_day_that_nobody_can_reckon_counts_as_lost():
    """An unknown result of the day is the limit reached."""
    assert tried(account=replace(ACCOUNT, day_pnl=None)) == Refused(Reason.DAILY_LOSS, D(50), D(50))


def test_profit_is_asked_in_dollars_and_in_percent():
    """Too little of either refuses, with the number and the limit in that unit."""
    any_edge = replace(LIMITS, min_edge_bp=0)
    look = thin(cash=D(20), net_low=D("0.039"))
    assert tried(look, limits=any_edge) == Refused(Reason.PROFIT_TOO_SMALL, D("0.195"), D("0.2"))
    assert isinstance(tried(thin(cash=D(20), net_low=D("0.04")), limits=any_edge), Passed)


def test_a_small_mismatch_can_eat_a_small_edge():
    """A chance of losing all that is as large as the edge refuses, within the limit or not."""
    look = replace(thin(net_low=D("0.2"), cash=D(10)), mismatch=D("0.02"))
    assert tried(look) == Refused(Reason.MISMATCH, D("0.02"), D("0.02"))
    assert isinstance(tried(replace(look, mismatch=D("0.019"))), Passed)


@pytest.mark.parametrize("status", [s for s in MarketStatus if s is not MarketStatus.OPEN])
def test_only_an_open_market_is_traded(status):
    """Paused, closed, settled, or nobody knows: refused."""
    assert tried(spoiled(0, status=status)).reason is Reason.MARKET_CLOSED


@pytest.mark.parametrize(("ticks", "passes"), [(1, True), (0, False), (999_999, True), (1_000_000, False)])
def test_a_contract_costs_between_nothing_and_a_dollar(ticks, passes):
    """A price of 0 or 1 is that of a decided contract; a coin may cost more."""
    legs = list(a_look().edge.legs)
    legs[0] = legs[0]._replace(limit_ticks=ticks)
    wide = replace(LIMITS, price_collar_pct=D(100))
    fine = look_legs(grid_ticks=1)
    found = tried(a_look(replace(a_look().edge, legs=tuple(legs)), legs=fine), limits=wide)
    assert isinstance(found, Passed) == passes
    assert passes or found.reason is Reason.NOT_TRADABLE


def test_a_coin_is_held_to_its_own_best_price():
    """The collar of a coin is per cent of its best price: 0.53 is 3.6 % off 0.55."""
    coins = replace(ACCOUNT, inventory={("polymarket", "P"): D(30)})
    tight = replace(LIMITS, price_collar_pct=D("2.08"))
    refused = tried(SPOT, coins, tight)
    assert refused.reason is Reason.PRICE_COLLAR
    assert refused.value.quantize(D("0.0001")) == D("3.6364")
    assert isinstance(tried(SPOT, coins, replace(LIMITS, price_collar_pct=D("3.64"))), Passed)


def test_a_side_without_a_best_price_is_off_every_collar():
    """Where the side is empty nothing can be near it."""
    open_wide = replace(LIMITS, price_collar_pct=D(100))
    assert tried(spoiled(0, best_ticks=0), limits=open_wide).reason is Reason.PRICE_COLLAR


@pytest.mark.parametrize(
    ("leg", "changes", "off"),
    [(0, {"lot_units": 100}, 1), (0, {"lot_units": 100, "grid_ticks": 20_000}, 2), (1, {"lot_units": 2}, 0),
     (1, {"scale": Scale(6, 1)}, 1)],
)  # fmt: skip
def test_prices_and_sizes_fit_their_venues_grids(leg, changes, off):
    """Each price and size that a venue would refuse counts; a size finer than the market's scale too."""
    found = failures(spoiled(leg, **changes), ACCOUNT, LIMITS, KELLY)
    assert found == ([Refused(Reason.OFF_GRID, D(off), D(0))] if off else [])


def test_the_smallest_order_is_asked_in_size_and_in_dollars():
    """A NO is worth the rest of the dollar; fees do not count."""
    assert isinstance(tried(spoiled(0, min_cost_micros=5_162_600)), Passed)
    refused = tried(spoiled(0, min_cost_micros=5_162_601))
    assert refused == Refused(Reason.BELOW_MINIMUM, D("5.1626"), D("5.162601"))
    assert isinstance(tried(spoiled(1, min_cost_micros=4_833_000)), Passed)
    assert tried(spoiled(1, min_cost_micros=4_833_001)).value == D("4.833")


def a_close():
    """Of a pair that is held: YES brings 0.55, NO 0.52, and what is given up pays a dollar."""
    yes = EdgeLeg(((550_000, 1000),), SCALE, FREE)
    no = EdgeLeg(((480_000, 1000),), SCALE, FREE)
    legs = tuple(
        replace(leg, best_ticks=best)
        for leg, best in zip(look_legs(kind=CLOSE), (550_000, 480_000), strict=True)
    )
    return a_look(priced(CLOSE, yes, no, size=1000), CLOSE, legs=legs)


HELD = {("e", "kalshi", "K", "yes"): D(10), ("e", "polymarket", "P", "no"): D(10)}


def test_what_is_held_is_closed_whatever_is_at_stake():
    """A close ties up nothing: no limit of size, no Kelly, no mismatch and no hurdle hold it back."""
    full = Account(
        cash={"kalshi": D(-1)}, exposure=D(999), event_exposure={"e": D(999)}, held=HELD,
        market_exposure={("kalshi", "K"): D(999)}, venue_exposure={"polymarket": D(999)},
    )  # fmt: skip
    look = replace(a_close(), mismatch=D("0.5"), left_ns=100 * YEAR_NS)
    assert isinstance(tried(look, full, kelly=D(0)), Passed)
    assert rooms(look, full, LIMITS, D(0)) == Rooms(None, None, D(10))


def test_a_close_keeps_to_prices_grids_rates_and_what_is_held():
    """A close passes collar, grid and rate as any trade does, and sells no more than there is."""
    account = replace(ACCOUNT, held=HELD)
    legs = tuple(replace(leg, best_ticks=600_000) for leg in a_close().legs)
    assert tried(replace(a_close(), legs=legs), account).reason is Reason.PRICE_COLLAR
    legs = tuple(replace(leg, lot_units=300) for leg in a_close().legs)
    assert tried(replace(a_close(), legs=legs), account).reason is Reason.OFF_GRID
    busy = replace(account, orders_ns=ago(*[1] * 18))
    assert tried(a_close(), busy).reason is Reason.ORDERS_PER_SECOND
    short = replace(account, held=HELD | {("e", "kalshi", "K", "yes"): D(4)})
    assert tried(a_close(), short, price=lambda _rooms: None) == Refused(Reason.INVENTORY, D(10), D(4))


def test_too_large_is_cut_and_checked_again():
    """A trade over its limit is priced again for the room there is, and passes at that size."""
    look = a_look(priced())
    assert look.edge.cash > 25
    passed = tried(look)
    assert D(24) < passed.edge.cash <= 25
    assert passed.look == replace(look, edge=passed.edge)
    assert tried(look, replace(ACCOUNT, event_exposure={"e": D(45)})).edge.cash <= 5
    assert tried(look, kelly=D(3)).edge.cash <= 3
    market = tried(look, replace(ACCOUNT, market_exposure={("polymarket", "P"): D(48)}))
    assert D("1.9") < market.edge.legs[1].cash <= 2
    venue = tried(look, replace(ACCOUNT, venue_exposure={"kalshi": D("249")}))
    assert D("0.9") < venue.edge.legs[0].cash <= 1


def test_a_cut_trade_must_still_pay():
    """When what is left after the cut earns too little, it is refused for that."""
    assert tried(a_look(priced()), replace(ACCOUNT, exposure=D("399.8"))).reason is Reason.PROFIT_TOO_SMALL


def test_a_smaller_size_may_have_the_edge_a_larger_one_lacks():
    """An edge too small, or a price too far off, only because of the size is not refused before it is cut."""
    look = a_look(replace(priced(), net_low=D("0.01")))
    assert isinstance(tried(look), Passed)
    deep = replace(LIMITS, price_collar_pct=D("0.5"), max_order_usd=D(8))
    assert tried(a_look(priced()), limits=deep).edge.legs[0].limit_ticks == 480_000


def test_both_legs_on_one_venue_share_its_cash():
    """Two legs at one venue count together."""
    first, second = look_legs()
    look = a_look(legs=(first, replace(second, venue="kalshi")))
    assert isinstance(tried(look, replace(ACCOUNT, cash={"kalshi": CASH})), Passed)
    short = replace(ACCOUNT, cash={"kalshi": D("9.99")})
    assert tried(look, short, price=lambda _rooms: None).reason is Reason.VENUE_CASH
    held = replace(ACCOUNT, venue_exposure={"kalshi": D("240.01")})
    assert tried(look, held, price=lambda _rooms: None).reason is Reason.VENUE_EXPOSURE


def test_a_hopeless_trade_is_not_priced_again():
    """What no size can cure is refused at once, and so is what has no room at all."""

    def never(_rooms):
        raise AssertionError("priced again")

    look = a_look(priced())
    assert tried(look, replace(ACCOUNT, halted=True), price=never).reason is Reason.HALTED
    full = replace(ACCOUNT, exposure=D(401))
    assert tried(look, full, price=never).reason is Reason.TOTAL_EXPOSURE


@pytest.mark.parametrize(
    ("account", "limits", "kelly", "reason"),
    [
        ({"exposure": D("399.5")}, {}, D(1), Reason.TOTAL_EXPOSURE),
        ({"event_exposure": {"e": D("49.5")}}, {}, D(1), Reason.EVENT_EXPOSURE),
        ({"cash": SEA | {"polymarket": D("0.4")}}, {}, D(5), Reason.VENUE_CASH),
        ({"market_exposure": {("kalshi", "K"): D("49.9")}}, {}, D(5), Reason.MARKET_EXPOSURE),
        ({"venue_exposure": {"kalshi": D("249.9")}}, {}, D(5), Reason.VENUE_EXPOSURE),
        ({}, {"max_order_usd": D("0.6")}, D("0.7"), Reason.ORDER_SIZE),
        ({"exposure": D("399.5")}, {}, D("0.4"), Reason.KELLY_SIZE),
    ],
)
def test_a_room_below_the_smallest_order_is_told_by_the_limit_that_left_it(account, limits, kelly, reason):
    """The limit with room for the least part of the trade is the reason, Kelly only where it is that one."""
    buy = EdgeLeg(((480_000, 1000),), SCALE, FREE, min_units=100)
    look = a_look(priced(buy=buy))
    refused = tried(
        look, replace(ACCOUNT, **account), replace(LIMITS, **limits), kelly, within("binary", buy=buy)
    )
    assert refused.reason is reason
    assert refused.value > refused.limit


def test_rooms_are_what_every_limit_leaves():
    """The total is the least of order, event, total and Kelly; a leg's that of cash, venue and market."""
    account = Account(
        cash={"kalshi": D(7), "polymarket": D(100)}, exposure=D(390), event_exposure={"e": D(46)},
        market_exposure={("polymarket", "P"): D(47)}, venue_exposure={"kalshi": D(100)},
    )  # fmt: skip
    look = a_look()
    assert rooms(look, account, LIMITS, D(7)) == Rooms(D(4), (D(7), D(3)), None)
    assert rooms(replace(look, event_id="f"), account, LIMITS, D(7)).total == 7
    assert rooms(replace(look, event_id="f"), account, LIMITS, D(99)).total == 10
    assert rooms(look, Account({}), LIMITS, D(99)) == Rooms(D(25), (D(0), D(0)), None)
    spent = replace(account, exposure=D(500), venue_exposure={"kalshi": D(251)})
    assert rooms(look, spent, LIMITS, D(7)) == Rooms(D(0), (D(0), D(3)), None)
    assert not rooms(look, spent, LIMITS, D(7)).any
    spot = rooms(SPOT, replace(ACCOUNT, inventory={("polymarket", "P"): D("3.5")}), LIMITS, D(7))
    assert spot == Rooms(D(7), (D(50), None), D("3.5"))
    assert spot.units(2) == 350
    assert not rooms(SPOT, ACCOUNT, LIMITS, D(7)).any


def test_limits_come_from_the_config():
    """Every figure of [risk] that the gate knows arrives in its own unit."""
    config = Config(risk=RiskConfig(min_profit_pct="0.25", max_order_usd="7.50", cooldown_ms=3))
    limits = Limits.of(config)
    assert (limits.min_profit_pct, limits.max_order_usd) == (D("0.25"), D("7.50"))
    assert limits.cooldown_ns == 3_000_000
    assert limits.modes == {TAKER}
    maker = msgspec.structs.replace(config, trader=TraderConfig(mode="maker_hedge"))
    assert Limits.of(maker).modes == {MAKER_HEDGE}
