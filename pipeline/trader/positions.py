"""Positions: what is held, what it cost and what it earned, as the sum of the journal's records.

In: fills, settlements, confirmations and movements of cash, in the order they were booked; marks from a
callback. Out: units, cost, cash, exposure, hedge and results, all exact. Nothing here is stored: the same
records give the same positions. Pure; used by the trader and by reports.

Cash moves by what was paid: a bought NO costs 1 - book price. Cost is first in, first out, because an
average price would round. What is sold leaves the trade that sold it first, where that trade bought some
(an unwind), else those bought first; the trade that bought it has the result. Spot coins of one event are
one thing on all its venues: what was bought on one and sold on another is closed, and only the rest is
exposed. YES and NO of one market are kept apart; held together they pay 1 at settlement, as when Kalshi
nets them.

A fill whose confirmation FAILED never happened: everything is made again without it, cash, fees and
results too. If its market was settled before, what the settlement paid for it is taken back, and what
else of the market is held keeps its payoff; a trade that was closed has another result, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from pipeline.journal_records import FAILED, CashRecord, ConfirmationRecord, FillRecord, SettlementRecord
from pipeline.model import EXACT, MarketResult
from pipeline.money import to_decimal
from pipeline.trader.holding import (
    ZERO,
    Dust,
    Holding,
    Key,
    Mark,
    TradeResult,
    Unhedged,
    exact_sum,
    payoff_of,
    yes_value,
)
from pipeline.trader.lots import Lot, Lots, Split
from pipeline.trader.results import Results

Record = FillRecord | SettlementRecord | ConfirmationRecord | CashRecord


@dataclass(slots=True)
class _Position:
    size_decimals: int
    opened_wall_ns: int
    units: int = 0
    fees: Decimal = ZERO


class Positions:
    """The account: positions, cash by venue, results.

    It starts with nothing but its cash records; `cash` and `inventory` (coins by venue and market) are
    further amounts that it had before them.
    """

    def __init__(
        self,
        cash: Mapping[str, Decimal] | None = None,
        inventory: Mapping[tuple[str, str], Decimal] | None = None,
    ) -> None:
        self._given = dict(cash or {}), dict(inventory or {})
        self._start, self._inventory = dict(self._given[0]), dict(self._given[1])
        self._cash = dict(self._start)
        self._history: list[FillRecord | SettlementRecord | CashRecord] = []
        self._verdicts: dict[tuple[str, str], str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._positions: dict[Key, _Position] = {}
        self._lots = Lots()
        self._results = Results()
        self._fees = ZERO

    # what happens

    def apply(self, records: Iterable[Record]) -> None:
        """Take records in the order they were booked."""
        for record in records:
            match record:
                case FillRecord():
                    self.apply_fill(record)
                case SettlementRecord():
                    self.apply_settlement(record)
                case ConfirmationRecord():
                    self.apply_confirmation(record)
                case CashRecord():
                    self.apply_cash(record)

    def apply_fill(self, fill: FillRecord) -> bool:
        """Take one fill; False when it is known or has failed. A fill after its market's settlement is paid
        at once.
        """
        name = fill.venue, fill.fill_id
        if name in self._seen or self._verdicts.get(name) == FAILED:
            return False
        self._seen.add(name)
        self._history.append(replace(fill, evidence={}))
        key = Key(fill.event_id, fill.venue, fill.market, fill.outcome)
        with localcontext(EXACT):
            sign = 1 if fill.action == "buy" else -1
            quantity = sign * to_decimal(fill.size_units, fill.scale.size_decimals)
            price = to_decimal(fill.price_ticks, fill.scale.price_decimals)
            price = 1 - price if fill.outcome == "no" else price
            side = -1 if (fill.outcome == "no") != (fill.polarity == "inverse") else 1
            self._fees += fill.fee
            closed = self._lots.add(Lot(key, fill.trade_id, side, quantity, price))
            if fill.outcome == "base" or self._results.is_settled(key):
                # Coins are a trade's own until it sold as many; what is paid out closes nothing.
                closed = []
            if not self._results.is_settled(key):
                self._count(key, fill, sign)
            # A share of the fee might have no end: the first of the trades pays all of it.
            fee, own = fill.fee, quantity
            for trade_id, part in closed:
                self._pay(key.venue, self._results.book(trade_id, key, part, price, fee, fill.wall_ns))
                own, fee = own - part, ZERO
            if own or fee:
                self._pay(key.venue, self._results.book(fill.trade_id, key, own, price, fee, fill.wall_ns))
        return True

    def apply_settlement(self, settlement: SettlementRecord) -> bool:
        """Take what a settled outcome paid; False when it is known.

        The units and the payoff must be those of the fills so far: anything else is a broken
        record.
        """
        return self._settle(settlement, again=False)

    def apply_confirmation(self, confirmation: ConfirmationRecord) -> bool:
        """Take what became of a provisional fill; False when that is known. A FAILED one is taken out of
        everything; the fill need not have come yet.
        """
        name = confirmation.venue, confirmation.fill_id
        if name in self._verdicts:
            return False
        self._verdicts[name] = confirmation.status
        if confirmation.status == FAILED and name in self._seen:
            self._make_again()
        return True

    def apply_cash(self, record: CashRecord) -> None:
        """Take money or coins that came or left other than by trades: the account's start, not its result.

        Such records have no id: each must be given once.
        """
        self._history.append(record)
        coins = record.venue, record.market
        if record.market:
            self._inventory[coins] = EXACT.add(self._inventory.get(coins, ZERO), record.amount)
            return
        self._start[record.venue] = EXACT.add(self._start.get(record.venue, ZERO), record.amount)
        self._pay(record.venue, record.amount)

    def due(
        self, venue: str, market: str, result: MarketResult, value: Decimal | None = None
    ) -> list[SettlementRecord]:
        """The settlements to book now that a market has its result, for what is held of it.

        `value` is what one YES of a SCALAR market pays (`holding.yes_value`); until it is known, and while
        nothing is decided, nothing is due.
        """
        yes = value if result == MarketResult.SCALAR else yes_value(result)
        if yes is None:
            return []
        records = []
        for key, position in self._positions.items():
            if (key.venue, key.market) != (venue, market) or key.outcome == "base":
                continue
            held = to_decimal(position.units, position.size_decimals)
            paid = EXACT.multiply(held, payoff_of(key.outcome, result, yes))
            records.append(SettlementRecord(*key, result, position.units, position.size_decimals, paid, yes))
        return records

    # what is so

    def holdings(self) -> list[Holding]:
        """Every position that is open, oldest first; of spot also one whose coins are gone while another
        venue's, which were sold for them, have a price risk in its name.
        """
        found = []
        for key, position in self._positions.items():
            open_quantity, cost = self._lots.sums(key)
            if position.units or open_quantity:
                shared = position.units, position.size_decimals, open_quantity, cost
                found.append(Holding(key, *shared, position.fees, position.opened_wall_ns))
        return found

    def venues(self) -> list[str]:
        """Venues with cash, in the order in which they got it."""
        return list(self._cash)

    def cash(self, venue: str) -> Decimal:
        """Cash at a venue: what it started with and every flow since."""
        return self._cash.get(venue, ZERO)

    def start_cash(self, venue: str) -> Decimal:
        """Cash that a venue started with, and what came or left since other than by trades."""
        return self._start.get(venue, ZERO)

    def locked(self, venue: str) -> Decimal:
        """Cost of what is open at a venue."""
        return exact_sum(*(held.cost for held in self.holdings() if held.key.venue == venue))

    def inventory(self, venue: str, market: str) -> Decimal:
        """Coins at a spot venue: those it started with and every fill since."""
        moved = [
            to_decimal(position.units, position.size_decimals)
            for key, position in self._positions.items()
            if (key.venue, key.market, key.outcome) == (venue, market, "base")
        ]
        return exact_sum(self._inventory.get((venue, market), ZERO), *moved)

    def coins(self) -> list[tuple[str, str]]:
        """Every (venue, market) that has or had coins."""
        held = [(key.venue, key.market) for key in self._positions if key.outcome == "base"]
        return list(dict.fromkeys([*self._inventory, *held]))

    def exposure(self, event_id: str = "") -> Decimal:
        """Dollars at risk in an event, or in all: cost of what is open, bought or oversold."""
        costs = self._lots.costs()
        return exact_sum(*(cost for key, cost in costs if event_id in {"", key.event_id}))

    def fills(self) -> list[FillRecord]:
        """Every fill that stands, in the order in which they were booked."""
        return [record for record in self._history if isinstance(record, FillRecord)]

    def market_exposure(self) -> dict[tuple[str, str], Decimal]:
        """Dollars at risk by (venue, market), both outcomes added up."""
        found: dict[tuple[str, str], Decimal] = {}
        for key, cost in self._lots.costs():
            place = key.venue, key.market
            found[place] = EXACT.add(found.get(place, ZERO), cost)
        return found

    def venue_exposure(self) -> dict[str, Decimal]:
        """Dollars at risk by venue."""
        found: dict[str, Decimal] = {}
        for key, cost in self._lots.costs():
            found[key.venue] = EXACT.add(found.get(key.venue, ZERO), cost)
        return found

    def split(self, event_id: str) -> Split:
        """What of an event is open in pairs, and what without a counterpart."""
        return self._lots.split(event_id)

    def unhedged(self, event_id: str) -> Decimal:
        """How much more is open for the event than against it, in shares or coins; 0 is hedged.

        A pair stays hedged when one venue settles before the other.
        """
        return self._lots.split(event_id).net

    def unhedged_events(self, dust: Dust | None = None) -> dict[str, Unhedged]:
        """What is open without a counterpart, by event; without what `dust` says is too small to trade."""
        found = {}
        for event_id in self._lots.events():
            split = self._lots.split(event_id)
            rest = Unhedged(event_id, split.net, split.net_cost, split.rests)
            if split.net and not (dust is not None and dust(rest)):
                found[event_id] = rest
        return found

    def net_exposure(self, dust: Dust | None = None) -> Decimal:
        """Dollars at risk without a hedge, over all events; without dust."""
        return exact_sum(*(rest.dollars for rest in self.unhedged_events(dust).values()))

    # what it earned

    @property
    def rewrites(self) -> int:
        """Grows when a result that was told changed, moved or went: then what was fed with results has to
        be fed with all of them again.
        """
        return self._results.rewrites

    def results(self) -> list[TradeResult]:
        """Closed trades in the order they closed: every held outcome settled or sold, every coin sold
        again.
        """
        return self._results.closed()

    def realised(self) -> Decimal:
        """Sum of all results."""
        return self._results.realised

    def fees(self) -> Decimal:
        """All fees paid."""
        return self._fees

    def open_fees(self) -> dict[str, Decimal]:
        """Fees that trades with something open have paid, by event."""
        return self._results.open_fees()

    def open_trades(self) -> int:
        """Trades with fills of their own that are not closed."""
        return self._results.open_trades()

    def consecutive_losses(self, since_wall_ns: int = 0) -> int:
        """How many of the last results in a row were below zero, of those closed after `since_wall_ns` (when
        the bot was last resumed).
        """
        return self._results.losses(since_wall_ns)

    def unrealised(self, mark: Mark) -> Decimal:
        """What open positions would fetch now less what they cost; those without a mark count
        nothing.
        """
        gains = []
        for held in self.holdings():
            value = mark(held.key, held.open_quantity) if held.open_quantity else None
            gains.append(ZERO if value is None else EXACT.subtract(value, held.cost))
        return exact_sum(*gains)

    def equity(self, mark: Mark) -> Decimal:
        """Cash, and what is open at what it would fetch now, or at cost where no book says."""
        costs = (held.cost for held in self.holdings())
        return exact_sum(*self._cash.values(), *costs, self.unrealised(mark))

    def pnl(self, mark: Mark) -> Decimal:
        """What the account is worth now less all that was paid into it: every fee is in it, also of what is
        open.
        """
        return EXACT.subtract(self.equity(mark), exact_sum(*self._start.values()))

    def day_pnl(
        self, wall_ns: int, mark: Mark, unwind: Mark | None = None, dust: Dust | None = None
    ) -> Decimal | None:
        """Results since 00:00 UTC, and open trades with all their fees at what they would fetch now.

        Pairs count at `mark`, or at cost where it is None: they lock their payoff. What is held of a key
        that has an unhedged part, dust apart, counts at `unwind` (by default `mark`); None where that is
        None, because then nobody knows the loss. An open trade counts with all that it has made since it
        was opened, whenever that was.
        """
        flows = EXACT.subtract(exact_sum(*self._cash.values()), exact_sum(*self._start.values()))
        # Cash that open trades have moved, fees included: all flows less those that became results.
        total = EXACT.add(EXACT.subtract(flows, self.realised()), self._results.of_day(wall_ns))
        lone = {key for rest in self.unhedged_events(dust).values() for key, _ in rest.legs}
        for held in self.holdings():
            if not held.open_quantity:
                continue
            value = ((unwind or mark) if held.key in lone else mark)(held.key, held.open_quantity)
            if value is None and held.key in lone:
                return None
            total = EXACT.add(total, held.cost if value is None else value)
        return total

    # how

    def _settle(self, settlement: SettlementRecord, *, again: bool) -> bool:
        """Book a settlement. `again` is one that was checked before, when a fill counted that has failed."""
        key = Key(settlement.event_id, settlement.venue, settlement.market, settlement.outcome)
        if self._results.is_settled(key):
            return False
        with localcontext(EXACT):
            rate = payoff_of(key.outcome, settlement.result, settlement.value)
            if not again:
                assert key in self._positions, f"{key} is settled without a fill"
                position = self._positions[key]
                paid = rate * to_decimal(position.units, position.size_decimals)
                assert settlement.payoff == paid, f"{key} pays {paid}, not {settlement.payoff}"
            self._history.append(settlement)
            self._positions.pop(key, None)
            self._lots.settle(key)
            self._pay(key.venue, self._results.settle(key, rate, settlement.wall_ns))
        return True

    def _make_again(self) -> None:
        """Take every record again, without the fills that failed."""
        fresh = Positions(*self._given)
        fresh._verdicts = self._verdicts
        for record in self._history:
            if isinstance(record, SettlementRecord):
                fresh._settle(record, again=True)
            else:
                fresh.apply([record])
        told = self.results()
        fresh._results.rewrites = self._results.rewrites + (fresh.results()[: len(told)] != told)
        vars(self).update(vars(fresh))

    def _count(self, key: Key, fill: FillRecord, sign: int) -> None:
        decimals = fill.scale.size_decimals
        position = self._positions.setdefault(key, _Position(decimals, fill.wall_ns))
        if position.units == 0:
            position.opened_wall_ns, position.fees = fill.wall_ns, ZERO
        # A venue that counts sizes more finely than before, or less: the finer scale holds both.
        finer = max(decimals, position.size_decimals)
        position.units *= 10 ** (finer - position.size_decimals)
        position.size_decimals = finer
        position.units += sign * fill.size_units * 10 ** (finer - decimals)
        position.fees += fill.fee

    def _pay(self, venue: str, amount: Decimal) -> None:
        self._cash[venue] = EXACT.add(self._cash.get(venue, ZERO), amount)
