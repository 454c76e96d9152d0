"""Readers of a segment: whatever lies there is read or refused with a sentence, and they disturb nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from shm import layout as lo
from shm import segment as segments
from shm.books import BookReader, feed_sections
from shm.records import MARKET
from shm.segment import Segment, SegmentError, View, attach
from shm.tables import TableReader, counter_section, error_section, read_counters, read_errors

Own = Callable[..., Segment]
Start = Callable[..., subprocess.Popen[str]]
SECTIONS = [counter_section(["frames"]), error_section(), *feed_sections(2, 3, 1)]
CI_FILES, STRESS_FILES, DAMAGES = 1_000, 10_000, 300


def whole_file(own: Own) -> bytes:
    """The bytes of a sound segment named `sound`, whose owner is gone."""
    segment = own(SECTIONS, "sound")
    segment.close()
    return segment.path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def read_everything(view: View) -> None:
    """What status, dashboard and scanner do with a view."""
    read_counters(view)
    read_errors(view)
    books = BookReader(view)
    assert list(books.directory.rows()) is not None
    for row in range(len(books)):
        books.get(row)
    books.connections()


def test_who_attaches_and_goes_changes_nothing(directory: Path, ready: Start) -> None:
    """Unrelated processes exit or are killed while attached: the same file stays, and its owner writes on."""
    owner = ready("write_rows")
    inode = os.stat(directory / "w").st_ino
    view = attach(directory, "w")
    rows = view.slots("rows")
    for ending in ("exit", "exit", "kill", "kill"):
        child = ready("look")
        if ending == "kill":
            child.kill()
        child.communicate()
        assert child.returncode == (-signal.SIGKILL if ending == "kill" else 0)
        assert sorted(os.listdir(directory)) == ["w", "w.lock"]
        assert os.stat(directory / "w").st_ino == inode
        assert not view.outdated()
        number = rows.number(0)
        while rows.number(0) == number:
            assert owner.poll() is None
            time.sleep(0.0005)


@pytest.mark.parametrize("files", [CI_FILES, pytest.param(STRESS_FILES, marks=pytest.mark.stress)])
def test_random_files_are_refused(directory: Path, own: Own, files: int) -> None:
    """Files of random bytes and lengths, half of them with our magic: each refused with a reason."""
    random = Random(20)
    own(SECTIONS).close()
    for number in range(files):
        content = random.randbytes(random.choice([0, 1, 8, 4095, 4096, 4097, 8192, 20000]))
        put(directory / "w", content if number % 2 else b"PARALLAX"[: len(content)] + content[8:])
        with pytest.raises(SegmentError):
            attach(directory, "w")


def test_damaged_words_never_crash_a_reader(directory: Path, own: Own) -> None:
    """Any word of the header or of a row overwritten: all that readers do works, or is a SegmentError."""
    sound = whole_file(own)
    random = Random(21)
    hostile = [0, 1, -1, 2, 33, 255, 4096, 2**31, 2**62, 2**63 - 1, -(2**63)]
    used = [*range(32), *range(lo.H_DIRECTORY, lo.H_DIRECTORY + 8 * len(SECTIONS))]
    refused = 0
    for _ in range(DAMAGES):
        at = random.choice([*used, random.randrange(lo.HEADER_WORDS, len(sound) // lo.WORD)])
        value = random.choice([*hostile, random.getrandbits(63)])
        damaged = sound[: at * 8] + value.to_bytes(8, "little", signed=True) + sound[at * 8 + 8 :]
        put(directory / "w", damaged)
        try:
            read_everything(attach(directory, "w"))
        except SegmentError:
            refused += 1
    assert 0 < refused < DAMAGES


def test_every_truncation_is_refused(directory: Path, own: Own) -> None:
    """A file cut short anywhere says that it is no segment, or is damaged."""
    sound = whole_file(own)
    for size in [*range(0, 4200, 100), *range(4096, len(sound), 1016), len(sound) - 8]:
        put(directory / "w", sound[:size])
        with pytest.raises(SegmentError, match=r"is not a segment|is damaged"):
            attach(directory, "w")


def test_the_magic_says_whose_file_it_is(directory: Path, own: Own) -> None:
    """A sound file under another name is read, with another first word it is not."""
    sound = whole_file(own)
    put(directory / "w", sound)
    assert attach(directory, "w").name == "sound"
    put(directory / "w", b"NOTPARAL" + sound[8:])
    with pytest.raises(SegmentError, match="does not begin with PARALLAX"):
        attach(directory, "w")


def test_files_of_another_user_are_refused(
    directory: Path, own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ownership counts, not only the mode."""
    own(SECTIONS).close()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(SegmentError, match="not a private file of yours"):
        attach(directory, "w")
    with pytest.raises(SegmentError, match="that only you can enter"):
        own(SECTIONS)


