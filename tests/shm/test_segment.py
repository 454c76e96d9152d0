"""One memory file per process: owned, reused, replaced, refused, and safe from those who only look."""

import os
import platform
import resource
import signal
import stat
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shm import layout as lo
from shm import segment as segments
from shm.segment import Owner, SegmentBusyError, SegmentError, attach

ROWS = lo.Section("rows", lo.SLOTS, 2, 3)
KEPT = lo.Section("kept", lo.WORDS, 1, 4, kept=True)
PLAIN = lo.Section("plain", lo.WORDS, 2, 4)
SECTIONS = [ROWS, KEPT, PLAIN]
OTHER = [lo.Section("rows", lo.SLOTS, 3, 3), KEPT]
BOOT = bytes(range(16))


def three(value: int) -> array:
    return array("q", [value] * 3)


def test_header_and_directory(folder: Path, make) -> None:
    """What the owner writes is what any reader finds, with no configuration."""
    owner = Owner(4711, 99, BOOT, 5)
    made = make(SECTIONS, "feed-kraken", owner, now_ns=77)
    view = attach(folder, "feed-kraken")
    header = view.header
    assert (view.name, header.pid, header.pid_start, header.boot_id) == ("feed-kraken", 4711, 99, BOOT)
    assert (header.epoch, header.ready, header.retired, header.config_version) == (1, True, False, 5)
    assert (header.heartbeat_ns, header.started_ns, header.started_wall_ns) == (77, 77, 2000)
    found = view.sections()
    assert [(s.name, s.kind, s.rows, s.words) for s in found.values()] == [
        (s.name, s.kind, s.rows, s.words) for s in SECTIONS
    ]
    made.beat(90, 120)
    made.set_sleeping(True)
    made.set_config_version(6)
    assert (header.heartbeat_ns, header.busy_until_ns, header.sleeping, header.config_version) == (90, 120, True, 6)
    made.beat(91)
    assert header.busy_until_ns == 0


