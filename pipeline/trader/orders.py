"""Orders: the life of one order and of a trade of two, and their records for the journal.

In: approved trades and what the broker reports. Out: states, and `ValueError` for a step that
cannot be. Pure; used by the trader. reliability.md section 2: an order is never sent twice; what
nobody knows is UNKNOWN until someone asked.

    INTENT -> SENT -> ACCEPTED -> PARTIAL -> FILLED | CANCELLED | REJECTED
    any of the first four -> UNKNOWN (restart) -> one of the others, or NOT_SENT
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum, IntEnum

from pipeline.fees import fee_high
from pipeline.journal_records import FillRecord, OrderRecord
from pipeline.model import EXACT
from pipeline.model_events import order_price_ticks
from pipeline.money import to_decimal
from pipeline.trader.broker import Approved, OrderEvent, OrderFill, OrderIntent


class OrderState(IntEnum):
    """Where an order is. The first five numbers after SENT are the broker's `OrderStatus`."""

    INTENT = -1
    SENT = 0
    ACCEPTED = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    UNKNOWN = 6
    NOT_SENT = 7


class TradeState(Enum):
    """What became of a trade: EXECUTED is both legs filled equally, UNHEDGED unequally."""

    OPEN = "open"
    EXECUTED = "executed"
    UNHEDGED = "unhedged"
    NOT_FILLED = "not filled"


_S = OrderState
FINAL = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.NOT_SENT})
_ENDS = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED})
STEPS: dict[OrderState, frozenset[OrderState]] = {
    _S.INTENT: frozenset({_S.SENT, _S.UNKNOWN, _S.NOT_SENT}),
    _S.SENT: _ENDS | {_S.ACCEPTED, _S.PARTIAL, _S.UNKNOWN},
    _S.ACCEPTED: _ENDS | {_S.PARTIAL, _S.UNKNOWN},
    _S.PARTIAL: frozenset({_S.PARTIAL, _S.FILLED, _S.CANCELLED, _S.UNKNOWN}),
    _S.UNKNOWN: _ENDS | {_S.ACCEPTED, _S.PARTIAL, _S.NOT_SENT},
    **dict.fromkeys(FINAL, frozenset()),
}


class Order:
    """One order: its intent, its state and its fills. Fills of a known id are ignored."""

    def __init__(self, intent: OrderIntent) -> None:
        self.intent = intent
        self.state = OrderState.INTENT
        self.fills: dict[str, OrderFill] = {}
        self.why = ""

    @property
    def filled_units(self) -> int:
        """Sum of the fills on the leg's own scale."""
        return sum(fill.size_units for fill in self.fills.values())

    @property
    def final(self) -> bool:
        """Whether nothing more is expected."""
        return self.state in FINAL

    def to(self, state: OrderState, why: str = "") -> None:
        """Take a step of our own: SENT, UNKNOWN, NOT_SENT. Raises ValueError if it cannot be."""
        self._check(state, self.fills)
        self.state, self.why = state, why

    def apply(self, event: OrderEvent) -> list[OrderFill]:
        """Take the broker's report; returns the fills that are new.

        Raises ValueError, and changes nothing, for an impossible step or fills that do not fit.
        """
        assert event.order_id == self.intent.order_id, "the event is of another order"
        new = [fill for fill in event.fills if fill.fill_id not in self.fills]
        fills = self.fills | {fill.fill_id: fill for fill in new}
        state = OrderState(event.status)
        self._check(state, fills)
        self.state, self.why, self.fills = state, event.why, fills
        return new

    def _check(self, state: OrderState, fills: dict[str, OrderFill]) -> None:
        name, size = self.intent.order_id, self.intent.leg.size_units
        if state not in STEPS[self.state]:
            raise ValueError(f"order {name} is {self.state.name}; it cannot become {state.name}")
        filled = sum(fill.size_units for fill in fills.values())
        fits = {
            OrderState.FILLED: filled == size,
            OrderState.PARTIAL: 0 < filled < size,
            OrderState.CANCELLED: filled < size,
            OrderState.UNKNOWN: filled <= size,
        }.get(state, filled == 0)
        if not fits:
            raise ValueError(f"order {name} cannot be {state.name} with {filled} of {size} filled")


