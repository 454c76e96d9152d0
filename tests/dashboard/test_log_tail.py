"""The Logs tab's lines: the newest of all workers, each once, harmless, and cheap however much there is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard import log_tail
from dashboard.log_tail import NO_LEVEL, SKIPPED, LogEntry, LogTail, clock_of, entry_of
from pipeline.clock import ManualClock
from pipeline.config_operations import LogsConfig
from pipeline.logs import log_directory, open_log
from pipeline.logs_text import parse
from tests.support.log_lines import ESCAPES, line, stamp, write
from tests.support.rest_venue import until

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_795_000_000 * 10**9


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[LogTail]:
    made = LogTail(log_directory(tmp_path), ManualClock(wall_ns=NOW))
    yield made
    made.close()


def told(tail: LogTail, **choice: str) -> list[str]:
    return [entry.event for entry in tail.entries(**choice)]


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


def test_lines_of_all_workers_stand_in_the_order_of_time(tmp_path: Path, tail: LogTail) -> None:
    """Rotated files and several workers are one list, and lines that come late take their place in it."""
    write(tmp_path, "a.jsonl.1", [line(1, "1", worker="a")])
    write(tmp_path, "a.jsonl", [line(5, "5", worker="a")])
    other = write(tmp_path, "b.jsonl", [line(3, "3", worker="b")])
    assert tail.poll()
    assert told(tail) == ["1", "3", "5"]
    assert tail.workers == ["a", "b"]
    append(other, line(4, "4") + "\n" + line(6, "6") + "\n")
    assert tail.poll()
    assert told(tail) == ["1", "3", "4", "5", "6"]
    assert not tail.poll()
    assert len({entry.number for entry in tail.entries()}) == 5
    assert (tail.broken, tail.skipped_bytes, tail.problem) == (0, 0, "")


def test_nothing_is_read_without_a_poll(tmp_path: Path, tail: LogTail) -> None:
    """Asking for entries in other ways opens no file: the folder may be gone by then."""
    path = write(
        tmp_path, "w.jsonl", [line(1, "Quiet Book", "debug"), line(2, "late", "error", venue="kraken")]
    )
    tail.poll()
    path.unlink()
    assert told(tail, level="warning") == ["late"]
    assert told(tail, needle="QUIET b") == ["Quiet Book"]
    assert told(tail, needle="venue=KRAKEN") == ["late"]
    assert told(tail, worker="x") == []
    assert told(tail, worker="w", level="error", needle="late") == ["late"]
    assert tail.entries() is tail.entries()


def test_no_logs_yet_is_said_and_found_when_they_come(tmp_path: Path, tail: LogTail) -> None:
    """A tail may be there before its folder."""
    assert not tail.poll()
    assert "no logs in" in tail.problem
    write(tmp_path, "w.jsonl", [line(1, "1")])
    assert tail.poll()
    assert (told(tail), tail.problem) == (["1"], "")


def test_half_a_line_is_shown_when_it_is_whole(tmp_path: Path, tail: LogTail) -> None:
    """What a writer was killed over stays unread until the line is ended; then it is broken, and counted."""
    path = write(tmp_path, "w.jsonl", [line(1, "1")])
    append(path, line(2, "2")[:30])
    tail.poll()
    assert told(tail) == ["1"]
    append(path, line(2, "2")[30:] + "\n" + line(3, "3")[:30])
    assert tail.poll()
    assert told(tail) == ["1", "2"]
    # A writer that comes after one that was killed ends its line first.
    log = open_log("w", tmp_path)
    log.info("4")
    log.close()
    tail.poll()
    assert [entry.level for entry in tail.entries()] == ["info", "info", NO_LEVEL, "info"]
    assert told(tail)[2:] == [line(3, "3")[:30], "4"]
    assert tail.broken == 1


def test_lines_come_once_each_through_rotations(tmp_path: Path, tail: LogTail) -> None:
    """Real rotated files: polled often enough, no line is missed or doubled."""
    log = open_log("w", tmp_path, LogsConfig(max_mb=1, files=3))
    tail.poll()
    seen: list[int] = []
    for number in range(2500):
        log.info("line", number=number, text="x" * 1000)
        if number % 100 == 99:
            tail.poll()
            seen += [int(e.text.split("number=")[1].split()[0]) for e in tail.entries()][len(seen) :]
    log.close()
    assert log_directory(tmp_path).joinpath("w.jsonl.2").exists()
    assert seen == list(range(2500))
    assert tail.skipped_bytes == 0


def test_a_flood_is_cut_and_said(tmp_path: Path, tail: LogTail, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a poll reads is left out in front of the newest, and an entry stands at its place."""
    monkeypatch.setattr(log_tail, "POLL_BYTES", 20_000)
    path = write(tmp_path, "a.jsonl", [line(1, "first", worker="a")])
    quiet = write(tmp_path, "b.jsonl", [line(1, "first", worker="b")])
    tail.poll()
    flood = "".join(line(2 + n / 1000, str(n), worker="a") + "\n" for n in range(1000))
    append(path, flood)
    append(quiet, line(2.5, "quiet") + "\n")
    tail.poll()
    found = told(tail, worker="a")
    assert found[:2] == ["first", SKIPPED]
    assert found[2:] == [str(n) for n in range(1002 - len(found), 1000)]
    # The share of the worker that says little goes to the one that says much.
    kept = sum(len(line(2 + int(n) / 1000, n, worker="a")) + 1 for n in found[2:])
    assert 19_000 < kept <= 20_000
    assert told(tail, worker="b") == ["first", "quiet"]
    assert tail.skipped_bytes >= len(flood) - 20_000
    note = tail.entries(worker="a")[1]
    assert note.level == "warning"
    assert "run.py logs a has them all" in note.text


