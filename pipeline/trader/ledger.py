"""Ledger: the account as the journal knows it, and the trades that are on their way.

In: the journal, committed trades, the broker's reports, results of markets. Out: positions, what the
risk gate must know, finished trades. Everything that changes it is committed to the journal first. Used
by the trader's worker; it reads no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping
from decimal import Decimal, localcontext

from pipeline.config import KellyConfig, TraderConfig
from pipeline.journal import Journal, JournalError
from pipeline.journal_records import TradeRecord
from pipeline.model import EXACT, MarketResult
from pipeline.pairs import Direction, least_held
from pipeline.trader.broker import Approved, OrderEvent
from pipeline.trader.kelly import KellyPositionSizer, KellySizeMode
from pipeline.trader.orders import Trade, TradeState, fill_records, order_record, reserved
from pipeline.trader.positions import Positions
from pipeline.trader.risk import HOUR_NS, Account

ZERO = Decimal(0)


class Ledger:
    """Positions, cash and open trades of one account."""

    def __init__(self, journal: Journal, account: str, trader: TraderConfig, capital: Decimal) -> None:
        self.journal = journal
        self._coins = {
            (venue, market): Decimal(text)
            for venue, coins in trader.inventory.items()
            for market, text in coins.items()
        }
        self.positions = Positions({venue: Decimal(text) for venue, text in trader.cash.items()}, self._coins)
        self.positions.apply(journal.history(account))
        self.open: dict[str, Trade] = {}
        self._polarities: dict[str, tuple[str, str]] = {}
        self._trades_ns: deque[int] = deque(maxlen=100_000)
        self._last_ns: dict[tuple[str, int], int] = {}
        self.sizer = KellyPositionSizer(capital)
        self._fed = 0
        self.feed_kelly()

    def commit(self, record: TradeRecord, now_ns: int) -> None:
        """Commit both intents in one transaction. Raises JournalError, and then nothing is open."""
        self.journal.commit_intents(record)
        self._trades_ns.append(now_ns)
        self._last_ns[record.event_id, record.direction] = now_ns
        first, second = record.intents
        self._polarities[record.trade_id] = (first.polarity, second.polarity)

    def sent(self, approved: Approved) -> None:
        """The broker has the trade's orders."""
        trade = Trade(approved)
        trade.sent()
        self.open[approved.trade_id] = trade

    def report(self, events: list[OrderEvent]) -> list[Trade]:
        """Book what the broker reports, all of it in one transaction; returns the trades that ended.

        Raises JournalError when it cannot be committed: then nothing of it is booked.
        """
        reports = []
        for event in events:
            trade = self._trade_of(event.order_id)
            fills = fill_records(trade.approved, event, self._polarities[trade.approved.trade_id])
            reports.append((order_record(event), fills))
        for fill in self.journal.record_orders(reports):
            self.positions.apply_fill(fill)
        for event in events:
            self._trade_of(event.order_id).order(event.order_id).apply(event)
        ended = [trade for trade in self.open.values() if trade.state is not TradeState.OPEN]
        for trade in ended:
            del self.open[trade.approved.trade_id]
            del self._polarities[trade.approved.trade_id]
        if ended:
            self.feed_kelly()
        return ended

    def settle(self, venue: str, market: str, result: MarketResult) -> int:
        """Book what a decided market pays for what is held of it; returns how many outcomes."""
        due = self.positions.due(venue, market, result)
        for settlement in due:
            booked = self.journal.record_settlement(settlement)
            if booked is not None:
                self.positions.apply_settlement(booked)
        if due:
            self.feed_kelly()
        return len(due)

    def adopt(self, kelly: KellyConfig, probe_usd: Decimal) -> None:
        """Act on changed settings of the sizer; its record stays."""
        self.sizer.capital = Decimal(kelly.capital_usd)
        self.sizer.kelly_mode = KellySizeMode(kelly.mode)
        self.sizer.cap = Decimal(kelly.cap)
        self.sizer.probe_usd = probe_usd

    def follow(self, directions: Container[tuple[str, int]]) -> None:
        """Forget when directions that are not traded any longer were last traded."""
        self._last_ns = {key: at_ns for key, at_ns in self._last_ns.items() if key in directions}

    def feed_kelly(self) -> None:
        """Give the sizer every result that it has not seen: realised, net of fees, once a trade."""
        results = self.positions.results()
        for result in results[self._fed :]:
            self.sizer.add_trade(result.result)
        self._fed = len(results)

    def risk_account(self, now_ns: int, day_pnl: Decimal, *, supervised: bool) -> Account:
        """What the risk gate must know; orders on their way count with all they may still take."""
        waiting: dict[str, Decimal] = {}
        with localcontext(EXACT):
            for trade in self.open.values():
                event = trade.approved.event_id
                waiting[event] = waiting.get(event, ZERO) + trade.approved.cash
            cash = {
                venue: self.positions.cash(venue) - reserved(self.open.values(), venue)
                for venue in self.positions.venues()
            }
            events = {holding.key.event_id for holding in self.positions.holdings()}
            held = {event: self.positions.exposure(event) for event in events}
            exposure = sum(waiting.values(), self.positions.exposure())
            for event, amount in waiting.items():
                held[event] = held.get(event, ZERO) + amount
        while self._trades_ns and now_ns - self._trades_ns[0] > HOUR_NS:
            self._trades_ns.popleft()
        return Account(
            cash=cash,
            exposure=exposure,
            event_exposure=held,
            inventory=self._inventory(),
            held=self._held(),
            day_pnl=day_pnl,
            consecutive_losses=self.positions.consecutive_losses(),
            trades_ns=self._trades_ns,
            last_trade_ns=self._last_ns,
            in_flight=frozenset(waiting),
            unhedged=frozenset(self.positions.unhedged_events()),
            supervisor_alive=supervised,
            journal_ok=self.journal.ok,
        )

    def _inventory(self) -> Mapping[tuple[str, str], Decimal]:
        """Coins by venue and market, those that orders on their way will sell already taken off."""
        coins = {key: self.positions.inventory(*key) for key in self._coins}
        with localcontext(EXACT):
            for trade in self.open.values():
                for order in trade.orders:
                    leg = order.intent.leg
                    if leg.outcome == "base" and leg.action == "sell" and not order.final:
                        size = Decimal(leg.size_units).scaleb(-leg.scale.size_decimals)
                        coins[leg.venue, leg.market] = coins.get((leg.venue, leg.market), ZERO) - size
        return coins

    def _held(self) -> Mapping[tuple[str, str, str, str], Decimal]:
        """Contracts by event, venue, market and outcome."""
        return {
            (holding.key.event_id, holding.key.venue, holding.key.market, holding.key.outcome): Decimal(
                holding.units
            ).scaleb(-holding.size_decimals)
            for holding in self.positions.holdings()
            if holding.key.outcome != "base"
        }

    def held_pair(self, direction: Direction) -> Decimal:
        """How much of all that a closing direction sells is held: the least of its legs, in contracts."""
        return least_held(direction, self._held())

    def _trade_of(self, order_id: str) -> Trade:
        """The open trade that an order belongs to."""
        for trade in self.open.values():
            if any(intent.order_id == order_id for intent in trade.approved.intents):
                return trade
        raise JournalError(f"the broker reports order {order_id}, which is not open")
