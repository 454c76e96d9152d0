"""Logs: lines that a program can read, whatever is in them, in files that stay small."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import logs


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


def test_files_rotate_and_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is cut into files of a bounded size, of which a bounded number is kept, each of whole lines."""
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    log = logs.open_log("w", tmp_path)
    for number in range(200):
        log.info("line", number=number)
    log.close()
    files = sorted(logs.log_directory(tmp_path).iterdir())
    assert len(files) == 1 + logs.KEPT_FILES
    assert all(file.stat().st_size <= 2000 for file in files)
    assert all(lines_of(file) for file in files)
    assert lines_of(file_of(tmp_path))[-1]["number"] == 199


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
    assert logging.getLogger("parallax.w").handlers == []