def test_a_link_to_a_sound_segment_is_not_followed(directory: Path, own: Own) -> None:
    """A reader refuses the link; an owner renames over it, and leaves what it points to as it was."""
    sound = whole_file(own)
    (directory / "w").symlink_to(directory / "sound")
    with pytest.raises(SegmentError, match="no segment w"):
        attach(directory, "w")
    own(SECTIONS)
    assert not (directory / "w").is_symlink()
    assert attach(directory, "w").header.epoch == 1
    assert (directory / "sound").read_bytes() == sound


def test_no_page_is_missing(own: Own) -> None:
    """The file is allocated in full when made: a later full disk cannot kill at the touch of a page."""
    segment = own([lo.Section("rows", lo.SLOTS, 500, 119)])
    status = os.stat(segment.path)
    assert status.st_size > 2_000_000
    assert status.st_blocks * 512 >= status.st_size


@pytest.mark.parametrize("name", ["w", "w.lock", "w.new"])
def test_a_directory_in_the_way_is_a_sentence(directory: Path, own: Own, name: str) -> None:
    """Where something of ours cannot be made the owner hears what and where, and may try again."""
    (directory / name).mkdir(parents=True)
    directory.chmod(0o700)
    with pytest.raises(SegmentError, match=r"cannot (own|make) w in "):
        own(SECTIONS)
    (directory / name).rmdir()
    assert own(SECTIONS).header.ready


@pytest.mark.parametrize("change", ["drawing", "version", "epoch", "short", "long"])
def test_what_does_not_fit_is_never_reused(directory: Path, own: Own, change: str) -> None:
    """A changed meaning, another program, a damaged or resized file: the next owner makes a new file."""
    first = own(SECTIONS)
    inode, size = os.stat(first.path).st_ino, os.stat(first.path).st_size
    sections = SECTIONS
    if change == "drawing":
        sections = [counter_section(["messages"]), *SECTIONS[1:]]
    elif change == "version":
        first.cells[lo.H_VERSION] = lo.LAYOUT_VERSION - 1
    elif change == "epoch":
        first.cells[lo.H_EPOCH] = 2**62
    first.close()
    if change in {"short", "long"}:
        os.truncate(first.path, size + (8 if change == "long" else -8))
    assert own(sections).header.epoch == (1 if change == "epoch" else 2)
    assert os.stat(first.path).st_ino != inode


def test_an_epoch_begins_with_ready_taken_away(directory: Path, own: Own) -> None:
    """Who attaches while the next owner sets up is sent away, though the file is the old one."""
    first = own(SECTIONS)
    first.cells[lo.H_READY] = 0
    first.cells[lo.H_EPOCH] += 1
    with pytest.raises(SegmentError, match="still being set up"):
        attach(directory, "w")
    first.close()
    assert own(SECTIONS).header.epoch == 3
    assert attach(directory, "w").epoch == 3


def test_a_segment_of_another_noun_is_refused(directory: Path, own: Own) -> None:
    """Tables that are absent, plain or too short are a sentence, never wrong rows."""
    short = feed_sections(1, 1, 1)[0]._replace(words=2)
    own([lo.Section("plain", lo.WORDS, 1, MARKET.words)])
    own([short, *feed_sections(1, 1, 1)[1:]], "x")
    view = attach(directory, "w")
    for name in ("absent", "plain"):
        with pytest.raises(SegmentError, match=name):
            TableReader(view, name, MARKET)
    with pytest.raises(SegmentError, match="books"):
        BookReader(view)
    with pytest.raises(SegmentError, match="connections"):
        BookReader(attach(directory, "x"))
    assert segments.lock_is_free(directory / "nobody")