def test_a_long_log_begins_at_its_end(tmp_path: Path, tail: LogTail) -> None:
    """Of 20,000 lines only the newest are read, which is no loss to tell of."""
    write(tmp_path, "w.jsonl", [line(n / 1000, str(n)) for n in range(20_000)])
    polls = 0
    while tail.poll():
        polls += 1
        assert len(tail.entries()) <= polls * log_tail.POLL_LINES
    found = told(tail)
    assert found == [str(n) for n in range(20_000 - len(found), 20_000)]
    assert sum(len(entry.line) + 1 for entry in tail.entries()) <= log_tail.POLL_BYTES
    assert len(found) > 1000
    assert tail.skipped_bytes == 0


def test_no_more_is_kept_than_was_promised(tmp_path: Path, tail: LogTail) -> None:
    """The oldest entries go, and lines over a poll's bound wait for the next."""
    path = write(tmp_path, "w.jsonl", [])
    tail.poll()
    for start in range(0, 9000, 3000):
        append(path, "".join(line((start + n) / 1000, str(start + n)) + "\n" for n in range(3000)))
        assert tail.poll()
        assert tail.poll()
    assert told(tail) == [str(n) for n in range(9000 - log_tail.KEPT, 9000)]


def test_a_file_that_is_cut_replaced_or_removed_is_followed(tmp_path: Path, tail: LogTail) -> None:
    """Whatever a person does to the folder, what is written next is shown."""
    path = write(tmp_path, "w.jsonl", [line(1, "1"), line(2, "2")])
    tail.poll()
    path.write_text(line(3, "3") + "\n")
    tail.poll()
    assert told(tail) == ["1", "2", "3"]
    path.unlink()
    tail.poll()
    write(tmp_path, "w.jsonl", [line(4, "4")])
    tail.poll()
    assert told(tail) == ["1", "2", "3", "4"]
    path.rename(path.with_name("elsewhere"))
    write(tmp_path, "w.jsonl", [line(5, "5")])
    tail.poll()
    assert told(tail)[-1] == "5"
    assert SKIPPED in told(tail)


def test_a_log_that_cannot_be_read_costs_no_other(tmp_path: Path, tail: LogTail) -> None:
    """A folder where a log should be is named, the other logs are shown, and it is tried again."""
    log_directory(tmp_path).mkdir()
    wrong = log_directory(tmp_path) / "bad.jsonl"
    wrong.mkdir()
    write(tmp_path, "good.jsonl", [line(1, "1")])
    tail.poll()
    assert told(tail) == ["1"]
    assert tail.problem == "the log of bad cannot be read: Is a directory"
    wrong.rmdir()
    write(tmp_path, "bad.jsonl", [line(2, "2")])
    tail.poll()
    assert (told(tail), tail.problem) == (["1", "2"], "")


