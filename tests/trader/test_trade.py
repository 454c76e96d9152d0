"""A trade of two legs: what it is after every course of its orders, and what it wants done next."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.model_orders import OrderState
from pipeline.trader.broker import OrderStatus as R
from pipeline.trader.broker import Purpose, Style
from pipeline.trader.orders import confirmation_records, fill_records, order_record
from pipeline.trader.plan import MAKER_HEDGE
from pipeline.trader.trade import (
    Alarm,
    Ask,
    CancelQuote,
    Ended,
    Excess,
    GiveUp,
    Repair,
    SendSecond,
    Timing,
    Trade,
    TradeState,
    Wait,
)
from tests.support.trades import intent_of, plan_for, report_of, units_of

D = Decimal
ANSWER, EVERY, BOOKING, HEDGE, RETRY = 100, 50, 30, 1000, 400
TIMING = Timing(ANSWER, EVERY, BOOKING, HEDGE, RETRY, lambda _plan, _leg, _quantity: False)
BOTH = ("t-0", "t-1")


class Run:
    """A trade and a clock; fills get numbers of their own."""

    def __init__(self, plan=None, **more):
        self.trade = Trade(plan or plan_for(**more))
        self.now = self.made = 0

    def send(self, *intents):
        for intent in intents:
            self.trade.add(intent)
        self.trade.sent([intent.order_id for intent in intents], self.now)
        return self

    def order(self, leg, quantity="10", purpose=Purpose.OPEN, **more):
        """Send one more order."""
        return self.send(intent_of(self.trade.plan, self.trade.next_number(), leg, quantity, purpose, **more))

    def tell(self, number, status, *quantities, **more):
        """Report about an order; its fills are new ones."""
        name = f"t-{number}"
        leg = self.trade.order(name).intent.leg
        sizes = [units_of(self.trade.plan, leg, quantity) for quantity in quantities]
        event = report_of(name, status, *sizes, at_ns=self.now, start=self.made, **more)
        self.made += len(sizes)
        return self.trade.apply(event)

    def step(self, now=None, timing=TIMING):
        self.now = self.now if now is None else now
        return self.trade.step(self.now, timing)


def pair(**more):
    """Both legs sent at once, to be refused by the venue after 200."""
    run = Run(**more)
    legs = (intent_of(run.trade.plan, number, number, deadline_ns=200) for number in (0, 1))
    return run.send(*legs)


def quoted(expires_ns=500):
    """A quote of ten for the first leg."""
    run = Run(mode=MAKER_HEDGE, first=0)
    return run.order(0, purpose=Purpose.QUOTE, style=Style.MAKER, deadline_ns=200, expires_ns=expires_ns)


@pytest.mark.parametrize(
    ("first", "second", "state", "step"),
    [
        ((R.FILLED, "10"), (R.FILLED, "10"), TradeState.HEDGED, Ended()),
        ((R.CANCELLED, "4"), (R.CANCELLED, "4"), TradeState.HEDGED, Ended()),
        ((R.CANCELLED,), (R.REJECTED,), TradeState.NOT_FILLED, Ended()),
        ((R.FILLED, "10"), (R.CANCELLED, "9.99"), TradeState.OPEN, Repair(0, D("0.01"))),
        ((R.REJECTED,), (R.FILLED, "10"), TradeState.OPEN, Repair(1, D(10))),
        ((R.FILLED, "10"), None, TradeState.OPEN, Wait()),
        ((R.FILLED, "10"), (R.PARTIAL, "9"), TradeState.OPEN, Wait()),
        ((R.ACCEPTED,), (R.ACCEPTED,), TradeState.OPEN, Wait()),
    ],
)
def test_a_trade_is_what_its_legs_filled(first, second, state, step):
    """Both legs are compared in contracts, each on its own scale; uneven ends are repaired at once."""
    run = pair()
    for number, outcome in enumerate((first, second)):
        if outcome:
            run.tell(number, *outcome)
    assert (run.trade.state, run.step(10)) == (state, step)
    assert run.trade.ended == (step == Ended())


@pytest.mark.parametrize(
    ("purpose", "leg", "state"),
    [(Purpose.HEDGE, 1, TradeState.HEDGED), (Purpose.UNWIND, 0, TradeState.UNWOUND)],
)
def test_an_excess_is_completed_or_taken_back(purpose, leg, state):
    """One repair at a time, tried again for what it leaves, until the legs are equal."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.REJECTED)
    assert run.step(10) == Repair(0, D(10))
    run.order(leg, "10", purpose)
    assert run.step(11) == Wait()
    run.tell(2, R.CANCELLED, "6")
    assert run.step(12) == Repair(0, D(4))
    run.order(leg, "4", purpose)
    run.tell(3, R.FILLED, "4")
    assert (run.step(13), run.trade.state, run.trade.next_number()) == (Ended(), state, 4)
    assert run.trade.quantities() == ((D(10), D(10)) if leg else (D(0), D(0)))


