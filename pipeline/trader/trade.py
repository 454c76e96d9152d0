"""Trade: the state machine of a trade of two legs, from its first order until nothing is open.

In: a plan, intents that were committed, what the broker reports, the time. Out: the one thing to do next,
as a `Step`. Pure: it sends and books nothing; the executor does, and tells it. After a restart it is built
again from the journal's records.

    OPEN ---> HEDGED       both legs hold as much, nothing is on its way
    OPEN ---> UNWOUND      something was filled, and taken back: nothing is held
    OPEN ---> NOT_FILLED   nothing was filled; a quote that nobody took too
    OPEN ---> UNHEDGED     one leg holds more, and the alarm was raised over it
    UNHEDGED ---> HEDGED, UNWOUND   the repair succeeded after all
    UNHEDGED ---> NOT_FILLED        the lone fills were provisional and failed
    HEDGED, UNWOUND ---> OPEN       a provisional fill failed, or one came late: an excess again

What a leg holds is the fills of its OPEN, CLOSE, QUOTE and HEDGE orders less those of its UNWIND orders.
Where the legs differ there is an excess, and one step mends it, whatever it came from: a second leg that
follows the first, a quote that was taken, a leg that failed. Nothing of the trade is sent while one of its
orders is UNKNOWN, and one repair at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

from pipeline.journal_records import ConfirmationRecord, FillRecord, OrderRecord
from pipeline.model import EXACT
from pipeline.model_orders import OrderState
from pipeline.money import to_decimal
from pipeline.trader.broker import REPAIRS, OrderEvent, OrderFill, OrderIntent, Purpose, Style
from pipeline.trader.orders import Order, order_id_of
from pipeline.trader.plan import TAKER, TradePlan
from pipeline.trader.trade_steps import (
    ENDED,
    WAIT,
    Alarm,
    Ask,
    CancelQuote,
    Ended,
    Excess,
    GiveUp,
    Repair,
    SendSecond,
    Step,
    Timing,
    Wait,
)

__all__ = [
    "Alarm",
    "Ask",
    "CancelQuote",
    "Ended",
    "Excess",
    "GiveUp",
    "Repair",
    "SendSecond",
    "Step",
    "Timing",
    "Trade",
    "TradeState",
    "Wait",
]


class TradeState(Enum):
    """What became of a trade. OPEN and UNHEDGED may become any other."""

    OPEN = "open"
    HEDGED = "hedged"
    UNWOUND = "unwound"
    NOT_FILLED = "not filled"
    UNHEDGED = "unhedged"


_ON_ITS_WAY = frozenset({OrderState.SENT, OrderState.ACCEPTED, OrderState.PARTIAL})


class Trade:
    """One trade: its plan and its orders by id, in the order they were made.

    `alarmed` says that an alarm was raised over what is not mended yet.
    """

    def __init__(self, plan: TradePlan) -> None:
        self.plan = plan
        self.orders: dict[str, Order] = {}
        self.alarmed = False
        self._trouble_ns: int | None = None
        self._repair_ns: int | None = None
        self._second_said = False
        self._stuck = False
        self._dust: Excess | None = None

    @classmethod
    def rebuilt(
        cls,
        plan: TradePlan,
        intents: Sequence[OrderIntent],
        orders: Sequence[OrderRecord],
        fills: Sequence[FillRecord],
        confirmations: Sequence[ConfirmationRecord],
    ) -> Trade:
        """The trade as the journal knows it after a restart; orders that had not ended are UNKNOWN.

        Deadlines are CLOCK_MONOTONIC: those of an earlier boot must be replaced by the caller. A second leg
        that was not sent is not sent any more: its first one is an excess to repair.
        """
        trade = cls(plan)
        trade._second_said = True
        for intent in intents:
            name = intent.order_id
            trade.orders[name] = Order.rebuilt(
                intent,
                [record for record in orders if record.order_id == name],
                [fill for fill in fills if fill.order_id == name],
                confirmations,
            )
        return trade

    # what happens

    def add(self, intent: OrderIntent) -> Order:
        """Take an order whose intent is committed, before it is sent.

        Raises ValueError for an id that is not the next one, for an order that does not do what the plan's
        leg does (or undoes), while an order is UNKNOWN, and for a second repair while one is working.
        """
        if intent.order_id != order_id_of(self.plan.trade_id, self.next_number()):
            raise ValueError(f"order {intent.order_id} is not number {self.next_number()} of its trade")
        leg, order = self.plan.legs[intent.leg], intent.order
        action = leg.undo if intent.purpose is Purpose.UNWIND else leg.action
        wanted = leg.venue, leg.market, leg.outcome, action
        if (order.venue, order.market, order.outcome, order.action) != wanted:
            raise ValueError(f"order {intent.order_id} does not {action} leg {intent.leg} of its trade")
        if self._unknown():
            raise ValueError(f"order {intent.order_id}: another order of the trade is UNKNOWN")
        if intent.purpose in REPAIRS and self._repairing():
            raise ValueError(f"order {intent.order_id}: another repair of the trade is working")
        made = self.orders[intent.order_id] = Order(intent)
        return made

    def sent(self, order_ids: Sequence[str], now_ns: int) -> None:
        """The broker has these orders. Raises ValueError for one that was sent before."""
        for order_id in order_ids:
            order = self.order(order_id)
            order.to(OrderState.SENT)
            order.sent_ns = now_ns

    def apply(self, event: OrderEvent) -> list[OrderFill]:
        """Take a report; returns the fills that are new.

        Raises KeyError for an order of another trade, ValueError for what cannot be: nothing changes then.
        """
        order = self.order(event.order_id)
        was_final = order.final
        new = order.apply(event)
        done = order.state is OrderState.FILLED and not was_final
        if done and order.intent.purpose in REPAIRS and self._resting():
            # What a quote has filled since is newer than what was just mended.
            self._trouble_ns = None
        if new or event.failed:
            self._stuck = False
        return new

    def cancelled(self, order_ids: Sequence[str], now_ns: int) -> None:
        """The broker was asked to end these; until they have ended, `step` asks for it again."""
        for order_id in order_ids:
            order = self.order(order_id)
            order.cancel_ns = now_ns
            order.ending_ns = now_ns if order.ending_ns is None else order.ending_ns

    def mark_unknown(self, order_id: str) -> None:
        """Nobody knows what became of an order. Raises ValueError for one that has ended."""
        self.order(order_id).to(OrderState.UNKNOWN)

    def mark_not_sent(self, order_id: str, why: str) -> None:
        """An order never reached its venue and never will. Raises ValueError where that cannot be."""
        self.order(order_id).to(OrderState.NOT_SENT, why)

    def stuck(self) -> None:
        """No order could be made of the last `Repair`: what still rests is to be cancelled."""
        self._stuck = True

    # what is so

    def order(self, order_id: str) -> Order:
        """The order with this id. Raises KeyError for one of another trade."""
        return self.orders[order_id]

    def next_number(self) -> int:
        """The number of the next order's id."""
        return 1 + max((int(name.rpartition("-")[2]) for name in self.orders), default=-1)

    def working(self) -> list[Order]:
        """The orders that have not ended."""
        return [order for order in self.orders.values() if not order.final]

    def quantities(self) -> tuple[Decimal, Decimal]:
        """What each leg holds, in shares or coins; negative where a fill failed that was taken back."""
        held = [Decimal(0), Decimal(0)]
        for order in self.orders.values():
            intent = order.intent
            filled = to_decimal(order.filled_units, intent.order.scale.size_decimals)
            turn = EXACT.subtract if intent.purpose is Purpose.UNWIND else EXACT.add
            held[intent.leg] = turn(held[intent.leg], filled)
        return held[0], held[1]

    def excess(self) -> Excess | None:
        """The leg that holds more, and by how much; None where they are equal."""
        first, second = self.quantities()
        if first == second or self.plan.alone:
            return None
        return Excess(int(second > first), abs(EXACT.subtract(first, second)))

    @property
    def provisional(self) -> bool:
        """Whether a fill may still fail, or must still come."""
        return any(order.provisional or order.missing for order in self.orders.values())

    @property
    def state(self) -> TradeState:
        """What became of it. An excess that the last `step` found to be dust counts as none."""
        excess = self.excess()
        uneven = excess is not None and excess != self._dust
        if self.alarmed and uneven:
            return TradeState.UNHEDGED
        if uneven or self.working() or not self.orders:
            return TradeState.OPEN
        if all(self.quantities()) or (self.plan.alone and any(self.quantities())):
            return TradeState.HEDGED
        anything = any(order.filled_units for order in self.orders.values())
        return TradeState.UNWOUND if anything else TradeState.NOT_FILLED

    @property
    def ended(self) -> bool:
        """Whether it is over: nothing working, nothing uneven, nothing that may fail."""
        return self.state not in {TradeState.OPEN, TradeState.UNHEDGED} and not self.provisional

    # what to do

    def step(self, now_ns: int, timing: Timing) -> Step:
        """What to do now. `now_ns` is CLOCK_MONOTONIC and never goes back.

        Asking, cancelling and the alarm are noted as done when they are returned.
        """
        if any(order.state is OrderState.INTENT for order in self.orders.values()):
            # The executor is between commit and submit.
            return WAIT
        self._doubt(now_ns, timing)
        excess = self.excess()
        self._dust = None
        if excess is not None and timing.dust(self.plan, excess.leg, excess.quantity):
            self._dust, excess = excess, None
        self._watch(excess, now_ns)
        return (
            self._give_up(timing)
            or self._alarm(excess, now_ns, timing)
            or self._ask(now_ns, timing)
            or self._cancel(excess, now_ns, timing)
            or self._mend(excess, now_ns, timing)
        )

    def _doubt(self, now_ns: int, timing: Timing) -> None:
        """Call UNKNOWN what should have been reported by now."""
        for order in self.working():
            intent = order.intent
            if order.state is OrderState.SENT:
                due_ns = order.sent_ns + timing.answer_ns
            elif order.missing:
                due_ns = now_ns
            elif intent.style is Style.IOC:
                end_ns = intent.deadline_ns + timing.booking_ns if intent.deadline_ns else order.sent_ns
                due_ns = max(end_ns, order.heard_ns + timing.answer_ns)
            elif order.ending_ns is not None:
                due_ns = max(order.ending_ns, order.heard_ns) + timing.answer_ns
            else:
                # A quote that rests has nothing to say until it ends, or is asked to.
                continue
            if order.state in _ON_ITS_WAY and now_ns >= due_ns:
                order.to(OrderState.UNKNOWN, f"no report when one was due in {order.state.name}")

    def _watch(self, excess: Excess | None, now_ns: int) -> None:
        """Since when something is wrong. Legs that are both on their way are uneven, and nothing is wrong."""
        if self._unknown() or (excess is not None and not self._opening()):
            self._trouble_ns = now_ns if self._trouble_ns is None else self._trouble_ns
        else:
            self._trouble_ns = self._repair_ns = None
            self.alarmed = self._stuck = False

    def _give_up(self, timing: Timing) -> Step | None:
        """Orders that the venue did not know when it could no longer take them."""
        lost = []
        for order in self._unknown():
            # Without a deadline an order may arrive at any time: it stays UNKNOWN.
            end_ns = order.intent.deadline_ns + timing.booking_ns
            if order.intent.deadline_ns and order.not_found_ns >= end_ns and not order.heard:
                lost.append(order.order_id)
        return GiveUp(tuple(lost)) if lost else None

    def _alarm(self, excess: Excess | None, now_ns: int, timing: Timing) -> Step | None:
        """The alarm, once for each trouble."""
        since_ns = self._trouble_ns
        if since_ns is None or self.alarmed or now_ns - since_ns < timing.hedge_ns:
            return None
        self.alarmed = True
        if excess is not None:
            return Alarm(excess.leg, excess.quantity, since_ns)
        order = self._unknown()[0]
        quantity = to_decimal(order.open_units, order.intent.order.scale.size_decimals)
        return Alarm(order.intent.leg, quantity, since_ns)

    def _ask(self, now_ns: int, timing: Timing) -> Step | None:
        """UNKNOWN orders whose turn it is to be asked for."""
        due = [
            order
            for order in self._unknown()
            if order.asked_ns is None or now_ns - order.asked_ns >= timing.ask_every_ns
        ]
        for order in due:
            order.asked_ns = now_ns
        return Ask(tuple(order.order_id for order in due)) if due else None

    def _cancel(self, excess: Excess | None, now_ns: int, timing: Timing) -> Step | None:
        """Quotes that should have ended, or whose fills cannot be hedged, until they have."""
        hopeless = excess is not None and (self._stuck or self.alarmed)
        due = []
        for order in self.working():
            intent = order.intent
            over = intent.expires_ns > 0 and now_ns >= intent.expires_ns + timing.booking_ns
            wanted = over or hopeless or order.ending_ns is not None
            waits = order.cancel_ns is not None and now_ns - order.cancel_ns < timing.ask_every_ns
            if intent.style is Style.MAKER and wanted and not waits:
                due.append(order.order_id)
        self.cancelled(due, now_ns)
        return CancelQuote(tuple(due)) if due else None

    def _mend(self, excess: Excess | None, now_ns: int, timing: Timing) -> Step:
        """Send the second leg or repair, if there is an excess and nothing else that may change it."""
        if excess is None and self.provisional and not self.working():
            return self._ask_for_fills(now_ns, timing)
        if excess is None:
            return WAIT if self.working() or not self.orders else ENDED
        if self._unknown() or self._repairing() or self._opening():
            return WAIT
        if self._second_is_due(excess):
            self._second_said = True
            return SendSecond(1 - excess.leg, excess.quantity)
        if self.alarmed:
            if self._repair_ns is not None and now_ns - self._repair_ns < timing.retry_ns:
                return WAIT
            self._repair_ns = now_ns
        return Repair(excess.leg, excess.quantity)

    def _ask_for_fills(self, now_ns: int, timing: Timing) -> Step:
        """Ask, now and then, for what is to be told of fills: that report may be lost too."""
        due = []
        for order in self.orders.values():
            last_ns = max(order.heard_ns, order.asked_ns or 0)
            open_end = order.provisional or order.missing
            if open_end and (not last_ns or now_ns - last_ns >= timing.retry_ns):
                order.asked_ns = now_ns
                due.append(order.order_id)
        return Ask(tuple(due)) if due else WAIT

    def _second_is_due(self, excess: Excess) -> bool:
        """Whether the leg that is sent first has ended with fills and the other was never sent."""
        plan = self.plan
        alone = all(order.intent.leg == plan.first for order in self.orders.values())
        first = plan.mode == TAKER and plan.first == excess.leg and alone
        return first and not self._second_said

    def _unknown(self) -> list[Order]:
        return [order for order in self.orders.values() if order.state is OrderState.UNKNOWN]

    def _repairing(self) -> bool:
        """Whether a hedge or an unwind is working."""
        return any(order.intent.purpose in REPAIRS for order in self.working())

    def _opening(self) -> bool:
        """Whether an opening order that takes is on its way: its fills are about to come."""
        return any(
            order.state in _ON_ITS_WAY and order.intent.style is Style.IOC
            for order in self.working()
            if order.intent.purpose not in REPAIRS
        )

    def _resting(self) -> bool:
        """Whether a quote may still be filled."""
        return any(order.intent.style is Style.MAKER for order in self.working())
