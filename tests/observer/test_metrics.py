"""Metrics: one page from memory, documented name by name, for this machine alone."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from pipeline.clock import ManualClock
from pipeline.config import Config, VenueConfig
from pipeline.model import BookState, ConnectionState, Reason, WorkerState
from pipeline.observer import metrics
from pipeline.observer.alerts import RING_ROWS
from pipeline.observer.metrics_table import COUNTER, FAMILIES
from pipeline.observer.rules import NAMES
from pipeline.status import attach_all
from pipeline.trader.window import sections as trader_sections
from shm import books as memory
from shm import layout as lo
from shm import records
from shm import segment as segments
from shm.survival import survival_section
from shm.tables import Counters, RingWriter, TableWriter, counter_section, error_section
from tests.support.feed_memory import publish

MS = 1_000_000
NASTY = 'M"1\\\n\x1b]52;c'


class Run:
    """Segments of a small run, all owned by this process, and a page over them."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.root = root
        self.segments: dict[str, segments.Segment] = {}
        self.config = Config(
            version=3,
            hash="ab" * 32,
            simulated=("kalshi",),
            data_directory=str(root),
            venues={"kalshi": VenueConfig(), "kraken": VenueConfig()},
        )

    def make(self, name: str, sections: list[lo.Section], **counts: int) -> segments.Segment:
        """A segment with counters of these values; a dot in a name is written as two underscores."""
        names = [each.replace("__", ".") for each in counts]
        made = segments.create(
            self.root / "shm",
            name,
            [counter_section(names), error_section(), *sections],
            segments.this_owner(3),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )
        counters = Counters(made, names)
        for each, value in counts.items():
            counters.add(each.replace("__", "."), value)
        made.beat(self.clock.monotonic_ns())
        self.segments[name] = made
        return made

    def fill(self) -> None:
        """A supervisor, a feed, a scanner, a trader and an observer, with something in each."""
        supervisor = self.make(
            "supervisor",
            [
                records.WORKER.section("workers", 4),
                records.USAGE.section("usage", 4),
                records.RUN.section("run", 1),
            ],
            starts=2,
        )
        worker = records.WORKER.empty()._replace(name="scanner", pid=supervisor.header.pid, restarts=2)
        worker = worker._replace(state=WorkerState.RUNNING)
        TableWriter(supervisor, "workers", records.WORKER).put(0, worker)
        usage = records.USAGE.empty()._replace(name="scanner", cpu_permille=250, rss_bytes=40_000_000)
        usage = usage._replace(descriptors=11, threads=2, voluntary_switches=70, involuntary_switches=7)
        TableWriter(supervisor, "usage", records.USAGE).put(0, usage)
        run = records.RUN.empty()._replace(instance="x", program_version="9.9", config_problem="line 3")
        TableWriter(supervisor, "run", records.RUN).put(0, run)
        self._feed()
        priced = [records.EVENT.section("events", 4), survival_section(4)]
        scanner = self.make("scanner", priced, opportunities=5, refused__no_edge=4)
        events = TableWriter(scanner, "events", records.EVENT)
        event = records.EVENT.empty()._replace(event_id="fed", has_numbers=1, reason=Reason.NO_EDGE)
        events.put(0, event._replace(edge_bp=-120, net_micros=-300_000))
        events.put(1, event._replace(edge_bp=80, net_micros=250_000, direction=1))
        self._trader()
        observed = [records.OBSERVER.section("observer", 1), records.ALERT.section("alerts", RING_ROWS)]
        self.make("observer", observed, alert__disk=3, exports=9)

    def _feed(self) -> None:
        counts = {"frames": 12, "gaps": 1, "reconnects": 2, "bad_frames": 3, "checksums_bad": 4, "bells": 5}
        feed = self.make("feed-kalshi", memory.feed_sections(4, 2, connections=1), **counts)
        cells = feed.words(memory.CONNECTIONS, 0)
        now = self.clock.monotonic_ns()
        cells[memory.C_STATE], cells[memory.C_PROOF_NS], cells[memory.C_MARKETS] = ConnectionState.UP, now, 1
        writer = memory.BookWriter(feed)
        publish(writer, NASTY, [(5, 1)], [(7, 1)], now_ns=now)
        publish(writer, "M-2", [], [], now_ns=now, state=BookState.EMPTY, socket_ns=0)

    def _trader(self) -> None:
        counts = {"opportunities": 5, "trades": 2, "rejected__venue_cash": 3, "errors": 1}
        trader = self.make("trader", trader_sections(4), **counts)
        summary = records.SUMMARY.empty()._replace(mode="taker", realised_micros=2_500_000, updated_ns=1)
        summary = summary._replace(day_pnl_micros=-1, unknown_orders=1, day_known=1)
        TableWriter(trader, "summary", records.SUMMARY).put(0, summary)
        cash = records.CASH.empty()._replace(venue="kalshi", cash_micros=123_450_000, reserved_micros=10)
        TableWriter(trader, "cash", records.CASH).put(0, cash)
        curve: RingWriter[records.EquityRow] = RingWriter(trader, "equity", records.EQUITY)
        for number, equity in enumerate((1_000_000, 5_000_000, 4_000_000), 1):
            curve.append(records.EquityRow(number, number, equity, 0, 0, 0))

    def page(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of a page by name and labels."""
        port = self.serve()
        status, _, body = ask(port)
        assert status == 200, body
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parse(body)
            for sample in family.samples
        }

    def serve(self) -> int:
        """Serve, until the test ends."""
        views = attach_all(self.root / "shm")
        self.close, port = metrics.serve(
            lambda: views, lambda: {"disk": 1}, lambda: self.config, self.clock, 0
        )
        return port

    def close(self) -> None:
        """Nothing is served yet."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run whose memory is filled."""
    made = Run(tmp_path)
    made.fill()
    yield made
    made.close()
    for segment in made.segments.values():
        segment.close(unlink=True)


def ask(port: int, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Status, content type and body of one request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_each_number_is_that_of_memory(run: Run) -> None:
    """What memory holds is on the page, in base units."""
    run.clock.advance(500 * MS)
    page = run.page()

    def value(name: str, /, **labels: str) -> float:
        return page[name, tuple(sorted(labels.items()))]

    assert value("parallax_up") == 1
    labels = {
        "profile": "demo",
        "mode": "paper",
        "simulated": "yes",
        "program": "9.9",
        "config_hash": "ab" * 32,
    }
    assert value("parallax_run_info", **labels) == 1
    assert (value("parallax_config_version"), value("parallax_config_refused")) == (3, 1)
    assert value("parallax_worker_up", worker="scanner") == 1
    assert value("parallax_worker_state", worker="scanner", state="RUNNING") == 1
    assert value("parallax_worker_state", worker="scanner", state="FLAPPING") == 0
    assert value("parallax_worker_restarts_total", worker="scanner") == 2
    assert value("parallax_worker_heartbeat_age_seconds", worker="scanner") == 0.5
    assert value("parallax_worker_cpu_ratio", worker="scanner") == 0.25
    assert value("parallax_worker_memory_bytes", worker="scanner") == 40_000_000
    assert value("parallax_worker_switches_total", worker="scanner", kind="voluntary") == 70
    assert value("parallax_venue_messages_total", venue="kalshi") == 12
    assert value("parallax_venue_bad_checksums_total", venue="kalshi") == 4
    assert value("parallax_venue_connected", venue="kraken") == 0
    assert value("parallax_book_age_seconds", venue="kalshi", market='M"1\\]52;c') == 0.5
    assert value("parallax_books", venue="kalshi", state="DEAD") == 2
    assert value("parallax_edge_ratio", event="fed") == 0.008
    assert value("parallax_edge_dollars", event="fed") == 0.25
    assert value("parallax_refusals_total", reason="no_edge") == 4
    assert value("parallax_rejections_total", reason="venue_cash") == 3
    assert (value("parallax_opportunities_total"), value("parallax_trades_total")) == (5, 2)
    assert value("parallax_pnl_realised_dollars") == 2.5
    assert value("parallax_unknown_orders") == 1
    assert value("parallax_cash_dollars", venue="kalshi") == 123.45
    assert (value("parallax_equity_dollars"), value("parallax_drawdown_dollars")) == (4, 1)
    assert value("parallax_alerts_active", rule="disk") == 1
    assert value("parallax_alerts_active", rule="halt") == 0
    assert value("parallax_alerts_total", rule="disk") == 3
    assert value("parallax_counter_total", worker="feed-kalshi", name="bells") == 5
    assert value("parallax_counter_total", worker="trader", name="errors") == 1


def test_no_counter_has_two_names(run: Run) -> None:
    """The general family holds what no named one does, and nothing else."""
    general = {dict(labels)["name"] for name, labels in run.page() if name == "parallax_counter_total"}
    assert general == {"starts", "bells", "opportunities", "errors", "exports"}


def test_every_sample_is_of_a_documented_family(run: Run) -> None:
    """Names and labels on the page are those of the table, and every value is a number."""
    for (name, labels), value in run.page().items():
        assert set(dict(labels)) == set(FAMILIES[name].labels), name
        assert value == value  # noqa: PLR0124 - NaN alone is not


def test_names_follow_the_conventions() -> None:
    """Counters alone end in _total, units are base units and the end of the name, names are plain."""
    for family in FAMILIES.values():
        assert re.fullmatch(r"parallax_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == COUNTER)
        if family.unit in ("seconds", "dollars", "bytes", "ratio"):
            assert family.name.removesuffix("_total").endswith("_" + family.unit)
        assert not re.search(r"_(ms|ns|us|usd|cents|mb|percent|bp)\b", family.name)


def test_a_dead_supervisor_is_said_to_be(run: Run) -> None:
    """When the supervisor's heart stops, parallax_up is 0 while its last table is still there."""
    run.clock.advance(2000 * MS)
    page = run.page()
    assert page["parallax_up", ()] == 0
    assert page["parallax_uptime_seconds", ()] == 0


def test_before_anything_runs_there_is_a_page(tmp_path: Path) -> None:
    """Without one segment the page is there, and says that nothing is up."""
    empty = Run(tmp_path)
    try:
        page = empty.page()
        assert page["parallax_up", ()] == 0
        assert {dict(labels)["rule"] for name, labels in page if name == "parallax_alerts_active"} == set(
            NAMES
        )
    finally:
        empty.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_page_of_another_name_cannot_ask(run: Run, host: str) -> None:
    """A browser that was told that some name means 127.0.0.1 gets nothing."""
    status, _, body = ask(run.serve(), headers={"Host": host})
    assert status == 403 and "parallax_" not in body


def test_this_machine_may_ask_by_either_name_and_nothing_else_is_there(run: Run) -> None:
    """127.0.0.1 and localhost are answered, with a query too; other paths and methods are not."""
    port = run.serve()
    for host in (f"127.0.0.1:{port}", f"LocalHost:{port}"):
        assert ask(port, headers={"Host": host})[0] == 200
    assert ask(port, "/metrics?name[]=parallax_up")[0] == 200
    assert ask(port, "/")[0] == 404
    assert ask(port, "/../etc/passwd")[0] == 404
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert b" 501 " in connection.recv(64)


def test_a_client_that_sends_nothing_does_not_stay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request is given up, and the next one is answered."""
    monkeypatch.setattr(metrics._Handler, "timeout", 0.05)
    port = run.serve()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as silent:
        assert ask(port)[0] == 200
        assert silent.recv(1) == b""


def test_it_listens_on_loopback_alone_and_a_taken_port_is_an_error(run: Run) -> None:
    """The port is bound to 127.0.0.1; a second server on it raises OSError."""
    port = run.serve()
    with pytest.raises(OSError, match="in use"):
        metrics.serve(dict, dict, lambda: run.config, run.clock, port)
    with socket.create_server(("127.0.0.2", port)):
        assert ask(port)[0] == 200


def test_memory_of_another_version_is_a_sentence(run: Run) -> None:
    """A segment that this program cannot read makes an error page that says so, and the next is answered."""
    run.segments.pop("supervisor").close(unlink=True)
    run.make("supervisor", [lo.Section("workers", lo.SLOTS, 1, 3, drawing="something else")], starts=1)
    port = run.serve()
    status, _, body = ask(port)
    assert status == 500 and "run both sides from the same checkout" in body


def test_prometheus_own_format_can_be_asked_for(run: Run) -> None:
    """A client that prefers OpenMetrics gets it."""
    status, kind, body = ask(run.serve(), headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert status == 200 and kind.startswith("application/openmetrics-text") and body.endswith("# EOF\n")


# -- documentation ---------------------------------------------------------------------------------------


def test_the_page_on_metrics_lists_each(project_root: Path) -> None:
    """docs/METRICS.md has one row for each metric: name, type, unit, labels, meaning, as in the table."""
    text = (project_root / "docs" / "METRICS.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `parallax_")]
    assert rows == [
        f"| `{f.name}` | {f.kind} | {f.unit or '-'} | {', '.join(f.labels) or '-'} | {f.meaning} |"
        for f in FAMILIES.values()
    ]


def test_the_example_dashboard_asks_for_what_exists(project_root: Path) -> None:
    """docs/grafana.json is an importable dashboard of 8 to 12 panels; all its queries can be answered."""
    board = json.loads((project_root / "docs" / "grafana.json").read_text())
    assert {"title", "panels", "schemaVersion", "uid", "time", "templating", "__inputs"} <= set(board)
    assert 8 <= len(board["panels"]) <= 12
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    corners = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        corners.add((place["x"], place["y"]))
        assert panel["title"] and panel["targets"] and panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
        for target in panel["targets"]:
            names = re.findall(r"\bparallax_\w+", target["expr"])
            assert names and set(names) <= set(FAMILIES), target["expr"]
            labels = {label for name in names for label in FAMILIES[name].labels}
            used = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", target["expr"])
            used += [
                each for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for each in group.split(", ")
            ]
            used += re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert set(used) <= labels, target["expr"]
            counters = [name for name in names if FAMILIES[name].kind == COUNTER]
            assert all(re.search(rf"(rate|increase)\({name}\b", target["expr"]) for name in counters)
    assert len(corners) == len(board["panels"])