def test_the_second_leg_follows_the_first():
    """Harder leg first: the other is asked for once, for what the first filled; not sent, it is repaired."""
    run = Run(first=1).order(1)
    assert run.step(1) == Wait()
    run.tell(0, R.CANCELLED, "7")
    assert run.step(2) == SendSecond(0, D(7))
    assert run.step(3) == Repair(1, D(7))
    run.order(0, "7")
    assert run.step(4) == Wait()
    run.tell(1, R.FILLED, "7")
    assert (run.step(5), run.trade.state) == (Ended(), TradeState.HEDGED)


def test_nothing_follows_a_first_leg_without_fills():
    """The trade is over, and the other leg never was."""
    run = Run(first=0).order(0)
    run.tell(0, R.CANCELLED)
    assert (run.step(1), run.trade.state) == (Ended(), TradeState.NOT_FILLED)


def test_silence_is_asked_about_and_nothing_else_is_sent():
    """SENT without a report is UNKNOWN after a while: asked for again and again, and nothing else is sent."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    assert run.step(ANSWER - 1) == Wait()
    assert run.step(ANSWER) == Ask(("t-1",))
    assert run.trade.order("t-1").state is OrderState.UNKNOWN
    assert run.step(ANSWER + EVERY - 1) == Wait()
    assert run.step(ANSWER + EVERY) == Ask(("t-1",))
    with pytest.raises(ValueError, match="is UNKNOWN"):
        run.order(0, "10", Purpose.UNWIND)
    run.tell(1, R.CANCELLED, "3")
    assert run.step() == Repair(0, D(7))


def test_an_order_is_given_up_only_when_the_venue_takes_it_no_more():
    """NOT_FOUND counts from the deadline and the booking delay on; then, and only then, it is NOT_SENT."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    assert run.step(ANSWER) == Ask(("t-1",))
    run.now = 200 + BOOKING - 1
    run.tell(1, R.NOT_FOUND)
    assert run.step(200 + BOOKING + 5) == Ask(("t-1",))
    run.tell(1, R.NOT_FOUND)
    assert run.step() == GiveUp(("t-1",))
    run.trade.mark_not_sent("t-1", "the venue never knew it")
    assert run.step() == Repair(0, D(10))


def test_without_a_deadline_nothing_is_given_up():
    """An order that may arrive at any time stays UNKNOWN, and is an alarm in the end."""
    run = Run().order(0)
    assert run.step(ANSWER) == Ask(("t-0",))
    run.now = 10**6
    run.tell(0, R.NOT_FOUND)
    assert run.step() == Alarm(0, D(10), ANSWER)
    assert run.step() == Ask(("t-0",))
    assert run.step() == Wait()


def test_an_order_that_the_venue_forgot_is_never_not_sent():
    """What was accepted once and is not found later stays UNKNOWN: somebody must look."""
    run = Run().order(0, deadline_ns=200)
    run.tell(0, R.ACCEPTED)
    assert run.step(200 + BOOKING - 1) == Wait()
    assert run.step(200 + BOOKING) == Ask(("t-0",))
    run.now = 300
    run.tell(0, R.NOT_FOUND)
    assert run.step() == Ask(("t-0",))
    assert run.trade.order("t-0").state is OrderState.UNKNOWN


