"""Cleanup: a dead run's leftovers go, provably; what lives or is not ours stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.clock import ManualClock, SystemClock
from pipeline.supervisor import cleanup
from shm import layout as lo
from shm import segment as segments
from shm.tables import counter_section

CLOCK = SystemClock()
OWNER = """
import sys
from pathlib import Path
from pipeline.clock import SystemClock
from shm import segment
from shm.tables import counter_section
clock = SystemClock()
owner = segment.this_owner()
if len(sys.argv) > 3:
    owner = segment.Owner(int(sys.argv[3]), owner.pid_start + 1, owner.boot_id)
made = segment.create(Path(sys.argv[1]), sys.argv[2], [counter_section(["a"])], owner,
                      monotonic_ns=clock.monotonic_ns(), wall_ns=clock.wall_ns(), sleep=clock.sleep)
print("up", flush=True)
sys.stdin.read()
"""
Own = Callable[..., "subprocess.Popen[str]"]


class Hurried(SystemClock):
    """A clock on which the first wait is over at once and every other one is real."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns

    def sleep(self, seconds: float) -> None:
        if not self.ahead_ns:
            self.ahead_ns = 10**11
        super().sleep(seconds)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def shm(tmp_path: Path) -> Path:
    """A directory of segments."""
    path = tmp_path / "shm"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def own(shm: Path, project_root: Path) -> Iterator[Own]:
    """Starts processes that own a segment until their stdin is closed; they ignore nothing and do nothing."""
    owners: list[subprocess.Popen[str]] = []

    def start(name: str, *more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(shm), name, *more],
            cwd=project_root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        owners.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in owners:
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


def segment(shm: Path, name: str) -> segments.Segment:
    """A segment of this very process."""
    return segments.create(
        shm,
        name,
        [counter_section(["a"])],
        segments.this_owner(),
        monotonic_ns=CLOCK.monotonic_ns(),
        wall_ns=CLOCK.wall_ns(),
        sleep=CLOCK.sleep,
    )


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_killed_runs_leftovers_are_removed(run: Path, shm: Path, own: Own) -> None:
    """Segments, locks and files of processes that were killed are gone, and both directories stay usable."""
    for name in ("feed-kraken", "scanner"):
        process = own(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for name in cleanup.RUN_FILES:
        (run / name).touch()
    (run / "opp.role").touch()
    assert {"feed-kraken", "scanner", "scanner.lock"} <= names(shm)
    cleanup.leftovers(run, shm, CLOCK)
    assert names(shm) == set()
    assert names(run) == {"opp.role"}
    cleanup.directories(run, shm)
    assert not run.exists()
    assert not shm.exists()


def test_nothing_to_clean_is_no_trouble(tmp_path: Path) -> None:
    """Directories that do not exist need no cleaning."""
    cleanup.leftovers(tmp_path / "no", tmp_path / "none", ManualClock())
    cleanup.segments_of(tmp_path / "none", keep="")
    cleanup.directories(tmp_path / "no", tmp_path / "none")
    assert names(tmp_path) == set()


def test_a_segment_that_somebody_owns_is_kept(shm: Path, own: Own) -> None:
    """A live owner's segment and lock stay, next to a dead one's that go."""
    own("trader")
    segment(shm, "dead").close()
    cleanup.segments_of(shm, keep="")
    assert names(shm) == {"trader", "trader.lock"}
    assert segments.attach(shm, "trader").header.ready


def test_the_segment_to_keep_is_kept(shm: Path) -> None:
    """The supervisor's own segment is left to its own end."""
    segment(shm, "supervisor").close()
    segment(shm, "lab").close()
    cleanup.segments_of(shm, keep="supervisor")
    assert names(shm) == {"supervisor", "supervisor.lock"}


def test_half_made_and_old_segments_are_ours(shm: Path) -> None:
    """What a process killed while making its segment left, and segments of another layout, are removed."""
    (shm / "scanner.new").write_bytes(bytes(4096))
    old = bytearray(4096)
    old[:8] = lo.MAGIC.to_bytes(8, "little")
    old[8] = 250
    (shm / "trader").write_bytes(old)
    cleanup.segments_of(shm, keep="")
    assert names(shm) == set()


def test_what_is_not_ours_is_not_touched(run: Path, shm: Path, tmp_path: Path) -> None:
    """Files, links, pipes and folders that no worker makes stay, and so do the directories that hold them."""
    precious = tmp_path / "precious"
    precious.write_bytes(lo.MAGIC.to_bytes(8, "little"))
    for directory in (run, shm):
        (directory / "notes.txt").write_text("mine")
        (directory / "link").symlink_to(precious)
        (directory / "folder").mkdir()
        os.mkfifo(directory / "pipe")
    before = names(run), names(shm)
    segment(shm, "scanner").close()
    cleanup.leftovers(run, shm, ManualClock())
    cleanup.directories(run, shm)
    assert (names(run), names(shm)) == before
    assert precious.exists()


def test_an_orphan_that_does_not_leave_is_killed(run: Path, shm: Path, own: Own) -> None:
    """A worker of a dead supervisor that stays is ended, proven by pid and start time, and cleaned up."""
    orphan = own("feed-kalshi")
    orphan.send_signal(signal.SIGSTOP)
    cleanup.leftovers(run, shm, Hurried())
    assert orphan.wait(60) == -signal.SIGKILL
    assert names(shm) == set()


def test_an_orphan_that_leaves_by_itself_is_waited_for(run: Path, shm: Path, own: Own) -> None:
    """An orphan gets its time: one that ends within it is not killed."""
    orphan = own("feed-kalshi")

    class Leaving(ManualClock):
        """A clock on which the orphan ends during the first wait."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if orphan.poll() is None:
                assert orphan.stdin is not None
                orphan.stdin.close()
                orphan.wait()

    cleanup.leftovers(run, shm, Leaving())
    assert orphan.returncode == 0
    assert names(shm) == set()


def test_an_owner_without_proof_is_not_killed(run: Path, shm: Path, own: Own) -> None:
    """A segment that names a pid with another start time ends nobody: the next `up` is refused by name."""
    bystander = own("other")
    liar = own("scanner", str(bystander.pid))
    segments_before = names(shm)
    (run / "key").touch()
    with pytest.raises(segments.SegmentBusyError, match="scanner"):
        cleanup.leftovers(run, shm, ManualClock())
    assert liar.poll() is None
    assert {"scanner", "scanner.lock"} <= names(shm) <= segments_before
    assert names(run) == {"key"}
    # The neighbour was proven: it names itself.
    assert bystander.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit 0"),
        (1, "exit 1"),
        (-9, "killed by SIGKILL"),
        (-15, "killed by SIGTERM"),
        (-40, "killed by signal 40"),
        (255, "exit 255"),
    ],
)
def test_ends_have_words(status: int, words: str) -> None:
    """Each way to end can be said, also by a signal without a name."""
    assert cleanup.exit_words(status) == words


def test_every_signal_has_words() -> None:
    """No signal that can end a worker ends its supervisor."""
    for number in range(1, 65):
        assert cleanup.exit_words(-number).startswith("killed by")
