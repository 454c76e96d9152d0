"""Orders: every step that may be, no other, and reports in whatever order they come."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal_records import ConfirmationRecord, OrderRecord
from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.trader.broker import OrderStatus
from pipeline.trader.orders import (
    FINAL,
    STEPS,
    Order,
    OrderState,
    confirmation_records,
    fill_records,
    most_paid,
    order_id_of,
    order_record,
    trade_id_of,
)
from tests.support.trades import fills_of, intent_of, plan_for, report_of

S, R = OrderState, OrderStatus
PLAN = plan_for()
REPORTED = [S.ACCEPTED, S.PARTIAL, S.FILLED, S.CANCELLED, S.REJECTED]
D = Decimal


def order_of(quantity="0.10", leg=0, **more):
    """An order of ten units that was sent."""
    order = Order(intent_of(PLAN, 0, leg, quantity, **more))
    order.to(S.SENT)
    return order


def report(status, *sizes, **more):
    return report_of("t-0", status, *sizes, **more)


def order_in(state, quantity="0.10"):
    """An order of ten units led to a state by legal steps."""
    order = Order(intent_of(PLAN, 0, 0, quantity))
    if state in {S.UNKNOWN, S.NOT_SENT}:
        order.to(state)
    elif state is not S.INTENT:
        order.to(S.SENT)
    if state in REPORTED:
        order.apply(report(R(state), *{S.FILLED: (4, 6), S.PARTIAL: (4,)}.get(state, ())))
    assert order.state is state
    return order


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("target", [S.INTENT, S.SENT, S.UNKNOWN, S.NOT_SENT, *sorted(FINAL - {S.NOT_SENT})])
def test_own_steps_are_legal_or_refused(state, target):
    """SENT, UNKNOWN and NOT_SENT are ours to take where an arrow leads there; ends are the venue's to say."""
    order = order_in(state)
    if target in STEPS[state] and target in {S.SENT, S.UNKNOWN, S.NOT_SENT}:
        order.to(target)
        assert (order.state, order.final) == (target, target in FINAL)
    else:
        with pytest.raises(ValueError, match=f"is {state.name}; it cannot become {target.name}"):
            order.to(target)
        assert order.state is state


# What a bare report of each status (FILLED with all fills, PARTIAL with four) makes of each state.
AFTER = {
    S.SENT: dict(zip(REPORTED, REPORTED, strict=True)),
    S.UNKNOWN: dict(zip(REPORTED, REPORTED, strict=True)),
    S.ACCEPTED: dict(zip(REPORTED, REPORTED, strict=True)),
    S.PARTIAL: {S.ACCEPTED: S.PARTIAL, S.PARTIAL: S.PARTIAL, S.FILLED: S.FILLED, S.CANCELLED: S.CANCELLED,
                S.REJECTED: S.CANCELLED},
}  # fmt: skip


@pytest.mark.parametrize("state", [state for state in S if state is not S.INTENT])
@pytest.mark.parametrize("status", REPORTED)
def test_every_report_in_every_state(state, status):
    """A report leads on or changes nothing but fills: no state is ever left backwards."""
    order = order_in(state)
    sizes = {S.FILLED: (4, 6), S.PARTIAL: (4,)}.get(status, ())
    order.apply(report(R(status), *sizes))
    assert order.state is AFTER.get(state, {}).get(status, state)
    assert order.state is state or order.state in STEPS[state]
    if state is S.FILLED:
        assert order.filled_units == 10
    elif state in FINAL:
        assert order.filled_units == sum(sizes)


def test_what_was_never_sent_cannot_be_reported():
    """A report of an order that is still an intent is an error."""
    with pytest.raises(ValueError, match="is INTENT"):
        order_in(S.INTENT).apply(report(R.ACCEPTED))


def test_an_order_that_the_venue_knew_was_sent():
    """NOT_SENT is for orders that nobody has ever heard of."""
    order = order_in(S.ACCEPTED)
    order.to(S.UNKNOWN)
    with pytest.raises(ValueError, match="the venue has known it"):
        order.to(S.NOT_SENT)