def test_filled_without_its_fills_is_asked_for():
    """The venue says FILLED and a fill is missing: nothing is repaired on half the truth."""
    run = pair()
    run.tell(0, R.FILLED, "4")
    run.tell(1, R.FILLED, "10")
    assert run.step(1) == Ask(("t-0",))
    run.tell(0, R.FILLED, "6")
    assert run.step(2) == Ended()


def test_an_excess_that_lasts_is_an_alarm_once():
    """From the first moment it could be repaired; repairs go on after it, more slowly."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.REJECTED)
    assert run.step(10) == Repair(0, D(10))
    assert run.step(10 + HEDGE - 1) == Repair(0, D(10))
    assert run.trade.state is TradeState.OPEN
    assert run.step(10 + HEDGE) == Alarm(0, D(10), 10)
    assert run.trade.state is TradeState.UNHEDGED
    assert [run.step(), run.step()] == [Repair(0, D(10)), Wait()]
    assert run.step(10 + HEDGE + RETRY - 1) == Wait()
    assert run.step(10 + HEDGE + RETRY) == Repair(0, D(10))
    run.order(0, "10", Purpose.UNWIND)
    run.tell(2, R.FILLED, "10")
    assert (run.step(), run.trade.state, run.trade.alarmed) == (Ended(), TradeState.UNWOUND, False)


def test_legs_on_their_way_are_no_trouble():
    """While an opening order may still fill, an uneven trade waits and no time is counted."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.ACCEPTED)
    assert run.step(150) == Wait()
    run.now = 190
    run.tell(1, R.REJECTED)
    assert run.step() == Repair(0, D(10))
    assert run.step(190 + HEDGE) == Alarm(0, D(10), 190)


def test_a_quote_is_hedged_while_it_rests():
    """Each fill is an excess at once; what fills during a hedge is hedged after it."""
    run = quoted()
    run.tell(0, R.ACCEPTED)
    assert run.step(300) == Wait()
    run.tell(0, R.PARTIAL, "3")
    assert run.step(301) == Repair(0, D(3))
    run.order(1, "3", Purpose.HEDGE)
    run.tell(0, R.PARTIAL, "2")
    assert run.step(302) == Wait()
    run.tell(1, R.FILLED, "3")
    assert run.step(303) == Repair(0, D(2))
    run.order(1, "2", Purpose.HEDGE)
    run.tell(2, R.FILLED, "2")
    assert run.step(304) == Wait()
    run.tell(0, R.CANCELLED, why="expired")
    assert (run.step(305), run.trade.state) == (Ended(), TradeState.HEDGED)


