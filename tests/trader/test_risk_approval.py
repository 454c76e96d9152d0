"""Approval: an order is approved only as it was checked, and only once it is committed."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.model import FeeSchedule, Reason, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Approved, OrderIntent, Purpose, Refused, Style
from pipeline.trader.plan import MAKER_HEDGE
from pipeline.trader.risk import Passed, approve, approve_repair, gate
from tests.support.risk_looks import ACCOUNT, KELLY, LIMITS, NOW, SCALE, a_look, within

D = Decimal


def passed(**changes) -> Passed:
    found = gate(a_look(**changes), ACCOUNT, LIMITS, KELLY, within())
    assert isinstance(found, Passed)
    return found


def intents(of: Passed, **changes) -> tuple[OrderIntent, ...]:
    """The orders of what passed; `changes` are of each leg's order."""
    orders = [
        OrderLeg(
            leg.venue, leg.market, leg.outcome, leg.action, priced.limit_ticks, of.edge.size_units, SCALE
        )
        for leg, priced in zip(of.look.legs, of.edge.legs, strict=True)
    ]
    return tuple(
        OrderIntent(f"t-{number}", replace(order, **changes), FeeSchedule(), number)
        for number, order in enumerate(orders)
    )


def quotes(of: Passed) -> tuple[OrderIntent, ...]:
    rests = {"purpose": Purpose.QUOTE, "style": Style.MAKER, "expires_ns": NOW + 10**10}
    return tuple(replace(intent, **rests) for intent in intents(of))


class Commits:
    """Counts what is committed."""

    count = 0

    def __call__(self):
        self.count += 1


def test_approval_follows_the_commit():
    """An Approved exists only after the intents are committed, and carries them."""
    of, commits = passed(), Commits()
    assert approve(of, "t", intents(of), commits) == Approved("t", "e", intents(of))
    assert commits.count == 1

    def broken():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        approve(of, "t", intents(of), broken)


def test_one_leg_may_be_sent_first():
    """Either leg of what passed may be sent alone; the other follows as a hedge."""
    of = passed()
    for intent in intents(of):
        assert approve(of, "t", (intent,), Commits()).intents == (intent,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_units": 1}, {"size_units": 1075}, {"market": "other"}, {"venue": "kraken"},
        {"outcome": "base"}, {"action": "sell"}, {"limit_ticks": 1}, {"limit_ticks": 999_999},
        {"scale": Scale(6, 3)},
    ],
)  # fmt: skip
def test_only_what_passed_is_approved(wrong):
    """An order of another leg, size, limit or scale than was checked is neither approved nor committed."""
    of, commits = passed(), Commits()
    with pytest.raises(AssertionError):
        approve(of, "t", intents(of, **wrong), commits)
    assert commits.count == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": Purpose.QUOTE}, {"purpose": Purpose.CLOSE}, {"purpose": Purpose.HEDGE},
        {"style": Style.MAKER}, {"leg": 2}, {"leg": -1},
    ],
)  # fmt: skip
def test_a_taker_opens_with_takers(changes):
    """What a taker opens with is an IOC order to open; a repair has its own way."""
    of = passed()
    with pytest.raises(AssertionError):
        approve(of, "t", (replace(intents(of)[0], **changes),), Commits())


@pytest.mark.parametrize("numbers", [(), (0, 0), (0, 1, 0)])
def test_no_leg_is_sent_twice(numbers):
    """One order a leg, and at least one."""
    of = passed()
    with pytest.raises(AssertionError):
        approve(of, "t", tuple(intents(of)[number] for number in numbers), Commits())


def test_a_quote_is_the_leg_that_was_priced_to_rest():
    """In maker mode one order is approved: the quoted leg's, which rests and which its venue ends."""
    of = passed(mode=MAKER_HEDGE, quoted=1)
    first, second = quotes(of)
    assert approve(of, "t", (second,), Commits()).intents == (second,)
    wrong = [(first,), (first, second), (intents(of)[1],)]
    wrong += [(replace(second, **one),) for one in ({"expires_ns": NOW}, {"style": Style.IOC})]
    for orders in wrong:
        with pytest.raises(AssertionError):
            approve(of, "t", orders, Commits())


def repair(size_units=100, purpose=Purpose.HEDGE, **changes) -> OrderIntent:
    order = OrderLeg("polymarket", "P", "no", "buy", 550_000, size_units, SCALE)
    style = changes.pop("style", Style.IOC)
    return OrderIntent("t-2", replace(order, **changes), FeeSchedule(), 1, purpose, style)


@pytest.mark.parametrize("purpose", [Purpose.HEDGE, Purpose.UNWIND])
def test_a_repair_is_approved_up_to_the_excess(purpose):
    """What stands without a hedge may be made smaller whatever the limits say, to the last unit."""
    commits, order = Commits(), repair(purpose=purpose)
    assert approve_repair("t", "e", D(1), order, commits, journal_ok=True) == Approved("t", "e", (order,))
    assert commits.count == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_units": 101}, {"size_units": 0}, {"size_units": -5}, {"purpose": Purpose.OPEN},
        {"purpose": Purpose.QUOTE}, {"style": Style.MAKER}, {"limit_ticks": 0}, {"limit_ticks": 1_000_000},
    ],
)  # fmt: skip
def test_a_repair_never_opens_anything(wrong):
    """More than the excess, another purpose, a resting order or an impossible price is no repair."""
    commits = Commits()
    with pytest.raises(AssertionError):
        approve_repair("t", "e", D(1), repair(**wrong), commits, journal_ok=True)
    assert commits.count == 0


def test_a_coin_may_cost_more_than_a_dollar():
    """The dollar bounds contracts alone."""
    coin = repair(outcome="base", action="sell", limit_ticks=60_000_000_000)
    assert isinstance(approve_repair("t", "e", D(1), coin, Commits(), journal_ok=True), Approved)


def test_without_a_journal_not_even_a_repair_is_sent():
    """What cannot be committed is refused before it is tried."""
    commits = Commits()
    refused = approve_repair("t", "e", D(1), repair(), commits, journal_ok=False)
    assert refused == Refused(Reason.JOURNAL, D(0), D(1))
    assert commits.count == 0
