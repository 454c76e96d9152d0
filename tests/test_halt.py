"""The HALT file: it halts by being there, keeps its first cause, and outlives whoever wrote it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.halt import BY_HAND, HALT_FILE, MAX_CAUSE, MAX_FILE_BYTES, Halt, HaltFile

AT = 1_700_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / HALT_FILE


def test_no_file_is_no_halt(path: Path) -> None:
    """Where there is no file nothing is halted, and ending that says so."""
    assert HaltFile(path).read() is None
    assert HaltFile(path).clear() is None


def test_a_halt_is_seen_by_everybody_and_after_a_restart(path: Path) -> None:
    """Who looks before and after sees it, and so does whoever is started later."""
    looking = HaltFile(path)
    assert looking.read() is None
    halt = HaltFile(path).set("too much lost", "rule daily_loss", AT)
    assert halt == Halt("too much lost", "rule daily_loss", AT)
    assert looking.read() == HaltFile(path).read() == halt
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [HALT_FILE]
    assert HaltFile(path).clear() == halt
    assert looking.read() is None


def test_the_first_cause_stays_and_later_ones_are_added_once(path: Path) -> None:
    """A second cause is a line below the first, and one that comes again is no new line."""
    file = HaltFile(path)
    file.set("first", "a", AT)
    for _ in range(3):
        assert HaltFile(path).set("second", "b", AT + 1).cause == "first"
        file.set("first", "c", AT + 2)
    assert file.read() == Halt("first", "a", AT, ("second",))
    assert len(path.read_text().splitlines()) == 2


def test_of_many_at_once_one_is_first_and_none_is_lost(path: Path) -> None:
    """Processes that halt at the same moment leave one whole file with all their causes."""
    code = (
        "import sys; from pathlib import Path; from pipeline.halt import HaltFile;"
        "HaltFile(Path(sys.argv[1])).set(f'cause {sys.argv[2]}', 'x', 1)"
    )
    command = [sys.executable, "-c", code, str(path)]
    children = [
        subprocess.Popen([*command, str(number)], cwd=Path(__file__).parents[1]) for number in range(6)
    ]
    assert [child.wait(60) for child in children] == [0] * 6
    halt = HaltFile(path).read()
    assert halt is not None
    assert sorted([halt.cause, *halt.later]) == [f"cause {number}" for number in range(6)]


def test_touch_halts(path: Path) -> None:
    """An empty file halts, and is said to be made by hand."""
    file = HaltFile(path)
    path.touch()
    halt = file.read()
    assert halt is not None and halt.cause == BY_HAND
    assert halt.wall_ns == path.stat().st_mtime_ns
    file.set("lost too much", "rule", AT)
    assert file.read() == Halt(BY_HAND, "", halt.wall_ns, ("lost too much",))
    path.unlink()
    assert file.read() is None


def test_words_written_by_hand_are_its_cause(path: Path) -> None:
    """What is no line of ours is shown as it stands, without what a terminal would obey."""
    path.write_text("maintenance\x1b[2J till noon\n")
    halt = HaltFile(path).read()
    assert halt is not None
    assert halt.cause == f"{BY_HAND}: maintenance [2J till noon"
    HaltFile(path).set("and this", "x", AT)
    halt = HaltFile(path).read()
    assert halt is not None and halt.later == ("and this",)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.sampled_from([b"[" * 5000, b"{}", b"null", b"[1]", b'{"cause": 1, "who": "", "wall_ns": 2}']),
        st.integers().map(lambda at: json.dumps({"cause": "x", "who": "y", "wall_ns": at * 10**9}).encode()),
        st.sampled_from(
            [b'{"cause": "", "who": "", "wall_ns": 2}', b"x" * (2 * MAX_FILE_BYTES), b"\xff\x00"]
        ),
    )
)
def test_whatever_it_holds_it_halts(path: Path, content: bytes) -> None:
    """No content ends a halt, raises, or brings in what a terminal would obey."""
    path.write_bytes(content)
    halt = HaltFile(path).read()
    assert halt is not None and 0 < len(halt.cause) <= MAX_CAUSE
    assert halt.cause.isprintable()
    assert 0 < halt.wall_ns < 2**63
    HaltFile(path).set("more", "x", AT)
    assert HaltFile(path).read() is not None


@pytest.mark.parametrize("kind", ["directory", "link to nothing", "fifo", "loop"])
def test_what_is_no_plain_file_halts(path: Path, kind: str) -> None:
    """A directory, a dangling link, a pipe or a loop of that name halts, and nobody waits for it."""
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else path.with_name("nothing"))
    file = HaltFile(path)
    halt = file.read()
    assert halt is not None and "no plain file" in halt.cause
    assert file.set("more", "x", AT) == halt
    if kind == "directory":
        with pytest.raises(OSError):
            file.clear()
        assert file.read() is not None
    else:
        assert file.clear() == halt
        assert file.read() is None


def test_where_nobody_can_look_it_is_halted(tmp_path: Path) -> None:
    """A data directory that is no directory any more is no proof that there is no halt."""
    (tmp_path / "data").write_text("")
    halt = HaltFile(tmp_path / "data" / HALT_FILE).read()
    assert halt is not None and "cannot be read" in halt.cause
    assert halt.known_ns == 0


def test_an_unchanged_file_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking again costs a stat and opens nothing, halted or not."""
    file = HaltFile(path)
    opened: list[object] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *args, **more: (opened.append(args), real(*args, **more))[1])
    for _ in range(5):
        assert file.read() is None
    assert not opened
    path.touch()
    opened.clear()
    for _ in range(5):
        assert file.read() is not None
    assert len(opened) == 1


def test_a_halt_that_cannot_be_written_holds_in_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk whoever halts is halted all the same, and writes it as soon as that goes."""
    file = HaltFile(path)

    def full(*_args: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        file.set("unhedged", "rule unhedged", AT)
    assert file.read() == Halt("unhedged", "rule unhedged", AT)
    assert not path.exists()
    assert os.listdir(path.parent) == []
    monkeypatch.undo()
    assert file.read() == Halt("unhedged", "rule unhedged", AT)
    assert json.loads(path.read_text())["cause"] == "unhedged"
    assert HaltFile(path).clear() is not None
    assert file.read() is None


def test_what_could_not_be_written_is_ended_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clearing ends a halt that never reached the disk."""
    file = HaltFile(path)
    monkeypatch.setattr(
        os, "link", lambda *_a, **_k: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only"))
    )
    with pytest.raises(OSError):
        file.set("x", "y", AT)
    monkeypatch.undo()
    halt = file.clear()
    assert halt is not None and halt.cause == "x"
    assert file.read() is None
    assert not path.exists()


def test_the_file_stays_short(path: Path) -> None:
    """Any number of causes leaves a file of bounded size, and the first one in it."""
    file = HaltFile(path)
    for number in range(400):
        file.set(f"{number} " + "long " * 50, "x", AT)
    assert path.stat().st_size <= MAX_FILE_BYTES
    halt = file.read()
    assert halt is not None and halt.cause.startswith("0 ")


def test_halting_and_resuming_at_once_never_fails(path: Path) -> None:
    """Whoever halts while another resumes gets an answer, and after the last halt it is halted."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def resume() -> None:
        other = HaltFile(path)
        try:
            while not stop.is_set():
                other.clear()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=resume)
    thread.start()
    file = HaltFile(path)
    try:
        for number in range(100):
            assert file.set(f"cause {number}", "x", AT).cause.startswith("cause")
    finally:
        stop.set()
        thread.join()
    assert failures == []
    file.set("last", "x", AT)
    assert HaltFile(path).read() is not None
