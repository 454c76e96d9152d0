"""Service: the unit file, the script for the dashboard and the page about them fit the program."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import up
from pipeline.cli.common import ALREADY_RUNNING, BAD_CONFIG, USAGE
from pipeline.cli.main import COMMANDS
from pipeline.cli.parser import Parser

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "docs" / "parallax.service"
SCRIPT = ROOT / "START_DASHBOARD.sh"


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]  # keys of a unit have capitals
    parsed.read_string(UNIT.read_text("utf-8"))
    return parsed


def test_the_unit_starts_what_the_program_knows() -> None:
    """ExecStart is a command line that `up` takes; exits that no restart can mend end the restarts."""
    service = unit()["Service"]
    python, script, command, *words = service["ExecStart"].split()
    assert (python, script, command) == ("/usr/bin/python3", "%h/parallax/run.py", "up")
    parser = Parser(prog="run.py up")
    up.add_arguments(parser)
    args = parser.parse_args(words)
    assert (args.no_dashboard, args.profile) == (True, "paper")
    fatal = {int(word) for word in service["RestartPreventExitStatus"].split()}
    assert fatal == {USAGE, BAD_CONFIG, ALREADY_RUNNING}


def test_the_unit_watches_and_ends_a_run_as_it_should_be() -> None:
    """systemd hears the watchdog, lets the supervisor stop its workers, and leaves /dev/shm alone."""
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert 5 <= int(service["WatchdogSec"]) <= 120
    assert service["Restart"] == "on-failure"
    assert service["KillMode"] == "mixed"
    assert not {"PrivateTmp", "PrivateIPC", "TemporaryFileSystem", "ProtectSystem"} & set(service)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, neither errors nor keys that it does not know."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here; elsewhere: systemd-analyze verify --user docs/parallax.service")
    done = subprocess.run(
        [analyze, "verify", "--user", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("linked", [False, True])
def test_the_script_opens_the_dashboard_from_any_folder(tmp_path: Path, linked: bool) -> None:
    """START_DASHBOARD.sh finds run.py by itself, also through a link, and hands options and exit codes on."""
    path = tmp_path / "link"
    if linked:
        path.symlink_to(SCRIPT)
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environ = {**os.environ, "PARALLAX_NO_VENV": "1", "PATH": f"{python.parent}:{os.environ['PATH']}"}
    for words, code, text in (("--help", 0, "usage: run.py dashboard"), ("--no-such", 2, "unknown option")):
        done = subprocess.run(
            [str(path if linked else SCRIPT), words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environ,
        )
        assert done.returncode == code
        assert text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_script_is_one_command() -> None:
    """One line that calls run.py, as S1 has it, and it can be executed."""
    lines = [line for line in SCRIPT.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) == 1
    assert "run.py" in lines[0]
    assert os.access(SCRIPT, os.X_OK)


def test_the_page_names_commands_and_pages_that_there_are() -> None:
    """docs/OPERATIONS.md tells no command that run.py does not know, and links to no page that is missing."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text("utf-8")
    known = {name for name, _, _ in COMMANDS}
    told = set(re.findall(r"run\.py ([a-z][a-z-]*)", text))
    assert told
    assert told - known == set()
    for page in re.findall(r"\]\(([A-Z_]+\.md)\)", text):
        assert (ROOT / "docs" / page).is_file(), page
