"""Metrics: what Prometheus may ask, answered from shared memory. The door to `prometheus_client`.

In: the segments of a run, as the observer has them. Out: a page at http://127.0.0.1:PORT/metrics, made anew
for each request in a thread of its own; `metrics_table` says what is on it. Run by the observer. Only
this machine can ask, and only by its own name: a web page that makes its name mean 127.0.0.1 is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.model import REJECTED, BookState, WorkerState
from pipeline.observer.facts import clean
from pipeline.observer.metrics_table import COUNTER, FAMILIES
from pipeline.observer.rules import NAMES
from pipeline.status import gather
from pipeline.status.hops import REFUSED
from shm import records
from shm.segment import SegmentError, View
from shm.tables import TableReader, read_counters, read_ring

HOST, PATH = "127.0.0.1", "/metrics"
# A request that has not come after so long is given up: there is one thread.
REQUEST_SECONDS = 2.0
# How often the thread looks whether it is to end.
POLL_SECONDS = 0.5
ALIVE_NS = 1_000_000_000
# The curve of the account's value has hundreds of points, a new one each few seconds.
CURVE_NS = 10_000_000_000
RAISED = "alert."

Views = Callable[[], Mapping[str, View]]
Active = Callable[[], Mapping[str, int]]


def serve(
    views: Views, active: Active, config: Callable[[], Config], clock: Clock, port: int
) -> tuple[Callable[[], None], int]:
    """Answer on 127.0.0.1 from now on; 0 is any free port. Returns what ends it, and the port.

    `active` says how many alerts of each rule are not over. Raises OSError where the port is taken.
    """
    server = _Server((HOST, port), _Handler)
    server.registry.register(RunCollector(views, active, config, clock, lambda: server.failures))
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(REQUEST_SECONDS)

    return close, int(server.server_address[1])


class _Server(TCPServer):
    """One thread, one request after the other."""

    allow_reuse_address = True
    request_queue_size = 8

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.failures = 0
        super().__init__(address, handler)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """A client that went away, or sent nothing in time."""
        self.failures += 1


class _Handler(BaseHTTPRequestHandler):
    """Knows one page."""

    timeout = REQUEST_SECONDS
    server: _Server
    server_version, sys_version = "Parallax", ""

    def do_GET(self) -> None:
        """Give the page."""
        port = self.server.server_address[1]
        if self.headers.get("Host", "").lower() not in {f"{HOST}:{port}", f"localhost:{port}"}:
            self._say(HTTPStatus.FORBIDDEN, f"ask for http://{HOST}:{port}{PATH}\n".encode())
        elif self.path.partition("?")[0] != PATH:
            self._say(HTTPStatus.NOT_FOUND, f"metrics are at {PATH}\n".encode())
        else:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            try:
                self._say(HTTPStatus.OK, encode(self.server.registry), kind)
            except SegmentError as error:
                self.server.failures += 1
                self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode())

    def _say(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Requests are no news."""


class RunCollector(Collector):
    """Makes every family of FAMILIES anew from the memory of a run."""

    def __init__(
        self,
        views: Views,
        active: Active,
        config: Callable[[], Config],
        clock: Clock,
        failures: Callable[[], int],
    ) -> None:
        self._views, self._active, self._config = views, active, config
        self._clock, self._failures = clock, failures
        self._curve: list[records.EquityRow] = []
        self._curve_ns = -CURVE_NS

    def collect(self) -> Iterator[Metric]:
        """All families, those without a value too. Raises SegmentError for memory of another version."""
        began = self._clock.monotonic_ns()
        views, config = dict(self._views()), self._config()
        state = gather(config, views, self._clock)
        page = _Page()
        _run(page, state, config, views, self._clock.monotonic_ns())
        _workers(page, state, views)
        _venues(page, state)
        _trading(page, state, views)
        _account(page, state, views.get("trader"), self._equity(views.get("trader"), began))
        active = self._active()
        for rule in NAMES:
            page.put("parallax_alerts_active", active.get(rule, 0), rule)
        _counters(page, views)
        page.put("parallax_scrape_failures_total", self._failures())
        page.put("parallax_scrape_seconds", (self._clock.monotonic_ns() - began) / 1e9)
        return iter(page.families.values())

    def _equity(self, trader: View | None, now_ns: int) -> list[records.EquityRow]:
        """The account's curve, newest first, read again every ten seconds."""
        if trader is not None and now_ns - self._curve_ns >= CURVE_NS:
            self._curve, self._curve_ns = read_ring(trader, "equity", records.EQUITY), now_ns
        return self._curve


