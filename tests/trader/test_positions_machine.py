"""Positions as a machine: whatever is booked in whatever order, the account is the sum of its records."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.journal_records import (
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    SettlementRecord,
)
from pipeline.model import MarketResult
from pipeline.trader.holding import Key
from pipeline.trader.positions import Positions, Record
from tests.support.fills import DAY, fill, no_mark

VENUES, EVENTS = ["kalshi", "polymarket"], ["e1", "e2"]
DECIDED = [MarketResult.YES, MarketResult.NO, MarketResult.VOID, MarketResult.SCALAR]


def key_of(record: FillRecord | SettlementRecord) -> Key:
    return Key(record.event_id, record.venue, record.market, record.outcome)


class PositionsMachine(RuleBasedStateMachine):
    """Books at random, and computes cash, units and hedge apart, in fractions, from the records alone."""

    @initialize(cents=st.integers(0, 10**6))
    def begin(self, cents: int) -> None:
        self.history: list[Record] = []
        self.positions = Positions()
        for venue in VENUES:
            self._book(CashRecord(venue, "", Decimal(cents).scaleb(-2), "start"))

    def _book(self, record: Record) -> None:
        if not isinstance(record, CashRecord):
            record = replace(record, wall_ns=DAY + len(self.history))
        self.history.append(record)
        self.positions.apply([record])

    def _next(self) -> int:
        return len(self.history)

    @rule(
        venue=st.sampled_from(VENUES),
        outcome=st.sampled_from(["yes", "no"]),
        ticks=st.integers(1, 999_999),
        size=st.integers(1, 10**6),
        fee=st.integers(0, 10**28),
        event=st.sampled_from(EVENTS),
        trade=st.integers(0, 3),
        action=st.sampled_from(["buy", "buy", "sell"]),
        provisional=st.booleans(),
    )
    def trade_contracts(
        self, venue: str, outcome: str, ticks: int, size: int, fee: int, event: str, trade: int,
        action: str, provisional: bool,
    ) -> None:  # fmt: skip
        """A fill at any price, with a fee of thirty digits."""
        polarity = "inverse" if (venue, event) == ("polymarket", "e2") else "same"
        self._book(
            fill(
                self._next(), venue, outcome, Decimal(ticks).scaleb(-6), Decimal(size).scaleb(-2),
                fee=f"0.{fee:029d}", event=event, trade=f"{event}-{trade}", action=action, market=event,
                provisional=provisional, polarity=polarity,
            )
        )  # fmt: skip

    @rule(
        venue=st.sampled_from(["kraken", "coinbase"]),
        price=st.integers(1, 10**7),
        size=st.integers(1, 10**9),
        fee=st.integers(0, 10**9),
        trade=st.integers(0, 2),
        action=st.sampled_from(["buy", "sell"]),
    )
    def trade_coins(self, venue: str, price: int, size: int, fee: int, trade: int, action: str) -> None:
        """Coins, bought or sold on either exchange."""
        self._book(
            fill(
                self._next(), venue, "base", Decimal(price).scaleb(-1), Decimal(size).scaleb(-8),
                fee=Decimal(fee).scaleb(-8), event="coin", trade=f"coin-{trade}", action=action,
            )
        )  # fmt: skip

    @rule(share=st.integers(1, 100), at=st.integers(0, 10**6), fee=st.integers(0, 10**6))
    @precondition(lambda self: any(held.key.outcome != "base" for held in self.positions.holdings()))
    def sell_what_is_held(self, share: int, at: int, fee: int) -> None:
        """A close or an unwind: a part of one holding, sold under a trade of its own or the first one."""
        held = [each for each in self.positions.holdings() if each.key.outcome != "base" and each.units > 0]
        if not held:
            return
        chosen = held[at % len(held)]
        units = max(chosen.units * share // 100, 1)
        event, venue, market, outcome = chosen.key
        self._book(
            fill(
                self._next(), venue, outcome, Decimal(at % 999_999 + 1).scaleb(-6),
                Decimal(units).scaleb(-chosen.size_decimals), fee=Decimal(fee).scaleb(-6), event=event,
                trade="close" if at % 2 else f"{event}-0", action="sell", market=market,
                polarity="inverse" if (venue, event) == ("polymarket", "e2") else "same",
            )
        )  # fmt: skip

    @rule(
        venue=st.sampled_from(VENUES),
        market=st.sampled_from(EVENTS),
        result=st.sampled_from(DECIDED),
        micros=st.integers(0, 10**6),
    )
    def settle(self, venue: str, market: str, result: MarketResult, micros: int) -> None:
        """A market is decided, at any value where it is scalar; its word counts once."""
        for due in self.positions.due(venue, market, result, Decimal(micros).scaleb(-6)):
            self._book(due)

    @rule(at=st.integers(0, 10**6), fails=st.booleans())
    @precondition(lambda self: self._provisional())
    def confirm(self, at: int, fails: bool) -> None:
        """A provisional fill is confirmed or fails, be its market settled or not."""
        waiting = self._provisional()
        chosen = waiting[at % len(waiting)]
        status = "FAILED" if fails else "CONFIRMED"
        self._book(ConfirmationRecord(chosen.venue, chosen.fill_id, status, 1))

    @rule(venue=st.sampled_from([*VENUES, "kraken"]), cents=st.integers(-(10**6), 10**6), coin=st.booleans())
    def move_money(self, venue: str, cents: int, coin: bool) -> None:
        """Dollars or coins are paid in or out."""
        self._book(CashRecord(venue, "M" if coin else "", Decimal(cents).scaleb(-2), "moved"))

    @rule()
    def say_it_again(self) -> None:
        """Records with an id that are booked already change nothing."""
        self.positions.apply(record for record in self.history if not isinstance(record, CashRecord))

    def _provisional(self) -> list[FillRecord]:
        said = {
            (record.venue, record.fill_id)
            for record in self.history
            if isinstance(record, ConfirmationRecord)
        }
        fills = (record for record in self.history if isinstance(record, FillRecord))
        return [each for each in fills if each.provisional and (each.venue, each.fill_id) not in said]

    def _standing(self) -> list[FillRecord]:
        failed = {
            (record.venue, record.fill_id)
            for record in self.history
            if isinstance(record, ConfirmationRecord) and record.status == "FAILED"
        }
        fills = (record for record in self.history if isinstance(record, FillRecord))
        return [each for each in fills if (each.venue, each.fill_id) not in failed]

    def _rates(self) -> dict[Key, Fraction]:
        rates: dict[Key, Fraction] = {}
        for record in self.history:
            if isinstance(record, SettlementRecord):
                yes = Fraction(record.value)
                rates.setdefault(key_of(record), yes if record.outcome == "yes" else 1 - yes)
        return rates

    @invariant()
    def cash_is_conserved_exactly(self) -> None:
        """Start + sales - purchases - fees + settlements = cash, at each venue, to the last digit."""
        rates = self._rates()
        expected: dict[str, Fraction] = {}
        for record in self.history:
            if isinstance(record, CashRecord) and not record.market:
                expected[record.venue] = expected.get(record.venue, Fraction(0)) + Fraction(record.amount)
        for record in self._standing():
            one = 10**record.scale.price_decimals
            ticks = one - record.price_ticks if record.outcome == "no" else record.price_ticks
            size = Fraction(record.size_units, 10**record.scale.size_decimals)
            sign = 1 if record.action == "buy" else -1
            flow = sign * size * (rates.get(key_of(record), 0) - Fraction(ticks, one)) - Fraction(record.fee)
            expected[record.venue] = expected.get(record.venue, Fraction(0)) + flow
        venues = {*self.positions.venues(), *expected}
        cash = {venue: Fraction(self.positions.cash(venue)) for venue in venues}
        assert cash == {venue: expected.get(venue, Fraction(0)) for venue in venues}

    @invariant()
    def a_position_is_the_sum_of_its_fills(self) -> None:
        """Units, fees and unhedged quantity are those of the fills that stand."""
        rates = self._rates()
        units: dict[Key, int] = {}
        net: dict[str, Fraction] = {}
        for record in self._standing():
            sign = 1 if record.action == "buy" else -1
            if key_of(record) not in rates:
                units[key_of(record)] = units.get(key_of(record), 0) + sign * record.size_units
            side = -sign if (record.outcome == "no") != (record.polarity == "inverse") else sign
            size = side * Fraction(record.size_units, 10**record.scale.size_decimals)
            net[record.event_id] = net.get(record.event_id, Fraction(0)) + size
        holdings = self.positions.holdings()
        costs = {held.key: held.cost for held in holdings if held.open_quantity}
        assert {held.key: held.units for held in holdings} == {
            key: amount for key, amount in units.items() if amount or key in costs
        }
        for event in net.keys() - {key.event_id for key in rates}:
            assert Fraction(self.positions.unhedged(event)) == net[event]
            split = self.positions.split(event)
            held = [each for each in holdings if each.key.event_id == event]
            if all(each.open_quantity >= 0 and each.key.outcome != "base" for each in held):
                assert split.pair_cost + split.net_cost == sum(each.cost for each in held)
                both = sum((Fraction(each.open_quantity) for each in held), Fraction(0))
                assert 2 * Fraction(split.hedged) + abs(net[event]) == both
        fees = sum((Fraction(record.fee) for record in self._standing()), Fraction(0))
        assert Fraction(self.positions.fees()) == fees

    @invariant()
    def results_and_open_trades_add_up_to_the_change_of_cash(self) -> None:
        """What trades earned and what is still open is all that ever happened."""
        positions = self.positions
        cost = {held.key: held.cost for held in positions.holdings()}
        at_cost = positions.day_pnl(DAY, lambda key, _quantity: cost[key])
        assert at_cost is not None
        change = sum((Fraction(positions.cash(venue)) for venue in positions.venues()), Fraction(0))
        change -= sum((Fraction(positions.start_cash(venue)) for venue in positions.venues()), Fraction(0))
        assert Fraction(at_cost) == change + sum((Fraction(each) for each in cost.values()), Fraction(0))
        results = sum((Fraction(each.result) for each in positions.results()), Fraction(0))
        assert Fraction(positions.realised()) == results
        if not positions.open_trades():
            assert results == change
        risked = sum((abs(Fraction(each)) for each in cost.values()), Fraction(0))
        assert Fraction(positions.exposure()) == risked
        exposures = positions.market_exposure().values(), positions.venue_exposure().values()
        for found in exposures:
            assert sum(map(Fraction, found), Fraction(0)) == Fraction(positions.exposure())

    @invariant()
    def the_same_records_give_the_same_account(self) -> None:
        """A restart reads the journal and knows what was known."""
        again = Positions()
        again.apply(self.history)
        assert again.holdings() == self.positions.holdings()
        assert again.results() == self.positions.results()
        assert again.rewrites == self.positions.rewrites
        assert again.unhedged_events() == self.positions.unhedged_events()
        assert again.open_fees() == self.positions.open_fees()
        assert again.day_pnl(DAY, no_mark) == self.positions.day_pnl(DAY, no_mark)
        for venue in self.positions.venues():
            assert again.cash(venue) == self.positions.cash(venue)
            assert again.start_cash(venue) == self.positions.start_cash(venue)


PositionsMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestPositions = PositionsMachine.TestCase