def test_the_files_are_private(folder: Path, make) -> None:
    """Folder, segment and lock can be entered by their user alone, and the memory is really there."""
    previous = os.umask(0)
    try:
        made = make(SECTIONS)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("w", "w.lock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    status = made.path.stat()
    assert status.st_size == lo.place(SECTIONS)[1] * lo.WORD
    assert status.st_blocks * 512 >= status.st_size, "a hole would kill the writer later"
    assert sorted(path.name for path in folder.iterdir()) == ["w", "w.lock"]


def test_readers_cannot_write(folder: Path, make) -> None:
    """A view is mapped read-only."""
    make(SECTIONS)
    with pytest.raises(TypeError):
        attach(folder, "w").words("plain")[0] = 1


def test_reuse_with_the_same_layout(folder: Path, make) -> None:
    """A restart keeps the file and its kept sections, empties the others and counts an epoch."""
    first = make(SECTIONS)
    first.slots("rows").publish(1, three(7))
    first.words("kept")[2] = 42
    first.words("plain", 1)[0] = 43
    view = attach(folder, "w")
    assert not view.outdated()
    inode = first.path.stat().st_ino
    first.close()
    second = make(SECTIONS, now_ns=5000)
    assert second.path.stat().st_ino == inode
    assert (second.header.epoch, second.header.started_ns) == (2, 5000)
    assert view.outdated()
    again = attach(folder, "w")
    assert again.slots("rows").read(0) is None
    assert again.slots("rows").read(1) == (2, three(0)), "emptied by a publication like any other"
    assert again.words("kept")[2] == 42
    assert list(again.words("plain", 1)) == [0] * 4
    assert not again.outdated()


def test_another_layout_takes_the_name(folder: Path, make) -> None:
    """A changed layout is a new file over the old; who still reads the old one is told."""
    first = make(SECTIONS)
    first.slots("rows").publish(0, three(7))
    view = attach(folder, "w")
    first.close()
    second = make(OTHER)
    assert second.header.epoch == 2
    assert view.header.retired and view.outdated()
    assert view.slots("rows").read(0) == (1, three(7)), "the old memory stays readable"
    again = attach(folder, "w")
    assert again.sections()["rows"].rows == 3
    assert not again.header.retired and not again.outdated()
    assert sorted(path.name for path in folder.iterdir()) == ["w", "w.lock"]


def test_another_boot_takes_the_name(folder: Path, make) -> None:
    """A file of an earlier boot is replaced: its clock readings mean nothing now."""
    first = make(SECTIONS, owner=Owner(1, 1, BOOT))
    first.words("kept")[0] = 1
    view = attach(folder, "w")
    first.close()
    second = make(SECTIONS, owner=Owner(1, 1, bytes(16)))
    assert (second.header.epoch, second.words("kept")[0]) == (2, 0)
    assert view.outdated()


def test_a_removed_file_is_outdated(folder: Path, make) -> None:
    """A reader notices when the name is gone, or its folder is."""
    made = make(SECTIONS)
    view = attach(folder, "w")
    made.close(unlink=True)
    assert view.outdated()
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.touch()
    assert view.outdated()


def test_a_second_owner_is_refused(folder: Path, make) -> None:
    """A segment has one owner at a time; the second gives up after its tries, and sleeps between them."""
    make(SECTIONS)
    waits: list[float] = []
    with pytest.raises(SegmentBusyError, match="owned by a running process"):
        segments.create(
            folder, "w", SECTIONS, segments.this_owner(), monotonic_ns=1, wall_ns=1, sleep=waits.append
        )
    assert sum(waits) == pytest.approx(0.2)
    assert not segments.lock_is_free(folder / "w")


def test_the_lock_is_free_right_after_a_kill(folder: Path, make, fork) -> None:
    """While the owner lives nobody takes its segment; after kill -9 the next owner does, one epoch on."""

    def own() -> None:
        make(SECTIONS)
        signal.pause()

    child = fork(own)
    while True:
        try:
            view = attach(folder, "w")
            break
        except SegmentError:
            continue
    with pytest.raises(SegmentBusyError):
        make(SECTIONS)
    assert child.kill() == -signal.SIGKILL
    assert segments.lock_is_free(folder / "w")
    assert make(SECTIONS).header.epoch == view.epoch + 1


def test_a_lock_on_a_removed_file_is_no_lock(folder: Path, make) -> None:
    """Who opened the lock just before it was removed does not become a second owner."""
    first = make(SECTIONS)
    removed: list[int] = []

    def owner_ends(_seconds: float) -> None:
        if not removed:
            first.close(unlink=True)
            removed.append(1)

    second = segments.create(
        folder, "w", SECTIONS, segments.this_owner(), monotonic_ns=1, wall_ns=1, sleep=owner_ends
    )
    make.made.append(second)
    with pytest.raises(SegmentBusyError):
        make(SECTIONS)
    assert attach(folder, "w").header.epoch == 1


ATTACH = """
import os, signal, sys
from pathlib import Path
from shm.segment import attach
view = attach(Path(sys.argv[1]), "w")
assert view.slots("rows").read(0) is not None
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("end", "code"), [("exit", 0), ("kill", -signal.SIGKILL)])
def test_an_unrelated_reader_changes_nothing(
    end: str, code: int, folder: Path, make, project_root: Path
) -> None:
    """A process that attaches and exits, or is killed, leaves the segment in place and its owner writing."""
    made = make(SECTIONS)
    made.slots("rows").publish(0, three(1))
    inode = made.path.stat().st_ino
    ended = subprocess.run(
        [sys.executable, "-c", ATTACH, str(folder), end],
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": str(project_root)},
        check=False,
    )
    assert ended.returncode == code
    assert made.path.stat().st_ino == inode
    made.slots("rows").publish(0, three(2))
    assert attach(folder, "w").slots("rows").read(0) == (2, three(2))
    assert not segments.lock_is_free(made.path)


def test_not_ready_is_not_read(folder: Path, make) -> None:
    """A segment that is still being set up is not attached to."""
    made = make(SECTIONS)
    made.cells[lo.H_READY] = 0
    with pytest.raises(SegmentError, match="still being set up"):
        attach(folder, "w")


def test_an_owner_killed_while_setting_up_hinders_nobody(folder: Path, make) -> None:
    """What a half-made segment leaves is made whole by the next owner."""
    first = make(SECTIONS)
    first.cells[lo.H_READY] = 0
    first.close()
    (folder / "w.new").write_bytes(b"half")
    assert make(SECTIONS).header.ready
    make.made[-1].close()
    assert make(OTHER).header.epoch == 3
    assert not (folder / "w.new").exists()


# -- what is not ours ---------------------------------------------------------------------------


def test_nothing_there(folder: Path) -> None:
    """No file and no folder are one clear sentence."""
    with pytest.raises(SegmentError, match="no segment w: No such file"):
        attach(folder, "w")


def test_symlinks_are_not_followed(folder: Path, make, tmp_path: Path) -> None:
    """A link under a segment's name is not read, and is replaced rather than written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious" * 1024)
    folder.mkdir(mode=0o700)
    (folder / "w").symlink_to(victim)
    with pytest.raises(SegmentError):
        attach(folder, "w")
    make(SECTIONS)
    assert not (folder / "w").is_symlink()
    assert victim.read_bytes() == b"precious" * 1024
    (folder / "v.lock").symlink_to(victim)
    with pytest.raises(SegmentError):
        make(SECTIONS, "v")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_files_that_others_may_open_are_refused(mode: int, folder: Path, make) -> None:
    """A segment that others could read or change is not believed, nor written again."""
    made = make(SECTIONS)
    made.path.chmod(mode)
    with pytest.raises(SegmentError, match="not a private file"):
        attach(folder, "w")
    made.close()
    inode = made.path.stat().st_ino
    again = make(SECTIONS)
    assert again.path.stat().st_ino != inode
    assert stat.S_IMODE(again.path.stat().st_mode) == 0o600


def test_folders_that_others_may_enter_are_refused(folder: Path, make, tmp_path: Path) -> None:
    """The folder of segments is private, and a folder."""
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(SegmentError, match="only you can enter"):
        make(SECTIONS)
    folder.rmdir()
    folder.touch()
    with pytest.raises(SegmentError, match="cannot own w"):
        make(SECTIONS)
    folder.unlink()
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    folder.symlink_to(real)
    with pytest.raises(SegmentError, match="only you can enter"):
        make(SECTIONS)


def test_things_under_a_segments_name(folder: Path, make) -> None:
    """A FIFO or a folder under the name is refused or replaced, and never waited for."""
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "w", 0o600)
    with pytest.raises(SegmentError):
        attach(folder, "w")
    assert make(SECTIONS).header.ready
    (folder / "v").mkdir()
    with pytest.raises(SegmentError):
        attach(folder, "v")
    with pytest.raises(SegmentError, match="cannot make v"):
        make(SECTIONS, "v")
    assert segments.lock_is_free(folder / "v")


