"""Logs: all workers' lines in one order of time, whatever is in them and whatever happens to their files."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import logs_files
from pipeline.cli.common import FAILED, NOT_RUNNING, OK, USAGE
from pipeline.cli.main import main
from pipeline.cli.moments import parse_moment
from pipeline.config_operations import LogsConfig
from pipeline.logs import log_directory, open_log
from pipeline.places import instance_of, shm_directory
from shm import segment as segments
from shm.tables import ErrorTable, error_section
from tests.support.log_lines import ESCAPES, line, write
from tests.support.rest_venue import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of `run.py logs` on this test's data directory."""

    def asked(*words: str) -> tuple[int, str, str]:
        try:
            code = main(["logs", "--data", str(tmp_path), *words])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return asked


Ask = Callable[..., tuple[int, str, str]]


def events(text: str) -> list[str]:
    """The events of --json output."""
    return [json.loads(each).get("event", "?") for each in text.splitlines()]


def test_lines_of_all_workers_and_files_are_merged_by_time(tmp_path: Path, ask: Ask) -> None:
    """Rotated files come first, and the lines of the workers stand between each other's by their times."""
    write(tmp_path, "a.jsonl.2", [line(1, "1", worker="a"), line(4, "4", worker="a")])
    write(tmp_path, "a.jsonl.1", [line(5, "5", worker="a")])
    write(tmp_path, "a.jsonl", [line(9, "9", worker="a")])
    write(tmp_path, "feed-ccxt:x.jsonl", [line(t, str(t), worker="feed-ccxt:x") for t in (2, 3, 7)])
    write(tmp_path, "a.out", ["no log"])
    assert events(ask("--json")[1]) == ["1", "2", "3", "4", "5", "7", "9"]
    assert events(ask("--json", "a")[1]) == ["1", "4", "5", "9"]
    code, text, complaints = ask("a", "-n", "1")
    assert (code, complaints) == (OK, "")
    assert text == "11-21 10:00:09.000 info    a                9\n"


def test_lines_of_our_own_log_come_back(tmp_path: Path, ask: Ask) -> None:
    """What a worker logs, with a traceback and through rotations, is what is shown."""
    log = open_log("scanner", tmp_path, LogsConfig(max_mb=1, files=2))
    for number in range(400):
        log.info("line", number=number, text="x" * 3500)
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        log.crash("crashed")
    log.close()
    assert log_directory(tmp_path).joinpath("scanner.jsonl.1").exists()
    numbers = [json.loads(each).get("number") for each in ask("--json", "-n", "0")[1].splitlines()]
    assert numbers == [*range(400), None]
    text = ask("-n", "2")[1]
    assert "line  number=399 text=xxx" in text
    assert "\n    ValueError: bad\\x1b[2J\n" in text
    assert not ESCAPES.search(text)


def test_lines_are_chosen_by_level_time_and_text(tmp_path: Path, ask: Ask) -> None:
    """--level shows a level and what is worse, --since what came after, --grep a text, -n the last."""
    levels = ["debug", "info", "warning", "error"]
    write(tmp_path, "w.jsonl", [line(60 * n, level, level, why=f"Why {n}") for n, level in enumerate(levels)])
    assert events(ask("--json", "--level", "warning")[1]) == ["warning", "error"]
    assert events(ask("--json", "--since", "2026-11-21T10:01")[1]) == levels[1:]
    assert events(ask("--json", "--since", "2026-11-21T12:01+02:00")[1]) == levels[1:]
    assert events(ask("--json", "--since", "2026-11-21 10:01:00.001")[1]) == levels[2:]
    assert events(ask("--json", "--grep", "WHY 2")[1]) == ["warning"]
    assert events(ask("--json", "--level", "info", "-n", "1")[1]) == ["error"]


