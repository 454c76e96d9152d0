"""Completion: what the shell offers is what the parsers take."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.cli.common import OK, ROOT
from pipeline.cli.completion import script
from pipeline.cli.main import COMMANDS, main

COMPLETE = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_parallax
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, in a file."""
    path = tmp_path_factory.mktemp("completion") / "parallax.bash"
    path.write_text(script("bash"))
    return path


def offered(made: Path, words: str, folder: Path | None = None) -> list[str]:
    """What bash offers for the last of some words, the program's name among them."""
    done = subprocess.run(
        ["bash", "--norc", "-uc", COMPLETE.format(script=made, words=words)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder or ROOT,
        env={**os.environ, "PARALLAX_NO_VENV": "1"},
    )
    assert "compopt" in done.stderr or done.stderr == "", done.stderr
    return done.stdout.split()


def test_commands_are_offered(made: Path) -> None:
    """Without a command every command is offered, with a beginning those that fit."""
    assert sorted(offered(made, "run.py ''")) == sorted(name for name, _, _ in COMMANDS)
    assert offered(made, "run.py sel") == ["selftest"]


def test_who_begins_with_an_option_is_offered_what_up_takes(made: Path) -> None:
    """As the program reads it: without a command, options are those of `up`, and so are their values."""
    assert offered(made, "run.py --no") == ["--no-dashboard"]
    assert offered(made, "run.py --profile pa") == ["paper"]
    assert offered(made, "run.py --json doc") == []


def test_options_and_choices_of_a_command_are_offered(made: Path) -> None:
    """Options are those of that command alone, and values with choices are listed."""
    assert offered(made, "run.py logs --fo") == ["--follow"]
    assert offered(made, "run.py status --fo") == []
    assert offered(made, "run.py logs --level wa") == ["warning"]
    assert offered(made, "run.py up --profile pa") == ["paper"]
    assert offered(made, "run.py kill trader --signal ST") == ["STOP"]
    assert offered(made, "run.py logs -n ''") == []
    assert offered(made, "run.py completion z") == ["zsh"]


def test_files_are_offered_where_a_file_is_wanted(made: Path, tmp_path: Path) -> None:
    """An option that takes a path completes names of files."""
    (tmp_path / "mine.toml").touch()
    assert offered(made, "run.py doctor --config mi", tmp_path) == ["mine.toml"]
    assert offered(made, "run.py status mi", tmp_path) == []


def test_workers_and_keys_are_asked_for(made: Path, tmp_path: Path) -> None:
    """Workers are those of the run in --data, or of a usual one; `set` knows the keys of the schema."""
    assert offered(made, "run.py kill feed-kr") == ["feed-kraken"]
    assert offered(made, f"run.py logs --data {tmp_path} trad") == ["trader"]
    assert "risk.min_edge_bp=" in offered(made, "run.py set risk.min_e")


def test_the_zsh_script_goes_through_bashcompinit(capsys: pytest.CaptureFixture[str]) -> None:
    """For zsh the same functions are read by its own reader of bash's completions."""
    assert main(["completion", "zsh"]) == OK
    text = capsys.readouterr().out
    assert "bashcompinit" in text.splitlines()[1]
    assert text.partition("_parallax_words()")[2] == script("bash").partition("_parallax_words()")[2] + "\n"
