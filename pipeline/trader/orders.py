"""Orders: the life of one order, and what the journal keeps of it.

In: intents, and what the broker reports, in whatever order it comes. Out: states, fills, records for the
journal, and `ValueError` for what cannot be. Pure; used by the trader. After reliability.md section 2: an
order is never sent twice, and what nobody knows is UNKNOWN until someone asked.

    INTENT ---> SENT              handed to the broker
       |         |---> ACCEPTED   the venue has it: on its way to the book, or resting
       |         |        |---> PARTIAL    a part is filled
       |         |        |        |---> FILLED      every unit is filled
       |         |        |        '---> CANCELLED   the rest never will be
       |         '--------'------------> REJECTED    the venue refused it, unfilled
       |---> NOT_SENT             the process never handed it over
       '---> UNKNOWN              a restart: nobody knows whether it was sent
    SENT, ACCEPTED, PARTIAL ---> UNKNOWN   no report came when one was due
    UNKNOWN ---> ACCEPTED, PARTIAL, FILLED, CANCELLED, REJECTED   the venue answered
    UNKNOWN ---> NOT_SENT         the venue never knew it, and after its deadline it takes it no more

Steps may be skipped (SENT to FILLED) and are never taken back: a report of an earlier state only adds its
fills. FILLED, CANCELLED, REJECTED and NOT_SENT are for ever; a fill that comes later is booked all the
same, and the order is `late`. A provisional fill that failed never happened: it is kept, marked, and left
out of every sum. Fills that add up to the size are FILLED, whatever the report calls it. Fills that must
exist and have not come (FILLED below the size, an unknown one confirmed) keep an order from its end until it
was asked for. CANCELLED does not say how much was filled: its report must bring all fills there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from decimal import Decimal

from pipeline.fees import fee_high
from pipeline.journal_records import CONFIRMED, FAILED, ConfirmationRecord, FillRecord, OrderRecord
from pipeline.model import EXACT
from pipeline.model_events import order_price_ticks
from pipeline.model_orders import OrderState
from pipeline.money import to_decimal
from pipeline.trader.broker import OrderEvent, OrderFill, OrderIntent, OrderStatus
from pipeline.trader.plan import TradePlan

_S = OrderState
FINAL = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.NOT_SENT})
_ENDS = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED})
STEPS: dict[OrderState, frozenset[OrderState]] = {
    _S.INTENT: frozenset({_S.SENT, _S.UNKNOWN, _S.NOT_SENT}),
    _S.SENT: _ENDS | {_S.ACCEPTED, _S.PARTIAL, _S.UNKNOWN},
    _S.ACCEPTED: _ENDS | {_S.PARTIAL, _S.UNKNOWN},
    _S.PARTIAL: frozenset({_S.FILLED, _S.CANCELLED, _S.UNKNOWN}),
    _S.UNKNOWN: _ENDS | {_S.ACCEPTED, _S.PARTIAL, _S.NOT_SENT},
    **dict.fromkeys(FINAL, frozenset()),
}
"""Every arrow of the drawing; to stay where one is needs none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a report changes of an order: the state it leads to, and what of it is new.

    `late` says that it came after the order's end; `missing` that there are fills which have not come.
    """

    state: OrderState
    fills: tuple[OrderFill, ...]
    confirmed: frozenset[str]
    failed: frozenset[str]
    late: bool
    missing: bool


class Order:
    """One order: its intent, its state and its fills by id.

    `confirmed` and `failed` are ids of fills, which may be told before the fills themselves. `heard` says
    that the venue has known it, `full` that it has called it FILLED, `missing` that fills must exist which
    have not come. Stamps are CLOCK_MONOTONIC: `sent_ns` when it was handed to the broker (0: by an earlier
    process), `heard_ns` the last report of it, `not_found_ns` the last time the venue did not know it (0:
    never); `ending_ns` since when its end is wanted, `asked_ns` and `cancel_ns` when it was last asked for
    and cancelled (None: never; kept by its `Trade`).
    """

    def __init__(self, intent: OrderIntent) -> None:
        self.intent = intent
        self.state = OrderState.INTENT
        self.fills: dict[str, OrderFill] = {}
        self.confirmed: frozenset[str] = frozenset()
        self.failed: frozenset[str] = frozenset()
        self.why = ""
        self.heard = self.late = self.missing = self.full = False
        self.told_units = -1
        self.sent_ns = self.heard_ns = self.not_found_ns = 0
        self.asked_ns: int | None = None
        self.ending_ns: int | None = None
        self.cancel_ns: int | None = None

    @classmethod
    def rebuilt(
        cls,
        intent: OrderIntent,
        records: Iterable[OrderRecord],
        fills: Iterable[FillRecord],
        confirmations: Iterable[ConfirmationRecord],
    ) -> Order:
        """An order as the journal knows it, from all records of it: UNKNOWN where it has not ended.

        `confirmations` may hold those of other orders at other venues; only this venue's count.
        """
        order = cls(intent)
        venue = intent.order.venue
        order.fills = {
            fill.fill_id: OrderFill(
                fill.fill_id, fill.price_ticks, fill.size_units, fill.fee, fill.maker, fill.provisional
            )
            for fill in fills
        }
        told = [(record.fill_id, record.status) for record in confirmations if record.venue == venue]
        # The ids of other orders are no fills that are missing here.
        order.confirmed = frozenset(
            fill_id for fill_id, status in told if status == CONFIRMED and fill_id in order.fills
        )
        order.failed = frozenset(fill_id for fill_id, status in told if status == FAILED)
        order.state = OrderState.UNKNOWN
        for record in records:
            known = OrderState.__members__.get(record.status)
            order.heard |= known is not None and OrderState.ACCEPTED <= known <= OrderState.REJECTED
            if known in FINAL:
                order.state, order.why = known, record.why
        order.heard |= bool(order.fills)
        if order.matched_units >= intent.order.size_units and order.state not in FINAL:
            order.state = OrderState.FILLED
        return order

    def copy(self) -> Order:
        """The same order apart: to read on before what was read is committed."""
        made = copy(self)
        made.fills = dict(self.fills)
        return made

    @property
    def order_id(self) -> str:
        """The id that it has for ever."""
        return self.intent.order_id

    @property
    def filled_units(self) -> int:
        """Sum of the fills that stand, on the leg's own scale."""
        return sum(fill.size_units for fill in self.standing())

    @property
    def matched_units(self) -> int:
        """Sum of all fills, those that failed too: what the venue will not fill again."""
        return sum(fill.size_units for fill in self.fills.values())

    @property
    def open_units(self) -> int:
        """What may still be filled; 0 once the order is final."""
        return 0 if self.final else max(0, self.intent.order.size_units - self.matched_units)

    @property
    def final(self) -> bool:
        """Whether no more fills are expected."""
        return self.state in FINAL

    @property
    def provisional(self) -> bool:
        """Whether a fill may still fail."""
        told = self.confirmed | self.failed
        return any(fill.provisional and fill.fill_id not in told for fill in self.fills.values())

    def standing(self) -> list[OrderFill]:
        """The fills that happened, or may have: all but those that failed."""
        return [fill for fill in self.fills.values() if fill.fill_id not in self.failed]

    def to(self, state: OrderState, why: str = "") -> None:
        """Take a step of our own: SENT, UNKNOWN, NOT_SENT. Raises ValueError if it cannot be."""
        if state not in STEPS[self.state] or state in _ENDS:
            raise ValueError(f"order {self.order_id} is {self.state.name}; it cannot become {state.name}")
        if state is OrderState.NOT_SENT and self.heard:
            raise ValueError(f"order {self.order_id} cannot be NOT_SENT: the venue has known it")
        self.state, self.why = state, why

    def apply(self, event: OrderEvent) -> list[OrderFill]:
        """Take the broker's report; returns the fills that are new, also those that failed.

        Raises ValueError, and changes nothing, for what cannot be (see `read`).
        """
        read = self.read(event)
        if event.status is OrderStatus.NOT_FOUND:
            self.not_found_ns = max(self.not_found_ns, event.at_ns)
        else:
            self.heard, self.heard_ns = True, max(self.heard_ns, event.at_ns)
        self.heard |= bool(read.fills)
        if read.state is not self.state:
            self.why = event.why
        self.full |= event.status is OrderStatus.FILLED
        self.told_units = max(self.told_units, event.matched_units)
        self.state, self.missing = read.state, read.missing
        self.late |= read.late
        self.fills |= {fill.fill_id: fill for fill in read.fills}
        self.confirmed |= read.confirmed
        self.failed |= read.failed
        return list(read.fills)

    def read(self, event: OrderEvent) -> Reading:
        """What a report would change, without changing it.

        Raises ValueError for an order that was never sent, for more fills than the size, for a known fill
        id with another price or size, and for a fill that both stands for good and failed.
        """
        assert event.order_id == self.order_id, "the event is of another order"
        if self.state is OrderState.INTENT:
            raise ValueError(f"order {self.order_id} is INTENT: nothing can be reported of it")
        new = self._new_fills(event)
        confirmed, failed = self._told(event)
        fills = [*self.fills.values(), *new]
        gone = self.failed | failed
        size = self.intent.order.size_units
        stands = sum(fill.size_units for fill in fills if fill.fill_id not in gone)
        if stands > size:
            raise ValueError(f"order {self.order_id} cannot have {stands} of {size} units filled")
        matched = sum(fill.size_units for fill in fills)
        called_full = not self.final and (self.full or event.status is OrderStatus.FILLED)
        ids = {fill.fill_id for fill in fills}
        told_units = max(self.told_units, event.matched_units)
        missing = (called_full and matched < size) or not (self.confirmed | confirmed) <= ids
        missing = missing or matched < told_units
        state = self._after(event.status, matched, missing=missing)
        assert state is self.state or state in STEPS[self.state], f"{self.state.name} to {state.name}"
        lives = event.status not in {OrderStatus.NOT_FOUND, OrderStatus.REJECTED}
        late = self.final and (bool(new) or (self.state is OrderState.NOT_SENT and lives))
        return Reading(state, tuple(new), confirmed, failed, late, missing)

    def _after(self, status: OrderStatus, matched_units: int, *, missing: bool) -> OrderState:
        """The state that a report leads to; never a step back."""
        if self.final:
            return self.state
        if matched_units >= self.intent.order.size_units:
            return OrderState.FILLED
        if status is OrderStatus.NOT_FOUND:
            return self.state
        if missing or status in {OrderStatus.ACCEPTED, OrderStatus.PARTIAL}:
            return OrderState.PARTIAL if matched_units else OrderState.ACCEPTED
        # What is refused after a fill is the rest.
        refused = status is OrderStatus.REJECTED and not matched_units
        return OrderState.REJECTED if refused else OrderState.CANCELLED

    def _new_fills(self, event: OrderEvent) -> list[OrderFill]:
        """Those of a report whose ids are not known."""
        new: dict[str, OrderFill] = {}
        for fill in event.fills:
            known = self.fills.get(fill.fill_id) or new.get(fill.fill_id)
            figures = fill.price_ticks, fill.size_units
            if fill.size_units <= 0 or (known and figures != (known.price_ticks, known.size_units)):
                raise ValueError(f"order {self.order_id}: fill {fill.fill_id} cannot be {figures}")
            if known is None:
                new[fill.fill_id] = fill
        return list(new.values())

    def _told(self, event: OrderEvent) -> tuple[frozenset[str], frozenset[str]]:
        """Ids of fills that are newly confirmed and newly failed."""
        failed = frozenset(event.failed) - self.failed
        gone = self.failed | failed
        # A fill that was provisional and is reported as final has been confirmed.
        again = {
            fill.fill_id
            for fill in event.fills
            if not fill.provisional and fill.fill_id in self.fills and self.fills[fill.fill_id].provisional
        }
        confirmed = (frozenset(event.confirmed) | (again - gone)) - self.confirmed
        final = {fill.fill_id for fill in self.fills.values() if not fill.provisional}
        both = (gone & (self.confirmed | confirmed)) | (failed & final)
        if both:
            raise ValueError(f"order {self.order_id}: {sorted(both)} cannot stand for good and have failed")
        return confirmed - final, failed