def test_times_are_understood() -> None:
    """Ago, a time of day, a date: as people write them; anything else is refused with what is understood."""
    now = 1_800_000_000 * 10**9  # 2027-01-15T08:00:00Z
    for text, seconds in {
        "30s": 30,
        "10m": 600,
        "2h": 7200,
        "1d": 86400,
        "07:30": 1800,
        "07:59:59": 1,
    }.items():
        assert parse_moment(text, now) == now - seconds * 10**9
    for text in ("2027-01-15", "today", "2027-01-15T02:00+02:00"):
        assert parse_moment(text, now) == now - 8 * 3600 * 10**9
    assert parse_moment("yesterday", now) == now - 32 * 3600 * 10**9
    assert parse_moment("2027-01-15 07:59:59.999", now) == now - 10**6
    for text in ("", "soon", "-5m", "25:00", "10 m", "1e3s", "\N{ARABIC-INDIC DIGIT ONE}m" * 2):
        with pytest.raises(ValueError, match=r"is no time: give 30s, 10m, 2h, 1d ago; today"):
            parse_moment(text, now)


def test_only_as_much_is_read_as_the_last_lines_need(tmp_path: Path, ask: Ask) -> None:
    """The last lines of large files are there at once, and are exactly those that a full read gives."""
    log = open_log("w", tmp_path, LogsConfig(max_mb=1, files=3))
    for number in range(3000):
        log.info("line", number=number, text="x" * random.Random(number).randrange(2000))
    log.close()
    whole = ask("--json", "-n", "0")[1].splitlines()
    for most in (1, 2, 10, 200, 500, 2000, 10_000):
        assert ask("--json", "-n", str(most))[1].splitlines() == whole[-most:]
    few = logs_files.Merged(log_directory(tmp_path), [], 10)
    assert len(list(few.lines())) < 100
    few.close()


BROKEN = {
    "cut": b'{"time": "2026-11-21T10:00:02.000+00:00", "lev',
    "not JSON": b"Traceback (most recent call last):",
    "no object": b"[1, 2]",
    "no time": b'{"event": "x"}',
    "a time that is none": b'{"time": "yesterday", "event": "x"}',
    "a time of another kind": b'{"time": 5, "event": "x"}',
    "not UTF-8": b"\xff\xfe\x00",
    "zeros": b"\x00" * 5000,
    "deep": b"[" * 5000,
    "escapes": b"\x1b]52;c;AAAA\x07\x1b[2J",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_line_that_is_not_ours_harms_no_other(tmp_path: Path, ask: Ask, broken: bytes) -> None:
    """Cut and foreign lines are counted, and shown with --json at their place; all others come as ever."""
    path = write(tmp_path, "w.jsonl", [line(1, "1"), "HERE", line(3, "3"), ""])
    path.write_bytes(path.read_bytes().replace(b"HERE", broken))
    write(tmp_path, "v.jsonl", [line(2, "2", worker="v")])
    code, text, complaints = ask()
    assert [row.split()[-1] for row in text.splitlines()] == ["1", "2", "3"]
    assert (code, complaints) == (
        OK,
        "run.py: 1 lines are no lines of ours, cut or foreign: --json shows them\n",
    )
    text = ask("--json")[1]
    assert events(text) == ["1", "?", "2", "3"]
    assert "broken" in json.loads(text.splitlines()[1])
    assert text.isascii()
    assert not ESCAPES.search(text)


def test_colours_are_for_terminals_and_only_by_level(tmp_path: Path) -> None:
    """D9 on a real terminal: a warning is coloured, its content is escaped, and NO_COLOR is obeyed."""
    write(tmp_path, "w.jsonl", [line(1, "\x1b]0;title\x07", "warning", title="[red]\x1b[2J\x9b31m")])
    command = [sys.executable, str(ROOT / "run.py"), "logs", "--data", str(tmp_path)]
    shown = []
    for colourless in ("", "1"):
        leader, follower = pty.openpty()
        environ = {**os.environ, "PARALLAX_NO_VENV": "1", "NO_COLOR": colourless, "TERM": "xterm"}
        subprocess.run(command, stdout=follower, check=True, env=environ, cwd=ROOT)
        os.close(follower)
        shown.append(os.read(leader, 65536).decode())
        os.close(leader)
    coloured, plain = shown
    assert coloured.startswith("\x1b[33m")
    assert coloured.count("\x1b") == 2
    assert plain.strip() == coloured.strip().removeprefix("\x1b[33m").removesuffix("\x1b[0m")
    assert "\\x1b]0;title\\x07" in plain
    assert "\x1b" not in plain
    assert "\x9b" not in coloured


def test_follow_shows_new_lines_of_old_and_new_workers(tmp_path: Path) -> None:
    """`logs -f` prints what comes, also of a worker that has only now begun; Ctrl-C ends it."""
    write(tmp_path, "a.jsonl", [line(1, "first", worker="a")])
    shown = tmp_path / "shown"
    with shown.open("w") as file:
        reader = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "logs", "-f", "--json", "--data", str(tmp_path)],
            stdout=file,
            stderr=subprocess.PIPE,
            env={**os.environ, "PARALLAX_NO_VENV": "1"},
            cwd=ROOT,
        )
    try:
        until(lambda: events(shown.read_text()) == ["first"])
        log = open_log("b", tmp_path)
        log.info("second")
        log.close()
        until(lambda: events(shown.read_text()) == ["first", "second"])
        reader.send_signal(signal.SIGINT)
        assert reader.wait(20) == OK
        assert reader.stderr is not None
        assert reader.stderr.read() == b""
    finally:
        reader.kill()
        reader.communicate()


