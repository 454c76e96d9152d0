"""Positions: what is held, what it cost and what it earned, as the sum of fills and settlements.

In: the journal's fill and settlement records, in the order they were booked; marks from a callback.
Out: units, cost, cash, exposure, hedge and results, all exact. Nothing here is stored: the same
records give the same positions, twice the same record changes nothing. Pure; used by the trader and
by reports.

Cash moves by what was paid: a bought NO costs 1 - book price. Cost is first in, first out, because
an average price would round; contracts that are sold again are those bought first, and the trade that
bought them has their result. Spot coins of one event are one thing on all its venues: what was bought
on one and sold on another is closed, and only the rest is exposed. YES and NO of one market
are kept apart; held together they pay 1 at settlement, as when Kalshi nets them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from pipeline.journal_records import FillRecord, SettlementRecord
from pipeline.model import (
    EXACT,
    MarketResult,
)
from pipeline.money import to_decimal
from pipeline.trader.holding import Holding, Key, Mark, TradeResult, payoff_of

DAY_NS = 86_400 * 10**9
ZERO = Decimal(0)


@dataclass(slots=True)
class _Trade:
    event_id: str
    flows: Decimal = ZERO
    spent: Decimal = ZERO
    held: dict[Key, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class _Position:
    size_decimals: int
    opened_wall_ns: int
    units: int = 0
    fees: Decimal = ZERO


@dataclass(slots=True)
class _Lot:
    key: Key
    quantity: Decimal
    price: Decimal


class Positions:
    """The account: positions, cash by venue, results. `cash` and `inventory` are what it started
    with.

    `inventory` is coins by (venue, market); both are parameters, not records.
    """

    def __init__(
        self,
        cash: Mapping[str, Decimal],
        inventory: Mapping[tuple[str, str], Decimal] | None = None,
    ) -> None:
        self._start = dict(cash)
        self._cash = dict(cash)
        self._inventory = dict(inventory or {})
        self._positions: dict[Key, _Position] = {}
        self._lots: dict[tuple[str, ...], deque[_Lot]] = defaultdict(deque)
        self._net: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self._settled: dict[Key, MarketResult] = {}
        self._trades: dict[str, _Trade] = {}
        self._holders: dict[Key, dict[str, None]] = {}
        self._results: dict[str, TradeResult] = {}
        self._by_day: dict[int, Decimal] = defaultdict(lambda: ZERO)
        self._realised = ZERO
        self._fees = ZERO
        self._seen: set[tuple[str, str]] = set()

    # what happens

    def apply(self, records: Iterable[FillRecord | SettlementRecord]) -> None:
        """Take records in the order they were booked."""
        for record in records:
            if isinstance(record, FillRecord):
                self.apply_fill(record)
            else:
                self.apply_settlement(record)

    def apply_fill(self, fill: FillRecord) -> bool:
        """Take one fill; False when it is known. A fill after its market's settlement is paid at
        once.
        """
        if (fill.venue, fill.fill_id) in self._seen:
            return False
        self._seen.add((fill.venue, fill.fill_id))
        key = Key(fill.event_id, fill.venue, fill.market, fill.outcome)
        with localcontext(EXACT):
            sign = 1 if fill.action == "buy" else -1
            quantity = sign * to_decimal(fill.size_units, fill.scale.size_decimals)
            price = to_decimal(fill.price_ticks, fill.scale.price_decimals)
            price = 1 - price if fill.outcome == "no" else price
            trade = self._trades.setdefault(fill.trade_id, _Trade(fill.event_id))
            self._fees += fill.fee
            fee, own = fill.fee, quantity
            if sign < 0 and fill.outcome != "base":
                fee, own = self._sell_held(key, fill, quantity, price)
            if own or fee:
                trade.held[key] = trade.held.get(key, ZERO) + own
                self._holders.setdefault(key, {})[fill.trade_id] = None
                trade.spent += fee + (own * price if sign > 0 else 0)
                self._pay(trade, fill.venue, -own * price - fee)
            if key in self._settled:
                rate = payoff_of(key.outcome, self._settled[key])
                self._pay(trade, fill.venue, own * rate)
            else:
                self._count(key, fill, sign)
                self._add_lot(_Lot(key, quantity, price))
            direction = -1 if (fill.outcome == "no") != (fill.polarity == "inverse") else 1
            self._net[fill.event_id] += direction * quantity
            self._close(fill.trade_id, fill.wall_ns)
        return True

    def apply_settlement(self, settlement: SettlementRecord) -> bool:
        """Take what a settled outcome paid; False when it is known.

        The units and the payoff must be those of the fills so far: anything else is a broken
        record.
        """
        key = Key(settlement.event_id, settlement.venue, settlement.market, settlement.outcome)
        if key in self._settled:
            return False
        with localcontext(EXACT):
            rate = payoff_of(key.outcome, settlement.result)
            assert key in self._positions, f"{key} is settled without a fill"
            position = self._positions[key]
            paid = rate * to_decimal(position.units, position.size_decimals)
            assert settlement.payoff == paid, f"{key} pays {paid}, not {settlement.payoff}"
            del self._positions[key]
            self._settled[key] = settlement.result
            self._lots.pop(key, None)
            for trade_id in self._holders.get(key, ()):
                trade = self._trades[trade_id]
                if trade.held[key]:
                    self._pay(trade, key.venue, rate * trade.held[key])
                    self._close(trade_id, settlement.wall_ns)
        return True

    def due(self, venue: str, market: str, result: MarketResult) -> list[SettlementRecord]:
        """The settlements to book now that a market has its result, for what is held of it."""
        records = []
        for key, position in self._positions.items():
            if (key.venue, key.market) != (venue, market) or key.outcome == "base":
                continue
            with localcontext(EXACT):
                held = to_decimal(position.units, position.size_decimals)
                paid = held * payoff_of(key.outcome, result)
            units, decimals = position.units, position.size_decimals
            records.append(SettlementRecord(*key, result, units, decimals, paid))
        return records

    # what is so

    def holdings(self) -> list[Holding]:
        """Every position that is open, oldest first."""
        found = []
        for key, position in self._positions.items():
            if position.units:
                lots = [lot for lot in self._lots[_group(key)] if lot.key == key]
                quantity = _sum(lot.quantity for lot in lots)
                cost = _sum(EXACT.multiply(lot.quantity, lot.price) for lot in lots)
                shared = position.units, position.size_decimals, quantity, cost
                found.append(Holding(key, *shared, position.fees, position.opened_wall_ns))
        return found

    def venues(self) -> list[str]:
        """Venues with cash, in the order of the config."""
        return list(self._cash)

    def cash(self, venue: str) -> Decimal:
        """Cash at a venue: what it started with and every flow since."""
        return self._cash.get(venue, ZERO)

    def start_cash(self, venue: str) -> Decimal:
        """Cash that a venue started with."""
        return self._start.get(venue, ZERO)

    def locked(self, venue: str) -> Decimal:
        """Cost of what is open at a venue."""
        return _sum(held.cost for held in self.holdings() if held.key.venue == venue)

    def inventory(self, venue: str, market: str) -> Decimal:
        """Coins at a spot venue: those it started with and every fill since."""
        moved = [
            to_decimal(position.units, position.size_decimals)
            for key, position in self._positions.items()
            if (key.venue, key.market, key.outcome) == (venue, market, "base")
        ]
        return _sum([self._inventory.get((venue, market), ZERO), *moved])

    def exposure(self, event_id: str = "") -> Decimal:
        """Dollars at risk in an event, or in all: cost of what is open, bought or oversold."""
        return _sum(
            EXACT.multiply(abs(lot.quantity), lot.price)
            for lots in self._lots.values()
            for lot in lots
            if event_id in {"", lot.key.event_id}
        )

    def unhedged(self, event_id: str) -> Decimal:
        """How much more is held for the event than against it, in shares or coins; 0 is hedged.

        Counts fills, settled or not: a pair stays hedged when one venue settles before the other.
        """
        return self._net.get(event_id, ZERO)

    def unhedged_events(self) -> dict[str, Decimal]:
        """Events with something open and unequal sides, and by how much."""
        events = dict.fromkeys(held.key.event_id for held in self.holdings())
        return {event: self._net[event] for event in events if self._net[event]}

    # what it earned

    def results(self) -> list[TradeResult]:
        """Closed trades in the order they closed: every held outcome settled, every coin sold
        again.
        """
        return list(self._results.values())

    def realised(self) -> Decimal:
        """Sum of all results."""
        return self._realised

    def fees(self) -> Decimal:
        """All fees paid."""
        return self._fees

    def open_trades(self) -> int:
        """Trades with fills of their own that are not closed."""
        return sum(bool(trade.held) for trade in self._trades.values()) - len(self._results)

    def consecutive_losses(self) -> int:
        """How many of the last results in a row were below zero."""
        count = 0
        for result in reversed(self._results.values()):
            if result.result >= 0:
                break
            count += 1
        return count

    def unrealised(self, mark: Mark) -> Decimal:
        """What open positions would fetch now less what they cost; those without a mark count
        nothing.
        """
        gains = [ZERO]
        for held in self.holdings():
            value = mark(held.key, held.open_quantity)
            gains.append(ZERO if value is None else EXACT.subtract(value, held.cost))
        return _sum(gains)

    def day_pnl(self, wall_ns: int, mark: Mark) -> Decimal:
        """Results since 00:00 UTC, and open trades with all their fees at what they would fetch
        now.
        """
        flows = _sum([*self._cash.values(), *(-amount for amount in self._start.values())])
        # Cash that open trades have moved, fees included: all flows less those that became results.
        open_flows = EXACT.subtract(flows, self._realised)
        worth = _sum([*(held.cost for held in self.holdings()), self.unrealised(mark)])
        return _sum([self._by_day.get(wall_ns // DAY_NS, ZERO), open_flows, worth])

    # how

    def _sell_held(
        self, key: Key, fill: FillRecord, quantity: Decimal, price: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Give what was sold to the trades that bought it, oldest first; returns what is left of the fee
        and of the (negative) quantity.

        A trade that closes a pair has no result: those do that made the pair. The first of them pays the
        fee, because a share of it might have no end.
        """
        fee = fill.fee
        for trade_id in self._holders.get(key, ()):
            trade = self._trades[trade_id]
            part = min(trade.held[key], -quantity)
            if part <= 0 or trade_id == fill.trade_id or key in self._settled:
                continue
            trade.held[key] -= part
            trade.spent += fee
            self._pay(trade, key.venue, part * price - fee)
            quantity, fee = quantity + part, ZERO
            self._close(trade_id, fill.wall_ns)
        return fee, quantity

    def _count(self, key: Key, fill: FillRecord, sign: int) -> None:
        decimals = fill.scale.size_decimals
        position = self._positions.setdefault(key, _Position(decimals, fill.wall_ns))
        assert position.size_decimals == decimals, f"{key} changed its size scale"
        if position.units == 0:
            position.opened_wall_ns, position.fees = fill.wall_ns, ZERO
        position.units += sign * fill.size_units
        position.fees += fill.fee

    def _pay(self, trade: _Trade, venue: str, amount: Decimal) -> None:
        trade.flows += amount
        self._cash[venue] = self._cash.get(venue, ZERO) + amount

    def _add_lot(self, lot: _Lot) -> None:
        """Match against open lots of the other sign, oldest first; what is left is open."""
        lots = self._lots[_group(lot.key)]
        while lot.quantity and lots and (lots[0].quantity > 0) != (lot.quantity > 0):
            size = min(abs(lots[0].quantity), abs(lot.quantity))
            sign = 1 if lot.quantity > 0 else -1
            lot.quantity -= sign * size
            lots[0].quantity += sign * size
            if not lots[0].quantity:
                lots.popleft()
        if lot.quantity:
            lots.append(lot)

    def _close(self, trade_id: str, wall_ns: int) -> None:
        """Bring a trade's result up to date: a late fill may open or change what was closed."""
        trade = self._trades[trade_id]
        known = self._results.pop(trade_id, None)
        if known is not None:
            self._realised -= known.result
            self._by_day[known.closed_wall_ns // DAY_NS] -= known.result
        coins = sum((held for key, held in trade.held.items() if key.outcome == "base"), ZERO)
        waiting = any(
            held and key not in self._settled for key, held in trade.held.items() if key.outcome != "base"
        )
        if coins or waiting or not trade.held:
            return
        result = TradeResult(trade_id, trade.event_id, trade.flows, trade.spent, wall_ns)
        self._results[trade_id] = result
        self._realised += result.result
        self._by_day[wall_ns // DAY_NS] += result.result


def _group(key: Key) -> tuple[str, ...]:
    """What closes what: coins of one event on any venue; an outcome only itself."""
    return (key.event_id,) if key.outcome == "base" else key


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum: Python's own would round to 28 digits."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
