"""Alerts: what the rules find is in memory and in the log, and reaches whoever is configured."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import secrets
from pipeline.clock import ManualClock
from pipeline.config import AlertRuleConfig, AlertsConfig, Config
from pipeline.logs import log_directory, open_log
from pipeline.model import Reason
from pipeline.observer import deliver
from pipeline.observer.alerts import COUNTERS, RING_ROWS, Alerts, mute
from pipeline.observer.deliver import AlertState
from pipeline.secrets import Secret, remember
from shm import records
from shm import segment as segments
from shm.layout import Section
from shm.segment import View, attach
from shm.tables import RingWriter, TableWriter, counter_section, error_section, read_ring
from tests.support.receiver import Receiver, receiver

pytest.importorskip("apprise")
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
SECONDS = 60.0
CALM: dict[str, Any] = {"venues": {}, "workers": [], "events": {}, "account": {}, "halted": False}
HALTED = {**CALM, "halted": True, "halt": {"cause": "a person's wish", "who": "ann"}}


class World:
    """A segment with the ring, a log, counted counters, and alerts over them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.clock = ManualClock()
        self.counted: Counter[str] = Counter()
        self.reported: list[str] = []
        self.owned: list[segments.Segment] = []
        self.ring = self.own("observer", [records.ALERT.section("alerts", RING_ROWS, kept=True)])
        self.view = attach(data / "shm", "observer")
        self.log = open_log("observer", data)
        self.alerts: Alerts | None = None

    def own(self, name: str, sections: list[Section]) -> segments.Segment:
        """A segment of this process."""
        made = segments.create(
            self.data / "shm",
            name,
            [counter_section(("errors",)), error_section(), *sections],
            segments.this_owner(1),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )
        self.owned.append(made)
        return made

    def start(self, config: AlertsConfig, **changes: Any) -> Alerts:
        """Alerts as a new process makes them."""
        self.config = Config(data_directory=str(self.data), alerts=config, **changes)
        self.alerts = Alerts(
            self.config,
            self.environ,
            self.clock,
            RingWriter(self.ring, "alerts", records.ALERT),
            self.log,
            count=lambda name: self.counted.update([name]),
            report=self.reported.append,
            earlier=self.rows(),
        )
        return self.alerts

    environ: dict[str, str] = {}  # noqa: RUF012 - each test that needs one gives its own

    def turn(self, state: dict[str, Any], views: dict[str, View] | None = None, seconds: float = 1.0) -> None:
        """One look, some time after the last."""
        assert self.alerts is not None
        self.clock.advance(round(seconds * 1e9))
        self.alerts.turn(state, views or {}, self.clock.monotonic_ns(), self.clock.wall_ns())

    def rows(self) -> list[records.AlertRow]:
        """The ring, newest first."""
        return read_ring(self.view, "alerts", records.ALERT)

    def settled(self, state: dict[str, Any]) -> list[records.AlertRow]:
        """The ring once no alert waits."""
        deadline = time.monotonic() + SECONDS
        while any(row.state == AlertState.WAITS for row in self.rows()) and time.monotonic() < deadline:
            time.sleep(0.005)
            self.turn(state, seconds=0)
        return self.rows()

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [
            json.loads(line)
            for line in (log_directory(self.data) / "observer.jsonl").read_text().splitlines()
        ]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world without alerts yet, in a process that has loaded no secret."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    monkeypatch.setattr(deliver, "hide_memory", lambda: True)
    monkeypatch.setattr(deliver, "PAUSES_S", (0.01, 0.01))
    made = World(tmp_path)
    yield made
    if made.alerts is not None:
        made.alerts.close()
    made.log.close()
    for segment in made.owned:
        segment.close(unlink=True)


@pytest.fixture(name="there")
def receiver_there() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiver() as server:
        yield server