_label = lru_cache(maxsize=4096)(clean)


class _Page:
    """The families while they are filled. Prometheus knows floats alone; nothing is booked from them."""

    def __init__(self) -> None:
        self.families: dict[str, Metric] = {}
        for name, family in FAMILIES.items():
            kind = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
            self.families[name] = kind(name, family.meaning, labels=family.labels)

    def put(self, name: str, value: float | str | None, *labels: str) -> None:
        """Add one sample; None is none. Texts of venues and people lose what steers a terminal."""
        if value is None:
            return
        family = FAMILIES[name]
        named = dict(zip(family.labels, map(_label, labels), strict=True))
        self.families[name].add_sample(name, named, float(value))


def _run(page: _Page, state: dict[str, Any], config: Config, views: Mapping[str, View], now_ns: int) -> None:
    supervisor = views.get("supervisor")
    alive = (
        supervisor is not None
        and not supervisor.header.retired
        and now_ns - supervisor.header.heartbeat_ns <= ALIVE_NS
    )
    run = TableReader(supervisor, "run", records.RUN).get(0) if supervisor is not None else None
    page.put("parallax_up", alive)
    version = run.program_version if run is not None else ""
    simulated = "yes" if config.simulated else "no"
    page.put("parallax_run_info", 1, config.profile, config.mode, simulated, version, config.hash)
    page.put("parallax_uptime_seconds", state["uptime_s"] if alive else 0)
    page.put("parallax_halted", state["halted"])
    page.put("parallax_config_version", config.version)
    page.put("parallax_config_refused", run is not None and bool(run.config_problem))


def _workers(page: _Page, state: dict[str, Any], views: Mapping[str, View]) -> None:
    for worker in state["workers"]:
        name, age_ms = worker["name"], worker["heartbeat_age_ms"]
        page.put("parallax_worker_up", worker["state"] == WorkerState.RUNNING.name, name)
        for each in WorkerState:
            page.put("parallax_worker_state", worker["state"] == each.name, name, each.name)
        page.put("parallax_worker_restarts_total", worker["restarts"], name)
        page.put("parallax_worker_heartbeat_age_seconds", None if age_ms is None else age_ms / 1000, name)
        if name in views:
            page.put("parallax_worker_config_version", views[name].header.config_version, name)
    supervisor = views.get("supervisor")
    if supervisor is None or "usage" not in supervisor.sections():
        return
    for _, row in TableReader(supervisor, "usage", records.USAGE).rows():
        page.put("parallax_worker_cpu_ratio", row.cpu_permille / 1000, row.name)
        page.put("parallax_worker_memory_bytes", row.rss_bytes, row.name)
        # A process that hides a secret does not show its files either.
        page.put("parallax_worker_open_files", row.descriptors if row.descriptors > 0 else None, row.name)
        page.put("parallax_worker_threads", row.threads, row.name)
        page.put("parallax_worker_switches_total", row.voluntary_switches, row.name, "voluntary")
        page.put("parallax_worker_switches_total", row.involuntary_switches, row.name, "involuntary")


VENUE_COUNTS = {
    "messages": "parallax_venue_messages_total",
    "gaps": "parallax_venue_gaps_total",
    "reconnects": "parallax_venue_reconnects_total",
    "bad_frames": "parallax_venue_bad_frames_total",
    "checksums_bad": "parallax_venue_bad_checksums_total",
}


