"""One memory file per process: owned, reused, replaced, refused, and safe from those who only look."""

import os
import re
import signal
import stat
import subprocess
import sys
from array import array
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shm import layout as lo
from shm import segment as segments
from shm.segment import Owner, SegmentBusyError, SegmentError, attach, boot_id

ROWS = lo.Section("rows", lo.SLOTS, 2, 3)
KEPT = lo.Section("kept", lo.WORDS, 1, 4, kept=True)
PLAIN = lo.Section("plain", lo.WORDS, 2, 4)
SECTIONS = [ROWS, KEPT, PLAIN]
OTHER = [lo.Section("rows", lo.SLOTS, 3, 3), KEPT]
BOOT = boot_id()
EARLIER = bytes(range(16))


def three(value: int) -> array:
    return array("q", [value] * 3)


def test_header_and_directory(directory: Path, own) -> None:
    """What the owner writes is what any reader finds, with no configuration."""
    owner = Owner(4711, 99, BOOT, 5)
    made = own(SECTIONS, "feed-kraken", owner=owner, monotonic_ns=77, wall_ns=88)
    view = attach(directory, "feed-kraken")
    header = view.header
    assert (view.name, header.pid, header.pid_start, header.boot_id) == ("feed-kraken", 4711, 99, BOOT)
    assert (header.epoch, header.ready, header.retired, header.config_version) == (1, True, False, 5)
    assert (header.heartbeat_ns, header.started_ns, header.started_wall_ns) == (77, 77, 88)
    found = view.sections()
    assert [(s.name, s.kind, s.rows, s.words) for s in found.values()] == [
        (s.name, s.kind, s.rows, s.words) for s in SECTIONS
    ]
    made.beat(90, 120)
    made.set_sleeping(True)
    made.set_config_version(6)
    assert (header.heartbeat_ns, header.busy_until_ns, header.sleeping, header.config_version) == (
        90,
        120,
        True,
        6,
    )
    made.beat(91)
    assert header.busy_until_ns == 0


