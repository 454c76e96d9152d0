"""The Logs tab's rows: one line an entry, or as many as it needs; never wider than the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from dashboard.log_tail import LogEntry, LogTail, entry_of
from dashboard.widgets.grid import Sort
from dashboard.widgets.logs import LogRows, draw_choice, draw_entry, next_level, next_worker
from dashboard.widgets.panel import ROLES, Line
from pipeline.clock import ManualClock
from pipeline.logs import log_directory
from pipeline.logs_text import parse
from tests.support.log_lines import line, write


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[LogTail]:
    made = LogTail(log_directory(tmp_path), ManualClock())
    made = LogTail(log_directory(tmp_path), ManualClock())
    yield made
    made.close()


def text_of(drawn: Line) -> str:
    return "".join(text for text, _ in drawn)


def made(event: str, level: str = "info", **fields: object) -> LogEntry:
    return entry_of(parse(line(1, event, level, **fields).encode(), "w", 0.0), "feed-kraken", 1, 7)


def test_an_entry_is_one_line_of_time_level_worker_event_and_fields() -> None:
    """Columns stand below each other, and the level is a word beside its colour."""
    (drawn,) = draw_entry(made("connection lost", "warning", why="timeout", tries=3), 120, wrap=False)
    assert text_of(drawn)[12:].rstrip() == " WARN  feed-kraken      connection lost  why=timeout tries=3"
    assert ("connection lost", "fair") in drawn
    levels = {}
    for level in ("debug", "info", "warning", "error", "loud"):
        (drawn,) = draw_entry(made("x", level), 80, wrap=False)
        levels[drawn[1][0].strip()] = drawn[1][1]
    assert levels == {"debug": "dim", "info": "plain", "WARN": "fair", "ERROR": "bad", "?????": "fair"}


def test_a_traceback_ends_in_what_happened() -> None:
    """In one line the error itself is told; wrapped the whole of it."""
    entry = made("crashed", "error", traceback="Traceback:\n  File x\nValueError: bad")
    (drawn,) = draw_entry(entry, 120, wrap=False)
    assert text_of(drawn).rstrip().endswith("crashed  ValueError: bad")
    wrapped = [text_of(each).rstrip() for each in draw_entry(entry, 120, wrap=True)]
    assert wrapped[1:] == ["    Traceback:", "      File x", "    ValueError: bad"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.text(max_size=60), st.integers(40, 200), st.booleans())
def test_no_text_breaks_the_columns(title: str, event: str, width: int, wrap: bool) -> None:
    """Emoji, wide signs, markup and escapes: no line is wider than the screen or carries a control."""
    entry = made(event, title=title, traceback=title)
    for drawn in draw_entry(entry, width, wrap=wrap):
        assert cell_len(text_of(drawn)) <= width
        assert text_of(drawn).isprintable()
        assert {role for _, role in drawn} <= set(ROLES)


def test_a_long_entry_says_what_it_leaves_out() -> None:
    """Wrapped, an entry takes 40 lines at most."""
    drawn = draw_entry(made("long", traceback="\n".join(f"line {n}" for n in range(300))), 80, wrap=True)
    assert len(drawn) == 40
    assert text_of(drawn[-1]).strip() == "… 262 more lines: copy the row to have all of it"
    assert text_of(drawn[-2]).strip() == "line 37"


def test_rows_are_found_again_by_their_entry(tmp_path: Path, tail: LogTail) -> None:
    """A row keeps its key as lines come around it, wrapped or not; a key that is gone is not found."""
    write(tmp_path, "a.jsonl", [line(n, f"a{n}", text="y" * 100) for n in (1, 3, 5)])
    tail.poll()
    for wrap_width in (None, 80):
        rows = LogRows(lambda needle: tail.entries(needle=needle), wrap_width)
        lines = rows.arrange(Sort(), "")
        assert len(lines) == (4 if wrap_width is None else 1 + 3 * 2)
        assert lines[0] == ~0
        keys = [rows.key(row) for row in lines if row >= 0]
        assert [rows.find(key) for key in keys] == list(range(len(keys)))
        assert rows.entry(len(keys) - 1).event == "a5"
        assert rows.find("99999.0") is None
        assert json.loads(rows.entry(0).line)["event"] == "a1"
        assert text_of(rows.line(len(keys) - 1, 80)).rstrip()[-1] in "y…"
        assert len(rows.arrange(Sort(), "A3")) == len(lines) // 3 + 1
        assert rows.arrange(Sort(), "nowhere") == []
        assert rows.nothing() == "no line has 'nowhere'"
    last = keys[-1]
    write(tmp_path, "b.jsonl", [line(4, "b4"), line(6, "b6")])
    tail.poll()
    rows.arrange(Sort(), "")
    found = rows.find(last)
    assert found is not None
    assert rows.entry(found).event == "a5"
    assert rows.heading(0, 80)[0].text.split() == ["TIME", "LEVEL", "WORKER", "EVENT"]


def test_the_choice_is_told_with_its_troubles(tmp_path: Path, tail: LogTail) -> None:
    """Counts, level, worker and whether it follows; broken and skipped lines beside them, never too wide."""
    write(tmp_path, "w.jsonl", ["nonsense", line(1, "x")])
    tail.poll()
    drawn = draw_choice(tail, 2, "warning", "w", follow=False, width=120)
    assert text_of(drawn) == "2 lines  level warning and worse  worker w  NOT FOLLOWING  1 broken"
    assert drawn[-1] == ("  1 broken", "fair")
    for width in range(0, 100, 7):
        assert cell_len(text_of(draw_choice(tail, 2, "debug", "", follow=True, width=width))) <= width


@pytest.mark.parametrize("known", [[], ["a"], ["a", "b"]])
def test_keys_turn_through_all_that_there_is(known: list[str]) -> None:
    """Level and worker come round again, and a worker that is gone turns to all."""
    worker, met = "", []
    for _ in range(len(known) + 1):
        met.append(worker)
        worker = next_worker(known, worker)
    assert (met, worker) == (["", *known], "")
    assert next_worker(known, "gone") == ""
    level, levels = "debug", []
    for _ in range(4):
        levels.append(level)
        level = next_level(level)
    assert (levels, level) == (["debug", "info", "warning", "error"], "debug")
