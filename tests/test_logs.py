"""Logs: lines that a program can read, whatever is in them, in files that stay small."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import logs
from pipeline.config_operations import LogsConfig
from pipeline.secrets import Secret, remember

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def alone() -> None:
    """No file of a worker that another test of this process let die in the middle of its life."""
    logger = logging.getLogger("parallax.w")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def lines_of(path: Path) -> list[dict[str, object]]:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text("utf-8").splitlines()]


def file_of(data: Path, name: str = "w") -> Path:
    return logs.log_directory(data) / f"{name}.jsonl"


def test_a_line_says_when_how_bad_who_and_what(tmp_path: Path) -> None:
    """Each line is one JSON object with time, level, worker and event before its own fields."""
    log = logs.open_log("feed-kraken", tmp_path)
    log.info("connected", url="wss://x", markets=3)
    log.warning("slow")
    log.error("refused", why="because")
    log.close()
    first, second, third = lines_of(file_of(tmp_path, "feed-kraken"))
    assert list(first)[:4] == ["time", "level", "worker", "event"]
    assert str(first["time"]).endswith("+00:00")
    assert (first["worker"], first["event"], first["url"], first["markets"]) == (
        "feed-kraken",
        "connected",
        "wss://x",
        3,
    )
    assert [first["level"], second["level"], third["level"]] == ["info", "warning", "error"]


@pytest.mark.parametrize(
    "name", "time level worker event traceback name msg args message asctime exc_info".split()
)
def test_a_field_of_a_taken_name_is_kept_beside_it(tmp_path: Path, name: str) -> None:
    """A field never overwrites what the line says by itself, nor breaks it: it gets an underscore."""
    log = logs.open_log("w", tmp_path)
    log.info("what happened", **{name: "mine"})
    log.close()
    (line,) = lines_of(file_of(tmp_path))
    assert line[f"{name}_"] == "mine"
    assert line["event"] == "what happened"
    assert line["level"] == "info"
    assert line["worker"] == "w"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=3), st.text())
def test_every_line_is_json(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, object], event: str
) -> None:
    """Newlines, lone surrogates, NaN, odd keys and unknown types never make a line that is not JSON."""
    data = tmp_path_factory.mktemp("data")
    log = logs.open_log("w", data)
    log.info(event, **fields)
    log.close()
    assert len(lines_of(file_of(data))) == 1


def test_a_crash_carries_its_traceback(tmp_path: Path) -> None:
    """Within an except block `crash` adds where it happened."""
    log = logs.open_log("w", tmp_path)
    try:
        raise ValueError("there")
    except ValueError:
        log.crash("crashed", at="here")
    log.close()
    (line,) = lines_of(file_of(tmp_path))
    assert "ValueError: there" in str(line["traceback"])
    assert line["at"] == "here"


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_files_rotate_and_are_few(tmp_path: Path, kept: int) -> None:
    """A log is cut into files of a bounded size, of which a bounded number is kept, each of whole lines."""
    log = logs.open_log("w", tmp_path, LogsConfig(max_mb=1, files=kept))
    for number in range(2000):
        log.info("line", number=number, text="x" * 3000)
    log.close()
    newest_first = [file_of(tmp_path), *(logs.rotated(file_of(tmp_path), n + 1) for n in range(kept))]
    assert sorted(logs.log_directory(tmp_path).iterdir()) == newest_first
    assert all(file.stat().st_size <= 10**6 for file in newest_first)
    numbers = [line["number"] for file in reversed(newest_first) for line in lines_of(file)]
    assert numbers == list(range(2000 - len(numbers), 2000))


def test_a_log_is_appended_to_and_silent_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A restarted worker goes on in the same file, and a terminal sees nothing of it."""
    for number in range(2):
        log = logs.open_log("w", tmp_path)
        log.error("started", number=number)
        log.close()
    assert [line["number"] for line in lines_of(file_of(tmp_path))] == [0, 1]
    assert capsys.readouterr() == ("", "")
    assert not any("logs" in type(handler).__module__ for handler in logging.getLogger("parallax.w").handlers)


def test_the_level_can_be_changed_while_it_runs(tmp_path: Path) -> None:
    """A worker starts at its own level of [logs], and `set_level` holds for the next line."""
    log = logs.open_log("w", tmp_path, LogsConfig(level="debug", levels={"w": "warning"}))
    log.info("unheard")
    log.set_level("debug")
    log.debug("heard")
    log.set_level("error")
    log.warning("unheard")
    log.error("heard too")
    assert log.level == "error"
    log.close()
    assert [line["event"] for line in lines_of(file_of(tmp_path))] == ["heard", "heard too"]


def test_an_unknown_level_is_refused_by_name(tmp_path: Path) -> None:
    """A slip says which levels there are, and changes nothing."""
    log = logs.open_log("w", tmp_path)
    with pytest.raises(ValueError, match="no log level 'verbose'; there are: debug, info, warning, error"):
        log.set_level("verbose")
    assert log.level == "info"
    log.close()


def test_a_log_is_private(tmp_path: Path) -> None:
    """Nobody else can read a log, also where an older version left it readable."""
    file_of(tmp_path).parent.mkdir(mode=0o755)
    file_of(tmp_path).touch(mode=0o644)
    old_umask = os.umask(0)
    try:
        for name in ("w", "v"):
            log = logs.open_log(name, tmp_path)
            log.info("started")
            log.close()
    finally:
        os.umask(old_umask)
    assert [file_of(tmp_path, name).stat().st_mode & 0o777 for name in ("w", "v")] == [0o600, 0o600]


