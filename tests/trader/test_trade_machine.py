"""A trade against a venue that delays, loses, repeats and reorders what is said, and a trader that dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.journal_records import OrderRecord
from pipeline.trader.broker import (
    REPAIRS,
    OrderEvent,
    OrderFill,
    OrderIntent,
    OrderStatus,
    Purpose,
    Style,
)
from pipeline.trader.orders import (
    OrderState,
    confirmation_records,
    fill_records,
    order_record,
)
from pipeline.trader.plan import MAKER_HEDGE, TAKER
from pipeline.trader.trade import (
    Alarm,
    Ask,
    CancelQuote,
    Ended,
    GiveUp,
    Repair,
    SendSecond,
    Timing,
    Trade,
    TradeState,
)
from tests.support.trades import intent_of, plan_for, units_of

ANSWER, EVERY, BOOKING, HEDGE, RETRY, DEADLINE, LIFE = 60, 30, 40, 400, 150, 100, 300
TIMING = Timing(ANSWER, EVERY, BOOKING, HEDGE, RETRY, lambda _plan, _leg, _quantity: False)
WHOLE = 10


@dataclass
class Booked:
    """An order as its venue has it; sizes in whole contracts."""

    intent: OrderIntent
    unit: int
    arrived_ns: int
    status: OrderStatus = OrderStatus.ACCEPTED
    fills: dict[str, OrderFill] = field(default_factory=dict)
    told: dict[str, bool] = field(default_factory=dict)

    @property
    def left(self):
        filled = sum(fill.size_units for fill in self.fills.values())
        return (self.intent.order.size_units - filled) // self.unit

    @property
    def stands(self):
        return sum(fill.size_units for name, fill in self.fills.items() if self.told.get(name, True))


class Venue:
    """Books orders, fills them, and queues what it says; `queue` is what has not been delivered."""

    def __init__(self):
        self.travelling: list[OrderIntent] = []
        self.orders: dict[str, Booked] = {}
        self.queue: list[OrderEvent] = []

    def say(self, order, now, fills=None, **more):
        """Queue a report: with all fills, or these."""
        fills = tuple(order.fills.values()) if fills is None else fills
        self.queue.append(OrderEvent(order.intent.order_id, order.status, now, fills, **more))

    def arrive(self, intent, unit, filled, now):
        """Take an order: refuse it when late, let a quote rest, fill a part of one that takes."""
        assert intent.order_id not in self.orders, "an order arrived twice"
        order = self.orders[intent.order_id] = Booked(intent, unit, now)
        if now > intent.deadline_ns:
            order.status = OrderStatus.REJECTED
        elif intent.style is Style.IOC:
            self.say(order, now)
            self.fill(order, filled, now)
            if order.left:
                order.status = OrderStatus.CANCELLED if order.fills else OrderStatus.REJECTED
        self.say(order, now)

    def fill(self, order, wanted, now):
        """Fill up to so many contracts; only what is new is told, but for the end."""
        size = min(wanted, order.left)
        if size <= 0 or order.status > OrderStatus.PARTIAL:
            return
        name = f"{order.intent.order_id}/{len(order.fills)}"
        provisional = order.intent.order.venue == "polymarket"
        fill = OrderFill(name, 480_000, size * order.unit, Decimal("0.01"), provisional=provisional)
        order.fills[name] = fill
        order.status = OrderStatus.PARTIAL if order.left else OrderStatus.FILLED
        self.say(order, now, None if order.status is OrderStatus.FILLED else (fill,))

    def end(self, order, now):
        """Cancel or expire what rests."""
        if order.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIAL}:
            order.status = OrderStatus.CANCELLED
            self.say(order, now)

    def confirm(self, order, name, stands, now):
        """Say what became of a provisional fill."""
        order.told[name] = stands
        self.say(order, now, (), **{"confirmed" if stands else "failed": (name,)})

    def open_fills(self):
        """Provisional fills of which nothing is known yet."""
        return [
            (order, name)
            for order in self.orders.values()
            for name, fill in order.fills.items()
            if fill.provisional and name not in order.told
        ]

    def answer(self, name, now):
        """Answer a question: all there is, or NOT_FOUND until the order is booked."""
        order = self.orders.get(name)
        if order is None or now < order.arrived_ns + BOOKING // 2:
            self.queue.append(OrderEvent(name, OrderStatus.NOT_FOUND, now))
            return
        told = {True: tuple(n for n, s in order.told.items() if s),
                False: tuple(n for n, s in order.told.items() if not s)}  # fmt: skip
        self.say(order, now, confirmed=told[True], failed=told[False])


class Machine(RuleBasedStateMachine):
    """The executor's part of the work, with everything that can happen between it and the venue."""

    @initialize(mode=st.sampled_from(["together", "together", "harder", "quote"]))
    def open(self, mode):
        """Open a trade in one of its ways."""
        quote = mode == "quote"
        first = {"together": -1, "harder": 1, "quote": 0}[mode]
        self.plan = plan_for(mode=MAKER_HEDGE if quote else TAKER, first=first)
        self.trade, self.venue, self.now = Trade(self.plan), Venue(), 1
        self.intents, self.records, self.fills, self.told = [], [], [], []
        self.sent: set[str] = set()
        self.failures = self.alarms = self.crashes = 0
        self.ended = False
        if quote:
            self.send([(0, WHOLE, Purpose.QUOTE)])
        else:
            legs = (0, 1) if first < 0 else (first,)
            self.send([(leg, WHOLE, Purpose.OPEN) for leg in legs])

    # the executor

    def commit(self, wanted):
        """Make and journal intents."""
        made = []
        for number, (leg, whole, purpose) in enumerate(wanted, self.trade.next_number()):
            quote = purpose is Purpose.QUOTE
            made.append(
                intent_of(
                    self.plan, number, leg, whole, purpose,
                    style=Style.MAKER if quote else Style.IOC,
                    deadline_ns=self.now + DEADLINE,
                    expires_ns=self.now + LIFE if quote else 0,
                )
            )  # fmt: skip
        self.intents += made
        return made

    def send(self, wanted):
        """Commit, then send."""
        made = self.commit(wanted)
        working = [order for order in self.trade.working() if order.intent.purpose in REPAIRS]
        for intent in made:
            assert intent.order_id not in self.sent, "sent twice"
            assert not any(o.state is OrderState.UNKNOWN for o in self.trade.orders.values())
            assert intent.purpose not in REPAIRS or not working, "two repairs at once"
            self.sent.add(intent.order_id)
            self.trade.add(intent)
            self.venue.travelling.append(intent)
        self.trade.sent([intent.order_id for intent in made], self.now)

    def take(self, event):
        """Journal a report, then apply it."""
        order = self.trade.order(event.order_id)
        record = order_record(event, order)
        self.records += [record] if record else []
        self.fills += fill_records(event, order, self.plan)
        self.told += confirmation_records(event, order)
        self.trade.apply(event)

    def obey(self, unwind, share=WHOLE):
        """Do what the trade wants now."""
        step = self.trade.step(self.now, TIMING)
        self.ended = isinstance(step, Ended)
        since = self.trade._trouble_ns
        late = since is not None and self.now - since >= HEDGE
        assert not late or self.trade.alarmed or isinstance(step, GiveUp), "trouble and no alarm"
        match step:
            case SendSecond(leg, quantity):
                if share:
                    self.send([(leg, int(quantity), Purpose.OPEN)])
            case Repair(leg, quantity):
                held = self.trade.quantities()[leg]
                size = max(1, min(share, int(quantity)))
                if unwind and held >= size:
                    self.send([(leg, size, Purpose.UNWIND)])
                else:
                    self.send([(1 - leg, size, Purpose.HEDGE)])
            case Ask(names):
                for name in names:
                    self.venue.answer(name, self.now)
            case GiveUp(names):
                for name in names:
                    assert name not in self.venue.orders or (
                        self.venue.orders[name].status is OrderStatus.REJECTED
                    ), "given up, and the venue has it"
                    self.trade.mark_not_sent(name, "never known")
                    self.records.append(record_of(name, "NOT_SENT", self.now))
            case CancelQuote(names):
                for name in names:
                    if name in self.venue.orders:
                        self.venue.end(self.venue.orders[name], self.now)
            case Alarm():
                self.alarms += 1
        return step

    @rule(unwind=st.booleans(), share=st.integers(0, WHOLE), wait=st.sampled_from([1, 20, 70, 200]))
    def work(self, unwind, share, wait):
        """Time passes, and the executor takes its turn."""
        self.now += wait
        for order in list(self.venue.orders.values()):
            if 0 < order.intent.expires_ns <= self.now:
                self.venue.end(order, self.now)
        self.obey(unwind, share)

    # the world

    @precondition(lambda self: self.venue.travelling)
    @rule(data=st.data(), filled=st.sampled_from([0, 3, 7, WHOLE, WHOLE]))
    def arrive(self, data, filled):
        """An order reaches its venue."""
        intent = self.venue.travelling.pop(data.draw(st.integers(0, len(self.venue.travelling) - 1)))
        self.venue.arrive(intent, units_of(self.plan, intent.leg, 1), filled, self.now)

    @precondition(lambda self: self.venue.travelling)
    @rule(unlucky=st.sampled_from([False, False, False, True]))
    def lose_order(self, unlucky):
        """An order never arrives."""
        if unlucky:
            self.venue.travelling.pop()

    @precondition(lambda self: self.venue.orders)
    @rule(filled=st.integers(1, 4))
    def take_quote(self, filled):
        """Somebody takes a part of what rests."""
        for order in list(self.venue.orders.values()):
            if order.intent.style is Style.MAKER:
                self.venue.fill(order, filled, self.now)

    @precondition(lambda self: self.venue.queue)
    @rule(data=st.data(), keep=st.booleans(), count=st.integers(1, 3))
    def deliver(self, data, keep, count):
        """Any of the waiting reports come, and may come again."""
        for _ in range(min(count, len(self.venue.queue))):
            index = data.draw(st.integers(0, len(self.venue.queue) - 1))
            event = self.venue.queue[index]
            if not keep:
                del self.venue.queue[index]
            self.take(event)

    @precondition(lambda self: self.venue.queue)
    @rule(data=st.data(), unlucky=st.sampled_from([False, False, True]))
    def lose_report(self, data, unlucky):
        """A report never comes."""
        if unlucky:
            del self.venue.queue[data.draw(st.integers(0, len(self.venue.queue) - 1))]

    @precondition(lambda self: self.venue.open_fills())
    @rule(stands=st.booleans())
    def settle_fill(self, stands):
        """A provisional fill is confirmed, or fails."""
        order, name = self.venue.open_fills()[0]
        self.failures += not stands
        self.venue.confirm(order, name, stands or self.failures > 3, self.now)

    @precondition(lambda self: self.crashes < 3)
    @rule(commits=st.booleans())
    def die(self, commits):
        """The trader is killed, perhaps between commit and send, and built again from the journal."""
        self.crashes += 1
        excess = self.trade.excess()
        quiet = not self.trade.working()
        if commits and quiet and excess is not None and self.trade.quantities()[excess.leg] > 0:
            self.commit([(excess.leg, int(excess.quantity), Purpose.UNWIND)])
        before = self.trade
        self.venue.queue.clear()
        self.trade = Trade.rebuilt(self.plan, self.intents, self.records, self.fills, self.told)
        assert self.trade.quantities() == before.quantities()
        assert self.trade.next_number() == len(self.intents)
        for name, order in before.orders.items():
            again = self.trade.order(name).state
            assert again is (order.state if order.final else OrderState.UNKNOWN)

    # what must hold

    @invariant()
    def quantities_are_the_fills_that_were_reported(self):
        """What a leg holds is the sum of the journal's fills without those that failed."""
        if not hasattr(self, "trade"):
            return
        gone = {told.fill_id for told in self.told if told.status == "FAILED"}
        held = [0, 0]
        purposes = {intent.order_id: (intent.leg, intent.purpose) for intent in self.intents}
        for fill in self.fills:
            leg, purpose = purposes[fill.order_id]
            if fill.fill_id not in gone:
                held[leg] += (-1 if purpose is Purpose.UNWIND else 1) * fill.size_units
        expected = tuple(Decimal(units) / units_of(self.plan, leg, 1) for leg, units in enumerate(held))
        assert self.trade.quantities() == expected

    @invariant()
    def what_ended_is_over(self):
        """An ended trade has no working order, no excess and nothing that may fail."""
        if hasattr(self, "trade") and self.trade.ended:
            assert not self.trade.working()
            assert self.trade.excess() is None
            assert not self.trade.provisional

    def teardown(self):
        """The world turns kind: everything is answered, and the trade ends even on both legs, as the venue
        has it.
        """
        if not hasattr(self, "trade"):
            return
        for turn in range(400):
            self.now += 11
            for intent in self.venue.travelling:
                self.venue.arrive(intent, units_of(self.plan, intent.leg, 1), WHOLE, self.now)
            self.venue.travelling.clear()
            for order in self.venue.orders.values():
                if 0 < order.intent.expires_ns <= self.now:
                    self.venue.end(order, self.now)
            for order, name in self.venue.open_fills():
                self.venue.confirm(order, name, stands=True, now=self.now)
            while self.venue.queue:
                self.take(self.venue.queue.pop(0))
            if isinstance(self.obey(unwind=turn % 2 == 0), Ended):
                break
        assert self.ended and self.trade.ended, f"still {self.trade.state} after its world turned kind"
        assert self.trade.state in {TradeState.HEDGED, TradeState.UNWOUND, TradeState.NOT_FILLED}
        for name, order in self.venue.orders.items():
            assert self.trade.order(name).filled_units == order.stands, "a fill was lost or invented"
        for name, order in self.trade.orders.items():
            assert name in self.venue.orders or order.filled_units == 0


def record_of(name, status, now):
    """What the executor books of an order that was given up."""
    return OrderRecord(name, status, now, "never known")


TestTrade = Machine.TestCase
TestTrade.settings = settings(max_examples=150, stateful_step_count=40)
