"""Observer worker: the loop that writes the exports, asks the alerts' rules, and answers Prometheus.

In: every segment of the run, read-only; run/config.json. Out: data/*.json, alerts, metrics; its segment
`observer` (where metrics are, when each file was written, the last alerts) and run/observer.json. Started by
the supervisor as `run.py observer`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.journal_records import LEDGER_FILE
from pipeline.lifecycle import Worker
from pipeline.observer import alerts
from pipeline.observer.daily import Daily, Tell
from pipeline.observer.export import COUNTERS, Exports
from pipeline.observer.facts import Moment
from pipeline.status import Views, gather
from shm import records
from shm.segment import Segment, SegmentError, View, boot_id, pid_start
from shm.tables import RingWriter, TableWriter

TURN_SECONDS = 0.1
# Nothing that it does is urgent: where the machine is busy, those who trade go first.
NICE = 5
SECOND_NS = 1_000_000_000
RUN_FILE = "observer.json"
# How long a daily summary may take: so long, and a second for so many bytes of the ledger.
DAILY_SECONDS, READ_A_SECOND = 5.0, 1_000_000


class Observer:
    """The life of one observer process. `tell` makes the text of the daily summary, None for none."""

    def __init__(self, config: Config, clock: Clock, tell: Tell | None = None) -> None:
        self._clock = clock
        # The alerts are kept: whoever was told of something is not told again by the next process.
        sections = [
            records.OBSERVER.section("observer", 1),
            records.ALERT.section("alerts", alerts.RING_ROWS, kept=True),
        ]
        counters = (*COUNTERS, *alerts.COUNTERS)
        self.worker = Worker("observer", config, clock, sections, counters, self._on_config)
        segment = self.worker.segment
        self._table: TableWriter[records.ObserverRow] = TableWriter(segment, "observer", records.OBSERVER)
        self._shown = records.OBSERVER.empty()
        self._boot_id = boot_id().hex()
        self._pid, self._pid_start = os.getpid(), pid_start(os.getpid()) or 0
        self._views = Views(Path(config.shm_directory))
        self._exports = Exports(self.worker, Path(config.data_directory))
        self._alerts = alerts.Alerts(
            config,
            os.environ,
            clock,
            RingWriter(segment, "alerts", records.ALERT),
            self.worker.log,
            count=self.worker.counters.add,
            report=self.worker.report,
            earlier=_earlier(segment),
        )
        self._tell, self._daily = tell, Daily()
        self._close_metrics: Callable[[], None] | None = None
        self._port = 0
        self._next_ns = 0
        self._serve()

    def run(self) -> None:
        """Turn until told to stop; the files then say that nothing runs."""
        os.nice(NICE)
        with self.worker as worker:
            try:
                while worker.go_on():
                    self.turn()
                    self._clock.sleep(TURN_SECONDS)
            finally:
                self._end()

    def turn(self) -> None:
        """Once a second what is slow; and whatever export is due."""
        at = self._moment()
        if at.now_ns >= self._next_ns:
            self._next_ns = at.now_ns + SECOND_NS
            self._second(at)
        self._exports.turn(self.worker.config, self._views.now, at)
        self._show()

    def _second(self, at: Moment) -> None:
        """Look at the whole run, and let whoever acts on that act."""
        self._views.refresh()
        state = self._state()
        if state is None:
            return
        self._exports.state(self.worker.config, state, at)
        self._alerts.turn(state, self._views.now, at.now_ns, at.wall_ns)
        self._tell_daily(at)

    def _tell_daily(self, at: Moment) -> None:
        """Send the summary of the last day, if this is its time."""
        config = self.worker.config
        period = self._daily.due(config.alerts.daily_at, at.wall_ns)
        if period is None or self._tell is None:
            return
        # The ledger is read for it: nobody must take that for a hang.
        ledger = Path(config.data_directory) / LEDGER_FILE
        self.worker.busy(DAILY_SECONDS + (ledger.stat().st_size if ledger.exists() else 0) / READ_A_SECOND)
        self._alerts.daily(self._tell(config, *period))
        self.worker.counters.add("daily_messages")

    def _state(self) -> dict[str, Any] | None:
        """The status object; None beside memory of another version of this program, which is reported."""
        try:
            return gather(self.worker.config, self._views.now, self._clock, measured=False)
        except SegmentError as error:
            self._exports.trouble("status", str(error))
            return None

    def _end(self) -> None:
        """Say what runs now that nobody will look any more, and let go of everything."""
        self._views.refresh()
        self._exports.turn(self.worker.config, self._views.now, self._moment(), last=True)
        state = self._state()
        if state is not None:
            self._exports.end(self.worker.config, state, self._moment(), supervised=self._supervised())
        self._show()
        if self._close_metrics is not None:
            self._close_metrics()
        self._alerts.close()
        (Path(self.worker.config.run_directory) / RUN_FILE).unlink(missing_ok=True)

    def _supervised(self) -> bool:
        """Whether the supervisor's process is there: without it all others end too, heartbeats or not."""
        view = self._views.now.get("supervisor")
        return view is not None and pid_start(view.header.pid) == view.header.pid_start

    def _moment(self) -> Moment:
        now, wall = self._clock.monotonic_ns(), self._clock.wall_ns()
        return Moment(now, wall, self._boot_id, self._pid, self._pid_start)

    def _serve(self) -> None:
        """Let Prometheus ask, if it may, and say where. A port that is taken is reported, no more."""
        config = self.worker.config
        if config.observer.metrics:
            # The library for it is loaded only where somebody may ask.
            from pipeline.observer import metrics

            port = config.observer.metrics_port
            try:
                served = metrics.serve(self._all_views, self._active, self._config, self._clock, port)
                self._close_metrics, self._port = served
            except OSError as error:
                self.worker.report(
                    f"metrics: port {port}: {error.strerror or error}; set observer.metrics_port to a free"
                    " one, or to 0"
                )
        path = Path(config.run_directory) / RUN_FILE
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"pid": self._pid, "metrics_port": self._port}))
            temporary.replace(path)
        except OSError as error:
            self.worker.report(f"{path}: {error.strerror}")

    def _all_views(self) -> Mapping[str, View]:
        """The segments as they are attached now, for the thread that answers Prometheus."""
        return self._views.now

    def _active(self) -> Mapping[str, int]:
        return self._alerts.active

    def _config(self) -> Config:
        return self.worker.config

    def _show(self) -> None:
        written = self._exports.written_wall_ns
        row = records.ObserverRow(
            self._port,
            written["orderbooks"],
            written["bot_state"],
            written["recent_opportunities"],
            written["positions"],
        )
        if row != self._shown:
            self._shown = row
            self._table.put(0, row)

    def _on_config(self, _old: Config, new: Config) -> None:
        self._alerts.adopt(new)


def _earlier(segment: Segment) -> list[records.AlertRow]:
    """The alerts that an earlier process of this run left."""
    reader = segment.reader("alerts")
    found = (reader.read(row) for row in range(len(reader)))
    rows = (records.ALERT.unpack(entry[1]) for entry in found if entry is not None)
    return [row for row in rows if row.sequence]