LONG = {
    "one text": {"text": "x" * 10**6},
    "a deep value": {"value": [["\N{SNOWMAN}" * 100] * 100]},
    "many fields": {f"field_{n}": "y" * 1000 for n in range(50)},
    "long names": {f"{n}" * 300: n for n in range(50)},
    "a number of too many digits": {"number": 10**5000},
    "escapes": {"text": "\x1b]52;c;AAAA\x07" * 3000},
}


@pytest.mark.parametrize("fields", LONG.values(), ids=LONG)
def test_a_line_is_bounded_whatever_it_holds(tmp_path: Path, fields: dict[str, object]) -> None:
    """No line is over 4 KiB or holds a control character; what was cut says so."""
    log = logs.open_log("w", tmp_path)
    log.info("\N{SNOWMAN}" * 10**5, **fields)
    log.info("next")
    log.close()
    data = file_of(tmp_path).read_bytes()
    assert all(len(line) < logs.MAX_LINE_BYTES for line in data.split(b"\n"))
    assert not [byte for byte in data if not 32 <= byte <= 126 and byte != 10]
    long, short = lines_of(file_of(tmp_path))
    assert (long["level"], long["worker"], long["cut"], short["event"]) == ("info", "w", True, "next")


def test_of_a_long_traceback_the_end_is_kept(tmp_path: Path) -> None:
    """The last lines of a traceback say what happened: they are never cut."""
    log = logs.open_log("w", tmp_path)
    try:
        json.loads("[" * 100_000)
    except RecursionError as error:
        try:
            raise ValueError("x" * 9000 + " at the end") from error
        except ValueError:
            log.crash("crashed", why="y" * 3000)
    log.close()
    (line,) = lines_of(file_of(tmp_path))
    assert str(line["traceback"]).endswith("at the end")


def test_a_full_disk_loses_lines_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """C7: a write that fails or is cut short stops nobody, prints nothing, and is told when there is room."""
    log = logs.open_log("w", tmp_path)
    log.info("before")
    write, taken = os.write, iter([10, 0, None])

    def full(fd: int, data: bytes) -> int:
        part = next(taken)
        if part is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:part])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(3):
            log.info("during")
    assert log.lost == 3
    log.info("after")
    log.close()
    lines = file_of(tmp_path).read_text().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[0])["event"] == "before"
    assert lines[1] == '{"time": "'
    lost, after = json.loads(lines[2]), json.loads(lines[3])
    assert (lost["level"], lost["event"], lost["lines"]) == ("warning", "lines of this log were lost", 3)
    assert after["event"] == "after"
    assert capfd.readouterr() == ("", "")


def test_a_limit_of_the_system_is_a_full_disk(tmp_path: Path) -> None:
    """C7 in a real process: where the system refuses to let a file grow, the worker goes on and counts."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from pipeline.logs import open_log\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "log = open_log('w', Path(sys.argv[1]))\n"
        "for n in range(100): log.info('line', number=n)\n"
        "sys.stdout.write(str(log.lost))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    size = file_of(tmp_path).stat().st_size
    assert size == 1000
    assert 80 < int(done.stdout) < 100
    assert done.stderr == ""


@pytest.mark.parametrize(
    "trouble", ["a file where the folder should be", "a folder where the file should be"]
)
def test_a_log_that_cannot_be_opened_is_tried_again(tmp_path: Path, trouble: str) -> None:
    """Where there is no way to open the file, lines are lost; as soon as there is one, they are written."""
    log = logs.open_log("w", tmp_path)
    path = file_of(tmp_path)
    if trouble.startswith("a file"):
        path.parent.touch()
        log.info("unheard")
        path.parent.unlink()
    else:
        path.mkdir(parents=True)
        log.info("unheard")
        path.rmdir()
    log.info("heard")
    log.close()
    assert [line["event"] for line in lines_of(path)] == ["lines of this log were lost", "heard"]


def test_a_log_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """Who moves a log away while it is written finds the next line in a new one."""
    log = logs.open_log("w", tmp_path)
    log.info("old")
    file_of(tmp_path).rename(tmp_path / "moved")
    log.info("new")
    log.close()
    assert [line["event"] for line in lines_of(tmp_path / "moved")] == ["old"]
    assert [line["event"] for line in lines_of(file_of(tmp_path))] == ["new"]


def test_a_line_that_a_kill_cut_is_ended_by_the_next_process(tmp_path: Path) -> None:
    """A half line at the end of a file stays one broken line."""
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b'{"time": "2026')
    log = logs.open_log("w", tmp_path)
    log.info("started")
    log.close()
    broken, whole = file_of(tmp_path).read_text().splitlines()
    assert broken == '{"time": "2026'
    assert json.loads(whole)["event"] == "started"


def test_a_secret_is_in_no_line(tmp_path: Path) -> None:
    """D7: what this process has loaded as a secret is *** wherever in a line it stands, cut or whole."""
    words = 'canary "of" logs\n0123456789'
    remember(Secret(words))
    log = logs.open_log("w", tmp_path)
    log.info(words, plain=words, deep=[{"a": (words,)}], type=Secret(words))
    for before in range(50, 70):
        log.info(
            "long", text="x" * before + words, more="y" * 10_000, **{f"f{n}": "z" * 900 for n in range(9)}
        )
    try:
        raise ValueError(words)
    except ValueError:
        log.crash("crashed")
    log.close()
    text = file_of(tmp_path).read_text()
    assert text.count("***") > 20
    assert "canary" not in text
    assert "0123456789" not in text