def test_without_addresses_it_is_shown_and_sent_to_nobody(world: World) -> None:
    """A run without addresses keeps its alerts in memory, in the log and in counters."""
    world.start(AlertsConfig(), simulated=("kalshi",))
    for state in (CALM, HALTED, HALTED, CALM):
        world.turn(state)
    over, raised = world.rows()
    assert (raised.rule, raised.subject, raised.cleared, raised.state) == (
        "halt",
        "run",
        0,
        AlertState.NOBODY,
    )
    assert raised.text.startswith("halted: a person's wish (ann); since 2023-11-14T22:13:22Z: nothing new")
    assert over.cleared == 1 and over.text.startswith("over after 2 s: halted: a person's wish")
    assert [(line["rule"], line["over"]) for line in world.logged()] == [("halt", False), ("halt", True)]
    assert world.counted == {"alert.halt": 1, "alerts_cleared": 1, "alerts_nobody": 2}
    assert set(world.counted) <= set(COUNTERS)


def test_an_alert_reaches_a_receiver_and_its_row_says_so(world: World, there: Receiver) -> None:
    """A raise and its end are sent, labelled with whose money it is; the ring and the counters follow."""
    world.environ = {"URLS": there.url("tell")}
    world.start(AlertsConfig(urls_env="URLS"), simulated=("kalshi",))
    world.turn(HALTED)
    world.turn(CALM)
    assert [row.state for row in world.settled(CALM)] == [AlertState.SENT] * 2
    titles = [body["title"] for _, body in there.got]
    assert titles == ["Parallax SIM: halt run", "Parallax SIM: halt run is over"]
    assert there.got[1][1]["message"].startswith("over after 1 s: halted")
    assert world.counted["alerts_sent"] == 2


def test_a_receiver_that_refuses_is_reported_without_its_token(world: World, there: Receiver) -> None:
    """A failed alert says FAILED in its row and why among the errors; the token is nowhere."""
    token = "canary-77ab-token-of-an-address"
    world.environ = {"URLS": there.url(f"bad/{token}")}
    world.start(AlertsConfig(urls_env="URLS"))
    state = {**HALTED, "halt": {"cause": f"somebody wrote {token}", "who": ""}}
    world.turn(state)
    (row,) = world.settled(state)
    assert row.state == AlertState.FAILED
    assert world.reported[0].startswith("alerts: json://127.0.0.1:")
    shown = json.dumps([world.reported, world.logged(), world.rows(), [body for _, body in there.got]])
    assert token not in shown


def test_the_hour_has_its_number_and_the_rest_is_kept_back(world: World, there: Receiver) -> None:
    """Beyond max_per_hour an alert is shown as kept back and nobody gets it."""
    world.environ = {"URLS": there.url("tell")}
    world.start(AlertsConfig(urls_env="URLS", max_per_hour=1))
    away = {"connected": False, "socket": "down", "lag_ms": None, "books": {}}
    state = {**CALM, "venues": {"kalshi": away, "kraken": away}}
    for _ in range(20):
        world.turn(state)
    assert Counter(row.state for row in world.settled(state)) == {AlertState.SENT: 1, AlertState.KEPT_BACK: 1}
    assert len(there.got) == 1


def test_an_observer_that_is_started_again_tells_nothing_anew(world: World) -> None:
    """What the ring says was told and still holds is not raised again; its number goes on."""
    world.start(AlertsConfig()).turn(HALTED, {}, world.clock.monotonic_ns(), world.clock.wall_ns())
    world.start(AlertsConfig())
    world.turn(HALTED, seconds=5)
    assert len(world.rows()) == 1
    world.turn(CALM)
    assert [(row.sequence, row.cleared) for row in world.rows()] == [(2, 1), (1, 0)]