class Trade:
    """Two orders sent together."""

    def __init__(self, approved: Approved) -> None:
        self.approved = approved
        self.orders = (Order(approved.intents[0]), Order(approved.intents[1]))

    def order(self, order_id: str) -> Order:
        """The order with this id. Raises KeyError for one of another trade."""
        for order in self.orders:
            if order.intent.order_id == order_id:
                return order
        raise KeyError(order_id)

    def sent(self) -> None:
        """Both orders were handed to the broker."""
        for order in self.orders:
            order.to(OrderState.SENT)

    def quantities(self) -> tuple[Decimal, Decimal]:
        """What each leg has filled, in shares or coins."""
        first, second = (
            to_decimal(order.filled_units, order.intent.leg.scale.size_decimals) for order in self.orders
        )
        return first, second

    @property
    def state(self) -> TradeState:
        """OPEN until both orders are final; then what their fills say."""
        if not all(order.final for order in self.orders):
            return TradeState.OPEN
        first, second = self.quantities()
        if first != second:
            return TradeState.UNHEDGED
        return TradeState.EXECUTED if first else TradeState.NOT_FILLED


def trade_id_of(run_id: str, run_epoch: int, sequence: int) -> str:
    """Id of the trade on an opportunity, `run-epoch.sequence`: the same for ever, so never sent
    twice.
    """
    return f"{run_id}-{run_epoch}.{sequence}"


def order_id_of(trade_id: str, leg: int) -> str:
    """Id of one leg's order."""
    return f"{trade_id}-{leg}"


def reserved(trades: Iterable[Trade], venue: str) -> Decimal:
    """Dollars that open orders may still take at a venue: all at their limits, with the largest
    fee.
    """
    total = Decimal(0)
    for trade in trades:
        for order in trade.orders:
            leg = order.intent.leg
            if leg.venue == venue and leg.action == "buy" and not order.final:
                total = EXACT.add(total, _most_paid(order.intent))
    return total


def _most_paid(intent: OrderIntent) -> Decimal:
    leg = intent.leg
    price = order_price_ticks(leg)
    paid = EXACT.multiply(
        to_decimal(price, leg.scale.price_decimals),
        to_decimal(leg.size_units, leg.scale.size_decimals),
    )
    # A fee that goes with p(1-p) is largest at one half, which a better fill may come nearer to.
    dearest = price if leg.outcome == "base" else min(price, 10**leg.scale.price_decimals // 2)
    return EXACT.add(paid, fee_high(intent.fee, [(dearest, leg.size_units)], leg.scale))


def order_record(event: OrderEvent) -> OrderRecord:
    """The journal's record of what a broker reported."""
    state = OrderState(event.status)
    return OrderRecord(event.order_id, state.name, event.at_ns, event.why, event.evidence)


def fill_records(
    approved: Approved, event: OrderEvent, polarities: tuple[str, str] = ("same", "same")
) -> list[FillRecord]:
    """The journal's records of an event's fills; `polarities` are those of the trade's two legs."""
    number = [intent.order_id for intent in approved.intents].index(event.order_id)
    leg = approved.intents[number].leg
    return [
        FillRecord(
            venue=leg.venue,
            fill_id=fill.fill_id,
            order_id=event.order_id,
            trade_id=approved.trade_id,
            event_id=approved.event_id,
            market=leg.market,
            outcome=leg.outcome,
            action=leg.action,
            price_ticks=fill.price_ticks,
            size_units=fill.size_units,
            scale=leg.scale,
            fee=fill.fee,
            at_ns=event.at_ns,
            polarity=polarities[number],
            evidence=event.evidence,
        )
        for fill in event.fills
    ]
