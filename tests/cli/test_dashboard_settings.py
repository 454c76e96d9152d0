"""The settings that the dashboard offers: what the schema says, with the values in force."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dashboard.settings import Form, SettingInfo
from pipeline.cli.dashboard_settings import load_settings, settings_of
from pipeline.clock import SystemClock
from pipeline.config import Config, RiskConfig
from pipeline.config_schema import resolve
from pipeline.config_schema.live import FileSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration of the project's own config.toml."""
    data = tmp_path_factory.mktemp("data")
    return resolve(path=ROOT / "config.toml", profile=None, sets=(), environ={}, data_directory=data)


@pytest.fixture(scope="module")
def rows(config: Config) -> dict[str, SettingInfo]:
    """Its settings, by key."""
    return {row.key: row for row in settings_of(config)}


def test_each_key_has_its_value_range_and_time(config: Config, rows: dict[str, SettingInfo]) -> None:
    """The value in force, what may stand there, and when a change acts."""
    changed = msgspec.structs.replace(config, risk=RiskConfig(min_edge_bp=77))
    (edge,) = [row for row in settings_of(changed) if row.key == "risk.min_edge_bp"]
    assert (edge.value, edge.form, edge.low, edge.high, edge.acts) == (
        "77",
        Form.WHOLE,
        "0",
        "10000",
        "at once",
    )
    assert rows["trader.mode"].choices == ("taker", "maker_hedge", "both")
    assert rows["venues.kalshi.enabled"].form is Form.SWITCH
    assert rows["venues.kalshi.enabled"].acts == "when everything restarts"
    assert rows["venues.kraken.enable_websocket"].acts == "when feed-kraken restarts"
    assert rows["risk.max_net_usd"].form is Form.NUMBER


def test_only_what_set_may_write_is_offered(rows: dict[str, SettingInfo]) -> None:
    """No events, series or lists of tables; keys are in order, once each, and each venue has its own."""
    assert list(rows) == sorted(rows)
    assert not [key for key in rows if key.startswith(("events", "series", "profile")) or "NAME" in key]
    assert {"venues.kalshi.timeout", "venues.coinbase.timeout"} <= rows.keys()


def test_every_value_in_force_may_stand_where_it_does(rows: dict[str, SettingInfo]) -> None:
    """What is checked in the dialog never refuses a value that the schema accepts."""
    assert [row for row in rows.values() if row.value and row.problem(row.plain)] == []
    defaults = (SettingInfo(**{**_fields(row), "value": row.default}) for row in rows.values() if row.default)
    assert [row for row in defaults if row.value != "needed" and row.problem(row.plain)] == []


def _fields(row: SettingInfo) -> dict[str, object]:
    return {name: getattr(row, name) for name in SettingInfo.__dataclass_fields__}


def test_a_plain_value_can_be_set_in_the_real_file(config: Config, tmp_path: Path) -> None:
    """A number, an amount, a word and a switch as the dialog sends them are taken by the real settings."""
    path = tmp_path / "config.toml"
    path.write_text((ROOT / "config.toml").read_text())
    now = resolve(path=path, profile=None, sets=(), environ={}, data_directory=tmp_path)
    files = FileSettings(path, None, (), {}, tmp_path, SystemClock())
    sent = ["risk.min_edge_bp=61", "risk.max_net_usd=11", "trader.mode=taker", "observer.enabled=true"]
    tuned = files.write(now, sent, frozenset())
    assert tuned.config.risk.min_edge_bp == 61
    assert str(tuned.config.risk.max_net_usd) == "11"


def test_where_nothing_runs_there_are_no_keys(tmp_path: Path) -> None:
    """No run, no list; the dialog says so."""
    assert load_settings(tmp_path) == ()


def test_the_dashboard_itself_loads_no_schema() -> None:
    """The app with all its dialogs is imported without pydantic: its start must not wait for it."""
    code = "import sys, dashboard.dialogs.setting, dashboard.actions; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
