"""run.py set and reload while nothing runs; tests/e2e/test_tuning.py has them with a run."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main

TEXT = "[risk]\nmin_edge_bp = 50 # basis points\n\n[profile.paper.risk]\nmin_edge_bp = 80\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.toml in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    return path


def tune(*words: str) -> int:
    return main([*words, "--data", "data"])


def test_set_writes_the_file_while_nothing_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is changed, comments kept, and it is said that nothing runs that could act on it."""
    assert tune("set", "risk.min_edge_bp=60", "kelly.mode=full", "--config", "config.toml") == 0
    assert capsys.readouterr().out.splitlines() == [
        'kelly.mode "half" -> "full"',
        "risk.min_edge_bp 50 -> 60",
        "written to config.toml; nothing runs, so it acts with the next run.py up",
    ]
    assert "min_edge_bp = 60 # basis points" in file.read_text()
    assert 'mode = "full"' in file.read_text()
    assert not Path("data").exists()


def test_set_writes_into_the_profile_that_is_named(file: Path) -> None:
    """A key that stands in the profile is changed there."""
    assert tune("set", "risk.min_edge_bp=90", "--config", "config.toml", "--profile", "demo") == 0
    assert file.read_text() == TEXT.replace("50", "90")


def test_set_refuses_all_with_every_problem(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is on stderr, the exit code is 3, and the file is what it was."""
    words = ["set", "risk.min_edge=3", "risk.min_edge_bp=-1", "kelly.cap=0.2", "--config", "config.toml"]
    assert tune(*words) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "risk.min_edge: unknown key 'min_edge' - did you mean 'min_edge_bp'?",
        "risk.min_edge_bp: must be at least 0, got -1",
        "run.py: nothing was changed",
    ]
    assert file.read_text() == TEXT
    assert tune(*words, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": False, "lines": err.splitlines()[:2]}


def test_set_tells_what_is_wrong_with_the_file_itself(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that does not hold is not written to: its own problems are told."""
    file.write_text("[risk]\nmin_edge = 3\n")
    assert tune("set", "risk.min_edge_bp=3", "--config", "config.toml") == 3
    assert "config.toml:2: risk.min_edge: unknown key" in capsys.readouterr().err


def test_the_same_value_is_no_change(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To set a key to what it is changes nothing, and says so."""
    assert tune("set", "risk.min_edge_bp=50", "--config", "config.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "lines": ["nothing changed"]}
    assert file.read_text() == TEXT


def test_a_value_is_one_line(file: Path) -> None:
    """A line break could carry a second assignment to the supervisor."""
    assert tune("set", "kelly.mode=half\nrisk.min_edge_bp=1", "--config", "config.toml") == 2


def test_reload_needs_a_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a run there is nobody to read anything: exit code 4."""
    assert tune("reload") == 4
    assert "nothing runs in data" in capsys.readouterr().err
