"""The configuration of a run that goes on: what is saved acts or is refused, as a whole, and is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from pipeline.clock import SystemClock
from pipeline.config import Config, EventConfig, LabConfig, decode
from pipeline.config_schema import resolve
from pipeline.config_schema.live import FileSettings
from pipeline.lifecycle import CONFIG_FILE, Worker
from pipeline.supervisor.configuration import Configuration, held_events
from pipeline.trader.window import sections
from shm.records import POSITION, RUN, SUMMARY, PositionRow, RunRow
from shm.segment import attach
from shm.tables import TableReader, TableWriter, read_counters, read_errors

CLOCK = SystemClock()
TEXT = """\
# kept
[risk]
min_edge_bp = 50  # kept too
[venues.kalshi]
enable_websocket = true
[venues.kraken]
enable_websocket = true
"""
BAD = TEXT.replace(" 50", ' "many"')


def merge(base: Config, lab: Mapping[str, object]) -> Config:
    """What the lab publishes, carried into the config."""
    return msgspec.structs.replace(base, lab=LabConfig(seed=int(str(lab["seed"]))))


class Tuning:
    """A configuration of real files, published into directories of this test's own; no worker reads it."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "config.toml"
        self.file.write_text(TEXT)
        data = tmp_path / "data"
        data.mkdir()
        found = resolve(path=self.file, profile="paper", sets=(), environ={}, data_directory=data)
        run, shm = tmp_path / "run", tmp_path / "shm"
        run.mkdir(mode=0o700)
        self.base = msgspec.structs.replace(found, run_directory=str(run), shm_directory=str(shm))
        files = FileSettings(self.file, "paper", (), {}, data, CLOCK)
        self.worker = Worker(
            "supervisor", self.base, CLOCK, [RUN.section("run", 1)], ("lab_changes",), lambda _old, _new: None
        )
        self.configuration = Configuration(self.base, self.worker, CLOCK, merge, files)

    @property
    def published(self) -> Config:
        return decode((Path(self.base.run_directory) / CONFIG_FILE).read_bytes())

    @property
    def row(self) -> RunRow:
        row = TableReader(attach(Path(self.base.shm_directory), "supervisor"), "run", RUN).get(0)
        assert row is not None
        return row

    def save(self, text: str) -> None:
        """Save the file and let it rest, as an editor does."""
        self.file.write_text(text)
        CLOCK.sleep(0.12)


@pytest.fixture
def tuning(tmp_path: Path) -> Iterator[Tuning]:
    """A configuration in force."""
    made = Tuning(tmp_path)
    yield made
    made.worker.segment.close(unlink=True)
    made.worker.log.close()


def test_what_is_saved_is_published_without_a_command(tuning: Tuning) -> None:
    """A watch after the save finds it: one version more, another hash, the worker's own settings too."""
    before = tuning.published
    tuning.save(TEXT.replace("50", "77") + "[supervisor]\nhung_after = 9.0\n[logs]\nlevel = 'debug'\n")
    tuning.configuration.watch()
    after = tuning.published
    assert (before.version, after.version) == (1, 2)
    assert before.hash != after.hash == tuning.row.config_hash
    assert (after.risk.min_edge_bp, after.supervisor.hung_after) == (77, 9.0)
    assert tuning.worker.config == after
    assert tuning.worker.log.level == "debug"
    assert attach(Path(after.shm_directory), "supervisor").header.config_version == 2


def test_what_does_not_hold_changes_nothing_and_is_told(tuning: Tuning) -> None:
    """A bad save is refused as one, its problem stands in memory until a good one comes."""
    tuning.save(BAD)
    tuning.configuration.watch()
    assert tuning.published.version == 1
    assert "risk.min_edge_bp" in tuning.row.config_problem
    view = attach(Path(tuning.base.shm_directory), "supervisor")
    assert read_counters(view)["config_refused"] == 1
    assert any("risk.min_edge_bp" in row.text for row in read_errors(view))
    ok, text = tuning.configuration.reload()
    assert not ok
    assert "risk.min_edge_bp" in text
    tuning.save(TEXT)
    assert tuning.configuration.reload() == (True, "nothing changed")
    assert (tuning.row.config_problem, tuning.published.version) == ("", 1)


def test_set_writes_the_file_and_answers_what_acts_when(tuning: Tuning) -> None:
    """The file keeps its comments, the answer names old and new; what is wrong changes neither."""
    ok, text = tuning.configuration.write(["risk.min_edge_bp=60"])
    assert (ok, text) == (True, "risk.min_edge_bp 50 -> 60: now")
    assert tuning.file.read_text() == TEXT.replace("50", "60")
    assert tuning.published.risk.min_edge_bp == 60
    ok, _ = tuning.configuration.write(["risk.min_edge_bp=61", "risk.min_egde_bp=62"])
    assert not ok
    assert tuning.published.risk.min_edge_bp == 60
    tuning.configuration.watch()
    assert tuning.published.version == 2


