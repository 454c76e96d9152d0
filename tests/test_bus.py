"""The bus between real processes and real sockets: roles, frames, garbage, the doorbell."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import zmq

from pipeline import bus
from pipeline.clock import SystemClock
from pipeline.wire import MAX_FRAME_BYTES, Reply, Request, Sealer, WireError

CLOCK = SystemClock()
# Far beyond what anything here takes: a bound for a machine that is very slow, not a figure.
PATIENCE_MS = 20_000

HOLD = """
import sys
from pathlib import Path
from pipeline.bus import RoleLock
lock = RoleLock(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """A run directory of this test alone."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def sealer(run_directory: Path) -> Sealer:
    """Seals with the run's fresh key."""
    return Sealer(bus.make_key(run_directory))


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true before patience ends."""
    deadline = CLOCK.monotonic_ns() + PATIENCE_MS * 1_000_000
    while not condition():
        if CLOCK.monotonic_ns() > deadline:
            return False
        CLOCK.sleep(0.002)
    return True


def holder(run_directory: Path, role: str, root: Path) -> subprocess.Popen[str]:
    """Another process that holds a role until its stdin is closed or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run_directory), role],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process of this test and collect it."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def raw_connection(path: Path) -> socket.socket:
    """A stranger's connection to a socket of ours."""
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stranger.settimeout(5)
    stranger.connect(str(path))
    return stranger


def throw_garbage(path: Path, connections: int) -> None:
    """Connections of random bytes; most begin as a real greeting does, so that the rest is read as frames."""
    random = Random(5)
    greeting = b"\xff" + bytes(8) + b"\x7f"
    for number in range(connections):
        with raw_connection(path) as stranger:
            lead = greeting if number % 3 else b""
            try:
                stranger.sendall(lead + random.randbytes(2000))
            except OSError:
                continue  # hung up on while still talking


def request(number: int) -> Request:
    return Request(f"{number:016x}", "status", {}, "test", CLOCK.monotonic_ns())


# -- roles -------------------------------------------------------------------------------------------


def test_a_second_holder_is_refused_by_name(run_directory: Path, project_root: Path) -> None:
    """A role that another process holds is refused, and the text names that process."""
    process = holder(run_directory, "opp", project_root)
    try:
        with pytest.raises(bus.RoleTakenError, match=f"^opp is held by process {process.pid}$"):
            bus.RoleLock(run_directory, "opp")
    finally:
        end(process)


def test_a_refusal_says_since_when(run_directory: Path) -> None:
    """Whoever is refused learns the holder's pid and when it took the role, whatever an earlier one wrote."""
    (run_directory / "opp.role").write_text("4194304")
    before = CLOCK.wall_ns()
    with closing(bus.RoleLock(run_directory, "opp")):
        with pytest.raises(bus.RoleTakenError) as refused:
            bus.RoleLock(run_directory, "opp")
        assert refused.value.pid == os.getpid()
        # The stamp of a file may be a tick of the system's clock older than the time of day.
        assert before - 100_000_000 <= refused.value.since_wall_ns <= CLOCK.wall_ns()


def test_a_wait_ends_with_the_first_of_many(run_directory: Path, sealer: Sealer) -> None:
    """Sockets and descriptors are waited for together: either ends the wait, and nothing is read by it."""
    server = bus.CommandServer(run_directory)
    reads, writes = os.pipe()
    try:
        bus.wait_any([server.socket, reads], 1)
        assert server.receive(0) is None
        os.write(writes, b"x")
        bus.wait_any([server.socket, reads], PATIENCE_MS)
        assert os.read(reads, 10) == b"x"
        frame = sealer.seal(request(1))
        asking = threading.Thread(target=lambda: bus.ask(run_directory, frame, PATIENCE_MS))
        asking.start()
        bus.wait_any([server.socket, reads], PATIENCE_MS)
        received = server.receive(PATIENCE_MS)
        assert received is not None
        assert received[1] == frame
        server.reply(received[0], b"done")
        asking.join()
    finally:
        server.close()
        os.close(reads)
        os.close(writes)


