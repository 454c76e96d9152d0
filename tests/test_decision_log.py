"""The decision log: never waits, stays small, counts what it loses."""

import resource
import signal
import sqlite3
import threading
from decimal import Decimal

from pipeline import decision_log
from pipeline.clock import ManualClock
from pipeline.decision_log import DecisionLog, read_decisions
from tests.support.ledgers import in_child


def a_log(path, **changes):
    return DecisionLog(path, wall_ns=ManualClock().wall_ns, **changes)


def test_what_was_put_is_there_after_close(tmp_path):
    """Every entry taken is in the file once the log is closed, in order, exact."""
    path = tmp_path / "data" / "decisions.sqlite"
    log = a_log(path)
    for number in range(1000):
        body = {"event_id": f"e{number % 2}", "n": number, "net": Decimal("0.10")}
        assert log.put("decision", body)
    assert log.close()
    assert (log.dropped, log.error) == (0, "")
    rows = read_decisions(path, last=2000)
    assert [row["n"] for row in rows] == list(range(1000))
    assert rows[0]["net"] == "0.1"
    assert rows[0]["entry"] == "decision"
    assert [row["n"] for row in read_decisions(path, event_id="e1", last=2)] == [997, 999]
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_the_newest_are_kept(tmp_path):
    """The file holds at most `max_rows` entries, over restarts too."""
    path = tmp_path / "decisions.sqlite"
    for start in (0, 100):
        log = a_log(path, max_rows=50)
        for number in range(start, start + 100):
            log.put("opportunity", {"n": number})
        log.close()
    assert [row["n"] for row in read_decisions(path, last=500)] == list(range(150, 200))


def test_put_never_waits_and_drops_are_counted(tmp_path, monkeypatch):
    """With the disk stuck, `put` returns at once and counts what the queue cannot hold."""
    stuck, going = threading.Event(), threading.Event()
    real = decision_log._open

    def slow(path):
        stuck.set()
        going.wait(10)
        return real(path)

    monkeypatch.setattr(decision_log, "_open", slow)
    path = tmp_path / "decisions.sqlite"
    log = a_log(path, queue_rows=8)
    log.put("decision", {"n": 0})
    assert stuck.wait(10)
    taken = sum(log.put("decision", {"n": number}) for number in range(1, 100))
    assert taken == 8
    assert log.dropped == 91
    going.set()
    assert log.close(10)
    assert len(read_decisions(path, last=100)) == 9


def test_a_failing_disk_is_counted_not_raised(tmp_path):
    """When the file cannot be made, entries are lost and counted, with the error kept."""
    (tmp_path / "file").write_text("in the way")
    log = a_log(tmp_path / "file" / "decisions.sqlite")
    log.put("decision", {"n": 1})
    assert log.close()
    assert log.dropped == 1
    assert "trading goes on" in log.error


def test_a_damaged_file_is_counted_not_raised(tmp_path):
    """A file that is no database is left alone; entries are lost and counted."""
    path = tmp_path / "decisions.sqlite"
    path.write_bytes(b"something else" * 1000)
    log = a_log(path)
    log.put("decision", {"n": 1})
    assert log.close()
    assert log.dropped == 1
    assert path.read_bytes().startswith(b"something else")


def test_it_can_be_read_while_it_is_written(tmp_path):
    """A reader needs no lock of the writer."""
    path = tmp_path / "decisions.sqlite"
    a_log(path).close()
    log = a_log(path)
    log.put("decision", {"n": 1})
    log.close()
    db = sqlite3.connect(path)
    db.execute("BEGIN")
    assert db.execute("SELECT count(*) FROM decisions").fetchone() == (1,)
    again = a_log(path)
    again.put("decision", {"n": 2})
    assert again.close()
    assert again.dropped == 0
    db.close()
    assert len(read_decisions(path)) == 2


def test_closing_twice_is_harmless(tmp_path):
    """Close may be called again."""
    log = a_log(tmp_path / "decisions.sqlite")
    assert log.close()
    assert log.close()


def test_a_full_disk_loses_entries_and_counts_them(tmp_path):
    """While the file cannot grow entries are dropped and counted; older ones stay; with room it goes on."""
    path = tmp_path / "decisions.sqlite"

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = a_log(path)
        log.put("decision", {"n": 0})
        assert log.close()
        size = max(file.stat().st_size for file in tmp_path.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        log = a_log(path)
        for number in range(100):
            assert log.put("decision", {"n": number, "text": "x" * 4096})
        assert log.close()
        assert log.dropped == 100
        assert "trading goes on" in log.error
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log = a_log(path)
        log.put("decision", {"n": 1})
        assert log.close()
        assert log.dropped == 0

    assert in_child(work) == 0
    assert [row["n"] for row in read_decisions(path)] == [0, 1]