def test_a_slip_is_told(tmp_path: Path, ask: Ask) -> None:
    """No logs, an unknown worker, level, time or number: each says what there is, or what to do."""
    assert ask()[0] == FAILED
    assert "run.py up makes them" in ask()[2]
    write(tmp_path, "feed-kraken.jsonl", [line(1, "1")])
    code, _, complaint = ask("feed-kraaken")
    assert code == USAGE
    assert "did you mean 'feed-kraken'?" in complaint
    assert "did you mean 'warning'" in ask("--level", "warnin")[2]
    assert "--since: 'soon' is no time" in ask("--since", "soon")[2]
    assert "'-1' is not a number of lines" in ask("-n=-1")[2] + ask("--lines=-1")[2]


def test_output_shows_what_workers_wrote_elsewhere(tmp_path: Path, ask: Ask) -> None:
    """--output gives the end of each worker's stdout and stderr, escaped."""
    write(tmp_path, "a.out", [f"line {n}" for n in range(500)])
    write(tmp_path, "b.out", ["Traceback\x1b[2J"])
    assert ask("--output", "-n", "2")[1] == "a  line 498\na  line 499\nb  Traceback\\x1b[2J\n"
    assert json.loads(ask("--output", "b", "--json")[1]) == {"worker": "b", "output": "Traceback\x1b[2J"}
    assert ask("--output", "c")[0] == USAGE
    assert ask("--output", "-f")[0] == USAGE


def test_errors_are_counted_over_all_processes(tmp_path: Path, ask: Ask) -> None:
    """--errors lists the distinct errors in memory with count, first and last; without memory it says so."""
    assert ask("--errors")[0] == NOT_RUNNING
    directory = shm_directory(instance_of(tmp_path), "", os.geteuid())
    made = []
    try:
        for name, text in (("feed-kraken", "bad\x1b[2J frame"), ("trader", "no")):
            segments.make_directory(directory)
            segment = segments.create(
                directory,
                name,
                [error_section()],
                segments.this_owner(),
                monotonic_ns=1,
                wall_ns=1,
                sleep=lambda _: None,
            )
            made.append(segment)
            table = ErrorTable(segment)
            for second in (1, 2, 3):
                table.report(text, second * 10**9)
        code, text, _ = ask("--errors")
        assert code == OK
        assert "feed-kraken      x3      1970-01-01T00:00:01Z to 1970-01-01T00:00:03Z  bad" in text
        assert "\x1b" not in text
        (error,) = json.loads(ask("--errors", "trader", "--json")[1])["errors"]
        assert (error["worker"], error["text"], error["count"]) == ("trader", "no", 3)
        code, _, told = ask("--errors", "tradr")
        assert (code, "did you mean 'trader'" in told) == (USAGE, True)
        assert ask("--errors", "-f")[0] == USAGE
    finally:
        for segment in made:
            segment.close(unlink=True)
        directory.rmdir()