def test_the_files_are_private(directory: Path, own) -> None:
    """Folder, segment and lock can be entered by their user alone, and the memory is really there."""
    previous = os.umask(0)
    try:
        made = own(SECTIONS)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in ("w", "w.lock"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    status = made.path.stat()
    assert status.st_size == lo.place(SECTIONS)[1] * lo.WORD
    assert status.st_blocks * 512 >= status.st_size, "a hole would kill the writer later"
    assert sorted(path.name for path in directory.iterdir()) == ["w", "w.lock"]


def test_readers_cannot_write(directory: Path, own) -> None:
    """A view is mapped read-only."""
    own(SECTIONS)
    with pytest.raises(TypeError):
        attach(directory, "w").words("plain")[0] = 1


def test_reuse_with_the_same_layout(directory: Path, own) -> None:
    """A restart keeps the file and its kept sections, empties the others and counts an epoch."""
    first = own(SECTIONS)
    first.slots("rows").publish(1, three(7))
    first.words("kept")[2] = 42
    first.words("plain", 1)[0] = 43
    view = attach(directory, "w")
    assert not view.outdated()
    inode = first.path.stat().st_ino
    first.close()
    second = own(SECTIONS, monotonic_ns=5000)
    assert second.path.stat().st_ino == inode
    assert (second.header.epoch, second.header.started_ns) == (2, 5000)
    assert view.outdated()
    again = attach(directory, "w")
    assert again.slots("rows").read(0) is None
    assert again.slots("rows").read(1) == (2, three(0)), "emptied by a publication like any other"
    assert again.words("kept")[2] == 42
    assert list(again.words("plain", 1)) == [0] * 4
    assert not again.outdated()


def test_another_layout_takes_the_name(directory: Path, own) -> None:
    """A changed layout is a new file over the old; who still reads the old one is told."""
    first = own(SECTIONS)
    first.slots("rows").publish(0, three(7))
    view = attach(directory, "w")
    first.close()
    second = own(OTHER)
    assert second.header.epoch == 2
    assert view.header.retired and view.outdated()
    assert view.slots("rows").read(0) == (1, three(7)), "the old memory stays readable"
    again = attach(directory, "w")
    assert again.sections()["rows"].rows == 3
    assert not again.header.retired and not again.outdated()
    assert sorted(path.name for path in directory.iterdir()) == ["w", "w.lock"]


def test_another_boot_takes_the_name(directory: Path, own) -> None:
    """A file of an earlier boot is replaced: its clock readings mean nothing now."""
    first = own(SECTIONS, owner=Owner(1, 1, BOOT))
    first.words("kept")[0] = 1
    view = attach(directory, "w")
    first.close()
    second = own(SECTIONS, owner=Owner(1, 1, EARLIER))
    assert (second.header.epoch, second.words("kept")[0]) == (2, 0)
    assert view.outdated()


def test_another_boots_file_is_not_read(directory: Path, own) -> None:
    """A file from before the last boot is refused: it would look alive by a clock that began anew."""
    own(SECTIONS, owner=Owner(1, 1, EARLIER))
    with pytest.raises(SegmentError, match="last boot"):
        attach(directory, "w")


def test_a_removed_file_is_outdated(directory: Path, own) -> None:
    """A reader notices when the name is gone, or its folder is."""
    made = own(SECTIONS)
    view = attach(directory, "w")
    made.close(unlink=True)
    assert view.outdated()
    assert list(directory.iterdir()) == []
    directory.rmdir()
    directory.touch()
    assert view.outdated()


def test_a_second_owner_is_refused(directory: Path, own) -> None:
    """A segment has one owner at a time; the second gives up after its tries, and sleeps between them."""
    own(SECTIONS)
    waits: list[float] = []
    with pytest.raises(SegmentBusyError, match="owned by a running process"):
        segments.create(
            directory, "w", SECTIONS, segments.this_owner(), monotonic_ns=1, wall_ns=1, sleep=waits.append
        )
    assert sum(waits) == pytest.approx(0.2)
    assert not segments.lock_is_free(directory / "w")


def test_the_lock_is_free_right_after_a_kill(directory: Path, own, ready) -> None:
    """While the owner lives nobody takes its segment; after kill -9 the next owner does, one epoch on."""
    child = ready("hold")
    view = attach(directory, "w")
    with pytest.raises(SegmentBusyError):
        own(SECTIONS)
    child.kill()
    child.wait()
    assert segments.lock_is_free(directory / "w")
    assert own(SECTIONS).header.epoch == view.epoch + 1


def test_a_lock_on_a_removed_file_is_no_lock(directory: Path, own) -> None:
    """Who opened the lock just before it was removed does not become a second owner."""
    first = own(SECTIONS)
    removed: list[int] = []

    def owner_ends(_seconds: float) -> None:
        if not removed:
            first.close(unlink=True)
            removed.append(1)

    second = segments.create(
        directory, "w", SECTIONS, segments.this_owner(), monotonic_ns=1, wall_ns=1, sleep=owner_ends
    )
    with pytest.raises(SegmentBusyError):
        own(SECTIONS)
    assert attach(directory, "w").header.epoch == 1
    second.close()


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
    end: str, code: int, directory: Path, own, project_root: Path
) -> None:
    """A process that attaches and exits, or is killed, leaves the segment in place and its owner writing."""
    made = own(SECTIONS)
    made.slots("rows").publish(0, three(1))
    inode = made.path.stat().st_ino
    ended = subprocess.run(
        [sys.executable, "-c", ATTACH, str(directory), end],
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": str(project_root)},
        check=False,
    )
    assert ended.returncode == code
    assert made.path.stat().st_ino == inode
    made.slots("rows").publish(0, three(2))
    assert attach(directory, "w").slots("rows").read(0) == (2, three(2))
    assert not segments.lock_is_free(made.path)


def test_not_ready_is_not_read(directory: Path, own) -> None:
    """A segment that is still being set up is not attached to."""
    made = own(SECTIONS)
    made.cells[lo.H_READY] = 0
    with pytest.raises(SegmentError, match="still being set up"):
        attach(directory, "w")


def test_an_owner_killed_while_setting_up_hinders_nobody(directory: Path, own) -> None:
    """What a half-made segment leaves is made whole by the next owner."""
    first = own(SECTIONS)
    first.cells[lo.H_READY] = 0
    first.close()
    (directory / "w.new").write_bytes(b"half")
    second = own(SECTIONS)
    assert second.header.ready
    second.close()
    assert own(OTHER).header.epoch == 3
    assert not (directory / "w.new").exists()


# -- what is not ours ---------------------------------------------------------------------------


def test_nothing_there(directory: Path) -> None:
    """No file and no folder are one clear sentence."""
    with pytest.raises(SegmentError, match="no segment w: No such file"):
        attach(directory, "w")


