"""Ledger: the account as the journal knows it, and the trades that may still change.

In: the journal, committed trades, the broker's reports, results of markets. Out: positions, what the risk
gate must know, the trades themselves. Everything that changes it is committed to the journal first. Used by
the trader; it reads no clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal

from pipeline.config import KellyConfig, TraderConfig
from pipeline.guards import ALL_ON
from pipeline.journal import Journal, JournalError
from pipeline.journal_records import FAILED, FillRecord, SettlementRecord, SwitchRecord, TradeRecord
from pipeline.model import EXACT, MarketResult
from pipeline.model_orders import OrderState
from pipeline.pairs import Direction, least_held
from pipeline.trader.broker import OrderEvent, OrderIntent, OrderStatus
from pipeline.trader.claims import Claim, Held, claims, order_claims, sales
from pipeline.trader.holding import Dust, Key, Mark, yes_value
from pipeline.trader.kelly import KellyPositionSizer, KellySizeMode
from pipeline.trader.orders import (
    Order,
    confirmation_records,
    fill_records,
    order_record,
)
from pipeline.trader.plan import PlanLeg, TradePlan
from pipeline.trader.positions import Positions
from pipeline.trader.recovery import rebuilt
from pipeline.trader.risk import HOUR_NS, Account
from pipeline.trader.trade import Trade

ZERO = Decimal(0)
MINUTE_NS = 60 * 10**9
KEPT_TRADES = 2_000
"""Trades that have ended and are still known, for reports that come late."""


class Reported:
    """What the reports of one poll changed: trades, counted fills, and what could not be."""

    def __init__(self) -> None:
        self.trades: dict[str, Trade] = {}
        self.late = 0
        self.failed = 0
        self.first_ns: list[tuple[str, int]] = []
        self.wrong: list[str] = []


class Ledger:
    """Positions, cash and trades of one account."""

    def __init__(self, journal: Journal, account: str, trader: TraderConfig, capital: Decimal) -> None:
        self.journal = journal
        self.guards = ALL_ON
        coins = {
            (venue, market): Decimal(text)
            for venue, amounts in trader.inventory.items()
            for market, text in amounts.items()
        }
        journal.open_account({venue: Decimal(text) for venue, text in trader.cash.items()}, coins)
        self.positions = Positions()
        self._sums: Held | None = None
        self._settled: set[Key] = set()
        self._decimals: dict[Key, int] = {}
        history = journal.history(account)
        self.positions.apply(history)
        for record in history:
            self._note(record)
        self.trades: dict[str, Trade] = {}
        """Trades that have not ended, or may be changed by a fill that fails."""
        self.sizer = KellyPositionSizer(capital)
        self._ended: OrderedDict[str, Trade] = OrderedDict()
        self._trades_ns: deque[int] = deque(maxlen=100_000)
        self._orders_ns: deque[int] = deque(maxlen=100_000)
        self._last_ns: dict[tuple[str, int], int] = {}
        resumed = [switch.wall_ns for switch in journal.switches(account) if switch.state == "RESUME"]
        self.resumed_wall_ns = max(resumed, default=0)
        self._fed, self._rewrites = 0, self.positions.rewrites
        self.feed_kelly()

    def remember(self, account: str, now_ns: int, wall_ns: int) -> None:
        """Take over what limits trades by time from an earlier run: the last hour's trades, the last
        minute's orders. A wall clock that was set back makes them younger than they are, never older.
        """
        for recent in self.journal.recent_intents(account, wall_ns - HOUR_NS):
            at_ns = now_ns - max(0, wall_ns - recent.wall_ns)
            self._trades_ns.append(at_ns)
            self._last_ns[recent.event_id, recent.direction] = at_ns
        for sent_wall_ns in self.journal.recent_orders(account, wall_ns - MINUTE_NS):
            self._orders_ns.append(now_ns - max(0, wall_ns - sent_wall_ns))

    # -- what happens ----------------------------------------------------------------------------

    def commit(
        self, record: TradeRecord, plan: TradePlan, intents: Sequence[OrderIntent], now_ns: int
    ) -> None:
        """Commit orders of a trade in one transaction. Raises JournalError, and then nothing is changed."""
        try:
            self.journal.commit_intents(record)
        except JournalError:
            if self.guards.on("journal"):
                raise
        if plan.trade_id not in self.trades:
            self.trades[plan.trade_id] = Trade(plan)
            self._trades_ns.append(now_ns)
            self._last_ns[plan.event_id, plan.direction] = now_ns
        for intent in intents:
            self.trades[plan.trade_id].add(intent)
            self._orders_ns.append(now_ns)

    def adopt_trade(self, trade: Trade) -> None:
        """Take a trade that was rebuilt from the journal."""
        self.trades[trade.plan.trade_id] = trade

    def report(self, events: Iterable[OrderEvent]) -> Reported:
        """Book what the broker reports, all of it in one transaction, and tell the trades.

        Raises JournalError when it cannot be committed: nothing of it counts then, and will be asked for
        again. Reports that cannot be true are left out and named.
        """
        found = Reported()
        reports, told = [], []
        ahead: dict[str, Order] = {}
        for event in events:
            trade = self._trade_of(event.order_id)
            if trade is None:
                found.wrong.append(f"a report of order {event.order_id}, which is none of ours")
                continue
            order = ahead.setdefault(event.order_id, trade.order(event.order_id).copy())
            try:
                record = order_record(event, order)
                if record is not None:
                    fills = fill_records(event, order, trade.plan)
                    reports.append((record, fills, confirmation_records(event, order)))
                order.apply(event)
            except ValueError as error:
                found.wrong.append(str(error))
                continue
            told.append((trade, event))
        if reports:
            booked = self.journal.record_orders(reports)
            self._sums = None
            self.positions.apply(booked.fills)
            self.positions.apply(booked.confirmations)
            for fill in booked.fills:
                self._note(fill)
            found.failed = sum(record.status == FAILED for record in booked.confirmations)
        for trade, event in told:
            order = trade.order(event.order_id)
            answered = event.status is not OrderStatus.NOT_FOUND and not order.heard_ns
            if answered and order.sent_ns and event.at_ns >= order.sent_ns:
                found.first_ns.append((order.intent.order.venue, event.at_ns - order.sent_ns))
            found.late += order.read(event).late
            trade.apply(event)
            self._again(trade)
            found.trades[trade.plan.trade_id] = trade
        if reports:
            self.feed_kelly()
        return found

    def give_up(self, trade: Trade, order_id: str, why: str) -> None:
        """Book that an order never reached its venue. Raises JournalError, and nothing is changed."""
        self.journal.resolve_open(order_id, why)
        trade.mark_not_sent(order_id, why)

    def end(self, trade: Trade) -> None:
        """A trade has ended; it stays known for a while."""
        del self.trades[trade.plan.trade_id]
        self._ended[trade.plan.trade_id] = trade
        while len(self._ended) > KEPT_TRADES:
            self._ended.popitem(last=False)

    def settle(self, venue: str, market: str, result: MarketResult, value_micros: int) -> int:
        """Book what a decided market pays for what is held of it; returns how many outcomes."""
        due = self.positions.due(venue, market, result, yes_value(result, value_micros))
        for settlement in due:
            booked = self.journal.record_settlement(settlement)
            if booked is not None:
                self._sums = None
                self.positions.apply_settlement(booked)
                self._note(booked)
        if due:
            self.feed_kelly()
        return len(due)

    def switch(self, state: str, cause: str, who: str) -> None:
        """Book a turn of the kill switch."""
        booked = self.journal.record_switch(SwitchRecord(state, cause, who))
        if state == "RESUME":
            self.resumed_wall_ns = booked.wall_ns

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
        """Give the sizer every result that it has not seen: realised, net of fees, once a trade.

        Where a result was told that is another one now (a fill failed, a late one came), it begins again.
        """
        results = self.positions.results()
        if self.positions.rewrites != self._rewrites:
            self._fed, self._rewrites = 0, self.positions.rewrites
            self.sizer.forget()
        for result in results[self._fed :]:
            self.sizer.add_trade(result.result)
        self._fed = len(results)

    # -- what is so ------------------------------------------------------------------------------

    def working(self) -> Iterator[tuple[Trade, Order]]:
        """Orders that are on their way or rest."""
        for trade in self.trades.values():
            for order in trade.working():
                yield trade, order

    def unknown_orders(self) -> int:
        """Orders of which nobody knows what became."""
        return sum(order.state is OrderState.UNKNOWN for _, order in self.working())

    def last_orders(self, now_ns: int) -> tuple[int, int]:
        """Orders committed in the last second and the last minute."""
        while self._orders_ns and now_ns - self._orders_ns[0] >= MINUTE_NS:
            self._orders_ns.popleft()
        second = sum(now_ns - at_ns < MINUTE_NS // 60 for at_ns in self._orders_ns)
        return second, len(self._orders_ns)

    def losses(self) -> int:
        """Losses in a row since trading was last resumed."""
        return self.positions.consecutive_losses(self.resumed_wall_ns)

    def day_pnl(self, wall_ns: int, mark: Mark, dust: Dust, unwind: Mark | None = None) -> Decimal | None:
        """Today's result; None while nobody knows it. `unwind` marks what stands alone."""
        if self.unknown_orders():
            return None
        return self.positions.day_pnl(wall_ns, mark, unwind, dust)

    def reserved(self) -> dict[str, Decimal]:
        """Dollars by venue that orders on their way may still take."""
        found: dict[str, Decimal] = {}
        for leg, amount in self._claims():
            found[leg.venue] = EXACT.add(found.get(leg.venue, ZERO), amount)
        return found

    def risk_account(
        self,
        now_ns: int,
        day_pnl: Decimal | None,
        dust: Dust,
        *,
        supervised: bool,
        halted: bool,
        unresolved: int,
        armed: bool,
    ) -> Account:
        """What the risk gate must know; orders on their way count with all they may still take."""
        held, positions = self._held(), self.positions
        by_event, by_market, by_venue = dict(held.by_event), dict(held.by_market), dict(held.by_venue)
        cash = {venue: positions.cash(venue) for venue in positions.venues()}
        total = held.total
        for trade in self.trades.values():
            for leg, amount in claims(trade):
                event, market = trade.plan.event_id, (leg.venue, leg.market)
                by_event[event] = EXACT.add(by_event.get(event, ZERO), amount)
                by_market[market] = EXACT.add(by_market.get(market, ZERO), amount)
                by_venue[leg.venue] = EXACT.add(by_venue.get(leg.venue, ZERO), amount)
                cash[leg.venue] = EXACT.subtract(cash.get(leg.venue, ZERO), amount)
                total = EXACT.add(total, amount)
        while self._trades_ns and now_ns - self._trades_ns[0] > HOUR_NS:
            self._trades_ns.popleft()
        self.last_orders(now_ns)
        unhedged = {event: rest for event, rest in held.unhedged.items() if not dust(rest)}
        return Account(
            cash=cash,
            exposure=total,
            event_exposure=by_event,
            market_exposure=by_market,
            venue_exposure=by_venue,
            net_exposure=EXACT.plus(sum((rest.dollars for rest in unhedged.values()), ZERO)),
            inventory=self._inventory(),
            held=self._contracts(),
            day_pnl=day_pnl,
            consecutive_losses=self.losses(),
            trades_ns=self._trades_ns,
            orders_ns=self._orders_ns,
            open_orders=sum(1 for _ in self.working()),
            unresolved=unresolved,
            last_trade_ns=self._last_ns,
            in_flight=frozenset(trade.plan.event_id for trade, _ in self.working()),
            unhedged=frozenset(unhedged),
            halted=halted,
            armed=armed,
            supervisor_alive=supervised,
            journal_ok=self.journal.ok,
        )

    def held_pair(self, direction: Direction) -> Decimal:
        """How much of all that a closing direction sells is held: the least of its legs, in contracts."""
        return least_held(direction, self._contracts())

    def stock(self, event_id: str, leg: PlanLeg) -> Decimal:
        """What is there of a leg to be sold: coins of the account, or contracts that the event holds."""
        if leg.outcome == "base":
            return self._inventory().get((leg.venue, leg.market), ZERO)
        return self._contracts().get((event_id, leg.venue, leg.market, leg.outcome), ZERO)

    def cash_for(self, trade: Trade, venue: str) -> Decimal:
        """Dollars at a venue that mending a trade may take: what no order may still take, and no other trade
        needs for its own mending.
        """
        cash = self.positions.cash(venue)
        for each in self.trades.values():
            for leg, amount in order_claims(each) if each is trade else claims(each):
                if leg.venue == venue:
                    cash = EXACT.subtract(cash, amount)
        return cash

    def is_settled(self, event_id: str, leg: PlanLeg) -> bool:
        """Whether what an event holds of a leg's outcome was paid out."""
        return Key(event_id, leg.venue, leg.market, leg.outcome) in self._settled

    def counts_alike(self, event_id: str, leg: PlanLeg) -> bool:
        """Whether sizes of a leg count on the scale on which its fills so far were counted."""
        key = Key(event_id, leg.venue, leg.market, leg.outcome)
        return self._decimals.get(key, leg.scale.size_decimals) == leg.scale.size_decimals

    def _claims(self) -> Iterator[Claim]:
        for trade in self.trades.values():
            yield from claims(trade)

    def _inventory(self) -> dict[tuple[str, str], Decimal]:
        """Coins by venue and market, those that orders on their way will sell already taken off."""
        coins = {key: self.positions.inventory(*key) for key in self.positions.coins()}
        for _, leg, size in sales(self.trades.values()):
            if leg.outcome == "base":
                key = leg.venue, leg.market
                coins[key] = EXACT.subtract(coins.get(key, ZERO), size)
        return coins

    def _contracts(self) -> dict[tuple[str, str, str, str], Decimal]:
        """Contracts by event, venue, market and outcome, those on their way to be sold taken off."""
        found = dict(self._held().contracts)
        for event_id, leg, size in sales(self.trades.values()):
            if leg.outcome != "base":
                key = event_id, leg.venue, leg.market, leg.outcome
                found[key] = EXACT.subtract(found.get(key, ZERO), size)
        return found

    def _held(self) -> Held:
        """The sums of positions, made once after each change."""
        if self._sums is None:
            self._sums = Held.of(self.positions)
        return self._sums

    def _note(self, record: object) -> None:
        """Remember of a booked record what positions do not tell: scales of fills, what was settled."""
        match record:
            case FillRecord():
                key = Key(record.event_id, record.venue, record.market, record.outcome)
                self._decimals[key] = record.scale.size_decimals
            case SettlementRecord():
                key = Key(record.event_id, record.venue, record.market, record.outcome)
                self._settled.add(key)

    def _trade_of(self, order_id: str) -> Trade | None:
        """The trade that an order belongs to: an ended one too, even of an earlier run."""
        trade_id = order_id.rpartition("-")[0]
        trade = self.trades.get(trade_id) or self._ended.get(trade_id)
        if trade is None:
            try:
                _, parts = self.journal.parts_of(trade_id)
            except JournalError:
                return None
            if not parts.trade.plan:
                return None
            trade = self._ended[trade_id] = rebuilt(parts, same_boot=True, now_ns=0)
        return trade if order_id in trade.orders else None

    def _again(self, trade: Trade) -> None:
        """A trade that had ended may have to be looked after again."""
        name = trade.plan.trade_id
        if name not in self.trades and not trade.ended:
            del self._ended[name]
            self.trades[name] = trade
