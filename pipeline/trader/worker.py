"""Trader worker: takes opportunities, and turns the desk, the maker and the executor.

In: opportunities on `opp`, the books as they are at that moment, reports of the broker, run/config.json, the
HALT file. Out: committed intents, orders, fills in the ledger; its segment; decisions on `dec` and in
decisions.sqlite. Started by the supervisor as `run.py trader`. The way of one opportunity: receive ->
`desk` (last look, gate, plan) -> `executor` (commit, send, report, mend) -> here again, to be shown.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

from pipeline import guards
from pipeline.books import FeedBooks
from pipeline.bus import Inbox, Publisher, read_key
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config
from pipeline.crash import from_environment
from pipeline.decision_log import DECISIONS_FILE, DecisionLog
from pipeline.flatten import FLATTEN_FILE
from pipeline.halt import HALT_FILE
from pipeline.journal import Journal, JournalError
from pipeline.journal_records import LEDGER_FILE, FillRecord, RunRecord, standing
from pipeline.lifecycle import Worker
from pipeline.model import Action, MarketResult, Reason
from pipeline.trader.calibration import Calibration, leg_gap_ns, outcome_of, outcome_row, shown_of
from pipeline.trader.desk import Desk
from pipeline.trader.executor import Executor
from pipeline.trader.flatten import Flattener
from pipeline.trader.ledger import Ledger
from pipeline.trader.maker import Maker
from pipeline.trader.order_line import PaperLine
from pipeline.trader.oversight import Oversight, Supervised
from pipeline.trader.plan import MAKER_HEDGE
from pipeline.trader.probe import Probe
from pipeline.trader.record import Record
from pipeline.trader.recovery import recover
from pipeline.trader.show import Show
from pipeline.trader.switch import HaltSignal, Switch
from pipeline.trader.trade import Trade, TradeState
from pipeline.trader.window import COUNTERS, HOPS, Window, sections
from pipeline.version import VERSION
from pipeline.wire import Receiver, Sealer, Token, WireError
from shm.histogram import Histograms

TURN_MS = 2
BATCH = 64
SHOW_NS = 100_000_000
SECOND_NS = 1_000_000_000
CANCEL_EVERY_NS = 250_000_000
START_SECONDS = 5.0
CHECKED_A_SECOND = 1_000_000
"""Bytes of the ledger that are checked in a second, at the very least; it is ten times as many here."""
END_NS = 1_500_000_000
"""How long an orderly end waits for what is on its way; the supervisor kills after two seconds."""
# The same refusal of the same direction is counted each time but listed once in this time.
REPEAT_NS = 1_000_000_000
COUNTED = ("trades", "opportunities", "rejected", "approved", "hedged", "unwound", "not_filled")
"""Counters that the totals tell."""
ENDS = {
    TradeState.HEDGED: (Action.EXECUTED, Reason.NONE, "hedged"),
    TradeState.UNWOUND: (Action.UNWOUND, Reason.UNHEDGED_LEG, "unwound"),
    TradeState.UNHEDGED: (Action.UNHEDGED, Reason.UNHEDGED_LEG, "unhedged"),
    TradeState.NOT_FILLED: (Action.REJECTED, Reason.NOT_FILLED, "not_filled"),
}
"""What the state of a trade is called as a decision, why, and which counter it adds to."""


class Trader:
    """The life of one trader process."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        data, run_directory = Path(config.data_directory), Path(config.run_directory)
        shown = sections(config.shm.max_positions)
        points, asked = from_environment(), HaltSignal()
        self.worker = Worker("trader", config, clock, shown, COUNTERS, self._on_config)
        ledger = data / LEDGER_FILE
        # Every row of it is checked before anything else: nobody must take that for a hang.
        self.worker.busy(START_SECONDS + (ledger.stat().st_size if ledger.exists() else 0) / CHECKED_A_SECOND)
        self._inbox = Inbox(run_directory)
        self._publisher = Publisher(run_directory)
        self._sealer = Sealer(read_key(run_directory))
        self._receiver = Receiver()
        self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        self._sleep_watch = SleepWatch(clock)
        self._window = Window(self.worker.segment)
        self._hops = Histograms(self.worker.segment, HOPS, clock.monotonic_ns())
        self._log = DecisionLog(data / DECISIONS_FILE, wall_ns=clock.wall_ns)
        journal = Journal.open(ledger, wall_ns=clock.wall_ns, monotonic_ns=clock.monotonic_ns, at=points.at)
        journal.require_whole()
        header = self.worker.segment.header
        self._boot_id = header.boot_id.hex()
        run_id = journal.begin_run(self._run_record(config))
        self.account = Ledger(journal, config.account, config.trader, Decimal(config.kelly.capital_usd))
        self.account.remember(config.account, clock.monotonic_ns(), clock.wall_ns())
        self._broker = PaperLine(run_directory, self._sealer, config.account, clock)
        switch = Switch(data / HALT_FILE, self.worker, self.account, config.account, asked)
        self.executor = Executor(self.worker, self.account, self._broker, self._books, switch, points, run_id)
        self.account.guards = guards.of(self.worker, os.environ, "repair", "journal")
        self.executor.unresolved = recover(
            journal, self.account, config.account, self._boot_id, clock.monotonic_ns()
        )
        # With the moment in it: an exchange that outlives a ledger must never meet an order's id again.
        prefix = f"{run_id}.{clock.wall_ns() // SECOND_NS:x}"
        self.desk = Desk(
            self.worker, self.account, self.executor, self._broker, self._books, switch, prefix,
            Supervised(self.worker),
        )  # fmt: skip
        self._oversight = Oversight(self.worker, self.account, self.executor, self._broker, switch, self.desk)
        self._probe = Probe(run_directory, self._sealer, header.epoch, self._inbox)
        self.maker = Maker(self.desk, clock, header.epoch, self._boot_id)
        self.flattener = Flattener(self.desk, self.worker, run_directory / FLATTEN_FILE, self._boot_id)
        self.calibration = Calibration()
        self._show = Show(self._window, self.desk, self.account, clock.wall_ns())
        self._points = points
        self._records: dict[str, Record] = {}
        # Trades of an earlier run whose end nobody has been told.
        self._untold = {name for name, trade in self.account.trades.items() if trade.state is TradeState.OPEN}
        self._listed: dict[tuple[str, int], tuple[Reason, int]] = {}
        self._sequence = self._outcomes = 0
        self._next_show_ns = 0
        self._cancel_ns: int | None = 0
        for outcome in self._show.past_outcomes(config.account):
            self.calibration.add(outcome)

    def run(self) -> None:
        """Turn until told to stop; what is on its way is waited for, quotes are cancelled."""
        with self.worker as worker:
            while worker.go_on():
                self.turn(TURN_MS)
            deadline = self._clock.monotonic_ns() + END_NS
            for trade in self.executor.resting():
                self.executor.cancel(trade)
            while not self.executor.idle and self._clock.monotonic_ns() < deadline:
                self._finish_all(self.executor.turn())
                self._clock.sleep(0.002)
            self._publish_all(self._clock.monotonic_ns())
            self.close()

    def close(self) -> None:
        """Let go of sockets and files."""
        self._probe.close()
        self._inbox.close()
        self._publisher.close()
        self._broker.close()
        self.account.journal.close()
        self._log.close()

    def turn(self, wait_ms: int) -> None:
        """One turn: opportunities that wait, quotes, what the broker reports, now and then the account."""
        if self._sleep_watch.slept_ns():
            self._books.woke_up(self._clock.monotonic_ns())
        self._books.refresh(self._clock.monotonic_ns())
        waiting: list[Record] = []
        for number in range(BATCH):
            frame = self._inbox.receive(0 if number else wait_ms)
            if frame is None:
                break
            record = self._take(frame)
            if record is not None:
                waiting.append(record)
        self._listen()
        self._cancel_old()
        if waiting:
            self._decide(waiting)
        for record in self.maker.turn(self._sequence):
            self._sequence += 1
            if record.action is Action.APPROVED:
                self.worker.counters.add("quotes")
            self._opened(record)
        for record in self.flattener.turn(self._sequence):
            self._sequence += 1
            self._opened(record)
        self._finish_all(self.executor.turn())
        now = self._clock.monotonic_ns()
        if now >= self._next_show_ns:
            self._next_show_ns = now + SHOW_NS
            self._hops.rotate(now)
            if not self.account.journal.ok:
                # Nothing is sent while the journal cannot be written; see whether it can again.
                self.account.journal.probe()
            self._settle(now)
            self._publish_all(now)

    # -- one opportunity -------------------------------------------------------------------------

    def _take(self, frame: bytes) -> Record | None:
        """Open a frame; None for what is no opportunity, or an old one."""
        receive_ns = self._clock.monotonic_ns()
        try:
            opportunity = self._sealer.open_offer(frame)
        except WireError as error:
            self._refuse(f"{error} frame")
            return None
        if isinstance(opportunity, Token):
            if not self._probe.heard(opportunity):
                self._refuse("a token that is not under way")
            return None
        self.worker.counters.add("opportunities")
        self._sequence += 1
        record = Record(self._sequence, opportunity, self._clock.wall_ns(), receive_ns)
        self._hops.record("send_to_receive", receive_ns - opportunity.send_ns)
        if opportunity.fresh:
            self._hops.record("socket_to_receive", receive_ns - record.socket_ns)
        self._oversight.hear_version(opportunity.config_version, receive_ns)
        gaps = self._receiver.gaps
        if self._receiver.accept(opportunity.run_epoch, opportunity.sequence):
            self.worker.counters.add("opportunities_missed", self._receiver.gaps - gaps)
            return record
        record.refuse(Reason.REPLAYED, Decimal(opportunity.sequence), Decimal(0))
        self._publish(record)
        return None

    def _refuse(self, why: str) -> None:
        self.worker.counters.add("frames_refused")
        self.worker.report(f"opp: {why}")

    def _listen(self) -> None:
        """See whether what is sent to `opp` still reaches us; alarm where it does not."""
        lost = self._probe.turn(self._clock.monotonic_ns())
        if lost:
            self.worker.counters.add("probes_lost")
            self.worker.report(f"opp: {lost}")
            self.worker.log.error("probe lost", why=lost)
        self.desk.deaf = self._probe.deaf

    def _decide(self, waiting: list[Record]) -> None:
        """Have the desk decide on what waits, and show what it did."""
        self.desk.take(waiting)
        for record in waiting:
            self._hops.record("receive_to_decide", record.decide_ns - record.receive_ns)
            if record.order_ns:
                self._hops.record("decide_to_order", record.order_ns - record.decide_ns)
                if record.opportunity.fresh:
                    self._hops.record("socket_to_order", record.order_ns - record.socket_ns)
            self._opened(record)

    def _opened(self, record: Record) -> None:
        """Remember the record of a trade that was opened, and show any."""
        if record.action is Action.APPROVED:
            self.worker.counters.add("approved")
            self._records[record.trade_id] = record
        self._publish(record)

    def _finish_all(self, trades: list[Trade]) -> None:
        for trade in trades:
            if trade.state is not TradeState.OPEN:
                self._finish(trade)

    def _finish(self, trade: Trade) -> None:
        """Say what became of a trade, once; one that is mended after its alarm is told again."""
        plan, state = trade.plan, trade.state
        record = self._records.get(plan.trade_id)
        if record is None and plan.trade_id not in self._untold:
            return  # Told already, or committed and never sent.
        action, reason, counter = ENDS[state]
        first, second = trade.quantities()
        if state is TradeState.NOT_FILLED and plan.mode == MAKER_HEDGE:
            action, reason, counter = Action.WITHDRAWN, Reason.NONE, "withdrawn"
        self.worker.counters.add(counter)
        if state is TradeState.HEDGED:
            self.worker.counters.add("trades")
        fills = self._outcome(trade)
        if state is not TradeState.UNHEDGED:
            self._records.pop(plan.trade_id, None)
            self._untold.discard(plan.trade_id)
        if record is None:
            return  # A trade of an earlier run: its decision was told there.
        record.fill_ns = max((fill.at_ns for fill in fills), default=0)
        size = max(first, second) if plan.alone else min(first, second)
        record.settle(action, reason, size, abs(first - second))
        if state is TradeState.HEDGED:
            self._hops.record("order_to_fill", record.fill_ns - record.order_ns)
            self._hops.record("leg_gap", leg_gap_ns(fills))
            self.worker.counters.add(record.fee_counter(fills))
        self._publish(record)

    def _outcome(self, trade: Trade) -> list[FillRecord]:
        """The trade's fills as the journal has them; what it came to is shown beside its prediction."""
        try:
            parts = self.account.journal.parts_of(trade.plan.trade_id)[1]
        except JournalError as error:
            self.executor.journal_failed(error)
            return []
        fills = standing(parts.fills, parts.confirmations)
        if trade.state is not TradeState.UNHEDGED:
            self._outcomes += 1
            outcome = outcome_of(
                trade.plan, parts.trade.intents, fills,
                decided_ns=parts.trade.decided_ns, wall_ns=self._clock.wall_ns(),
                shown=shown_of(parts.trade.intents),
            )  # fmt: skip
            self.calibration.add(outcome)
            self._window.outcome(outcome_row(outcome, self._outcomes))
        return fills

    # -- what is shown and kept ------------------------------------------------------------------

    def _publish(self, record: Record) -> None:
        """Count a decision, show it, send it to listeners and keep it; a repeated refusal is only counted."""
        if record.action is Action.REJECTED:
            self.worker.counters.add("rejected")
            self.worker.counters.add(record.reason.counter)
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
                booked = self.account.settle(venue, market, MarketResult(row.result), row.value_micros)
            except JournalError as error:
                self.executor.journal_failed(error)
                return
            self.worker.counters.add("settlements", booked)
            self._points.at("settled")

    def _publish_all(self, now: int) -> None:
        """Look at what halts by itself, and publish the account."""
        wall_ns = self._clock.wall_ns()
        halt = self._oversight.watch(now, wall_ns)
        counters = self.worker.counters
        counts = {name: counters.get(name) for name in COUNTED}
        resolving, gaps = len(self.executor.unresolved), self._hops.summary("leg_gap")
        self._show.account(
            now, wall_ns, counts, halt,
            resolving=resolving, quotes=self.maker.quotes, leg_gap_ns=(gaps.p50_ns, gaps.p99_ns),
        )  # fmt: skip
        self._window.calibration(self.calibration.value())
        self._window.flattens(self.flattener.rows())

    def _cancel_old(self) -> None:
        """Before anything else: end what rests of an earlier run, as soon as the broker is there."""
        if self._cancel_ns is None:
            return
        now = self._clock.monotonic_ns()
        reachable = self._broker.reachable(now)
        if reachable or now >= self._cancel_ns:
            self._broker.cancel_all(now)
            self._cancel_ns = None if reachable else now + CANCEL_EVERY_NS

    def _run_record(self, config: Config) -> RunRecord:
        return RunRecord(
            account=config.account,
            instance=config.instance,
            boot_id=self._boot_id,
            epoch=self.worker.segment.header.epoch,
            pid=os.getpid(),
            mode=config.mode,
            program_version=VERSION,
            config_version=config.version,
            config_hash=config.hash,
        )

    def _on_config(self, _old: Config, new: Config) -> None:
        """Act on a new configuration; the paper account's start amounts need a restart."""
        self._oversight.adopt()
        self._books.adopt(new.feeds(), new.scanner.limits())
        self.desk.adopt(new)
        self.executor.adopt(self.desk.config)
        # Events come and go: what was noted of those that are gone must not pile up.
        self._listed = {key: seen for key, seen in self._listed.items() if key in self.desk.directions}