def test_a_role_is_refused_inside_one_process_too(run_directory: Path) -> None:
    """Two holders in one process are refused like two processes, and closing gives the role up."""
    first = bus.RoleLock(run_directory, "dec")
    with pytest.raises(bus.RoleTakenError, match=str(os.getpid())):
        bus.RoleLock(run_directory, "dec")
    first.close()
    bus.RoleLock(run_directory, "dec").close()


def test_a_killed_holder_frees_its_role(run_directory: Path, project_root: Path) -> None:
    """Once a holder that was killed is collected its role is free, whatever its file still says."""
    process = holder(run_directory, "opp", project_root)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with closing(bus.RoleLock(run_directory, "opp")):
        assert (run_directory / "opp.role").read_text() == str(os.getpid())
    end(process)


def test_a_shorter_pid_replaces_a_longer_one(run_directory: Path) -> None:
    """The holder's pid stands alone in the file, without digits of the last holder."""
    (run_directory / "opp.role").write_text("12345678901234567890")
    with closing(bus.RoleLock(run_directory, "opp")):
        assert (run_directory / "opp.role").read_text() == str(os.getpid())


def test_a_removed_role_file_gives_no_lock_that_is_worth_nothing(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file is removed between open and lock, the lock is taken on the file that has the name now."""
    path = run_directory / "opp.role"
    real, removed = bus.fcntl.flock, []

    def flock(fd: int, operation: int) -> None:
        if not removed:
            removed.append(fd)
            path.unlink()
        real(fd, operation)

    monkeypatch.setattr(bus.fcntl, "flock", flock)
    with closing(bus.RoleLock(run_directory, "opp")):
        assert removed
        with pytest.raises(bus.RoleTakenError):
            bus.RoleLock(run_directory, "opp")


# -- key and addresses -------------------------------------------------------------------------------


def test_the_key_is_private_fresh_and_read_back(run_directory: Path) -> None:
    """Each run has a key of its own that this user alone can read."""
    first = bus.make_key(run_directory)
    second = bus.make_key(run_directory)
    assert first != second
    assert bus.read_key(run_directory) == second
    assert (run_directory / bus.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_no_key_and_half_a_key_are_refused_in_words(run_directory: Path) -> None:
    """Without a run there is no key; a key that is not whole is no key either."""
    with pytest.raises(bus.BusError, match="start one with"):
        bus.read_key(run_directory)
    (run_directory / bus.KEY_FILE).write_bytes(b"short")
    with pytest.raises(bus.BusError, match="not a whole key"):
        bus.read_key(run_directory)


def test_a_path_too_long_to_bind_is_refused_and_holds_no_role(tmp_path: Path) -> None:
    """A socket path that the system cannot bind is refused with what to do, and takes no role."""
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    for make in (bus.Inbox, bus.Publisher, bus.CommandServer, bus.Sender):
        with pytest.raises(bus.BusError, match="XDG_RUNTIME_DIR"):
            make(deep)
    assert not list(deep.iterdir())


def test_the_longest_path_that_is_allowed_can_be_bound(tmp_path: Path) -> None:
    """The stated limit is the system's: a path of just that length is bound and used."""
    length = bus.MAX_PATH_BYTES - len(os.fsencode(tmp_path / "x" / "opp")) + 1
    if length < 1:
        pytest.skip("the temporary directory itself is too deep")
    deep = tmp_path / ("x" * length)
    deep.mkdir()
    with closing(bus.Inbox(deep)) as inbox, closing(bus.Sender(deep)) as sender:
        assert until(lambda: sender.send(b"at the limit"))
        assert inbox.receive(PATIENCE_MS) == b"at the limit"


def test_a_second_bind_is_refused_and_the_first_goes_on(run_directory: Path) -> None:
    """A second owner of a socket's name is refused before it can steal the path from the first."""
    with closing(bus.Inbox(run_directory)) as inbox, closing(bus.Sender(run_directory)) as sender:
        with pytest.raises(bus.RoleTakenError):
            bus.Inbox(run_directory)
        assert until(lambda: sender.send(b"still here"))
        assert inbox.receive(PATIENCE_MS) == b"still here"


# -- opportunities -----------------------------------------------------------------------------------


def test_frames_arrive_whole_and_in_order(run_directory: Path, sealer: Sealer) -> None:
    """What one process sends another opens, in the order of sending."""
    with closing(bus.Inbox(run_directory)) as inbox, closing(bus.Sender(run_directory)) as sender:
        for number in range(20):
            frame = sealer.seal(request(number))
            assert until(lambda frame=frame: sender.send(frame))
        got = [sealer.open(inbox.receive(PATIENCE_MS) or b"", Request).id for _ in range(20)]
    assert got == [f"{number:016x}" for number in range(20)]


def test_without_a_receiver_a_send_fails_at_once(run_directory: Path) -> None:
    """Nobody there: every send returns False, none waits, and later nothing old is delivered."""
    with closing(bus.Sender(run_directory)) as sender:
        assert [sender.send(b"lost") for _ in range(2000)] == [False] * 2000
        with closing(bus.Inbox(run_directory)) as inbox:
            assert until(lambda: sender.send(b"first that counts"))
            assert inbox.receive(PATIENCE_MS) == b"first that counts"


def test_a_receiver_that_stands_still_costs_frames_not_time(run_directory: Path) -> None:
    """A receiver that reads nothing makes sends fail once the bounded queues are full."""
    with closing(bus.Inbox(run_directory)) as inbox, closing(bus.Sender(run_directory)) as sender:
        assert until(lambda: sender.send(b"0" * 4000))
        results = [sender.send(b"%4000d" % number) for number in range(5000)]
        assert not results[-1]
        assert sum(results) < 1000
        assert inbox.receive(PATIENCE_MS) == b"0" * 4000


def test_an_empty_inbox_returns_none(run_directory: Path) -> None:
    """Waiting is bounded: no frame is None."""
    with closing(bus.Inbox(run_directory)) as inbox:
        assert inbox.receive(0) is None
        assert inbox.receive(5) is None


def test_an_announcement_is_no_frame(run_directory: Path) -> None:
    """What follows one is received; where nothing follows there is nothing, however many there were."""
    with closing(bus.Inbox(run_directory)) as inbox, closing(bus.Sender(run_directory)) as sender:
        until(lambda: sender.send(b"first"))
        assert inbox.receive(PATIENCE_MS) == b"first"
        sender.announce()
        assert sender.send(b"second")
        assert inbox.receive(PATIENCE_MS) == b"second"
        for _ in range(3 * bus.MOST_ANNOUNCED):
            sender.announce()
        assert inbox.receive(50) is None
        assert sender.send(b"third")
        # Announcements that still wait are heard first, a bounded number in each call.
        assert until(lambda: inbox.receive(50) == b"third")


def test_an_oversized_frame_is_dropped_and_the_socket_goes_on(run_directory: Path) -> None:
    """A frame over the limit never arrives; afterwards good frames do."""
    with closing(bus.Inbox(run_directory)) as inbox, closing(bus.Sender(run_directory)) as sender:
        assert until(lambda: sender.send(b"x" * MAX_FRAME_BYTES))
        assert inbox.receive(PATIENCE_MS) == b"x" * MAX_FRAME_BYTES
        assert until(lambda: sender.send(b"y" * (MAX_FRAME_BYTES + 1)))
        got: list[bytes] = []

        def good_arrives() -> bool:
            sender.send(b"good")
            frame = inbox.receive(5)
            got.extend([frame] if frame is not None else [])
            return b"good" in got

        assert until(good_arrives)
        assert set(got) == {b"good"}


def test_a_restarted_receiver_is_found_again(run_directory: Path) -> None:
    """A sender that lost its receiver reaches the next one by itself."""
    with closing(bus.Sender(run_directory)) as sender:
        for round_ in (b"one", b"two", b"three"):
            with closing(bus.Inbox(run_directory)) as inbox:
                assert until(lambda r=round_, i=inbox: sender.send(r) and i.receive(50) == r)


@pytest.mark.parametrize("name", [bus.OPPORTUNITIES, bus.CONTROL])
def test_garbage_opens_nothing_and_real_traffic_goes_on(
    run_directory: Path, sealer: Sealer, name: str
) -> None:
    """Whatever strangers write to a socket, nothing of it opens, and real requests still arrive."""
    server: bus.Inbox | bus.CommandServer
    server = bus.Inbox(run_directory) if name == bus.OPPORTUNITIES else bus.CommandServer(run_directory)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    friend = context.socket(zmq.PUSH if name == bus.OPPORTUNITIES else zmq.DEALER)
    friend.setsockopt(zmq.LINGER, 0)
    refused, opened, number = 0, 0, 0
    try:
        friend.connect(bus.address(run_directory, name))
        thrower = threading.Thread(target=throw_garbage, args=(run_directory / name, 60))
        thrower.start()
        deadline = CLOCK.monotonic_ns() + PATIENCE_MS * 1_000_000
        while (thrower.is_alive() or opened < 20 or not refused) and CLOCK.monotonic_ns() < deadline:
            friend.send(sealer.seal(request(number)))
            number += 1
            received = server.receive(20)
            while received is not None:
                frame = received[1] if isinstance(received, tuple) else received
                try:
                    opened += sealer.open(frame, Request).command == "status"
                except WireError:
                    refused += 1
                received = server.receive(0)
        thrower.join(PATIENCE_MS / 1000)
    finally:
        friend.close(0)
        server.close()
    assert 20 <= opened <= number
    assert refused


# -- decisions ---------------------------------------------------------------------------------------


def test_decisions_reach_a_subscriber_and_nobody_else_blocks(run_directory: Path) -> None:
    """A publisher with no or with slow subscribers never waits; one that listens gets the frames."""
    listener = zmq.Context.instance().socket(zmq.SUB)
    listener.setsockopt(zmq.LINGER, 0)
    listener.subscribe(b"")
    with closing(bus.Publisher(run_directory)) as publisher:
        for _ in range(1000):
            publisher.send(b"to nobody")
        try:
            listener.connect(bus.address(run_directory, bus.DECISIONS))

            def heard() -> bool:
                publisher.send(b"decision")
                return bool(listener.poll(2))

            assert until(heard)
            assert listener.recv() == b"decision"
            for _ in range(5000):
                publisher.send(b"z" * 4000)
        finally:
            listener.close(0)


# -- commands ----------------------------------------------------------------------------------------


def test_a_request_is_answered_to_its_sender(run_directory: Path, sealer: Sealer) -> None:
    """A question comes back with the answer to that very question."""
    with closing(bus.CommandServer(run_directory)) as server:

        def serve() -> None:
            received = server.receive(PATIENCE_MS)
            assert received is not None
            asked = sealer.open(received[1], Request)
            server.reply(received[0], sealer.seal(Reply(asked.id, ok=True, text="done")))

        thread = threading.Thread(target=serve)
        thread.start()
        answer = bus.ask(run_directory, sealer.seal(request(7)), PATIENCE_MS)
        thread.join()
    assert sealer.open(answer, Reply) == Reply(f"{7:016x}", ok=True, text="done")


def test_a_reply_to_somebody_gone_is_no_error(run_directory: Path) -> None:
    """Answering a sender that has left neither raises nor waits."""
    with closing(bus.CommandServer(run_directory)) as server:
        assert server.receive(0) is None
        assert server.reply(b"nobody", b"answer") in {True, False}


def test_a_message_of_many_parts_is_nonsense(run_directory: Path, sealer: Sealer) -> None:
    """A request in several parts becomes an empty frame, which no sealer opens."""
    friend = zmq.Context.instance().socket(zmq.DEALER)
    with closing(bus.CommandServer(run_directory)) as server:
        try:
            friend.connect(bus.address(run_directory, bus.CONTROL))
            friend.send_multipart([sealer.seal(request(1)), b"more"])
            received = server.receive(PATIENCE_MS)
        finally:
            friend.close(0)
    assert received is not None
    with pytest.raises(WireError):
        sealer.open(received[1], Request)


def test_asking_where_nothing_runs_says_so(run_directory: Path) -> None:
    """Without a control socket the question is not even sent."""
    with pytest.raises(bus.BusError, match="no run"):
        bus.ask(run_directory, b"x", 50)


def test_asking_a_supervisor_that_does_not_answer_ends(run_directory: Path) -> None:
    """A socket that nobody serves, stalled or left by a crash, ends the question in words."""
    server = bus.CommandServer(run_directory)
    with closing(server), pytest.raises(bus.BusError, match=r"did not answer within 0\.05 s"):
        bus.ask(run_directory, b"x", 50)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(run_directory / bus.CONTROL))
    left.close()
    with pytest.raises(bus.BusError, match="did not answer"):
        bus.ask(run_directory, b"x", 50)