def test_fills_that_come_one_by_one_are_no_alarm():
    """A quote that is filled for long is no trouble as long as each excess is hedged in time."""
    run = quoted(expires_ns=10**6)
    run.tell(0, R.PARTIAL, "1")
    for number in range(1, 8):
        assert run.step(number * HEDGE // 2) == Repair(0, D(1))
        run.order(1, "1", Purpose.HEDGE)
        run.tell(0, R.PARTIAL, "1")
        run.tell(number, R.FILLED, "1")
    assert not run.trade.alarmed


def test_a_quote_that_nobody_took_is_not_filled():
    """It ends at its venue, and the trade with it."""
    run = quoted()
    run.tell(0, R.ACCEPTED)
    run.tell(0, R.CANCELLED)
    assert (run.step(1), run.trade.state) == (Ended(), TradeState.NOT_FILLED)


def test_a_quote_past_its_end_is_cancelled_then_asked_for():
    """Past expiry and booking its end is asked for, again and again; no answer makes it UNKNOWN."""
    run = quoted()
    run.tell(0, R.ACCEPTED)
    assert run.step(500 + BOOKING - 1) == Wait()
    assert run.step(500 + BOOKING) == CancelQuote(("t-0",))
    assert run.step() == Wait()
    assert run.step(530 + EVERY) == CancelQuote(("t-0",))
    assert run.step(530 + ANSWER) == Ask(("t-0",))
    assert run.step() == CancelQuote(("t-0",))
    run.tell(0, R.PARTIAL, "1")
    assert run.step() == Repair(0, D(1))


def test_a_cancel_that_was_lost_is_repeated():
    """A quote that the caller cancelled is cancelled until it has ended."""
    run = quoted()
    run.tell(0, R.ACCEPTED)
    run.trade.cancelled(["t-0"], 40)
    assert run.step(40 + EVERY - 1) == Wait()
    assert run.step(40 + EVERY) == CancelQuote(("t-0",))
    run.tell(0, R.CANCELLED)
    assert run.step() == Ended()


def test_a_quote_whose_fills_cannot_be_hedged_is_cancelled():
    """No order could be made of the repair, or the alarm is on: it must not fill more."""
    run = quoted()
    run.tell(0, R.PARTIAL, "3")
    assert run.step(10) == Repair(0, D(3))
    run.trade.stuck()
    assert run.step(11) == CancelQuote(("t-0",))
    assert run.step(12) == Repair(0, D(3))


def test_a_provisional_fill_keeps_the_trade_and_a_failed_one_opens_it():
    """HEDGED is not over while a fill may fail; if it does, there is an excess again."""
    run = pair()
    run.now = 1
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.FILLED, "10", provisional=True)
    assert run.step(1) == Wait()
    assert (run.trade.state, run.trade.ended) == (TradeState.HEDGED, False)
    run.tell(1, R.FILLED, failed=("t-1-1",))
    assert (run.step(2), run.trade.state) == (Repair(0, D(10)), TradeState.OPEN)
    run.order(1, "10", Purpose.HEDGE)
    run.tell(2, R.FILLED, "10", provisional=True)
    run.tell(2, R.FILLED, confirmed=("t-2-2",))
    assert run.step(3) == Ended()


def test_what_became_of_a_provisional_fill_is_asked_now_and_then():
    """The report of it may be lost too."""
    run = pair()
    run.now = 5
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.FILLED, "10", provisional=True)
    assert run.step(5 + RETRY - 1) == Wait()
    assert run.step(5 + RETRY) == Ask(("t-1",))
    assert run.step() == Wait()


def test_a_failed_fill_that_was_taken_back_is_bought_again():
    """The leg then holds less than nothing: the other side of the excess says so."""
    run = pair()
    run.tell(0, R.FILLED, "10", provisional=True)
    run.tell(1, R.REJECTED)
    run.order(0, "10", Purpose.UNWIND)
    run.tell(2, R.FILLED, "10")
    assert run.trade.state is TradeState.UNWOUND
    run.tell(0, R.FILLED, failed=("t-0-0",))
    assert run.trade.quantities() == (D(-10), D(0))
    assert run.step(1) == Repair(1, D(10))
    run.order(0, "10", Purpose.HEDGE)
    run.tell(3, R.FILLED, "10")
    assert (run.step(2), run.trade.quantities()) == (Ended(), (D(0), D(0)))


def test_a_fill_that_never_happened_is_not_filled():
    """When all that was filled fails, nothing was."""
    run = Run().order(0)
    run.tell(0, R.FILLED, "10", provisional=True)
    run.tell(0, R.FILLED, failed=("t-0-0",))
    assert (run.step(1), run.trade.state) == (Ended(), TradeState.NOT_FILLED)


def test_a_late_fill_opens_the_trade_again():
    """A fill after the order's end counts, and is repaired."""
    run = pair()
    run.tell(0, R.CANCELLED)
    run.tell(1, R.CANCELLED)
    assert run.step(1) == Ended()
    run.tell(0, R.PARTIAL, "2")
    assert (run.step(2), run.trade.order("t-0").late) == (Repair(0, D(2)), True)


def test_dust_is_no_excess_to_mend():
    """What is too small for an order stays, in the numbers too, and the trade ends."""
    timing = replace(TIMING, dust=lambda plan, leg, quantity: plan.legs[leg].scale and quantity < D("0.01"))
    for filled, state in (("9.995", TradeState.HEDGED), ("0.005", TradeState.UNWOUND)):
        run = pair()
        run.tell(0, R.CANCELLED, *(["10"] if filled > "1" else []))
        run.tell(1, R.CANCELLED, filled)
        assert run.trade.state is TradeState.OPEN
        assert (run.step(1, timing), run.trade.state) == (Ended(), state)
        assert run.trade.ended
        assert run.trade.excess() == Excess(int(filled < "1"), D("0.005"))


