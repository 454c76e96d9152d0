"""Switch: the kill switch as the trader sees it: the HALT file, who turned it, and what turns it by itself.

In: the HALT file, facts of the moment. Out: whether anything new may be sent; the file, where a rule says
so; each turn in the journal. Run by the trader's worker; `read` before each order.
"""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

from pipeline.halt import Halt, HaltFile
from pipeline.journal import JournalError
from pipeline.lifecycle import Worker
from pipeline.trader.ledger import Ledger
from pipeline.trader.triggers import Facts, HaltLimits, Latch, told_today, triggered

BY_SIGNAL = "the trader got SIGUSR1"


class HaltSignal:
    """SIGUSR1 asks for a halt. Make it first of all: until then that signal ends the process."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGUSR1, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


class Switch:
    """Reads and turns the kill switch, and books each turn once."""

    def __init__(
        self, path: Path, worker: Worker, ledger: Ledger, account: str, asked: HaltSignal | None = None
    ) -> None:
        self._file = HaltFile(path)
        self._asked = asked
        self._worker = worker
        self._ledger = ledger
        switches = ledger.journal.switches(account)
        self._latch = Latch(told_today(switches, worker.clock.wall_ns()))
        self._booked = bool(switches) and switches[-1].state == "HALT"
        if self._booked and self.read() is None:
            # Somebody resumed while nobody ran: known before anything is found to call for a halt.
            self._book(None)

    def read(self) -> Halt | None:
        """The halt in force, None where there is none."""
        if self._asked is not None and self._asked.came:
            self._asked.came = False
            self.halt(BY_SIGNAL, "signal")
        return self._file.read()

    def halt(self, cause: str, who: str) -> None:
        """Halt. A disk that cannot take the file halts this process all the same."""
        self._worker.counters.add("halts")
        self._worker.log.error("halt", cause=cause, who=who)
        try:
            self._file.set(cause, who, self._worker.clock.wall_ns())
        except OSError as error:
            self._worker.report(f"HALT cannot be written: {error.strerror}; this trader is halted")

    def watch(self, facts: Facts, limits: HaltLimits) -> Halt | None:
        """Halt for what newly calls for it, book a turn that somebody made, and return the halt in force."""
        for cause in self._latch.new(triggered(facts, limits), facts.wall_ns):
            self.halt(cause.sentence, cause.who)
        halt = self.read()
        if (halt is not None) is not self._booked and self._ledger.journal.ok:
            self._book(halt)
        return halt

    def _book(self, halt: Halt | None) -> None:
        try:
            if halt is not None:
                self._ledger.switch("HALT", halt.cause, halt.who)
            else:
                self._ledger.switch("RESUME", "the HALT file was removed", "")
        except JournalError as error:
            self._worker.report(f"journal: {error}")
            return
        self._booked = halt is not None