# -- the doorbell ------------------------------------------------------------------------------------


@pytest.fixture
def bell(run_directory: Path) -> Iterator[bus.Bell]:
    """The scanner's side of the doorbell."""
    bus.make_bell(run_directory)
    with closing(bus.Bell(run_directory)) as scanner:
        yield scanner


def test_a_ring_wakes_and_all_rings_are_one(run_directory: Path, bell: bus.Bell) -> None:
    """Many rings before a wait wake once; then it is quiet again."""
    with closing(bus.Bell(run_directory)) as feed:
        assert not bell.wait(0)
        for _ in range(10):
            feed.ring()
        assert bell.wait(PATIENCE_MS)
        assert not bell.wait(0)


def test_a_ring_wakes_a_waiting_scanner(run_directory: Path, bell: bus.Bell) -> None:
    """A ring from another thread of execution ends a wait that is under way."""
    with closing(bus.Bell(run_directory)) as feed:
        ringer = threading.Timer(0.02, feed.ring)
        ringer.start()
        assert bell.wait(PATIENCE_MS)
        ringer.join()


def test_a_full_bell_is_success(run_directory: Path, bell: bus.Bell) -> None:
    """More rings than the pipe holds neither raise nor wait, and one wait hears and clears them."""
    with closing(bus.Bell(run_directory)) as feed:
        for _ in range(70_000):
            feed.ring()
        assert bell.wait(0)
        assert not bell.wait(0)


def test_the_bell_survives_the_restart_of_either_side(run_directory: Path) -> None:
    """Feeds may ring while there is no scanner, and a scanner waits through a feed's restart."""
    bus.make_bell(run_directory)
    with closing(bus.Bell(run_directory)) as scanner:
        bus.Bell(run_directory).close()
        assert not scanner.wait(0)
        feed = bus.Bell(run_directory)
    feed.ring()
    with closing(bus.Bell(run_directory)) as scanner, closing(feed):
        feed.ring()
        assert scanner.wait(PATIENCE_MS)
        assert not scanner.wait(0)


def test_a_new_bell_replaces_a_file_of_that_name(run_directory: Path) -> None:
    """A bell is a pipe that this user alone can open, whatever lay there before."""
    (run_directory / bus.BELL).write_text("not a pipe")
    bus.make_bell(run_directory)
    assert (run_directory / bus.BELL).is_fifo()
    assert (run_directory / bus.BELL).stat().st_mode & 0o777 == 0o600