def test_symlinks_are_not_followed(directory: Path, own, tmp_path: Path) -> None:
    """A link under a segment's name is not read, and is replaced rather than written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious" * 1024)
    directory.mkdir(mode=0o700)
    (directory / "w").symlink_to(victim)
    with pytest.raises(SegmentError):
        attach(directory, "w")
    own(SECTIONS)
    assert not (directory / "w").is_symlink()
    assert victim.read_bytes() == b"precious" * 1024
    (directory / "v.lock").symlink_to(victim)
    with pytest.raises(SegmentError):
        own(SECTIONS, "v")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_files_that_others_may_open_are_refused(mode: int, directory: Path, own) -> None:
    """A segment that others could read or change is not believed, nor written again."""
    made = own(SECTIONS)
    made.path.chmod(mode)
    with pytest.raises(SegmentError, match="not a private file"):
        attach(directory, "w")
    made.close()
    inode = made.path.stat().st_ino
    again = own(SECTIONS)
    assert again.path.stat().st_ino != inode
    assert stat.S_IMODE(again.path.stat().st_mode) == 0o600


def test_folders_that_others_may_enter_are_refused(directory: Path, own, tmp_path: Path) -> None:
    """The folder of segments is private, and a directory."""
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(SegmentError, match="only you can enter"):
        own(SECTIONS)
    directory.rmdir()
    directory.touch()
    with pytest.raises(SegmentError, match="cannot own w"):
        own(SECTIONS)
    directory.unlink()
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    directory.symlink_to(real)
    with pytest.raises(SegmentError, match="only you can enter"):
        own(SECTIONS)


def test_things_under_a_segments_name(directory: Path, own) -> None:
    """A FIFO or a folder under the name is refused or replaced, and never waited for."""
    directory.mkdir(mode=0o700)
    os.mkfifo(directory / "w", 0o600)
    with pytest.raises(SegmentError):
        attach(directory, "w")
    assert own(SECTIONS).header.ready
    (directory / "v").mkdir()
    with pytest.raises(SegmentError):
        attach(directory, "v")
    with pytest.raises(SegmentError, match="cannot make v"):
        own(SECTIONS, "v")
    assert segments.lock_is_free(directory / "v")


def test_another_layout_version_is_named(directory: Path, own) -> None:
    """A segment of another program version is refused with both numbers."""
    own(SECTIONS).cells[lo.H_VERSION] = 3
    with pytest.raises(SegmentError, match="layout version 3, this program reads 1"):
        attach(directory, "w")


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
    directory: Path, own, head: bytes, body: bytes, size: int
) -> None:
    """Garbage, truncated and half-right files are refused by readers and replaced by owners."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "w"
    path.write_bytes((head + body).ljust(size, b"\x01")[: max(size, 1) if size else None])
    path.chmod(0o600)
    with suppress(SegmentError):
        attach(directory, "w")
    made = own(SECTIONS)
    assert made.header.ready and made.header.epoch > 0
    assert attach(directory, "w").sections().keys() == {"rows", "kept", "plain"}
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
def test_a_damaged_header_is_an_error_never_a_crash(directory: Path, own, word: int, value: int) -> None:
    """Whatever one word of the header becomes, a reader gets a view inside the file or a SegmentError."""
    made = own(SECTIONS)
    made.cells[word] = value
    try:
        view = attach(directory, "w")
        for name, section in view.sections().items():
            for row in range(min(section.rows, 4)):
                view.slots(name).read(row) if section.kind == lo.SLOTS else view.words(name, row)
    except SegmentError:
        pass
    made.close()
    again = own(OTHER)
    assert 0 < again.header.epoch <= 2**31
    again.close()


@pytest.mark.parametrize("keep", [0, 7, 4095, 4096, 4104])
def test_truncated_files(keep: int, directory: Path, own) -> None:
    """A file cut short is refused by readers and made anew by its owner."""
    made = own(SECTIONS)
    made.close()
    os.truncate(directory / "w", keep)
    with pytest.raises(SegmentError):
        attach(directory, "w")
    assert own(SECTIONS).header.ready


def test_no_room(directory: Path, own, start) -> None:
    """A full memory file system is a sentence with the size needed, never a signal, and leaves nothing."""
    child = start("own_within", 8192)
    told, _ = child.communicate()
    assert child.returncode == 0
    assert "it needs" in told
    assert "KiB are free. Free some space there" in told
    assert sorted(path.name for path in directory.iterdir()) == ["w.lock"]
    assert segments.lock_is_free(directory / "w")
    assert own(SECTIONS).header.ready


def machine(name: str) -> os.uname_result:
    """What the system says of itself on another machine."""
    return os.uname_result(("Linux", "node", "6", "1", name))