def test_another_layout_version_is_named(folder: Path, make) -> None:
    """A segment of another program version is refused with both numbers."""
    make(SECTIONS).cells[lo.H_VERSION] = 3
    with pytest.raises(SegmentError, match="layout version 3, this program reads 1"):
        attach(folder, "w")


HEAD = lo.MAGIC.to_bytes(8, "little") + lo.LAYOUT_VERSION.to_bytes(8, "little")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    st.sampled_from([b"", HEAD]),
    st.binary(max_size=2048),
    st.sampled_from([0, 8, 4095, 4096, 4104, 8192]),
)
@example(b"", b"", 0)
@example(HEAD, b"\xff" * 4000, 4096)
def test_random_files_are_errors_never_crashes(
    folder: Path, make, head: bytes, body: bytes, size: int
) -> None:
    """Garbage, truncated and half-right files are refused by readers and replaced by owners."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "w"
    path.write_bytes((head + body).ljust(size, b"\x01")[: max(size, 1) if size else None])
    path.chmod(0o600)
    try:
        attach(folder, "w")
    except SegmentError:
        pass
    made = make(SECTIONS)
    assert made.header.ready and made.header.epoch > 0
    assert attach(folder, "w").sections().keys() == {"rows", "kept", "plain"}
    made.close()
    path.unlink()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, lo.HEADER_WORDS - 1), st.integers(-(2**63), 2**63 - 1))
@example(lo.H_SECTIONS, 33)
@example(lo.H_SECTIONS, -1)
@example(lo.H_DIRECTORY + 4, 9)
@example(lo.H_DIRECTORY + 5, 2**62)
@example(lo.H_DIRECTORY + 6, 0)
@example(lo.H_DIRECTORY + 7, 0)
@example(lo.H_DIRECTORY + 7, 2**40)
@example(lo.H_EPOCH, 2**63 - 1)
def test_a_damaged_header_is_an_error_never_a_crash(folder: Path, make, word: int, value: int) -> None:
    """Whatever one word of the header becomes, a reader gets a view inside the file or a SegmentError."""
    made = make(SECTIONS)
    made.cells[word] = value
    try:
        view = attach(folder, "w")
        for name, section in view.sections().items():
            for row in range(min(section.rows, 4)):
                view.slots(name).read(row) if section.kind == lo.SLOTS else view.words(name, row)
    except SegmentError:
        pass
    made.close()
    assert make(OTHER).header.epoch < 2**32
    make.made[-1].close()


@pytest.mark.parametrize("keep", [0, 7, 4095, 4096, 4104])
def test_truncated_files(keep: int, folder: Path, make) -> None:
    """A file cut short is refused by readers and made anew by its owner."""
    made = make(SECTIONS)
    made.close()
    del made
    make.made.clear()
    os.truncate(folder / "w", keep)
    with pytest.raises(SegmentError):
        attach(folder, "w")
    assert make(SECTIONS).header.ready


def test_no_room(folder: Path, make, fork) -> None:
    """A full memory file system is a sentence with the size needed, never a signal, and leaves nothing."""

    def with_a_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        with pytest.raises(SegmentError, match="it needs 4[0-9]* KiB. Free some space"):
            make([lo.Section("big", lo.WORDS, 500, 1000)])

    assert fork(with_a_limit).wait() == 0
    assert sorted(path.name for path in folder.iterdir()) == ["w.lock"]
    assert segments.lock_is_free(folder / "w")
    assert make(SECTIONS).header.ready


def test_other_machines_are_refused(folder: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stores may become visible out of order, neither owner nor reader starts."""
    make(SECTIONS)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SegmentError, match="this machine is aarch64"):
        make(SECTIONS, "v")
    with pytest.raises(SegmentError, match="x86-64"):
        attach(folder, "w")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert attach(folder, "w").header.ready


def test_who_owns(fork) -> None:
    """A process is known by pid and start time; one that ended has no start time."""
    owner = segments.this_owner(3)
    assert (owner.pid, owner.config_version, len(owner.boot_id)) == (os.getpid(), 3, 16)
    assert owner.pid_start == segments.pid_start(os.getpid()) != 0
    child = fork(lambda: None)
    while segments.pid_start(child.pid) is not None:
        os.sched_yield()
    child.wait()
    assert segments.pid_start(child.pid) is None
    assert segments.boot_id() == segments.boot_id()


def test_close_twice(make) -> None:
    """Letting go twice is letting go once; memory that is held stays readable."""
    made = make(SECTIONS)
    words = made.words("kept")
    made.close()
    made.close(unlink=True)
    assert made.path.exists()
    assert list(words) == [0] * 4


def test_sections_are_used_as_declared(make) -> None:
    """Words of a SLOTS section, slots of a WORDS section and rows beyond the end are broken invariants."""
    made = make(SECTIONS)
    for misuse in (lambda: made.words("rows"), lambda: made.slots("plain"), lambda: made.words("plain", 2)):
        with pytest.raises(AssertionError):
            misuse()
