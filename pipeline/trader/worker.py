"""Trader worker: takes opportunities, looks again, decides, sends and books.

In: opportunities on `opp`, the books as they are at that moment, run/config.json. Out: committed
intents, orders to the broker, fills in the ledger; its segment; decisions on `dec` and in
decisions.sqlite. Started by the supervisor as `run.py trader`. The way of one opportunity:
receive -> last look -> gate -> commit -> submit -> fill -> book.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

from pipeline import pairs
from pipeline.books import FeedBooks
from pipeline.bus import Inbox, Publisher, read_key
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config
from pipeline.decision_log import DECISIONS_FILE, DecisionLog
from pipeline.journal import Journal, JournalError
from pipeline.journal_records import LEDGER_FILE, RunRecord
from pipeline.lifecycle import SUPERVISOR_PID, Worker
from pipeline.model import Action, MarketResult, Reason
from pipeline.model_events import CLOSE, OrderLeg
from pipeline.money import to_decimal
from pipeline.pairs_checks import limits_of
from pipeline.pricing import Priced, price
from pipeline.trader import risk
from pipeline.trader.broker import OrderIntent, Refused
from pipeline.trader.evidence import fee_counter, kelly_room, look_of, reprice, trade_record
from pipeline.trader.holding import Key
from pipeline.trader.ledger import Ledger
from pipeline.trader.marks import value_now
from pipeline.trader.orders import Trade, TradeState, order_id_of, trade_id_of
from pipeline.trader.paper import BookLook, PaperBroker
from pipeline.trader.record import Record
from pipeline.trader.window import COUNTERS, HOPS, REJECTED, Kelly, Window, sections
from pipeline.version import VERSION
from pipeline.wire import Opportunity, Receiver, Sealer, WireError
from shm import segment as segments
from shm.histogram import Histograms

TURN_MS = 2
BATCH = 64
SHOW_NS = 100_000_000
SUPERVISOR_LIMIT_NS = 1_000_000_000
# The same refusal of the same direction is counted each time but listed once in this time.
REPEAT_NS = 1_000_000_000


class Trader:
    """The life of one trader process."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        data = Path(config.data_directory)
        shown = sections(config.shm.max_positions)
        self.worker = Worker("trader", config, clock, shown, COUNTERS, self._on_config)
        run_directory = Path(config.run_directory)
        self._inbox = Inbox(run_directory)
        self._publisher = Publisher(run_directory)
        self._sealer = Sealer(read_key(run_directory))
        self._receiver = Receiver()
        self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        self._sleep_watch = SleepWatch(clock)
        self._window = Window(self.worker.segment)
        self._hops = Histograms(self.worker.segment, HOPS, clock.monotonic_ns())
        self._log = DecisionLog(data / DECISIONS_FILE, wall_ns=clock.wall_ns)
        journal = Journal.open(data / LEDGER_FILE, wall_ns=clock.wall_ns, monotonic_ns=clock.monotonic_ns)
        self._run_id = journal.begin_run(self._run_record(config))
        for order_id in journal.open_intents():
            journal.resolve_open(order_id, "the trader ended before the order was filled on paper")
            self.worker.counters.add("intents_not_sent")
        self.account = Ledger(journal, config.account, config.trader, Decimal(config.kelly.capital_usd))
        self._broker = PaperBroker(config.trader.paper_latency_ms * 1_000_000, self._read_book)
        self._records: dict[str, Record] = {}
        self._listed: dict[tuple[str, int], tuple[Reason, int]] = {}
        self._sequence = 0
        self._day_pnl = Decimal(0)
        self._next_show_ns = 0
        self._supervisor: segments.View | None = None
        self._adopt(config)

    def run(self) -> None:
        """Turn until told to stop; what is on its way is waited for."""
        with self.worker as worker:
            while worker.go_on():
                self.turn(TURN_MS)
            deadline = self._clock.monotonic_ns() + 1_000_000_000
            while self.account.open and self._clock.monotonic_ns() < deadline:
                self._collect()
                self._clock.sleep(0.002)
            self._show(self._clock.monotonic_ns())
            self.close()

    def close(self) -> None:
        """Let go of sockets and files."""
        self._inbox.close()
        self._publisher.close()
        self.account.journal.close()
        self._log.close()

    def turn(self, wait_ms: int) -> None:
        """One turn: opportunities that wait, what the broker reports, and now and then the account."""
        if self._sleep_watch.slept_ns():
            self._books.woke_up(self._clock.monotonic_ns())
        self._books.refresh(self._clock.monotonic_ns())
        frame = self._inbox.receive(wait_ms)
        for _ in range(BATCH):
            if frame is None:
                break
            self._take(frame)
            frame = self._inbox.receive(0)
        self._collect()
        now = self._clock.monotonic_ns()
        if now >= self._next_show_ns:
            self._next_show_ns = now + SHOW_NS
            self._hops.rotate(now)
            if not self.account.journal.ok:
                # Nothing is sent while the journal cannot be written; see whether it can again.
                self.account.journal.probe()
            self._settle(now)
            self._show(now)

    # -- one opportunity -------------------------------------------------------------------------

    def _take(self, frame: bytes) -> None:
        """Open a frame and decide on it."""
        receive_ns = self._clock.monotonic_ns()
        try:
            opportunity = self._sealer.open(frame, Opportunity)
        except WireError as error:
            self.worker.counters.add("frames_refused")
            self.worker.report(f"opp: {error} frame")
            return
        self.worker.counters.add("opportunities")
        self._sequence += 1
        record = Record(self._sequence, opportunity, self._clock.wall_ns(), receive_ns)
        self._hops.record("send_to_receive", receive_ns - opportunity.send_ns)
        if opportunity.fresh:
            self._hops.record("socket_to_receive", receive_ns - record.socket_ns)
        gaps = self._receiver.gaps
        if self._receiver.accept(opportunity.run_epoch, opportunity.sequence):
            self.worker.counters.add("opportunities_missed", self._receiver.gaps - gaps)
            self._decide(record)
        else:
            record.refuse(Reason.REPLAYED, Decimal(opportunity.sequence), Decimal(0))
        self._publish(record)

    def _decide(self, record: Record) -> None:
        """Last look, gate, commit, submit. What is refused says why."""
        seen = record.opportunity
        direction = self._directions.get((seen.event_id, seen.direction))
        now = record.decide_ns = self._clock.monotonic_ns()
        self._hops.record("receive_to_decide", now - record.receive_ns)
        if now > seen.expires_ns:
            late = to_decimal(now - seen.expires_ns, 6)
            record.refuse(Reason.EXPIRED, late, Decimal(0))
            return
        if direction is None:
            record.refuse(Reason.BOOK_MISSING, Decimal(0), Decimal(1))
            return
        held = self.account.held_pair(direction) if direction.kind == CLOSE else None
        priced = price(direction, self._books, self._pair_limits, now, self._clock.wall_ns(), held)
        if priced.edge is not None:
            record.priced(priced.edge)
        if priced.verdict.reason:
            record.refuse(*priced.verdict)
            return
        look = look_of(priced, seen.expires_ns, now)
        supervised = self._supervised(now)
        standing = self.account.risk_account(now, self._day_pnl, supervised=supervised)
        kelly_usd = kelly_room(priced, self.account.sizer, seen.race_ppm)
        outcome = risk.gate(
            look, standing, self._limits, kelly_usd, lambda room: reprice(priced, standing, room)
        )
        if isinstance(outcome, Refused):
            record.refuse(outcome.reason, outcome.value, outcome.limit)
            return
        record.priced(outcome.edge)
        self._send(record, priced, outcome)

    def _send(self, record: Record, priced: Priced, passed: risk.Passed) -> None:
        """Commit both intents, then hand the orders to the broker. No commit, no order."""
        seen = record.opportunity
        trade_id = trade_id_of(self._run_id, seen.run_epoch, seen.sequence)
        assert priced.legs is not None
        scales = [look.scale for look in priced.looks if look is not None]
        legs = pairs.order_legs(priced.direction, passed.edge, scales)
        first, second = (
            OrderIntent(order_id_of(trade_id, number), leg, priced.legs[number].fee)
            for number, leg in enumerate(legs)
        )
        intents = first, second
        sizer = self.account.sizer
        trade = trade_record(
            trade_id, self._run_id, record, priced, passed, intents, self.worker.config, sizer
        )
        try:
            approved = risk.approve(
                passed, trade_id, intents, lambda: self.account.commit(trade, record.decide_ns)
            )
        except JournalError as error:
            self._journal_failed(error)
            record.refuse(Reason.JOURNAL, Decimal(0), Decimal(1))
            return
        record.intent_ns = self._clock.monotonic_ns()
        self._broker.submit(approved, record.intent_ns)
        record.order_ns = self._clock.monotonic_ns()
        self._hops.record("decide_to_order", record.order_ns - record.decide_ns)
        if seen.fresh:
            self._hops.record("socket_to_order", record.order_ns - record.socket_ns)
        record.action = Action.APPROVED
        self.account.sent(approved)
        self._records[trade_id] = record
        self.worker.counters.add("approved")

    def _collect(self) -> None:
        """Book what the broker reports and close the decisions of trades that ended."""
        events = self._broker.poll(self._clock.monotonic_ns())
        if not events:
            return
        try:
            ended = self.account.report(events)
        except JournalError as error:
            self._journal_failed(error)
            raise
        for trade in ended:
            self._finish(trade)

    def _finish(self, trade: Trade) -> None:
        """Say what became of a trade."""
        record = self._records.pop(trade.approved.trade_id)
        record.fill_ns = self._clock.monotonic_ns()
        state = trade.state
        filled = min(trade.quantities())
        if state is TradeState.EXECUTED:
            record.action = Action.EXECUTED
            record.size_units = int(filled.scaleb(record.size_decimals))
            self._hops.record("order_to_fill", record.fill_ns - record.order_ns)
            self.worker.counters.add("trades")
            self.worker.counters.add(fee_counter(record, trade))
        elif state is TradeState.UNHEDGED:
            first, second = trade.quantities()
            record.refuse(Reason.UNHEDGED_LEG, abs(first - second), Decimal(0))
            record.action = Action.UNHEDGED
            self.worker.counters.add("unhedged")
            self.worker.report(f"unhedged: {trade.approved.event_id} {first} against {second}")
        else:
            record.refuse(Reason.NOT_FILLED, Decimal(0), Decimal(1))
            self.worker.counters.add("not_filled")
        self._publish(record)

    # -- what is shown and kept ------------------------------------------------------------------

    def _publish(self, record: Record) -> None:
        """Count a decision, show it, send it to listeners and keep it; a repeated refusal is only counted."""
        if record.action is Action.REJECTED:
            self.worker.counters.add("rejected")
            self.worker.counters.add(REJECTED + record.reason.name.lower())
            key = (record.opportunity.event_id, record.opportunity.direction)
            reason, listed_ns = self._listed.get(key, (Reason.NONE, 0))
            now = self._clock.monotonic_ns()
            if reason is record.reason and now - listed_ns < REPEAT_NS:
                return
            self._listed[key] = (record.reason, now)
        self._window.decision(record.row())
        self._publisher.send(self._sealer.seal(record.message(self.worker.segment.header.epoch)))
        if not self._log.put(record.action.name.lower(), record.row()._asdict()):
            self.worker.counters.add("decisions_dropped")

    def _settle(self, now: int) -> None:
        """Book what markets that were decided pay for what is held of them."""
        held = {(h.key.venue, h.key.market) for h in self.account.positions.holdings()}
        for venue, market in sorted(held):
            row = self._books.market(venue, market, now)
            if row is None or row.result == MarketResult.NONE:
                continue
            try:
                booked = self.account.settle(venue, market, MarketResult(row.result))
            except JournalError as error:
                self._journal_failed(error)
                return
            self.worker.counters.add("settlements", booked)

    def _show(self, now: int) -> None:
        """Publish positions, cash and totals."""
        positions = self.account.positions
        self._day_pnl = positions.day_pnl(self._clock.wall_ns(), self._mark)
        self._window.account(positions, self._titles, self._mark)
        counters = self.worker.counters
        counts = {name: counters.get(name) for name in ("trades", "opportunities", "rejected")}
        sizer = self.account.sizer
        fraction = sizer.calculate_kelly_fraction()
        kelly = Kelly(
            sizer.statistics.total_trades,
            sizer.statistics.winning_trades,
            fraction.safe_kelly_fraction,
            fraction.confidence,
            sizer.get_recommended_position_size(),
        )
        self._window.summary(
            positions,
            counts,
            kelly,
            mode=self.worker.config.trader.mode,
            unrealised=positions.unrealised(self._mark),
            day_pnl=self._day_pnl,
            now_ns=now,
        )

    def _mark(self, key: Key, quantity: Decimal) -> Decimal | None:
        """What closing a position would bring now."""
        look = self._books.read(key.venue, key.market, self._clock.monotonic_ns())
        return value_now(key.outcome, quantity, look)

    def _read_book(self, leg: OrderLeg) -> BookLook | None:
        """The side of a leg's book that it hits, for the paper broker."""
        look = self._books.read(leg.venue, leg.market, self._clock.monotonic_ns())
        if look is None:
            return None
        book = look.book
        ladder = book.asks if leg.takes_asks else book.bids
        return BookLook(
            look.state, ladder, look.row, book.epoch, book.number, book.socket_ns, book.publish_ns
        )

    def _run_record(self, config: Config) -> RunRecord:
        header = self.worker.segment.header
        return RunRecord(
            account=config.account,
            instance=config.instance,
            boot_id=header.boot_id.hex(),
            epoch=header.epoch,
            pid=os.getpid(),
            mode=config.mode,
            program_version=VERSION,
            config_version=config.version,
            config_hash=config.hash,
        )

    def _journal_failed(self, error: JournalError) -> None:
        self.worker.counters.add("journal_failures")
        self.worker.report(f"journal: {error}")
        self.worker.log.error("journal failed", why=str(error))

    def _supervised(self, now: int) -> bool:
        """Whether our supervisor beats; a trader started by hand has none to watch."""
        if SUPERVISOR_PID not in os.environ:
            return True
        if self._supervisor is None or self._supervisor.outdated():
            try:
                self._supervisor = segments.attach(Path(self.worker.config.shm_directory), "supervisor")
            except segments.SegmentError:
                self._supervisor = None
                return False
        return now - self._supervisor.header.heartbeat_ns <= SUPERVISOR_LIMIT_NS

    def _adopt(self, config: Config) -> None:
        """Take over limits, events and sizing."""
        events = config.all_events()
        found = pairs.directions(events)
        found += [close for direction in found if (close := pairs.closing(direction))]
        self._directions = {direction.key: direction for direction in found}
        self._titles = {event.id: event.title for event in events}
        # Events come and go: what was noted of those that are gone must not pile up.
        self._listed = {key: seen for key, seen in self._listed.items() if key in self._directions}
        self.account.follow(self._directions)
        self._pair_limits = limits_of(config)
        self._limits = risk.Limits.of(config.risk)
        self.account.adopt(config.kelly, Decimal(config.risk.probe_usd))
        self._broker.latency_ns = config.trader.paper_latency_ms * 1_000_000

    def _on_config(self, _old: Config, new: Config) -> None:
        """Act on a new configuration; the paper account's start amounts need a restart."""
        self._books.adopt(new.feeds(), new.scanner.limits())
        self._adopt(new)
