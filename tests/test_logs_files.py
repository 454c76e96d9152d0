"""Log files: every line once, whole and in order, whatever is in it and whatever happens to the files."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import logs_files, logs_text
from pipeline.clock import SystemClock
from pipeline.config_operations import LogsConfig
from pipeline.logs import log_directory, open_log
from tests.support.log_lines import ESCAPES, line, stamp, write
from tests.support.rest_venue import until

ROOT = Path(__file__).resolve().parents[1]


def test_memory_does_not_grow_with_the_logs(tmp_path: Path) -> None:
    """Merging large files holds a line of each at a time."""
    for worker in "abc":
        write(tmp_path, f"{worker}.jsonl", [line(n / 10, "x" * 500, worker=worker) for n in range(4000)])
    merged = logs_files.Merged(log_directory(tmp_path), [])
    tracemalloc.start()
    count = sum(1 for _ in merged.lines())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    merged.close()
    assert count == 12_000
    assert peak < 2_000_000


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.floats(min_value=0, max_value=2e9))
def test_no_bytes_stop_the_reader(raw: bytes, before: float) -> None:
    """Whatever lies in a log file, it is a line, keeps its place, and is harmless on a terminal."""
    found = logs_text.parse(raw, "w", before)
    assert found.at >= before
    assert "\x1b" not in logs_text.rendered(found, colour=False)
    json.loads(logs_text.as_json(found))


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(st.characters(), max_size=5), st.text(st.characters(), max_size=20), max_size=4)
)
def test_nothing_that_is_logged_reaches_the_terminal_as_a_command(fields: dict[str, str]) -> None:
    """D9: markup, escape sequences and direction marks of market titles are shown as text."""
    text = json.dumps({"time": stamp(1), "level": "info", "worker": "w", **fields})
    shown = logs_text.rendered(logs_text.parse(text.encode(), "w", 0.0), colour=False)
    assert not ESCAPES.search(shown.replace("\n    ", ""))


def test_followed_lines_come_once_each_through_every_rotation(tmp_path: Path) -> None:
    """While writers rotate under a reader, each line is read once and in its worker's order."""
    directory = log_directory(tmp_path)
    writers = {name: open_log(name, tmp_path, LogsConfig(max_mb=1, files=5)) for name in ("a", "b")}
    merged = logs_files.Merged(directory, [])
    seen: dict[str, list[int]] = {"a": [], "b": []}

    def take(found: list[logs_text.Line]) -> None:
        for each in found:
            assert each.fields is not None
            seen[each.worker].append(each.fields["number"])

    take(list(merged.lines()))
    chance = random.Random(5)
    for number in range(2000):
        for log in writers.values():
            log.info("line", number=number, text="x" * 2000)
        if chance.random() < 0.02:
            take(merged.fresh())
    take(merged.fresh())
    merged.close()
    for log in writers.values():
        log.close()
    assert seen == {"a": list(range(2000)), "b": list(range(2000))}


def test_a_followed_line_is_shown_when_it_is_whole(tmp_path: Path) -> None:
    """Half a line waits for its other half; a file that was cut or removed is read from its beginning."""
    path = write(tmp_path, "w.jsonl", [line(1, "1")])
    log = logs_files.WorkerLog(path.parent, "w")
    assert len(list(log.lines())) == 1
    with path.open("a") as file:
        file.write(line(2, "2")[:20])
    assert list(log.fresh()) == []
    with path.open("a") as file:
        file.write(line(2, "2")[20:] + "\n")
    assert [each.fields and each.fields["event"] for each in log.fresh()] == ["2"]
    path.write_text(line(3, "3") + "\n")
    assert [each.fields and each.fields["event"] for each in log.fresh()] == ["3"]
    write(tmp_path, "w.jsonl.1", [line(0, "older")])
    path.unlink()
    assert list(log.fresh()) == []
    write(tmp_path, "w.jsonl", [line(4, "4")])
    assert [each.fields and each.fields["event"] for each in log.fresh()] == ["4"]
    log.close()


def test_a_reader_of_a_running_log_sees_whole_lines(tmp_path: Path) -> None:
    """A writer in another process that is killed leaves no line half, and the reader no line out."""
    script = (
        "import sys; from pathlib import Path; from pipeline.logs import open_log\n"
        "log = open_log('w', Path(sys.argv[1]))\n"
        "n = 0\n"
        "while True: log.info('line', number=n, text='x' * 1000); n += 1\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    found: list[logs_text.Line] = []
    try:
        until(lambda: log_directory(tmp_path).joinpath("w.jsonl").exists())
        merged = logs_files.Merged(log_directory(tmp_path), [])
        found += merged.lines()
        clock = SystemClock()
        for _ in range(20):
            found += merged.fresh()
            clock.sleep(0.01)
    finally:
        writer.kill()
        writer.wait()
    found += merged.fresh()
    merged.close()
    assert all(each.fields for each in found)
    numbers = [each.fields["number"] for each in found if each.fields]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 100


def test_what_is_left_out_lies_before_the_newest(tmp_path: Path) -> None:
    """`skip` leaves the last bytes over all files, from a line's beginning on, and says how many it left."""
    log = open_log("w", tmp_path, LogsConfig(max_mb=1, files=3))
    for number in range(1500):
        log.info("line", number=number, text="x" * 1000)
    log.close()
    for keep in (0, 1, 5000, 300_000, 1_200_000, 10**9):
        reader = logs_files.WorkerLog(log_directory(tmp_path), "w")
        total = reader.unread()
        skipped = reader.skip(keep)
        assert skipped + reader.unread() == total
        assert reader.unread() <= max(keep, 0)
        numbers = [each.fields["number"] for each in reader.lines() if each.fields]
        assert numbers == list(range(1500 - len(numbers), 1500))
        assert reader.unread() == 0
        assert reader.skip(0) == 0
        reader.close()