def test_foreign_lines_are_counted_and_stand_at_their_place(tmp_path: Path, tail: LogTail) -> None:
    """Escapes, zeros, invalid UTF-8 and a megabyte without an end are shown for what they are."""
    path = write(tmp_path, "w.jsonl", [line(1, "1")])
    tail.poll()
    append(path, b"y" * 10**6 + b"\n\x1b]52;c;AAAA\x07\x1b[2J\n\xff\xfe\x00\n[1, 2]\n")
    append(path, line(2, "[red]\x1b[2J\u202e", title="x" * 3000) + "\n")
    while tail.poll():
        pass
    entries = tail.entries()
    assert [entry.event for entry in entries[:2]] == ["1", SKIPPED]
    assert entries[-1].event == "[red]\\x1b[2J\\u202e"
    assert tail.broken == len(entries) - 3 > 3
    assert all(entry.broken for entry in entries[2:-1])
    assert "\\x1b[2J" in entries[-4].event
    assert not ESCAPES.search("".join(e.event + e.text + e.line + e.worker for e in entries))
    assert sum(len(entry.line) + len(entry.text) for entry in entries) < 200_000
    # They have no level: shown where all levels are, and nowhere else.
    assert len(tail.entries("info")) == 3


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_an_entry_that_harms(raw: bytes) -> None:
    """Whatever stands in a log, its entry has a time, a short text, and nothing that a terminal obeys."""
    entry = entry_of(parse(raw, "w", 0.0), "w", NOW, 1)
    assert not ESCAPES.search(entry.event + entry.text.replace("\n", "") + entry.line)
    assert len(clock_of(entry.wall_ns)) == 12


def test_a_foreign_time_at_the_end_of_all_days_is_shown() -> None:
    """The last and the first moment that a date can name are times of day like any other."""
    for moment in ("9999-12-31T23:59:59.999+00:00", "0001-01-01T00:00:00+00:00"):
        raw = json.dumps({"time": moment, "event": "x", "level": ["bad"]}).encode()
        entry = entry_of(parse(raw, "w", 0.0), "w", NOW, 1)
        assert entry.wall_ns > 0
        assert len(clock_of(entry.wall_ns)) == 12
        assert entry.broken


def test_a_traceback_follows_its_line(tmp_path: Path, tail: LogTail) -> None:
    """What a worker logs of its crash is all there, in lines of its own."""
    log = open_log("scanner", tmp_path)
    try:
        raise ValueError("bad price")
    except ValueError:
        log.crash("crashed", lane=3)
    log.close()
    tail.poll()
    (entry,) = tail.entries()
    first, *trace = entry.text.split("\n")
    assert (entry.worker, entry.level, entry.event, first) == ("scanner", "error", "crashed", "lane=3")
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ValueError: bad price"
    assert json.loads(entry.line)["event"] == "crashed"


def test_a_writer_that_is_killed_leaves_no_line_out(tmp_path: Path, tail: LogTail) -> None:
    """While another process writes, and after it was killed, its lines are whole and in order."""
    script = (
        "import sys, time; from pathlib import Path; from pipeline.logs import open_log\n"
        "log = open_log('w', Path(sys.argv[1]))\n"
        "for n in range(4000): log.info('line', number=n, text='x' * 100); n % 50 or time.sleep(0.001)\n"
        "time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    try:
        until(lambda: tail.poll() and len(tail.entries()) > 300)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    while tail.poll():
        pass
    assert tail.skipped_bytes == 0
    numbers = [int(entry.text.split()[0].removeprefix("number=")) for entry in tail.entries()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    tail.close()
    assert tail.entries() == []


def test_a_time_of_day_has_milliseconds() -> None:
    """An entry's time is that of the log, to the millisecond."""
    raw = line(1.234, "x").encode()
    entry = entry_of(parse(raw, "w", 0.0), "w", NOW, 1)
    assert stamp(1.234).startswith("2026-11-21T10:00:01.234")
    assert clock_of(entry.wall_ns)[5:] == ":01.234"
    assert isinstance(entry, LogEntry)
