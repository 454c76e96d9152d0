"""run.py show-config: each key with its value, where that came from, and when a change acts."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main

TEXT = """[venues.kalshi]
[venues.polymarket]
key_id_env = "KALSHI_KEY_ID"
[risk]
min_edge_bp = 50
cooldown_ms = 1
[trader.cash]
kalshi = "7"
[profile.paper.risk]
cooldown_ms = 2
"""
LEGS = 'legs = [{ venue = "kalshi", market = "A" }, { venue = "polymarket", market = "B" }]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration of several layers."""
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(TEXT)
    Path("events").mkdir()
    Path("events/a.toml").write_text(f'[[events]]\nid = "a"\n{LEGS}')
    return tmp_path


def show(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["show-config", "--config", "config.toml", "--data", "data", *words]) == 0
    return capsys.readouterr().out


def test_docs_config_is_the_schema(project_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/CONFIG.md is what `run.py show-config --markdown` prints, which makes it again."""
    assert main(["show-config", "--markdown"]) == 0
    assert (project_root / "docs" / "CONFIG.md").read_text(encoding="utf-8") == capsys.readouterr().out


def test_every_layer_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File and line, profile, environment, --set and default each show as the origin of what they gave."""
    monkeypatch.setenv("PARALLAX__RISK__PROBE_USD", "3")
    words = ["--origin", "--profile", "paper", "--set", "risk.min_race=0.5"]
    lines = {line.partition(" = ")[0]: line.partition("# ")[2] for line in show(capsys, *words).splitlines()}
    assert lines["risk.min_edge_bp"] == "config.toml:5 | live"
    assert lines["risk.cooldown_ms"] == "config.toml:10 [profile.paper] | live"
    assert lines["risk.probe_usd"] == "environment PARALLAX__RISK__PROBE_USD | live"
    assert lines["risk.min_race"] == "--set | live"
    assert lines["risk.max_order_usd"] == "default | live"
    assert lines["trader.cash.kalshi"] == "config.toml:8 | restart-all"
    assert lines["venues.polymarket.key_id_env"] == "config.toml:3 | live"
    assert lines["events.a"] == "events/a.toml:1 | live"


def test_the_value_is_as_toml_writes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --origin each line is one that could stand in a file; what is unset is left out."""
    out = show(capsys)
    assert "# nothing runs" in out
    assert "risk.min_edge_bp = 50\n" in out and 'trader.cash.kalshi = "7"\n' in out
    assert "alerts.rules = {}\n" in out and "fees." not in out


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object: file, profile, hash, run, every key with value, origin and when it acts."""
    told = json.loads(show(capsys, "--json"))
    assert (told["profile"], told["run"], told["notes"]) == ("demo", None, [])
    assert told["keys"]["risk.min_edge_bp"] == {"value": 50, "acts": "live", "origin": "config.toml:5"}
    assert told["keys"]["events.a"]["value"]["legs"] == ["kalshi A", "polymarket B"]


def test_a_bad_file_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not hold cannot be shown: its problems are, and the exit code is 3."""
    Path("config.toml").write_text("[risk]\nmin_edge = 3\n")
    assert main(["show-config", "--config", "config.toml", "--data", "data"]) == 3
    assert "config.toml:2: risk.min_edge: unknown key" in capsys.readouterr().err


def test_secrets_are_named_and_not_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a secret is kept is shown; what is kept there is not."""
    monkeypatch.setenv("KALSHI_KEY_ID", "the-secret-itself")
    out = show(capsys, "--origin") + show(capsys, "--json")
    assert "KALSHI_KEY_ID" in out and "the-secret-itself" not in out
