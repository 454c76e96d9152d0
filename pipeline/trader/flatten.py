"""Flatten: has all that is held of an event sold, because a person asked for it.

In: orders of people (`pipeline.flatten`), the account, the books as they are now. Out: trades in mode
"flatten", through the executor and the journal like all others; a row for each order that says what became of
it. Run by the trader's worker, once a turn.

It works in HALT, for it makes what is at stake smaller, and opens nothing. An order is begun in the journal
before anything is sent, and ended there too: a trader that is started later goes on with one that is young
and has not ended, and begins none again. Quotes of the event are taken back first, legs that stand alone are
left to be mended, then what is held is sold, round after round, until nothing is left or the order's time is
over.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from pipeline.flatten import PATIENCE_SECONDS, FlattenFile, FlattenOrder, FlattenState
from pipeline.journal import JournalError
from pipeline.lifecycle import Worker
from pipeline.look import Look
from pipeline.model import Action, Confidence
from pipeline.model_events import CLOSE, LegPlan
from pipeline.money import money_text
from pipeline.trader.desk import Desk
from pipeline.trader.flattening import NoSale, SellOff, next_sale
from pipeline.trader.plan import FLATTEN
from pipeline.trader.record import Record
from pipeline.trader.trade import TradeState
from pipeline.wire import LegRef, Opportunity
from shm.records import FlattenRow

TURN_NS = 20_000_000
ROUND_NS = 250_000_000
"""From one pair of orders to the next: what a book shows then is what others left."""
PATIENCE_NS = PATIENCE_SECONDS * 10**9
CLOSED_NS = 60 * 10**9
"""So long after a person closed an event nothing is opened there again: the edge is often still there."""
KEPT_JOBS = 16
BEGUN, ENDED = "FLATTEN", {FlattenState.FLAT: "FLAT"}
NOT_FLAT = "NOT FLAT"
ONES_OWN = frozenset({TradeState.OPEN, TradeState.UNHEDGED})


@dataclass(slots=True)
class _Job:
    """One order: what came of it so far. Deadlines are CLOCK_MONOTONIC."""

    order: FlattenOrder
    deadline_ns: int
    begun: bool = False
    state: FlattenState = FlattenState.WORKING
    orders: int = 0
    next_ns: int = 0
    ended_wall_ns: int = 0
    text: str = "just begun"

    def row(self) -> FlattenRow:
        """The order for the screen."""
        order = self.order
        return FlattenRow(
            number=order.number,
            event_id=order.event_id,
            who=order.who,
            state=self.state,
            orders=self.orders,
            asked_wall_ns=order.wall_ns,
            ended_wall_ns=self.ended_wall_ns,
            text=self.text,
        )


class Flattener:
    """The orders of people to close events of one account."""

    def __init__(self, desk: Desk, worker: Worker, path: Path, boot_id: str) -> None:
        self._desk = desk
        self._worker = worker
        self._clock = worker.clock
        self._boot_id = boot_id
        self._file = FlattenFile(path)
        self._jobs: dict[int, _Job] = {}
        self._next_ns = 0
        self._rounds = 0
        self._begun: set[int] = set()
        self._ended: dict[int, tuple[str, str, int]] = {}
        self._remember()

    def rows(self) -> list[FlattenRow]:
        """The last orders, oldest first."""
        return [job.row() for job in list(self._jobs.values())[-KEPT_JOBS:]]

    @property
    def busy(self) -> bool:
        """Whether an order is worked on."""
        return any(job.state is FlattenState.WORKING for job in self._jobs.values())

    def turn(self, sequence: int) -> list[Record]:
        """Take what people ordered, do the next thing for each; the records of trades that were opened.

        `sequence` is the number of the last record.
        """
        now = self._clock.monotonic_ns()
        if now < self._next_ns:
            return []
        self._next_ns = now + TURN_NS
        if self._file.changed():
            self._take(now)
        records: list[Record] = []
        for job in list(self._jobs.values()):
            if job.state is FlattenState.WORKING:
                record = self._work(job, now, sequence + len(records) + 1)
                records += [record] if record is not None else []
        return records

    # -- orders that come, and what is known of them ----------------------------------------------

    def _remember(self) -> None:
        """Take over from the journal what was begun and ended, and which events were closed just now."""
        ledger, now, wall_ns = self._desk.ledger, self._clock.monotonic_ns(), self._clock.wall_ns()
        for mark in ledger.journal.flattens(self._worker.config.account):
            number, _, rest = mark.cause.partition(" ")
            if not number.isdigit():
                continue
            event_id, _, text = rest.partition(" ")
            if mark.state == BEGUN:
                self._begun.add(int(number))
            else:
                self._ended[int(number)] = mark.state, text, mark.wall_ns
            left_ns = CLOSED_NS - max(0, wall_ns - mark.wall_ns)
            if left_ns > 0 and int(number) in self._begun:
                self._desk.closed[event_id] = now, now + left_ns

    def _take(self, now: int) -> None:
        """Take up orders that are new here; one that has ended, or is too old, is only shown."""
        wall_ns = self._clock.wall_ns()
        for order in self._file.orders():
            if order.number in self._jobs:
                continue
            age_ns = max(0, wall_ns - order.wall_ns)
            job = _Job(order, now + PATIENCE_NS - age_ns, order.number in self._begun)
            self._jobs[order.number] = job
            ended = self._ended.get(order.number)
            if ended is not None:
                state, job.text, job.ended_wall_ns = ended
                failed = FlattenState.ENDED if job.begun else FlattenState.REFUSED
                job.state = FlattenState.FLAT if state == ENDED[FlattenState.FLAT] else failed
            elif not job.begun and age_ns > PATIENCE_NS:
                self._end(job, f"it was given {age_ns // 10**9} s ago: give it again")
            else:
                self._worker.counters.add("flattens")
                self._worker.log.info("flatten", number=order.number, event=order.event_id, who=order.who)
        closed = self._desk.closed
        self._desk.closed = {event: times for event, times in closed.items() if times[1] > now}
        for number in list(self._jobs)[:-KEPT_JOBS]:
            if self._jobs[number].state is not FlattenState.WORKING:
                del self._jobs[number]

    def _mark(self, job: _Job, state: str, text: str) -> bool:
        """Book that an order is begun or ended; False where the journal cannot be written now."""
        try:
            cause = f"{job.order.number} {job.order.event_id} {text}".rstrip()
            self._desk.ledger.switch(state, cause, job.order.who)
        except JournalError as error:
            self._desk.executor.journal_failed(error)
            return False
        return True

    def _end(self, job: _Job, why: str) -> None:
        """It is over: say in words what was done, or why not; tried again where that cannot be booked."""
        left = self._left(job.order.event_id)
        dust_usd = Decimal(self._desk.config.risk.max_dust_usd)
        if job.begun and self._desk.ledger.positions.exposure(job.order.event_id) <= dust_usd:
            state, text = FlattenState.FLAT, "nothing is held of it any more"
            if left:
                text = f"but for dust, too little for any order: {', '.join(left)}"
        else:
            state = FlattenState.ENDED if job.begun else FlattenState.REFUSED
            text = f"{why}; held: {', '.join(left)}" if left else why
        if not self._mark(job, ENDED.get(state, NOT_FLAT), text):
            job.text = "the journal cannot be written"
            return
        job.state, job.text, job.ended_wall_ns = state, text, self._clock.wall_ns()
        if not job.begun:
            self._desk.closed.pop(job.order.event_id, None)
        self._worker.log.info("flatten ended", number=job.order.number, state=state.name, outcome=text)

    # -- one step --------------------------------------------------------------------------------

    def _work(self, job: _Job, now: int, sequence: int) -> Record | None:
        """Do the next thing for an order; the record of the trade that it opened."""
        event_id, late = job.order.event_id, now >= job.deadline_ns
        self._desk.closed[event_id] = now, now + CLOSED_NS
        waits = self._waits(event_id, now)
        if waits and not late:
            job.text = waits
        elif waits or late:
            self._end(job, waits or f"after {PATIENCE_SECONDS} s: {job.text}")
        elif not self._left(event_id):
            self._end(job, "nothing is held of it")
        elif now >= job.next_ns:
            job.next_ns = now + ROUND_NS
            return self._round(job, now, sequence)
        return None

    def _waits(self, event_id: str, now: int) -> str:
        """What has to come first, "" where nothing has. Quotes of the event are taken back."""
        desk = self._desk
        ledger, executor = desk.ledger, desk.executor
        if not ledger.journal.ok:
            return "the journal cannot be written"
        if not desk.reachable(now):
            return "no exchange answers"
        if executor.unresolved:
            return "orders of an earlier run have no answer yet"
        found = ""
        for trade in [each for each in ledger.trades.values() if each.plan.event_id == event_id]:
            if any(order.ending_ns is None for order in trade.working()):
                executor.cancel(trade)
            if trade.working():
                found = "an order of it is on its way"
            elif trade.state in ONES_OWN:
                found = found or "a leg that stands alone is being mended"
        second, minute = ledger.last_orders(now)
        limits = desk.limits
        if second + 2 > limits.max_orders_per_second or minute + 2 > limits.max_orders_per_minute:
            found = found or "as many orders were sent as may be"
        return found

    def _left(self, event_id: str) -> list[str]:
        """What is open of an event, in words."""
        return [
            f"{money_text(held.open_quantity)} {held.key.outcome} at {held.key.venue}"
            for held in self._desk.ledger.positions.holdings()
            if held.key.event_id == event_id and held.open_quantity
        ]

    def _round(self, job: _Job, now: int, sequence: int) -> Record | None:
        """Send what can be sold now."""
        desk, order = self._desk, job.order
        if order.event_id not in desk.events:
            self._end(job, "the event is not in the configuration: nobody watches its books")
            return None
        self._rounds += 1
        found = next_sale(
            [each for each in desk.directions.values() if each.event.id == order.event_id],
            desk.ledger.held_pair,
            partial(desk.ledger.stock, order.event_id),
            partial(self._look, now),
            f"{desk.prefix}-f{order.number}.{self._rounds}",
            self._clock.wall_ns(),
        )
        if isinstance(found, NoSale):
            job.text = found.why
            if not (found.waits and job.begun):
                self._end(job, found.why)
            return None
        if not job.begun:
            job.begun = self._mark(job, BEGUN, "")
            if not job.begun:
                return None
            self._begun.add(order.number)
        return self._send(job, found, now, sequence)

    def _look(self, now: int, plan: LegPlan) -> Look | None:
        return self._desk.books.read(plan.leg.venue, plan.leg.market, now)

    def _send(self, job: _Job, found: SellOff, now: int, sequence: int) -> Record | None:
        """Have the orders committed and sent; the record of their trade, None where that failed."""
        record = self._record(job, found, now, sequence)
        reason = self._desk.executor.close_out(found.plan, found.orders, found.looks, found.held, record)
        if reason:
            job.text = f"not sent: {reason.name}"
            return None
        job.orders += len(found.sales)
        job.text = f"{job.orders} orders sent"
        record.action = Action.APPROVED
        return record

    def _record(self, job: _Job, found: SellOff, now: int, sequence: int) -> Record:
        """The trade as a decision: nobody offered it, so it stands for itself."""
        plan = found.plan
        legs = tuple(
            LegRef(
                leg.venue, leg.market, leg.outcome, leg.action,
                found.orders[at].limit_ticks, 0, 0, 0, now, now,
            )
            for at, leg in enumerate(plan.legs)
        )  # fmt: skip
        seen = Opportunity(
            boot_id=self._boot_id,
            run_epoch=self._worker.segment.header.epoch,
            sequence=self._rounds,
            config_version=self._desk.config.version,
            event_id=plan.event_id,
            kind=CLOSE,
            direction=plan.direction,
            size_units=plan.size_units,
            size_decimals=plan.size_decimals,
            edge_bp=0,
            gross_micros=0,
            net_micros=0,
            cash_micros=0,
            confidence=Confidence.HIGH,
            legs=legs,
            race_ppm=0,
            fresh=False,
            scan_ns=now,
            decided_ns=now,
            expires_ns=now,
            send_ns=now,
        )
        record = Record(sequence, seen, self._clock.wall_ns(), now, FLATTEN)
        record.decide_ns, record.trade_id = now, plan.trade_id
        record.size_units, record.size_decimals = plan.size_units, plan.size_decimals
        record.fee = sum((sale.fee for sale in found.sales), Decimal(0))
        record.fee_high = sum((sale.fee_high for sale in found.sales), Decimal(0))
        record.fee_first = found.sales[0].fee
        record.edge_evidence = found.evidence(job.order.number)
        return record