def test_fills_are_told_once_and_make_the_order_full():
    """A fill of a known id is not told again; fills that reach the size are FILLED by any name."""
    order = order_in(S.ACCEPTED)
    assert len(order.apply(report(R.PARTIAL, 4))) == 1
    assert order.apply(report(R.PARTIAL, 4)) == []
    assert [fill.size_units for fill in order.apply(report(R.PARTIAL, 4, 6))] == [6]
    assert (order.state, order.filled_units, order.open_units) == (S.FILLED, 10, 0)


def test_a_fill_that_overtakes_the_end_is_counted():
    """Late fills of a CANCELLED, REJECTED or NOT_SENT order are booked; the state stays and says late."""
    for state in (S.CANCELLED, S.REJECTED, S.NOT_SENT):
        order = order_in(state)
        assert len(order.apply(report(R.PARTIAL, 3))) == 1
        assert (order.state, order.filled_units, order.late, order.open_units) == (state, 3, True, 0)


def test_an_order_given_up_that_lives_is_late():
    """A NOT_SENT order that the venue turns out to have is marked, even without a fill."""
    order = order_in(S.NOT_SENT)
    order.apply(report(R.NOT_FOUND))
    assert not order.late
    order.apply(report(R.ACCEPTED))
    assert order.late and order.state is S.NOT_SENT


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (report(R.PARTIAL, 4, 7), "cannot have 11 of 10"),
        (report(R.PARTIAL, 5), "fill t-0-0 cannot be"),
        (report(R.PARTIAL, 0, start=1), "fill t-0-1 cannot be"),
        (report(R.PARTIAL, failed=("t-0-0",)), "cannot stand for good and have failed"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(event, text):
    """More than the size, another size under a known id, nothing at all, a final fill that failed."""
    order = order_in(S.PARTIAL)
    with pytest.raises(ValueError, match=text):
        order.apply(event)
    assert (order.state, order.filled_units, order.failed) == (S.PARTIAL, 4, frozenset())


def test_filled_without_its_fills_is_not_over():
    """FILLED whose fills have not all come stays open and says that some are missing, until they come."""
    order = order_of()
    order.apply(report(R.FILLED, 6, start=1))
    assert (order.state, order.missing, order.final) == (S.PARTIAL, True, False)
    order.apply(report(R.PARTIAL, 4))
    assert (order.state, order.missing, order.filled_units) == (S.FILLED, False, 10)


def test_not_found_is_noted_and_no_step():
    """The newest moment at which the venue did not know the order is kept; nothing else changes."""
    order = order_of()
    order.apply(report(R.NOT_FOUND, at_ns=70))
    order.apply(report(R.NOT_FOUND, at_ns=60))
    assert (order.state, order.not_found_ns, order.heard) == (S.SENT, 70, False)


def test_a_failed_fill_never_happened():
    """It leaves every sum, but its units are not filled again; a confirmed one stands for good."""
    order = order_of()
    order.apply(report(R.FILLED, 4, 6, provisional=True))
    assert order.provisional and order.filled_units == 10
    order.apply(report(R.FILLED, confirmed=("t-0-0",)))
    order.apply(report(R.FILLED, failed=("t-0-1",)))
    assert (order.filled_units, order.matched_units, order.provisional) == (4, 10, False)
    assert order.state is S.FILLED
    for wrong in ({"failed": ("t-0-0",)}, {"confirmed": ("t-0-1",)}):
        with pytest.raises(ValueError, match="for good and have failed"):
            order.apply(report(R.FILLED, **wrong))


def test_a_failure_may_be_told_before_the_fill():
    """The fill is then kept and counts nothing from the start."""
    order = order_of()
    order.apply(report(R.ACCEPTED, failed=("t-0-0",)))
    assert len(order.apply(report(R.CANCELLED, 4, provisional=True))) == 1
    assert (order.filled_units, order.provisional) == (0, False)


def test_a_confirmed_fill_that_never_came_is_missing():
    """An end is not taken while a fill is known to exist that was not told; the answer with it brings it."""
    order = order_of()
    order.apply(report(R.CANCELLED, confirmed=("t-0-0",)))
    assert (order.state, order.missing) == (S.ACCEPTED, True)
    order.apply(report(R.CANCELLED, 4, provisional=True))
    assert (order.state, order.missing, order.provisional) == (S.CANCELLED, False, False)


def test_a_fill_reported_again_as_final_is_confirmed():
    """The answer to a question may say it so; the journal hears of it."""
    order = order_of()
    order.apply(report(R.CANCELLED, 4, provisional=True))
    answer = report(R.CANCELLED, 4, at_ns=9)
    assert confirmation_records(answer, order) == [ConfirmationRecord("kalshi", "t-0-0", "CONFIRMED", 9)]
    order.apply(answer)
    assert not order.provisional
    assert confirmation_records(answer, order) == []


def reserve(order):
    return most_paid(order.intent, order.open_units)


def test_open_orders_reserve_what_they_may_take():
    """What is left of a buy holds its limit with the largest fee; what is final holds nothing."""
    order = order_of("10")
    # 10 x 0.48 and the fee at 0.48: 0.07 x 10 x 0.48 x 0.52, up to the cent of the balance.
    assert reserve(order) == D("4.98")
    order.apply(report(R.PARTIAL, 500))
    # 5 x 0.48 and 0.07 x 5 x 0.48 x 0.52 = 0.08736.
    assert reserve(order) == D("2.49")
    order.apply(report(R.CANCELLED))
    assert reserve(order) == 0
    # NO against a book of 0.55 costs 0.45: 10 x 0.45 and 0.04 x 10 x 0.45 x 0.55.
    other = order_of("10", leg=1, limit_ticks=550_000)
    assert D("4.599") <= reserve(other) <= D("4.5991")


def test_coins_reserve_their_price():
    """The fee of a coin goes with its price, not with the distance to one half."""
    intent = intent_of(PLAN, 0, 0, "2")
    coin = replace(intent.order, venue="kraken", outcome="base", limit_ticks=300_000, scale=Scale(2, 2))
    order = Order(replace(intent, order=coin, fee=FeeSchedule(FeeKind.BPS, 1_000)))
    assert D("6006") <= reserve(order) < D("6006.001")


def test_records_say_what_is_new():
    """Records carry order, trade, event, leg, polarity and evidence; a replay leaves none."""
    order = order_of("10", leg=1)
    event = report(R.CANCELLED, 3, 4, why="rest cancelled", provisional=True)
    record = order_record(event, order)
    assert record == OrderRecord("t-0", "CANCELLED", 5, "rest cancelled", {"row": 3})
    first, second = fill_records(event, order, PLAN)
    assert (first.fill_id, second.fill_id, second.size_units) == ("t-0-0", "t-0-1", 4)
    assert (first.venue, first.market, first.outcome, first.polarity) == ("polymarket", "P", "no", "inverse")
    assert (first.trade_id, first.event_id, first.provisional, first.maker) == ("t", "e", True, False)
    assert (first.scale, first.evidence) == (Scale(6, 6), {"row": 3})
    order.apply(event)
    assert order_record(event, order) is None
    assert fill_records(event, order, PLAN) == confirmation_records(event, order) == []


def test_an_order_has_one_final_record():
    """What comes after the end is written as PARTIAL; a report that says nothing new is not written."""
    order = order_in(S.CANCELLED)
    assert order_record(report(R.CANCELLED), order) is None
    assert order_record(report(R.NOT_FOUND), order_of()) is None
    late = order_record(report(R.FILLED, 3), order)
    assert late is not None and late.status == "PARTIAL"
    assert late.why.startswith("after its end as CANCELLED")


def test_several_reports_in_one_transaction():
    """A copy reads on while the order stands, so records of a batch are those of one after the other."""
    order = order_of()
    ahead = order.copy()
    told = []
    for event in (report(R.PARTIAL, 4), report(R.PARTIAL, 4), report(R.FILLED, 6, start=1)):
        told.append((order_record(event, ahead), len(fill_records(event, ahead, PLAN))))
        ahead.apply(event)
    assert [(record and record.status, count) for record, count in told] == [
        ("PARTIAL", 1), (None, 0), ("FILLED", 1),
    ]  # fmt: skip
    assert (order.state, order.fills) == (S.SENT, {})


def test_ids_follow_from_run_and_opportunity():
    """The same opportunity gives the same ids, so a second order for it can be seen."""
    assert trade_id_of("r3", 7, 12) == "r3-7.12"
    assert order_id_of("r3-7.12", 1) == "r3-7.12-1"


def journalled(order, events):
    """Apply reports as the ledger does: records first."""
    records, fills, told = [], [], []
    for event in events:
        record = order_record(event, order)
        records += [record] if record else []
        fills += fill_records(event, order, PLAN)
        told += confirmation_records(event, order)
        order.apply(event)
    return records, fills, told


@given(
    sizes=st.lists(st.integers(1, 4), max_size=4),
    failed=st.sets(st.integers(0, 3)),
    refused=st.booleans(),
    seed=st.randoms(use_true_random=False),
)
def test_any_order_of_reports_gives_the_same_fills(sizes, failed, refused, seed: random.Random):
    """Reports shuffled and repeated: same sums, never a step back, one final record, and the journal gives
    the same order back.
    """
    size = max(1, sum(sizes)) + (1 if refused else 0)
    events = [
        report(R.PARTIAL, *sizes[: number + 1], at_ns=number, provisional=True)
        for number in range(len(sizes) - (not refused))
    ]
    end = R.CANCELLED if refused or not sizes else R.FILLED
    events = [report(R.ACCEPTED), *events, report(end, *sizes, provisional=True)]
    events += [report(end, failed=(f"t-0-{number}",)) for number in failed if number < len(sizes)]
    events = seed.sample(events, len(events)) + seed.choices(events, k=3)
    order = order_of(str(Decimal(size).scaleb(-2)))
    records, fills, told = journalled(order, events)
    stands = sum(units for number, units in enumerate(sizes) if number not in failed)
    assert order.final
    assert order.filled_units == stands
    assert sum(OrderState[record.status] in FINAL for record in records) == 1
    assert len(fills) == len(sizes)
    again = Order.rebuilt(order.intent, records, fills, told)
    assert (again.state, again.fills, again.failed) == (order.state, order.fills, order.failed)
    for cut in range(len(records)):
        young = Order.rebuilt(order.intent, records[:cut], [], [])
        assert young.final == any(OrderState[record.status] in FINAL for record in records[:cut])


def test_what_had_not_ended_is_unknown_after_a_restart():
    """An intent alone is UNKNOWN and unheard; one with a report or a fill was heard of; full is FILLED."""
    order = order_of()
    records, fills, _ = journalled(order, [report(R.PARTIAL, 4)])
    bare, partial = Order.rebuilt(order.intent, [], [], []), Order.rebuilt(order.intent, records, fills, [])
    assert [(o.state, o.heard, o.filled_units) for o in (bare, partial)] == [
        (S.UNKNOWN, False, 0), (S.UNKNOWN, True, 4),
    ]  # fmt: skip
    _, rest, _ = journalled(order, [report(R.PARTIAL, 6, start=1)])
    assert Order.rebuilt(order.intent, records, fills + rest, []).state is S.FILLED
    assert fills_of("t-0", 6, start=1)[0].fill_id == rest[0].fill_id


def test_confirmed_fills_of_other_orders_are_not_missing():
    """The journal's confirmations name no order: a hedge at the same venue does not hold this one open."""
    told = [ConfirmationRecord("kalshi", "t-7-0", "CONFIRMED", 1)]
    again = Order.rebuilt(order_of().intent, [], [], told)
    again.apply(report(R.REJECTED))
    assert (again.state, again.missing) == (S.REJECTED, False)


@given(st.lists(st.tuples(st.sampled_from(list(R)), st.integers(0, 6)), max_size=12))
def test_whatever_is_reported_an_order_stays_sound(reports):
    """Any sequence of reports: never overfilled, final for ever, full is FILLED unless it ended before."""
    order = order_of()
    for number, (status, size) in enumerate(reports):
        before, was = order.state, order.filled_units
        try:
            order.apply(report(status, *([size] if size else []), start=number))
        except ValueError:
            assert (order.state, order.filled_units) == (before, was)
        assert order.state is before or order.state in STEPS[before]
        assert was <= order.filled_units <= 10
        assert order.late or (order.filled_units == 10) == (order.state is S.FILLED)


def test_an_end_that_misses_fills_is_no_end_yet():
    """A CANCELLED that speaks of more fills than have come leaves the order open until they are asked for."""
    order = order_of()
    ended = report(R.CANCELLED, matched_units=4)
    assert order.apply(ended) == []
    assert (order.state, order.missing, order.final) == (S.ACCEPTED, True, False)
    order.apply(report(R.CANCELLED, 4, matched_units=4))
    assert (order.state, order.missing, order.filled_units) == (S.CANCELLED, False, 4)
