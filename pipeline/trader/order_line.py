"""Order line: the broker that talks to the paper exchange over `ord`.

In: `Approved` orders, cancels, questions. Out: sealed frames; the exchange's reports as order events, from
`poll`. Implements `broker.Broker`; used by the trader in profiles demo and paper. A frame may be lost on
either way, and nobody says so: what is not answered is asked for. The exchange may be restarted at any time;
it is asked a question with nothing in it every 250 ms, so that it knows who to report to and we whether it
is there.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pipeline.bus import OrderLine
from pipeline.clock import Clock
from pipeline.model import FeeSchedule
from pipeline.trader.broker import (
    Approved,
    Holdings,
    OrderEvent,
    OrderFill,
    OrderIntent,
    OrderStatus,
    Place,
)
from pipeline.wire import (
    PLACES_A_QUESTION,
    AskHoldings,
    AskOrders,
    CancelOrders,
    FillReport,
    HoldingsReport,
    OrderMessage,
    OrderReport,
    PlaceOrder,
    Sealer,
    WireError,
)

PING_NS = 250_000_000
SILENT_NS = 1_000_000_000
IDS_A_QUESTION = 32
FRAMES_A_POLL = 512
MOST_ANSWERS = 64
"""Answers on holdings that are kept until somebody takes them."""


class PaperLine:
    """One account's line to the paper exchange. `refused` counts frames that were not for it."""

    def __init__(self, run_directory: Path, sealer: Sealer, account: str, clock: Clock) -> None:
        self.refused = 0
        self._line = OrderLine(run_directory)
        self._sealer = sealer
        self._account = account
        self._clock = clock
        self._asked_ns: int | None = None
        # When the oldest question was asked that nothing was heard after, None where there is none.
        self._waiting_ns: int | None = None
        self._has_heard = False
        self._holdings: deque[Holdings] = deque(maxlen=MOST_ANSWERS)

    def submit(self, approved: Approved, now_ns: int) -> None:
        """Send orders; returns at once. An order that could not be handed over is one nobody answers for."""
        del now_ns  # The exchange counts from the moment of sending.
        for intent in approved.intents:
            self._send(self._place(intent))

    def cancel(self, order_id: str, now_ns: int) -> None:
        """Ask for an order's end."""
        del now_ns
        self._send(CancelOrders(self._account, order_id, self._clock.monotonic_ns()))

    def cancel_all(self, now_ns: int) -> None:
        """Ask for the end of everything that rests for this account."""
        self.cancel("", now_ns)

    def ask(self, order_ids: Sequence[str], now_ns: int) -> None:
        """Ask what became of orders; without any, of all that rest."""
        for start in range(0, max(1, len(order_ids)), IDS_A_QUESTION):
            asked = tuple(order_ids[start : start + IDS_A_QUESTION])
            self._send(AskOrders(self._account, asked, self._clock.monotonic_ns()))
        self._asked_ns = now_ns
        if self._waiting_ns is None:
            self._waiting_ns = now_ns

    def ask_holdings(self, look: int, places: Sequence[Place], now_ns: int) -> int:
        """Ask what the account has; in how many answers it will come: one where no place is named, too."""
        del now_ns
        starts = range(0, max(1, len(places)), PLACES_A_QUESTION)
        for start in starts:
            asked = tuple(places[start : start + PLACES_A_QUESTION])
            self._send(AskHoldings(self._account, look, asked, self._clock.monotonic_ns()))
        return len(starts)

    def holdings(self) -> list[Holdings]:
        """Answers to that since the last call."""
        found = list(self._holdings)
        self._holdings.clear()
        return found

    def poll(self, now_ns: int) -> list[OrderEvent]:
        """Events since the last poll, in order. Also the place where a silent exchange is asked."""
        events = []
        for _ in range(FRAMES_A_POLL):
            frame = self._line.receive(0)
            if frame is None:
                break
            event = self._event(frame)
            if event is not None:
                events.append(event)
        if self._asked_ns is None or now_ns - self._asked_ns >= PING_NS:
            self.ask((), now_ns)
        return events

    def reachable(self, now_ns: int) -> bool:
        """Whether the exchange has been heard, and within a second of the last question."""
        silent_ns = 0 if self._waiting_ns is None else now_ns - self._waiting_ns
        return self._has_heard and silent_ns <= SILENT_NS

    def close(self) -> None:
        """Drop the socket and what it still holds."""
        self._line.close()

    def _place(self, intent: OrderIntent) -> PlaceOrder:
        order = intent.order
        return PlaceOrder(
            account=self._account,
            order_id=intent.order_id,
            venue=order.venue,
            market=order.market,
            outcome=order.outcome,
            action=order.action,
            limit_ticks=order.limit_ticks,
            size_units=order.size_units,
            price_decimals=order.scale.price_decimals,
            size_decimals=order.scale.size_decimals,
            style=intent.style.value,
            fee=_fee_numbers(intent.fee),
            deadline_ns=intent.deadline_ns,
            expires_ns=intent.expires_ns,
            sent_ns=self._clock.monotonic_ns(),
        )

    def _send(self, message: OrderMessage) -> None:
        # What the socket does not take was not sent, but nobody may conclude that: it is asked for.
        self._line.send(self._sealer.seal(message))

    def _event(self, frame: bytes) -> OrderEvent | None:
        """The event of a frame; None for the end of an answer, and for what is not ours."""
        try:
            report = self._sealer.open_answer(frame)
            if report.account != self._account:
                raise WireError("another account's")
            if isinstance(report, HoldingsReport):
                self._holdings.append(_holdings_of(report))
                return None
            event = _event_of(report)
        except (WireError, ValueError, InvalidOperation):
            self.refused += 1
            return None
        self._has_heard, self._waiting_ns = True, None
        return event if report.order_id else None


def _holdings_of(report: HoldingsReport) -> Holdings:
    """An answer on holdings. Raises InvalidOperation for an amount that is no number."""
    amounts = {(venue, market, outcome): Decimal(text) for venue, market, outcome, text in report.held}
    return Holdings(report.look, report.born_wall_ns, report.fills, amounts)


def _event_of(report: OrderReport) -> OrderEvent:
    """A report as an event. Raises ValueError or InvalidOperation for what no exchange of ours says."""
    evidence = json.loads(report.evidence) if report.evidence else {}
    if not isinstance(evidence, Mapping):
        raise WireError("malformed")
    return OrderEvent(
        report.order_id,
        OrderStatus(report.status),
        report.at_ns,
        tuple(_fill_of(fill) for fill in report.fills),
        report.confirmed,
        report.failed,
        report.why,
        report.matched_units,
        evidence,
    )


def _fill_of(fill: FillReport) -> OrderFill:
    return OrderFill(
        fill.fill_id, fill.price_ticks, fill.size_units, Decimal(fill.fee), fill.maker, fill.provisional
    )


def _fee_numbers(fee: FeeSchedule) -> tuple[int, int, int, int, int, int]:
    """A schedule's numbers as `wire.PlaceOrder` carries them."""
    return (
        int(fee.kind),
        fee.rate_ppm,
        fee.maker_rate_ppm,
        fee.exponent,
        fee.precision_micros,
        fee.per_unit_micros,
    )
