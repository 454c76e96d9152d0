"""Executor: sends what was approved, books what the broker reports, and mends what is uneven.

In: trades that passed the gate, reports, the time. Out: committed intents, orders at the broker, trades whose
state changed. Run by the trader's worker, once a turn. What is to be done next is decided by `trade.Trade`
alone; this module does it: commit, then look at HALT and the clock once more, then send.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial

from pipeline.books import FeedBooks
from pipeline.config import Config
from pipeline.crash import CrashPoints
from pipeline.journal import JournalError
from pipeline.lifecycle import Worker
from pipeline.look import Look
from pipeline.model import Reason
from pipeline.model_events import OrderLeg
from pipeline.model_orders import OrderState
from pipeline.trader import risk
from pipeline.trader import trade_steps as steps
from pipeline.trader.broker import Approved, Broker, OrderEvent, OrderIntent, Purpose, Style
from pipeline.trader.claims import is_left
from pipeline.trader.evidence import intents_for, kelly_evidence, repair_evidence, trade_record
from pipeline.trader.ledger import Ledger
from pipeline.trader.orders import order_id_of
from pipeline.trader.patience import Patience
from pipeline.trader.plan import TradePlan
from pipeline.trader.quoting import Quote
from pipeline.trader.record import Record
from pipeline.trader.repair import Impossible, choose, is_dust
from pipeline.trader.switch import Switch
from pipeline.trader.trade import Trade, TradeState
from pipeline.trader.trade_steps import MS_NS, RETRY_NS, SECOND_NS, Timing

REPAIR_EVERY_NS = 100 * MS_NS
"""Least time between two tries to mend one trade: a missed order is not answered by a burst of them."""
ROLL_CALL_NS = SECOND_NS
LATENCY_SHARE = 8
"""A new latency counts as one of so many in the mean."""


class Executor:
    """The trades of one account, from their first order to their end."""

    def __init__(
        self,
        worker: Worker,
        ledger: Ledger,
        broker: Broker,
        books: FeedBooks,
        switch: Switch,
        points: CrashPoints,
        run_id: str,
    ) -> None:
        self._worker = worker
        self._clock = worker.clock
        self._ledger = ledger
        self._broker = broker
        self._books = books
        self._switch = switch
        self._points = points
        self._run_id = run_id
        self._roll_call_ns = 0
        self._told: dict[str, TradeState] = {}
        self._repaired_ns: dict[str, int] = {}
        self._patience = Patience()
        self._latency_ns: dict[str, int] = {}
        self.unresolved: set[str] = set()
        """Orders of an earlier run that nobody has answered for."""
        self.alone_ns: dict[str, int] = {}
        """Since when (CLOCK_MONOTONIC) trades have had a leg alone, or an order that nobody knows of, for
        longer than is allowed.
        """
        self.differences = ""
        """The last report of the broker that cannot be true; whoever reads it empties it."""
        self.adopt(worker.config)

    def adopt(self, config: Config) -> None:
        """Take over a new configuration."""
        trader = config.trader
        self._config = config
        self._dust_usd = Decimal(config.risk.max_dust_usd)
        self._order_ns = round(trader.order_seconds * SECOND_NS)
        self._timing = Timing.of(trader, self._is_dust)

    # -- what is sent ----------------------------------------------------------------------------

    def open(
        self,
        plan: TradePlan,
        passed: risk.Passed,
        orders: Sequence[OrderLeg],
        looks: Sequence[Look | None],
        record: Record,
        quote: Quote | None = None,
    ) -> Reason:
        """Commit the orders that open a trade, and send them; NONE, or why they were not sent.

        No commit, no order. Between commit and send HALT and the expiry are looked at once more.
        """
        if not all(self._ledger.counts_alike(plan.event_id, leg) for leg in plan.legs):
            # Its venue counts sizes otherwise since we hold some: both cannot be added up.
            return Reason.OFF_GRID
        self._points.at("decided")
        now = self._clock.monotonic_ns()
        intents = intents_for(plan, orders, deadline_ns=now + self._order_ns, quote=quote)
        entry = trade_record(
            self._run_id, record, plan, intents, looks, self._config,
            decided_ns=record.decide_ns, edge=record.edge_evidence,
            kelly=kelly_evidence(self._ledger.sizer, passed.kelly_usd),
        )  # fmt: skip
        try:
            approved = risk.approve(
                passed, plan.trade_id, intents, lambda: self._ledger.commit(entry, plan, intents, now)
            )
        except JournalError as error:
            self.journal_failed(error)
            return Reason.JOURNAL
        record.intent_ns = self._clock.monotonic_ns()
        if self._switch.read() is not None:
            return self._take_back(plan.trade_id, intents, Reason.HALTED)
        if record.intent_ns > passed.look.expires_ns:
            return self._take_back(plan.trade_id, intents, Reason.EXPIRED)
        self._submit(approved)
        record.order_ns = self._clock.monotonic_ns()
        return Reason.NONE

    def close_out(
        self,
        plan: TradePlan,
        orders: Sequence[OrderLeg],
        looks: Sequence[Look | None],
        held: Decimal,
        record: Record,
    ) -> Reason:
        """Commit orders by which a person has `held` contracts of each leg sold, and send them, HALT or not,
        for they make what is at stake smaller; NONE, or why they were not sent.
        """
        now = self._clock.monotonic_ns()
        intents = intents_for(plan, orders, deadline_ns=now + self._order_ns)
        if not all(self._ledger.counts_alike(plan.event_id, plan.legs[each.leg]) for each in intents):
            return Reason.OFF_GRID
        self._points.at("decided")
        entry = trade_record(
            self._run_id, record, plan, intents, looks, self._config,
            decided_ns=now, edge=record.edge_evidence, kelly={},
        )  # fmt: skip
        try:
            approved = risk.approve_flatten(
                plan.trade_id, plan.event_id, held, intents,
                lambda: self._ledger.commit(entry, plan, intents, now),
            )  # fmt: skip
        except JournalError as error:
            self.journal_failed(error)
            return Reason.JOURNAL
        record.intent_ns = self._clock.monotonic_ns()
        self._submit(approved)
        record.order_ns = self._clock.monotonic_ns()
        self._worker.counters.add("flatten_orders", len(intents))
        return Reason.NONE

    def cancel(self, trade: Trade) -> None:
        """Ask for the end of what rests of a trade."""
        now = self._clock.monotonic_ns()
        names = [order.order_id for order in trade.working() if order.intent.style is Style.MAKER]
        trade.cancelled(names, now)
        self._cancel(names, now)

    def harder_leg(self, venues: Sequence[str]) -> int:
        """The leg to send first. One survival curve: where we arrive later, the leg is likelier lost."""
        return max(range(len(venues)), key=lambda at: (self.latency_ns(venues[at]), -at))

    def latency_ns(self, venue: str) -> int:
        """How long an order takes until its first report: measured, else as the paper exchange is set."""
        return self._latency_ns.get(venue, self._config.trader.paper_latency_ms * MS_NS)

    def _take_back(self, trade_id: str, intents: Sequence[OrderIntent], reason: Reason) -> Reason:
        """Committed, and not sent after all: book that."""
        trade = self._ledger.trades[trade_id]
        for intent in intents:
            self._give_up(trade, intent.order_id, f"not sent: {reason.name}")
        return reason

    def _submit(self, approved: Approved) -> None:
        """Hand orders to the broker: from here on only the venue knows."""
        self._points.at("committed")
        now = self._clock.monotonic_ns()
        names = [intent.order_id for intent in approved.intents]
        self._broker.submit(approved, now)
        self._ledger.trades[approved.trade_id].sent(names, now)
        self._worker.counters.add("orders_sent", len(names))
        self._points.at("sent")

    def _cancel(self, names: Iterable[str], now: int) -> None:
        for name in names:
            self._broker.cancel(name, now)
            self._worker.counters.add("cancels")
            self._points.at("cancel_sent")

    # -- what comes back, and what follows from it ------------------------------------------------

    def turn(self) -> list[Trade]:
        """Book reports, do what each trade needs, and return those whose state changed."""
        now = self._clock.monotonic_ns()
        events = self._broker.poll(now)
        if events:
            self._points.at("reported")
            if not self._book(events):
                return []
        for trade in list(self._ledger.trades.values()):
            self._step(trade, now)
        if now >= self._roll_call_ns:
            self._roll_call_ns = now + ROLL_CALL_NS
            self._ask_for_all(now)
        return self._changed()

    def _book(self, events: Sequence[OrderEvent]) -> bool:
        """Book what was reported; False while the journal cannot be written: it will be asked for again.

        One report that the journal refuses must not keep the others out: then each is booked alone.
        """
        try:
            found = self._ledger.report(events)
        except JournalError as error:
            self.journal_failed(error)
            if not self._ledger.journal.ok:
                return False
            if len(events) > 1:
                return all(self._book([event]) for event in events)
            self.differences = str(error)
            return True
        self._points.at("booked")
        for venue, took_ns in found.first_ns:
            mean = self.latency_ns(venue)
            self._latency_ns[venue] = mean + (took_ns - mean) // LATENCY_SHARE
        self._worker.counters.add("late_fills", found.late)
        self._worker.counters.add("provisional_failed", found.failed)
        for text in found.wrong:
            self._worker.report(f"broker: {text}")
            self.differences = text
        return True

    def _ask_for_all(self, now: int) -> None:
        """Ask for everything that rests: the report of a quote's last fill may have been lost."""
        names = [order.order_id for trade in self.resting() for order in trade.working()]
        if names:
            self._broker.ask(names, now)
            self._worker.counters.add("asked", len(names))

    def _changed(self) -> list[Trade]:
        """Trades whose state is another than when they were last told."""
        found = []
        for name, trade in list(self._ledger.trades.items()):
            state = trade.state
            if state is not self._told.get(name, TradeState.OPEN):
                found.append(trade)
            self._told[name] = state
            if trade.ended and not trade.working():
                self._ledger.end(trade)
                self._told.pop(name, None)
                self._repaired_ns.pop(name, None)
                self._patience.forget(name)
        alarmed = {name for name, trade in self._ledger.trades.items() if trade.alarmed}
        self.alone_ns = {name: at_ns for name, at_ns in self.alone_ns.items() if name in alarmed}
        if self.unresolved:
            working = {order.order_id for _, order in self._ledger.working()}
            self.unresolved &= working
        return found

    def _step(self, trade: Trade, now: int) -> None:
        """Do the next thing for one trade."""
        match trade.step(now, self._timing):
            case steps.SendSecond(leg, quantity):
                self._mend(trade, 1 - leg, quantity, now)
            case steps.Repair(leg, quantity):
                if now - self._repaired_ns.get(trade.plan.trade_id, now - RETRY_NS) >= REPAIR_EVERY_NS:
                    self._mend(trade, leg, quantity, now)
            case steps.Ask(order_ids):
                self._broker.ask(order_ids, now)
                self._worker.counters.add("asked", len(order_ids))
                self._points.at("resolving")
            case steps.GiveUp(order_ids):
                for order_id in order_ids if self._ledger.journal.ok else ():
                    self._give_up(trade, order_id, "the venue never knew it, and takes it no more")
            case steps.CancelQuote(order_ids):
                self._cancel(order_ids, now)
            case steps.Alarm(leg, quantity, since_ns):
                self._alarm(trade, leg, quantity, since_ns)
            case steps.Ended():
                return

    def _mend(self, trade: Trade, leg: int, quantity: Decimal, now: int) -> None:
        """Complete the other leg or take this one back, whichever costs less now."""
        plan = trade.plan
        self._repaired_ns[plan.trade_id] = now
        if not (self._broker.reachable(now) and self._ledger.guards.on("repair")):
            return
        looks = self._looks(plan)
        cash = {each.venue: self._ledger.cash_for(trade, each.venue) for each in plan.legs}
        choice = choose(
            plan, leg, quantity, looks, cash,
            partial(self._ledger.stock, plan.event_id), self._clock.wall_ns(),
        )  # fmt: skip
        if self._patience.waits(trade, choice, now):
            return
        if isinstance(choice, Impossible):
            trade.stuck()
            self._worker.report(f"{plan.event_id} waits to be hedged: {choice.reason.name}")
            return
        name = order_id_of(plan.trade_id, trade.next_number())
        intent = OrderIntent(
            name, choice.order, choice.fee, choice.leg, choice.purpose, Style.IOC, now + self._order_ns
        )
        entry = trade_record(
            self._run_id, None, plan, (intent,), looks, self._config,
            decided_ns=now, edge=repair_evidence(choice, leg, quantity, looks), kelly={},
        )  # fmt: skip
        self._points.at("repair_decided")
        try:
            approved = risk.approve_repair(
                plan.trade_id,
                plan.event_id,
                quantity,
                intent,
                lambda: self._ledger.commit(entry, plan, (intent,), now),
                journal_ok=self._ledger.journal.ok,
            )
        except JournalError as error:
            self.journal_failed(error)
            return
        if isinstance(approved, Approved):
            self._submit(approved)
            self._worker.counters.add("repairs")
            self._points.at("repair_sent")

    def _looks(self, plan: TradePlan) -> tuple[Look | None, Look | None]:
        """Both books as they are now."""
        now = self._clock.monotonic_ns()
        first, second = (self._books.read(leg.venue, leg.market, now) for leg in plan.legs)
        return first, second

    def _is_dust(self, plan: TradePlan, leg: int, quantity: Decimal) -> bool:
        """Whether an excess stays: it was paid out, or is too little for any order."""
        if self._ledger.is_settled(plan.event_id, plan.legs[leg]):
            return True
        looks = self._looks(plan)
        if None in looks and is_left(self._ledger.trades[plan.trade_id], leg, quantity, self._dust_usd):
            return True
        return is_dust(plan, leg, quantity, looks, self._dust_usd)

    def _give_up(self, trade: Trade, order_id: str, why: str) -> None:
        try:
            self._ledger.give_up(trade, order_id, why)
        except JournalError as error:
            self.journal_failed(error)
            if trade.order(order_id).state is OrderState.INTENT:
                # Then it is asked for like any other, and given up once that can be booked.
                trade.mark_unknown(order_id)
            return
        self._worker.counters.add("not_sent")
        if order_id in self.unresolved:
            self._worker.counters.add("intents_not_sent")

    def _alarm(self, trade: Trade, leg: int, quantity: Decimal, since_ns: int) -> None:
        """A leg has stood alone for too long: `triggers` halts for it. Mending goes on."""
        plan = trade.plan
        market = f"{plan.legs[leg].venue} {plan.legs[leg].market}"
        self.alone_ns[plan.trade_id] = since_ns
        self._worker.counters.add("alarms")
        self._worker.report(f"UNHEDGED: {market} ({plan.event_id})")
        self._worker.log.error("unhedged", trade=plan.trade_id, leg=leg, quantity=str(quantity))

    def journal_failed(self, error: JournalError) -> None:
        """Count and say that the journal could not be written."""
        self._worker.counters.add("journal_failures")
        self._worker.report(f"journal: {error}")
        self._worker.log.error("journal failed", why=str(error))

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way and nothing is uneven."""
        return not any(
            trade.working() or trade.state in {TradeState.OPEN, TradeState.UNHEDGED}
            for trade in self._ledger.trades.values()
        )

    def resting(self) -> list[Trade]:
        """Trades with a quote that rests or is on its way."""
        return [
            trade
            for trade in self._ledger.trades.values()
            if any(order.intent.purpose is Purpose.QUOTE for order in trade.working())
        ]