def test_other_machines_are_refused(directory: Path, own, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stores may become visible out of order, neither owner nor reader starts."""
    own(SECTIONS)
    monkeypatch.setattr(os, "uname", lambda: machine("aarch64"))
    with pytest.raises(SegmentError, match="this machine is aarch64"):
        own(SECTIONS, "v")
    with pytest.raises(SegmentError, match="x86-64"):
        attach(directory, "w")
    monkeypatch.setattr(os, "uname", lambda: machine("AMD64"))
    assert attach(directory, "w").header.ready


def test_who_owns(ready) -> None:
    """A process is known by pid and start time; one that ended has no start time, reaped or not."""
    owner = segments.this_owner(3)
    assert (owner.pid, owner.config_version, len(owner.boot_id)) == (os.getpid(), 3, 16)
    assert owner.pid_start == segments.pid_start(os.getpid()) != 0
    child = ready("hold")
    started = segments.pid_start(child.pid)
    assert started is not None and owner.pid_start <= started
    child.kill()
    while segments.pid_start(child.pid) is not None:
        os.sched_yield()
    child.wait()
    assert segments.pid_start(child.pid) is None
    assert segments.boot_id() == segments.boot_id()


def test_close_twice(own) -> None:
    """Letting go twice is letting go once; memory that is held stays readable."""
    made = own(SECTIONS)
    words = made.words("kept")
    made.close()
    made.close(unlink=True)
    assert made.path.exists()
    assert list(words) == [0] * 4


def test_sections_are_used_as_declared(own) -> None:
    """Words of a SLOTS section, slots of a WORDS section and rows beyond the end are broken invariants."""
    made = own(SECTIONS)
    for misuse in (lambda: made.words("rows"), lambda: made.slots("plain"), lambda: made.words("plain", 2)):
        with pytest.raises(AssertionError):
            misuse()


# -- fencing -------------------------------------------------------------------------------------------


def test_an_owner_is_not_fenced(own) -> None:
    """Whoever holds the lock of the file under its own name owns it."""
    made = own(SECTIONS)
    assert made.fenced() == ""
    made.close()
    assert own(SECTIONS).fenced() == ""


@pytest.mark.parametrize(("gone", "why"), [("w", "w is gone"), ("w.lock", "w.lock is gone")])
def test_an_owner_whose_file_was_removed_is_fenced(directory: Path, own, gone: str, why: str) -> None:
    """Without its file nobody sees what it writes; without its lock another may write too."""
    made = own(SECTIONS)
    (directory / gone).unlink()
    assert why in made.fenced()


def test_an_owner_whose_directory_was_removed_is_fenced(directory: Path, own) -> None:
    """Whoever cleans memory by hand takes all of it."""
    made = own(SECTIONS)
    for path in list(directory.iterdir()):
        path.unlink()
    directory.rmdir()
    assert "is gone" in made.fenced()


def test_who_was_replaced_is_fenced_and_the_new_owner_is_not(directory: Path, own) -> None:
    """Another file under the name, another lock, another epoch in the same file: each is seen."""
    first = own(SECTIONS)
    for path in list(directory.iterdir()):
        path.unlink()
    second = own(SECTIONS)
    assert "is another file now" in first.fenced()
    (directory / "w.lock").unlink()
    third = own(SECTIONS)
    assert third.header.epoch == 2
    assert "another process owns w now" in second.fenced()
    (directory / "w.lock").unlink()
    fourth = own(OTHER)
    assert "a new file has taken the place of w" in third.fenced()
    assert fourth.fenced() == ""
    (directory / "w.lock").unlink()
    (directory / "w.lock").touch(0o600)
    assert "w.lock is another file now" in fourth.fenced()


SMALL_MOUNT = """
set -e
mount -t tmpfs -o size=64k,mode=700 none "$1"
exec "$2" "$3" own_large "$1"
"""


def test_a_full_memory_file_system_is_a_sentence(tmp_path: Path, project_root: Path) -> None:
    """On a real tmpfs without room: what is needed and what is free, and no signal."""
    mount = tmp_path / "small"
    mount.mkdir(mode=0o700)
    script = Path(__file__).with_name("children.py")
    command = ["unshare", "-rm", "sh", "-c", SMALL_MOUNT, "sh", str(mount), sys.executable, str(script)]
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace here; elsewhere: " + " ".join(command[:3]))
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = re.search(r"No space left on device; it needs (\d+) KiB, and (\d+) KiB are free", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) > 64 >= int(found[2])
