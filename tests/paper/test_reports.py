"""Reports: however many fills an order has, every message of its story fits into a frame."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pipeline.paper import reports
from pipeline.paper.matching import canonical
from pipeline.paper.orders import Fill, FillState, Status, order_of
from pipeline.wire import KEY_BYTES, Sealer
from tests.support.paper_world import YES, place_of

SEALER = Sealer(bytes(KEY_BYTES))


def an_order(count, evidence, states):
    order = order_of(place_of(YES, "trade-of-a-long-name-" * 3), 1, 0, "")
    order.status = Status.FILLED
    for number in range(count):
        state = states[number % len(states)]
        shown = evidence if number % 7 == 0 else ""
        order.fills.append(Fill(order.next_fill_id(), 480_000 + number, 10, YES_FEE, 1, False, shown, state))
    return order


YES_FEE = Decimal("0.0123")


@given(
    st.integers(0, 90),
    st.integers(0, 200),
    st.lists(st.sampled_from(FillState), min_size=1, max_size=3),
)
def test_nothing_is_lost_between_frames(count, levels, states):
    """Every fill and every end of a provisional one is told once, in order; only the last says the end."""
    ladder = [[480_000 + number, 10**12 + number] for number in range(levels)]
    evidence = canonical({"row": 1, "ladder": ladder, "taken": []})
    order = an_order(count, evidence, states)
    messages = reports.messages(reports.told(order, order.fills, 5))
    for message in messages:
        SEALER.seal(message)
    told = [fill.fill_id for message in messages for fill in message.fills]
    assert told == [fill.fill_id for fill in order.fills]
    for name, state in (("confirmed", FillState.CONFIRMED), ("failed", FillState.FAILED)):
        ids = [fill_id for message in messages for fill_id in getattr(message, name)]
        assert ids == [fill.fill_id for fill in order.fills if fill.state is state]
    assert [message.status for message in messages[:-1]] == [Status.PARTIAL] * (len(messages) - 1)
    assert messages[-1].status == Status.FILLED


def test_evidence_that_is_too_long_keeps_what_was_taken():
    """The levels that nothing was taken of are left out first: the fills still follow from the rest."""
    ladder = [[480_000 + number, 10**12] for number in range(300)]
    order = an_order(2, canonical({"row": 1, "ladder": ladder, "taken": [[480_000, 5]]}), [FillState.FINAL])
    (message,) = reports.messages(reports.told(order, order.fills, 5))
    kept = json.loads(message.evidence)
    assert kept == {"row": 1, "ladder": ladder[:2], "taken": [[480_000, 5]]}


def test_the_end_of_an_answer_has_no_id():
    """The last message of an answer names no order."""
    (message,) = reports.messages(reports.unknown("a", "", 7))
    assert (message.order_id, message.fills, message.at_ns) == ("", (), 7)
