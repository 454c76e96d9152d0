"""Oversight: what the trader watches beside its trades: what halts by itself, and whether it is on its own.

In: the account, the broker's answers, the supervisor's heartbeat, versions of the scanner's messages. Out:
the halt in force, the day's result, errors that name what is wrong. Run by the trader's worker, ten times a
second.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.halt import Halt
from pipeline.lifecycle import SUPERVISOR_PID, Worker
from pipeline.trader.agreement import Agreement
from pipeline.trader.broker import Broker, Style
from pipeline.trader.desk import Desk
from pipeline.trader.executor import Executor
from pipeline.trader.holding import Key
from pipeline.trader.ledger import Ledger
from pipeline.trader.switch import Switch
from pipeline.trader.triggers import Facts, halt_limits
from pipeline.trader.unwatched import at_worst, sentence, unwatched
from shm import segment as segments

SUPERVISOR_LIMIT_NS = 1_000_000_000


class Supervised:
    """Whether our supervisor beats; a trader that was started by hand has none to watch."""

    def __init__(self, worker: Worker) -> None:
        self._directory = Path(worker.config.shm_directory)
        self._view: segments.View | None = None

    def __call__(self, now: int) -> bool:
        """Whether it has beaten within a second."""
        if SUPERVISOR_PID not in os.environ:
            return True
        if self._view is None or self._view.outdated():
            try:
                self._view = segments.attach(self._directory, "supervisor")
            except segments.SegmentError:
                self._view = None
                return False
        return now - self._view.header.heartbeat_ns <= SUPERVISOR_LIMIT_NS


class Oversight:
    """Watches one account. `versions_differ` and `same_version` are told what the scanner acts on."""

    def __init__(
        self, worker: Worker, ledger: Ledger, executor: Executor, broker: Broker, switch: Switch, desk: Desk
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._executor = executor
        self._broker = broker
        self._switch = switch
        self._desk = desk
        self._agreement = Agreement()
        self._told: set[Key] = set()
        self._journal_failed_ns = 0
        # The first and the last message of a scanner with another configuration than ours.
        self._versions_ns = (0, 0)

    def hear_version(self, version: int, now: int) -> None:
        """Note from when to when the scanner was heard to act on another configuration than ours."""
        same = version == self._worker.config.version
        self._versions_ns = (0, 0) if same else (self._versions_ns[0] or now, now)

    def adopt(self) -> None:
        """Our configuration is another one: the scanner's may follow."""
        self._versions_ns = (0, 0)

    def watch(self, now: int, wall_ns: int) -> Halt | None:
        """Work the day's result out, compare what is held, halt for what calls for it; the halt in force."""
        desk, ledger = self._desk, self._ledger
        self._compare(now)
        self._name_unwatched()
        worst = at_worst(desk.mark, desk.events)
        desk.day_pnl = ledger.day_pnl(wall_ns, desk.mark, desk.dust, worst)
        self._journal_failed_ns = 0 if ledger.journal.ok else self._journal_failed_ns or now
        second, minute = ledger.last_orders(now)
        differences, self._executor.differences = self._executor.differences, ""
        facts = Facts(
            wall_ns=wall_ns,
            unhedged_ns={name: now - at_ns for name, at_ns in self._executor.alone_ns.items()},
            differences=differences or self._agreement.difference,
            day_pnl=desk.day_pnl,
            consecutive_losses=ledger.losses(),
            orders_last_second=second,
            orders_last_minute=minute,
            journal_failed_ns=now - self._journal_failed_ns if self._journal_failed_ns else 0,
            versions_differ_ns=self._versions_ns[1] - self._versions_ns[0],
        )
        return self._switch.watch(facts, halt_limits(desk.config))

    def _compare(self, now: int) -> None:
        """Ask the venues what the account holds, and compare; not while much is open anyway."""
        agreement, positions, counters = self._agreement, self._ledger.positions, self._worker.counters
        for answer in self._broker.holdings():
            looks = agreement.looks
            busy = {
                (order.intent.order.venue, order.intent.order.market, order.intent.order.outcome)
                for _, order in self._ledger.working()
                if order.intent.style is not Style.MAKER
            }
            if agreement.hear(answer, now, positions, busy):
                counters.add("holdings_differ")
                self._worker.report(f"our positions are not the venue's: {agreement.difference}")
            counters.add("holdings_compared", agreement.looks - looks)
        if self._executor.unresolved or not (self._ledger.journal.ok and self._broker.reachable(now)):
            return
        question = agreement.due(now, positions)
        if question is not None:
            agreement.asked(self._broker.ask_holdings(*question, now))

    def _name_unwatched(self) -> None:
        """Say once of each position that its event is not configured, as long as that is so."""
        found = unwatched(self._ledger.positions, self._desk.events)
        for key in found:
            if key not in self._told:
                self._worker.counters.add("unwatched")
                self._worker.report(sentence(key))
                self._worker.log.error("unwatched", **key._asdict())
        self._told = set(found)