def test_the_daily_message_is_sent_whole(world: World, there: Receiver) -> None:
    """The summary goes out with its lines, whatever the hour has had; the ring has its beginning."""
    world.environ = {"URLS": there.url("tell")}
    world.start(AlertsConfig(urls_env="URLS", max_per_hour=1)).daily(
        "a first line\na second line\n" + "x" * 3000
    )
    (row,) = world.settled(CALM)
    assert (row.rule, row.state) == ("daily", AlertState.SENT) and row.text.startswith(
        "a first line a second line"
    )
    (sent,) = there.got
    assert sent[1]["message"].startswith("a first line\na second line\n") and len(sent[1]["message"]) == 2000


def test_a_new_configuration_acts_at_once(world: World, there: Receiver) -> None:
    """Addresses that are named later are used from then on; a rule that is switched off ends its matter."""
    world.environ = {"URLS": there.url("tell")}
    alerts = world.start(AlertsConfig())
    world.turn(HALTED)
    off = {"halt": AlertRuleConfig(enabled=False)}
    alerts.adopt(Config(data_directory=str(world.data), alerts=AlertsConfig(urls_env="URLS", rules=off)))
    world.turn(HALTED)
    over, raised = world.settled(CALM)
    assert (raised.state, over.state, over.cleared) == (AlertState.NOBODY, AlertState.SENT, 1)


def test_large_opportunities_come_from_memory(world: World) -> None:
    """The best offered direction of an event is told; a refused one is not."""
    scanner = world.own("scanner", [records.EVENT.section("events", 4)])
    table = TableWriter(scanner, "events", records.EVENT)
    row = records.EVENT.empty()._replace(event_id="e1", kind="binary", has_numbers=1, net_micros=900_000)
    row = row._replace(buy_venue="kalshi", sell_venue="kraken")
    table.put(0, row._replace(edge_bp=700))
    table.put(1, row._replace(edge_bp=640, direction=1))
    table.put(2, row._replace(event_id="e2", edge_bp=900, reason=Reason.NOT_REVIEWED))
    views = {"scanner": attach(world.data / "shm", "scanner")}
    world.start(AlertsConfig())
    world.turn(CALM, views)
    (row,) = world.rows()
    assert row.text.startswith("e1: 700 bp net, $0.9, buy kalshi, sell kraken;")


def test_the_disk_is_asked(world: World) -> None:
    """Little space where the journal lies is told; a folder that cannot be asked is no crash."""
    world.start(AlertsConfig(rules={"disk": AlertRuleConfig(limit="1000000000")}))
    world.turn(CALM)
    assert world.rows()[0].rule == "disk"
    gone = AlertsConfig(rules={"disk": AlertRuleConfig(limit="1000000000")})
    assert world.alerts is not None
    world.alerts.adopt(Config(data_directory=str(world.data / "gone"), alerts=gone))
    world.turn(CALM)
    assert [row.cleared for row in world.rows()] == [1, 0]


def test_a_venues_words_steer_nothing(world: World) -> None:
    """Control characters and calls for everybody do not get out, and a known secret is not in any row."""
    assert mute("a\x1b]52;c\x07b\u202e @everyone\nc") == "a]52;cb (at)everyone\nc"
    remember(Secret("canary-1ca5-in-a-cause"))
    world.start(AlertsConfig())
    world.turn({**HALTED, "halt": {"cause": "\x1b[31mcanary-1ca5-in-a-cause @here", "who": "x\n"}})
    assert world.rows()[0].text.startswith("halted: [31m*** (at)here (x )")


def test_what_is_not_over_stays_in_the_ring(world: World) -> None:
    """However many come after it, an alert that is not over is still shown, and no successor repeats it."""
    world.start(AlertsConfig())
    for number in range(2 * RING_ROWS):
        world.turn({**HALTED, "workers": [{"name": f"w{number}", "state": "FLAPPING"}]})
    assert [row.cleared for row in world.rows() if row.rule == "halt"] == [0]
    world.start(AlertsConfig())
    world.turn(HALTED)
    assert world.counted["alert.halt"] == 1
    world.turn(CALM)
    assert world.counted["alerts_cleared"] == 2 * RING_ROWS + 1
