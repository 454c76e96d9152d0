"""The risk gate, played: whatever books come in whatever order, no limit is ever broken."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.config import Config, RiskConfig, TraderConfig
from pipeline.edge import EdgeLeg
from pipeline.model import FeeKind, FeeSchedule, MarketStatus, Scale
from pipeline.model_events import BINARY, SPOT, OrderLeg
from pipeline.trader.broker import OrderIntent, Refused
from pipeline.trader.risk import CHECKS, Account, Limits, Look, LookLeg, Passed, approve, gate, rooms
from tests.support.risk_looks import how, priced

D = Decimal
SECOND = 10**9
SCALES = Scale(6, 2), Scale(6, 3)
KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
BPS = FeeSchedule(FeeKind.BPS, 2_000)
WELL = {"halted": False, "armed": True, "journal_ok": True, "supervisor_alive": True}
RISK = RiskConfig(
    max_order_usd="9", max_event_usd="15", max_market_usd="12", max_venue_usd="11", max_exposure_usd="25",
    max_orders_per_second=5, max_orders_per_minute=12, max_open_orders=9, cooldown_ms=200,
)  # fmt: skip
LIMITS = Limits.of(Config(risk=RISK, trader=TraderConfig(mode="taker")))


def mostly(plain, wild):
    """Nine times in ten something plain: with everything wild nothing would ever pass."""
    return st.integers(0, 9).flatmap(lambda dice: wild if dice == 9 else plain)


def side(low: int, high: int, sign: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """A side of a book, best first: cents, and hundredths of a contract."""
    steps = st.lists(st.tuples(st.integers(0, 2), st.integers(100, 6_000)), min_size=1, max_size=4)
    return st.tuples(st.integers(low, high), steps).map(lambda drawn: levels(*drawn, sign))


def levels(best: int, steps: list[tuple[int, int]], sign: int) -> list[tuple[int, int]]:
    found: dict[int, int] = {}
    for off, size in steps:
        best += sign * off
        found[best] = size
    return list(found.items())


books = st.tuples(side(20, 50, 1), side(55, 80, -1))


class Gate(RuleBasedStateMachine):
    """An account that is traded on as fast as the gate allows. What is at stake is added up apart."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10**15
        self.cash = {"kalshi": D(10), "polymarket": D(60), "kraken": D(9)}
        self.coins = {("polymarket", "P"): D(30), ("kraken", "X"): D(15)}
        self.stakes: list[tuple[str, tuple[tuple[str, str, Decimal], ...]]] = []
        self.orders: list[int] = []
        self.trades: list[int] = []
        self.last: dict[tuple[str, int], int] = {}
        self.open = 0
        self.flags = dict(WELL)
        self.day: Decimal | None = D(0)
        self.net = D(0)
        self.passed = 0

    def at_stake(self, key) -> dict[object, Decimal]:
        """Dollars by what `key` makes of an event and a leg."""
        sums: dict[object, Decimal] = {}
        for event, legs in self.stakes:
            for venue, market, dollars in legs:
                name = key(event, venue, market)
                sums[name] = sums.get(name, D(0)) + dollars
        return sums

    def account(self) -> Account:
        return Account(
            cash=self.cash,
            exposure=self.at_stake(lambda *_: "all").get("all", D(0)),
            event_exposure=self.at_stake(lambda event, *_: event),
            market_exposure=self.at_stake(lambda _event, venue, market: (venue, market)),
            venue_exposure=self.at_stake(lambda _event, venue, _market: venue),
            net_exposure=self.net,
            inventory=self.coins,
            day_pnl=self.day,
            trades_ns=self.trades,
            orders_ns=self.orders,
            open_orders=self.open,
            last_trade_ns=self.last,
            **self.flags,
        )

    @rule(
        book=books, kind=st.sampled_from([BINARY, SPOT]), event=st.sampled_from("abc"),
        where=st.sampled_from([("kalshi", "polymarket"), ("polymarket", "kraken"), ("kalshi", "kraken")]),
        lots=st.tuples(*[st.sampled_from([0, 1, 10, 100, 250])] * 2), least=st.sampled_from([0, 1, 100]),
        min_cost=st.sampled_from([0, 0, 1_000_000]),
        kelly=mostly(st.integers(500, 9_000), st.integers(0, 500)),
        ages=st.tuples(*[mostly(st.integers(0, 10**9), st.integers(0, 2_100_000_000))] * 2),
        race=mostly(st.just(900_000), st.integers(250_000, 350_000)),
        kind_of_fee=st.sampled_from([KALSHI, BPS]), status=st.sampled_from([1] * 19 + [3]),
        waited=mostly(st.sampled_from([SECOND // 10, SECOND, 15 * SECOND]), st.integers(0, 60 * SECOND)),
        ends=mostly(st.just(True), st.just(False)), settles=mostly(st.just(False), st.just(True)),
    )  # fmt: skip
    def trade(
        self,
        book,
        kind,
        event,
        where,
        lots,
        least,
        min_cost,
        kelly,
        ages,
        race,
        kind_of_fee,
        status,
        waited,
        ends,
        settles,
    ) -> None:
        """Offer a trade; what passes is booked with all that it may cost."""
        self.now += waited
        self.open = 0 if ends else self.open
        if settles and self.stakes:
            for venue, _market, dollars in self.stakes.pop(0)[1]:
                self.cash[venue] += dollars
        fee = BPS if kind == SPOT else kind_of_fee
        asks, bids = book
        legs = [
            EdgeLeg(
                tuple((10_000 * cents, units * 10 ** (scale.size_decimals - 2)) for cents, units in ladder),
                scale, fee, grid_ticks=10_000, lot_units=lot, min_units=least, min_cost_micros=min_cost,
            )
            for ladder, scale, lot in zip((asks, bids), SCALES, lots, strict=True)
        ]  # fmt: skip
        edge = priced(kind, *legs)
        if edge is None:
            return
        markets = {"kalshi": "K", "polymarket": "P", "kraken": "X"}
        looked = tuple(
            LookLeg(
                venue, markets[venue], outcome, action, leg.scale, self.now - age, leg.ladder[0][0],
                leg.grid_ticks, leg.lot_units, leg.min_units, leg.min_cost_micros, MarketStatus(status), True,
            )
            for venue, leg, (action, outcome), age in zip(where, legs, how(kind), ages, strict=True)
        )  # fmt: skip
        look = Look(event, 0, kind, looked, edge, self.now, self.now, "taker", race, D("0.001"), True)
        dollars, account = D(kelly).scaleb(-2), self.account()

        def reprice(room):
            return priced(kind, *legs, room.units(3), room.total, room.per_leg)

        found = gate(look, account, LIMITS, dollars, reprice)
        if isinstance(found, Refused):
            assert found.reason in CHECKS
            return
        self.check(found, dollars, edge.size_units)
        # Half the room is never worth more than all of it.
        left = rooms(look, account, LIMITS, dollars)
        halved = reprice(replace(left, total=left.total / 2))
        assert halved is None or halved.size_units <= edge.size_units
        assert halved is None or halved.net <= max(edge.net, found.edge.net)
        self.book(found)

    def check(self, found: Passed, kelly: Decimal, first_size: int) -> None:
        """What passed is a pair of equal sizes on both grids, no larger than asked, near the best prices."""
        edge = found.edge
        assert edge.size_units <= first_size
        assert 0 < edge.cash <= min(kelly, LIMITS.max_order_usd)
        assert edge.net_low * 10_000 >= 50 * edge.cash
        assert edge.net_low >= max(D("0.02"), edge.cash * D("0.002"))
        intents = []
        for number, (leg, part) in enumerate(zip(found.look.legs, edge.legs, strict=True)):
            units = sum(size for _, size in part.fills)
            size = D(units).scaleb(-leg.scale.size_decimals)
            assert size == found.look.size
            assert units % (leg.lot_units or 1) == 0
            assert units >= leg.min_units
            assert part.limit_ticks % leg.grid_ticks == 0
            whole = 10**6 if kind_is_contract(leg) else leg.best_ticks
            assert abs(part.limit_ticks - leg.best_ticks) * 20 <= whole
            order = OrderLeg(
                leg.venue, leg.market, leg.outcome, leg.action, part.limit_ticks, units, leg.scale
            )
            intents.append(OrderIntent(f"t-{number}", order, FeeSchedule(), number))
        done: list[int] = []
        approved = approve(found, "t", tuple(intents), lambda: done.append(1))
        assert done == [1]
        assert approved.intents == tuple(intents)
        assert not self.flags["halted"]
        assert all(self.flags[name] for name in ("armed", "journal_ok", "supervisor_alive"))
        assert self.day is not None
        assert self.day > -50
        assert self.net <= 10
        assert found.look.age_ns <= 2 * SECOND
        assert found.look.skew_ns <= SECOND
        assert found.look.race_ppm >= 300_000
        assert self.now - self.last.get((found.look.event_id, 0), 0) >= SECOND // 5

    def book(self, found: Passed) -> None:
        stakes = []
        for leg, part in zip(found.look.legs, found.edge.legs, strict=True):
            self.cash[leg.venue] -= part.cash
            stakes.append((leg.venue, leg.market, part.cash))
            if leg.action == "sell":
                self.coins[leg.venue, leg.market] -= found.look.size
        self.stakes.append((found.look.event_id, tuple(stakes)))
        self.orders += [self.now, self.now]
        self.trades.append(self.now)
        self.last[found.look.event_id, 0] = self.now
        self.open += 2
        self.passed += 1

    @rule(
        name=st.sampled_from(["halted", "armed", "journal_ok", "supervisor_alive"]),
        day=st.sampled_from([D(0), D("-49.99"), D(-50), None]),
        net=st.sampled_from([D(0), D(10), D(11)]),
        turned=st.booleans(),
    )
    def fares(self, name: str, day: Decimal | None, net: Decimal, turned: bool) -> None:
        """A switch is turned, the day goes on, something stands without a hedge."""
        self.flags[name] = self.flags[name] != turned
        self.day, self.net = day, net

    @precondition(lambda self: self.troubled)
    @rule()
    def mend(self) -> None:
        """All is well again."""
        self.flags, self.day, self.net = dict(WELL), D(0), D(0)

    @property
    def troubled(self) -> bool:
        return self.flags != WELL or self.day != 0 or self.net != 0

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        """Money at stake per market, event, venue and in all; cash and coins; rates in every window."""
        for key, limit in (
            (lambda _event, venue, market: (venue, market), LIMITS.max_market_usd),
            (lambda event, *_: event, LIMITS.max_event_usd),
            (lambda _event, venue, _market: venue, LIMITS.max_venue_usd),
            (lambda *_: "all", LIMITS.max_exposure_usd),
        ):
            assert all(dollars <= limit for dollars in self.at_stake(key).values())
        assert min(self.cash.values()) >= 0
        assert min(self.coins.values()) >= 0
        assert self.open <= LIMITS.max_open_orders
        for window, most in ((SECOND, 5), (60 * SECOND, 12)):
            assert all(
                later - at >= window for at, later in zip(self.orders, self.orders[most:], strict=False)
            )
        assert all(later >= at for at, later in pairwise(self.orders))


def kind_is_contract(leg: LookLeg) -> bool:
    return leg.outcome in {"yes", "no"}


TestGate = Gate.TestCase
TestGate.__doc__ = "An account that trades whatever the gate passes is never over any limit."
TestGate.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