def test_what_waits_for_a_restart_is_told_until_then(tuning: Tuning) -> None:
    """A key of one feed waits for that feed, one of everything for all; changed back it waits no more."""
    tuning.configuration.write(
        ["venues.kraken.enable_websocket=false", "venues.kalshi.enable_websocket=false"]
    )
    waits = set(tuning.row.config_waits.split("; "))
    assert waits == {
        "venues.kraken.enable_websocket: feed-kraken",
        "venues.kalshi.enable_websocket: feed-kalshi",
    }
    tuning.configuration.restarted("feed-kraken")
    assert tuning.row.config_waits == "venues.kalshi.enable_websocket: feed-kalshi"
    tuning.configuration.write(["venues.kalshi.enable_websocket=true"])
    assert tuning.row.config_waits == ""
    tuning.configuration.write(["shm.depth=30"])
    assert tuning.row.config_waits == "shm.depth: all"
    assert tuning.published.shm.depth == tuning.base.shm.depth
    tuning.configuration.write(["risk.min_edge_bp=70"])
    assert tuning.row.config_waits == "shm.depth: all"


def test_an_answer_tells_what_is_news_and_nothing_twice(tuning: Tuning) -> None:
    """What waits already is not told again; what is taken back before its restart holds now."""
    answers = [
        tuning.configuration.write([change])[1]
        for change in (
            "shm.depth=30",
            "risk.min_edge_bp=70",
            "venues.kraken.enable_websocket=false",
            "venues.kraken.enable_websocket=true",
            "shm.depth=31",
            "shm.depth=25",
        )
    ]
    later = "when everything restarts (run.py down, run.py up)"
    assert answers == [
        f"shm.depth 25 -> 30: {later}",
        "risk.min_edge_bp 50 -> 70: now",
        "venues.kraken.enable_websocket true -> false: when feed-kraken restarts",
        "venues.kraken.enable_websocket false -> true: now",
        f"shm.depth 25 -> 31: {later}",
        "shm.depth 31 -> 25: now",
    ]
    assert tuning.row.config_waits == ""


def test_a_removed_configuration_is_published_again(tuning: Tuning) -> None:
    """Whoever removes or replaces run/config.json stops no worker from starting: it is there again."""
    path = Path(tuning.base.run_directory) / CONFIG_FILE
    for number, harm in enumerate((path.unlink, lambda: path.write_text("{}")), 2):
        harm()
        CLOCK.sleep(0.1)
        tuning.configuration.watch()
        assert tuning.published.version == number
        assert attach(Path(tuning.base.shm_directory), "supervisor").header.config_version == number


def test_what_cannot_be_published_is_told_and_tried_again(tuning: Tuning) -> None:
    """Without room in the run directory workers go on with what they have, the answer says so, and the change
    acts once there is room.
    """
    obstacle = Path(tuning.base.run_directory) / "config.new"
    obstacle.mkdir()
    ok, text = tuning.configuration.write(["risk.min_edge_bp=60"])
    assert ok
    assert text.startswith("risk.min_edge_bp 50 -> 60: now\nbut not yet: ")
    assert text.endswith("Is a directory: workers go on with what they have")
    assert (tuning.published.risk.min_edge_bp, tuning.published.version) == (50, 1)
    assert text.endswith(tuning.row.config_problem)
    assert tuning.worker.config.risk.min_edge_bp == 50
    obstacle.rmdir()
    CLOCK.sleep(0.1)
    tuning.configuration.watch()
    assert (tuning.published.risk.min_edge_bp, tuning.published.version) == (60, 2)
    assert tuning.row.config_problem == ""


def test_lab_and_log_levels_lie_over_whatever_the_files_say(tuning: Tuning) -> None:
    """What the lab published and a level that was asked for are still there after a change of the files."""
    simulated = msgspec.structs.replace(tuning.base, simulated=("kalshi",))
    configuration = Configuration(simulated, tuning.worker, CLOCK, merge, None)
    assert not configuration.addressed
    (Path(tuning.base.run_directory) / "lab.json").write_text('{"seed": 99}')
    configuration.watch()
    assert configuration.addressed
    assert configuration.set_level("scanner", "debug")[0]
    assert (tuning.published.lab.seed, tuning.published.logs.of("scanner")) == (99, "debug")
    assert configuration.set_level("scanner", "default")[0]
    assert (tuning.published.lab.seed, tuning.published.logs.of("scanner")) == (99, "info")
    assert configuration.reload() == (False, "this run was started without files")


def test_what_is_held_is_known_from_the_trader_or_everything_counts_as_held(tuning: Tuning) -> None:
    """Without a trader that says what it holds every event does; with one, those that it names."""
    config = msgspec.structs.replace(tuning.base, events=(EventConfig("one"), EventConfig("two")))
    assert held_events(config) == {"one", "two"}
    trader = Worker("trader", config, CLOCK, sections(4), (), lambda _old, _new: None)
    try:
        assert held_events(config) == {"one", "two"}
        position = POSITION.empty()._replace(event_id="two", units=5)
        positions: TableWriter[PositionRow] = TableWriter(trader.segment, "positions", POSITION)
        positions.put(0, position)
        summary = TableWriter(trader.segment, "summary", SUMMARY)
        summary.put(0, SUMMARY.empty()._replace(updated_ns=1))
        assert held_events(config) == {"two"}
        summary.put(0, SUMMARY.empty()._replace(updated_ns=1, unknown_orders=1))
        assert held_events(config) == {"one", "two"}
    finally:
        trader.segment.close(unlink=True)
        trader.log.close()
