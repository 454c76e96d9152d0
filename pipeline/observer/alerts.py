"""Alerts: what the rules found, shown in memory and in the log, and sent to whom it concerns.

In: the status object and the segments, once a second. Out: a ring of the last alerts in the observer's
segment, log lines, messages to `deliver`. Run by the observer's worker. Every alert is shown; it is sent
only where addresses are configured, so a simulated run sends nothing by itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from decimal import Decimal
from typing import Any

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.logs import Log
from pipeline.model import Reason, to_text
from pipeline.observer.deliver import AlertState, Delivery, Message, Places
from pipeline.observer.rules import HOUR_NS, NAMES, Alert, Opportunity, Seen, Watch, facts, rules_of
from pipeline.secrets import redact
from shm import records
from shm.segment import View
from shm.tables import RingWriter, TableReader

DAILY = "daily"
MOST_LETTERS = 2000  # of a message; the shortest limit of the services in use is Discord's
MIB = 1 << 20
RING_ROWS = 32  # of the section "alerts"
OUTCOMES = tuple(f"alerts_{state.name.lower()}" for state in AlertState if state != AlertState.WAITS)
COUNTERS = (*(f"alert.{name}" for name in (*NAMES, DAILY)), "alerts_cleared", *OUTCOMES)
"""What `count` is called with: alerts raised by rule, cleared ones, and what became of messages."""


def _nothing(_text: str) -> None:
    """Where nobody counts or keeps errors."""


class Alerts:
    """The observer's alerts. Call `turn` once a second; everything else is quick too.

    `count` counts one of COUNTERS, `report` keeps a distinct error. `earlier` are the rows that the ring had
    when this process began, so that an observer that is started again does not tell everything anew.
    """

    def __init__(
        self,
        config: Config,
        environ: MutableMapping[str, str],
        clock: Clock,
        ring: RingWriter[records.AlertRow],
        log: Log,
        *,
        count: Callable[[str], None] = _nothing,
        report: Callable[[str], None] = _nothing,
        earlier: Sequence[records.AlertRow] = (),
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._ring = ring
        self._log = log
        self._count, self._report = count, report
        self._rows: dict[int, records.AlertRow] = {}
        # What was told and is not over, by rule and subject: whoever starts next must find it in the ring.
        self._standing: dict[tuple[str, str], records.AlertRow] = {}
        self._sequence = max((row.sequence for row in earlier), default=0)
        self._watch = Watch()
        self._go_on(earlier)
        # By rule what was told and is not over. Replaced whole: the thread of the metrics reads it.
        self.active = self._watch.active()
        self._delivery: Delivery | None = None
        self._config = config
        self._rules = rules_of(config.alerts)
        self._places = Places()
        self.adopt(config)

    def _go_on(self, earlier: Sequence[records.AlertRow]) -> None:
        """Take over what an earlier process of this run raised and what it sent."""
        now, wall = self._clock.monotonic_ns(), self._clock.wall_ns()
        latest = {(row.rule, row.subject): row for row in sorted(earlier) if row.rule in NAMES}
        self._standing = {key: row for key, row in latest.items() if not row.cleared}
        raised = [
            (*key, row.text, now - max(0, wall - row.wall_ns), row.wall_ns, row.state != AlertState.KEPT_BACK)
            for key, row in self._standing.items()
        ]
        sent = (AlertState.WAITS, AlertState.SENT, AlertState.FAILED)
        ages = (max(0, wall - row.wall_ns) for row in earlier if row.state in sent)
        self._watch.resume(raised, [now - age for age in ages if age < HOUR_NS])

    def adopt(self, config: Config) -> None:
        """Act on a new configuration. The addresses are read again, so that they can be exchanged."""
        self._config = config
        self._rules = rules_of(config.alerts)
        places = Places.of(config.alerts)
        if self._delivery is not None:
            self._delivery.adopt(places)
        elif places:
            self._delivery = Delivery(places, self._environ)
        self._places = places

    def turn(self, state: Mapping[str, Any], views: Mapping[str, View], now_ns: int, wall_ns: int) -> None:
        """Look at the run as it is, tell what the rules find, and note what became of earlier messages."""
        self._note_results()
        seen = Seen(
            state,
            _opportunities(views.get("scanner")),
            self._free_mib(),
            Decimal(self._config.risk.daily_loss_usd),
        )
        limit = self._config.alerts.max_per_hour
        for alert in self._watch.step(facts(seen, self._rules), self._rules, limit, now_ns, wall_ns):
            self._tell(alert, alert.text, wall_ns)
        self.active = self._watch.active()

    def daily(self, text: str) -> None:
        """Send the daily summary; it counts for no limit, for it comes once a day."""
        self._tell(Alert(DAILY, "summary", " ".join(text.split()), False, False), text, self._clock.wall_ns())

    def close(self) -> None:
        """Let what is under way get out, and note it."""
        if self._delivery is not None:
            self._delivery.close()
            self._note_results()

    def _tell(self, alert: Alert, body: str, wall_ns: int) -> None:
        """Show one alert, and send it if anybody is to get it."""
        state = AlertState.WAITS if self._delivery is not None and self._places else AlertState.NOBODY
        if state == AlertState.WAITS and alert.kept_back:
            state = AlertState.KEPT_BACK
        text = redact(plain(alert.text))
        row = records.AlertRow(0, wall_ns, alert.rule, plain(alert.subject), text, int(alert.cleared), state)
        row = self._append(row)
        note = self._log.info if alert.cleared or alert.rule == DAILY else self._log.warning
        note("alert", rule=alert.rule, subject=row.subject, text=text, over=alert.cleared)
        self._count("alerts_cleared" if alert.cleared else f"alert.{alert.rule}")
        if state == AlertState.WAITS and self._delivery is not None:
            self._rows[row.sequence] = row
            over = " is over" if alert.cleared else ""
            title = f"Parallax {self._label()}: {alert.rule} {alert.subject}{over}"
            self._delivery.put(Message(row.sequence, plain(title), mute(redact(body))[:MOST_LETTERS]))
        else:
            self._count(f"alerts_{state.name.lower()}")

    def _append(self, row: records.AlertRow) -> records.AlertRow:
        """Add a row to the ring; the row that gives way is added again if what it tells is not over."""
        added = row = self._add(row)
        for _ in range(RING_ROWS // 2):
            lost = row.sequence - RING_ROWS
            old = next((each for each in self._standing.values() if each.sequence == lost), None)
            if old is None:
                break
            row = self._add(old)
        return added

    def _add(self, row: records.AlertRow) -> records.AlertRow:
        """The row as it is now in the ring, under the next number."""
        self._sequence += 1
        row = row._replace(sequence=self._sequence)
        self._ring.append(row)
        if row.cleared:
            self._standing.pop((row.rule, row.subject), None)
        elif row.rule != DAILY:
            self._standing[row.rule, row.subject] = row
        return row

    def _note_results(self) -> None:
        """Show what became of messages."""
        for result in self._delivery.results() if self._delivery is not None else ():
            row = self._rows.pop(result.number, None)
            if row is not None:
                self._show(row._replace(state=result.state))
                self._count(f"alerts_{result.state.name.lower()}")
            if result.why:
                self._log.warning("an alert was not sent", number=result.number, why=result.why)
                self._report(f"alerts: {result.why}")

    def _show(self, row: records.AlertRow) -> None:
        """Show a row again, unless newer ones have taken its place in the ring."""
        if self._sequence - row.sequence < RING_ROWS:
            self._ring.append(row)
            name = row.rule, row.subject
            if name in self._standing and self._standing[name].sequence == row.sequence:
                self._standing[name] = row

    def _label(self) -> str:
        """Whose money this is about."""
        return "SIM" if self._config.simulated else self._config.mode.upper()

    def _free_mib(self) -> int | None:
        """Free space where the journal lies; None where the system does not say."""
        try:
            return shutil.disk_usage(self._config.data_directory).free // MIB
        except OSError:
            return None


def plain(text: str) -> str:
    """One line without what could steer a terminal or call everybody in a chat."""
    return mute(" ".join(text.split()))


def mute(text: str) -> str:
    """Text as it may be sent: no control characters but line ends, and no @ that calls people."""
    letters = "".join(each for each in text if each.isprintable() or each == "\n")
    return letters.replace("@", "(at)")


def _opportunities(scanner: View | None) -> list[Opportunity]:
    """The best direction of each event that the scanner would offer now."""
    if scanner is None:
        return []
    best: dict[str, records.EventRow] = {}
    for _, row in TableReader(scanner, "events", records.EVENT).rows():
        offered = row.has_numbers and row.reason == Reason.NONE and row.kind != "close"
        if offered and (row.event_id not in best or best[row.event_id].edge_bp < row.edge_bp):
            best[row.event_id] = row
    return [
        Opportunity(row.event_id, row.edge_bp, to_text(row.net_micros, 6), row.buy_venue, row.sell_venue)
        for row in best.values()
    ]