def test_dust_after_an_alarm_ends_it():
    """The rest of a repair that is dust leaves no alarm behind."""
    timing = replace(TIMING, dust=lambda _plan, _leg, quantity: quantity < 1)
    run = pair()
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.CANCELLED, "8")
    run.step(0, timing)
    assert run.step(HEDGE, timing) == Alarm(0, D(2), 0)
    run.order(1, "1.5", Purpose.HEDGE)
    run.tell(2, R.FILLED, "1.5")
    assert (run.step(HEDGE, timing), run.trade.state) == (Ended(), TradeState.HEDGED)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"number": 1}, "is not number 2"),
        ({"number": 3}, "is not number 2"),
        ({"leg": 1}, "does not buy leg 1"),
        ({"purpose": Purpose.UNWIND}, "does not sell leg 0"),
    ],
)
def test_an_order_that_is_not_the_trades_next_is_refused(changes, text):
    """An id is used once, in turn, and an order does what the plan says of its leg."""
    run = pair()
    intent = intent_of(run.trade.plan, changes.pop("number", 2), 0)
    with pytest.raises(ValueError, match=text):
        run.trade.add(replace(intent, **changes))
    assert list(run.trade.orders) == list(BOTH)


def test_one_repair_at_a_time_and_nothing_sent_twice():
    """A second repair, a second sending and an order of another trade are errors."""
    run = pair()
    run.tell(0, R.FILLED, "10")
    run.tell(1, R.REJECTED)
    run.order(1, "5", Purpose.HEDGE)
    with pytest.raises(ValueError, match="another repair"):
        run.order(0, "5", Purpose.UNWIND)
    with pytest.raises(ValueError, match="cannot become SENT"):
        run.trade.sent(["t-0"], 9)
    with pytest.raises(KeyError):
        run.trade.apply(report_of("x-0", R.FILLED))


def test_between_commit_and_submit_nothing_else_is_wanted():
    """An intent that is not sent yet keeps the trade still."""
    run = Run()
    assert run.step() == Wait()
    run.trade.add(intent_of(run.trade.plan, 0, 0))
    assert run.step(10**6) == Wait()
    run.trade.mark_not_sent("t-0", "the journal failed")
    assert (run.step(), run.trade.state) == (Ended(), TradeState.NOT_FILLED)


def test_a_restart_asks_first_and_repairs_then():
    """From the journal: what had not ended is UNKNOWN, fills count, and a second leg is no longer sent."""
    run = Run(first=0).order(0, deadline_ns=200)
    event = report_of("t-0", R.PARTIAL, 400, provisional=True)
    order = run.trade.order("t-0")
    parts = [order_record(event, order)], fill_records(event, order, run.trade.plan)
    intents = [order.intent]
    again = Trade.rebuilt(run.trade.plan, intents, *parts, confirmation_records(event, order))
    assert (again.quantities(), again.provisional, again.next_number()) == ((D(4), D(0)), True, 1)
    assert again.step(1000, TIMING) == Ask(("t-0",))
    again.apply(report_of("t-0", R.CANCELLED, 400, at_ns=1001))
    assert again.step(1002, TIMING) == Repair(0, D(4))


def test_a_restart_asks_for_provisional_fills_at_once():
    """What became of them while nobody listened is not told again by itself."""
    run = pair()
    events = [report_of(name, R.FILLED, size, provisional=True) for name, size in
              (("t-0", 1000), ("t-1", 10_000_000))]  # fmt: skip
    orders = [run.trade.order(event.order_id) for event in events]
    records = [order_record(*both) for both in zip(events, orders, strict=True)]
    fills = [
        fill for both in zip(events, orders, strict=True) for fill in fill_records(*both, run.trade.plan)
    ]
    again = Trade.rebuilt(run.trade.plan, [order.intent for order in orders], records, fills, [])
    assert (again.state, again.step(7, TIMING)) == (TradeState.HEDGED, Ask(BOTH))