def _venues(page: _Page, state: dict[str, Any]) -> None:
    for venue, found in state["venues"].items():
        page.put("parallax_venue_connected", found["connected"], venue)
        for key, name in VENUE_COUNTS.items():
            page.put(name, found.get(key, 0), venue)
        page.put("parallax_venue_subscriptions", found["subscriptions"], venue)
        lag = found["lag_ms"] or {}
        for word, quantile in (("p50", "0.5"), ("p99", "0.99")):
            if word in lag:
                page.put("parallax_venue_lag_seconds", lag[word] / 1000, venue, quantile)
        states = [book["state"] for book in found["books"].values()]
        for each in BookState:
            page.put("parallax_books", states.count(each.name), venue, each.name)
        for market, book in found["books"].items():
            page.put("parallax_book_live", book["state"] == BookState.LIVE.name, venue, market)
            age_ms = book["age_ms"]
            page.put("parallax_book_age_seconds", None if age_ms is None else age_ms / 1000, venue, market)


def _trading(page: _Page, state: dict[str, Any], views: Mapping[str, View]) -> None:
    scanner = views.get("scanner")
    best: dict[str, records.EventRow] = {}
    for _, row in TableReader(scanner, "events", records.EVENT).rows() if scanner is not None else ():
        known = best.get(row.event_id)
        if row.has_numbers and (known is None or known.edge_bp < row.edge_bp):
            best[row.event_id] = row
    for event, row in best.items():
        page.put("parallax_edge_ratio", row.edge_bp / 10_000, event)
        page.put("parallax_edge_dollars", row.net_micros / 1e6, event)
    page.put("parallax_opportunities_total", state["opportunities"])
    page.put("parallax_trades_total", state["trades"])
    for reason, count in state["rejections"].items():
        page.put("parallax_rejections_total", count, reason)
    for reason, count in state["refusals"].items():
        page.put("parallax_refusals_total", count, reason)
    for hop, found in state["hops"].items():
        if found["count"]:
            page.put("parallax_hop_seconds", found["p50_us"] / 1e6, hop, "0.5")
            page.put("parallax_hop_seconds", found["p99_us"] / 1e6, hop, "0.99")


ACCOUNT = {
    "realised_usd": "parallax_pnl_realised_dollars",
    "unrealised_usd": "parallax_pnl_unrealised_dollars",
    "day_pnl_usd": "parallax_pnl_day_dollars",
    "fees_usd": "parallax_fees_dollars",
    "exposure_usd": "parallax_exposure_dollars",
    "net_exposure_usd": "parallax_net_exposure_dollars",
    "open_orders": "parallax_open_orders",
    "unknown_orders": "parallax_unknown_orders",
    "unhedged": "parallax_unhedged_legs",
    "consecutive_losses": "parallax_consecutive_losses",
}


def _account(page: _Page, state: dict[str, Any], trader: View | None, curve: list[records.EquityRow]) -> None:
    for key, name in ACCOUNT.items():
        page.put(name, state["account"].get(key))
    for _, row in TableReader(trader, "cash", records.CASH).rows() if trader is not None else ():
        page.put("parallax_cash_dollars", row.cash_micros / 1e6, row.venue)
        page.put("parallax_cash_reserved_dollars", row.reserved_micros / 1e6, row.venue)
    if curve:
        peak = max(point.equity_micros for point in curve)
        page.put("parallax_equity_dollars", curve[0].equity_micros / 1e6)
        page.put("parallax_drawdown_dollars", (peak - curve[0].equity_micros) / 1e6)


def _counters(page: _Page, views: Mapping[str, View]) -> None:
    """Every counter that no family above has taken."""
    named = {"trader": (REJECTED, "opportunities", "trades"), "scanner": (REFUSED,)}
    feeds = ("frames", *(key for key in VENUE_COUNTS if key != "messages"))
    for worker, view in views.items():
        taken = feeds if worker.startswith("feed-") else named.get(worker, ())
        for name, value in read_counters(view).items():
            if name.startswith(RAISED):
                page.put("parallax_alerts_total", value, name.removeprefix(RAISED))
            elif not any(name == each or (each.endswith(".") and name.startswith(each)) for each in taken):
                page.put("parallax_counter_total", value, worker, name)