def trade_id_of(run_id: str, run_epoch: int, sequence: int) -> str:
    """Id of the trade on an opportunity, `run-epoch.sequence`: the same for ever, so never sent twice."""
    return f"{run_id}-{run_epoch}.{sequence}"


def order_id_of(trade_id: str, number: int) -> str:
    """Id of a trade's order, numbered from 0 as they are made."""
    return f"{trade_id}-{number}"


def most_paid(intent: OrderIntent, units: int) -> Decimal:
    """Dollars that buying so many units of an order takes at most: its limit, with the largest fee."""
    leg = intent.order
    price = order_price_ticks(leg)
    paid = EXACT.multiply(
        to_decimal(price, leg.scale.price_decimals),
        to_decimal(units, leg.scale.size_decimals),
    )
    # A fee that goes with p(1-p) is largest at one half, which a better fill may come nearer to.
    dearest = price if leg.outcome == "base" else min(price, 10**leg.scale.price_decimals // 2)
    return EXACT.add(paid, fee_high(intent.fee, [(dearest, units)], leg.scale))


def order_record(event: OrderEvent, order: Order) -> OrderRecord | None:
    """The journal's record of a report, before it is applied; None where it says nothing new.

    What comes after the order's end is written as PARTIAL: an order has one final status.
    """
    read = order.read(event)
    if order.final:
        if not (read.fills or read.confirmed or read.failed or (read.late and not order.late)):
            return None
        why = f"after its end as {order.state.name}: {event.why}"
        return OrderRecord(event.order_id, OrderState.PARTIAL.name, event.at_ns, why, event.evidence)
    if read.state is order.state and not (read.fills or read.confirmed or read.failed):
        return None
    return OrderRecord(event.order_id, read.state.name, event.at_ns, event.why, event.evidence)


def fill_records(event: OrderEvent, order: Order, plan: TradePlan) -> list[FillRecord]:
    """The journal's records of a report's new fills, before it is applied."""
    intent = order.intent
    leg = intent.order
    return [
        FillRecord(
            venue=leg.venue,
            fill_id=fill.fill_id,
            order_id=event.order_id,
            trade_id=plan.trade_id,
            event_id=plan.event_id,
            market=leg.market,
            outcome=leg.outcome,
            action=leg.action,
            price_ticks=fill.price_ticks,
            size_units=fill.size_units,
            scale=leg.scale,
            fee=fill.fee,
            at_ns=event.at_ns,
            polarity=plan.legs[intent.leg].polarity,
            maker=fill.maker,
            provisional=fill.provisional,
            evidence=event.evidence,
        )
        for fill in order.read(event).fills
    ]


def confirmation_records(event: OrderEvent, order: Order) -> list[ConfirmationRecord]:
    """The journal's records of what became of provisional fills, before the report is applied.

    One may come before its fill does.
    """
    read, venue = order.read(event), order.intent.order.venue
    told: Sequence[tuple[frozenset[str], str]] = ((read.confirmed, CONFIRMED), (read.failed, FAILED))
    return [
        ConfirmationRecord(venue, fill_id, status, event.at_ns)
        for ids, status in told
        for fill_id in sorted(ids)
    ]
