"""run.py check-config: every problem at once, events/ included, and what is left out."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main

LEGS = 'legs = [{ venue = "kalshi", market = "A" }, { venue = "polymarket", market = "B" }]\n'
SERIES = (
    '[[series]]\nid = "s"\nfirst = "2026-01-01T00:00:00Z"\nevery = "1d"\n'
    'legs = [{ venue = "kalshi", market = "A-{close:%d}" },'
    ' { venue = "polymarket", markets = { "2026-01-01T00:00:00Z" = "B" } }]\n'
    f'review = {{ by = "me", rules_hash = "{"a" * 64}" }}\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder events/."""
    monkeypatch.chdir(tmp_path)
    Path("events").mkdir()
    Path("config.toml").touch()
    return tmp_path


def check(*words: str) -> int:
    return main(["check-config", "config.toml", "--data", "data", *words])


def test_the_project_s_own_file_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    """config.toml of the checkout holds."""
    assert main(["check-config"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("good; profile demo, venues kalshi, polymarket, kraken, coinbase, 0 events")


def test_files_of_events_are_checked_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in events/ is told with its own file and line, next to those of config.toml."""
    Path("config.toml").write_text("[risk]\nmin_edge = 1\n")
    Path("events/a.toml").write_text(f'[[events]]\nid = "a"\nkind = "bin"\n{LEGS}')
    assert check() == 3
    assert [line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "config.toml:2",
        "events/a.toml:3",
    ]
    assert check("--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert not told["good"] and len(told["problems"]) == 2


def test_what_is_left_out_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An instance of a series that has no market is no problem, and is said."""
    Path("events/s.toml").write_text(SERIES + f'[[events]]\nid = "a"\n{LEGS}')
    assert check() == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("1 events")
    assert second.startswith("series s: the instance of ") and second.endswith("no market at polymarket")
    assert check("--json") == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [second]
