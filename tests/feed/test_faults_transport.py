"""Faults B1 to B10: what a hostile venue does to the line, against the real feed (docs/FAULTS.md)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from pipeline.config import ScannerConfig
from pipeline.feed import connection as transport
from pipeline.lab.faults import Fault
from pipeline.model import BookFault, BookState, ConnectionState
from tests.support.hostile import SECOND_NS, VENUES, World, worlds

MIB = 1 << 20
Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes worlds of one lab."""
    with worlds(tmp_path) as maker:
        yield maker


def elapsed(world: World, since_ns: int) -> float:
    """Seconds of the world's clock."""
    return (world.clock.monotonic_ns() - since_ns) / SECOND_NS


ENDS = [
    ("kalshi", "reset", 1),
    ("polymarket", "fin", 1),
    ("kraken", "close", 1013),
    ("coinbase", "close", 1001),
]


@pytest.mark.parametrize(("venue", "kind", "code"), ENDS)
def test_b1_an_ended_line_flags_every_book_at_once(make: Make, venue: str, kind: str, code: int) -> None:
    """B1: RST, FIN or close: every book is GAP in the very turn that sees it, and LIVE again by itself."""
    world = make(venue)
    world.lab.faults(Fault(venue, kind, number=code, times=1))
    began = world.clock.monotonic_ns()
    world.lab.step(1)
    world.until(lambda: world.counter("reconnects"), "the loss is seen")
    assert set(world.states().values()) == {BookState.GAP}
    assert world.faults_of_books() == {BookFault.DISCONNECTED}
    assert elapsed(world, began) < 1.0
    world.heal()
    assert not world.wrong()
    assert world.counter("reconnects") == 1


def test_b1_reconnects_are_spread_with_growing_waits(make: Make) -> None:
    """B1: a venue that is gone for five minutes is tried now and then, never in a storm."""
    world = make("kraken", live=False, reconnect_delay=0.25, max_reconnect_delay=30.0)
    world.lab.faults(Fault("kraken", "refuse_handshake", number=500))
    world.wait(300, 3.0)
    attempts = len(world.lab.attempts("kraken"))
    assert 5 <= attempts <= 60
    world.heal()


def test_b2_a_half_open_line_is_flagged_in_2_5_seconds(make: Make) -> None:
    """B2: a venue that neither reads nor sends: no book is LIVE 2.5 s later, with the default settings."""
    world = make("kalshi", heartbeat_interval=1.0, timeout=5.0, scanner=ScannerConfig())
    world.lab.faults(Fault("kalshi", "deaf"), Fault("kalshi", "drop", what="any"))
    world.lab.step(1)
    began = world.clock.monotonic_ns()
    world.wait(2.5, 0.125)
    assert world.none_live()
    world.until(lambda: world.counter("silences"), "given up", skip=0.125, also=lambda: assert_dark(world))
    assert elapsed(world, began) < 50
    assert world.counter("reconnects") == 1
    world.heal()
    assert not world.wrong()


def assert_dark(world: World) -> None:
    """No book is LIVE."""
    assert world.none_live(), world.report()


def test_b3_alive_but_silent_is_quiet_and_not_live(make: Make) -> None:
    """B3: pings are answered and nothing else comes: QUIET at the limit of 2 s, the line kept."""
    limits = ScannerConfig(heartbeat_ms=20_000, proof_ms=2_000, quiet_ms=2_000)
    world = make("polymarket", scanner=limits)
    world.wait(2.1, 0.05)
    assert set(world.states().values()) == {BookState.QUIET}
    assert ConnectionState.UP in world.connections()
    assert not world.counter("reconnects")


def test_b3_a_long_silence_is_probed_and_a_frozen_line_given_up(make: Make) -> None:
    """B3: after data_timeout one book is asked for; a venue that sends it is quiet, another is frozen."""
    world = make("kalshi", data_timeout=3.0)
    world.until(lambda: world.counter("probes"), "a probe", skip=0.1)
    world.wait(2.0, 0.1)
    assert not world.counter("frozen")
    world.lab.faults(Fault("kalshi", "mute"))
    world.until(lambda: world.counter("frozen"), "given up", skip=0.1)
    assert world.none_live()
    world.heal()
    assert not world.wrong()


def test_b3_a_silent_canary_ends_the_line(make: Make) -> None:
    """B3: while other books move, the silence of the market that never rests ends the connection."""
    world = make("kraken", canary="BTC/USD", canary_timeout=2.0)
    world.lab.faults(Fault("kraken", "freeze", market="BTC/USD"))
    for _ in range(100):
        world.lab.step(5)
        world.turn(skip=0.05)
        if world.counter("frozen"):
            break
    assert world.counter("frozen") == 1
    assert world.none_live()
    world.heal()
    assert not world.wrong()


@pytest.mark.parametrize("venue", VENUES)
def test_b3_acknowledged_then_silent_is_never_live(make: Make, venue: str) -> None:
    """B3: no first book ever: asked for again, then the line is given up; no book is LIVE meanwhile."""
    world = make(venue, live=False)
    world.lab.faults(Fault(venue, "freeze"))
    world.until(lambda: world.counter("redrives") >= 2, "redriven", skip=0.1, also=lambda: assert_dark(world))
    world.until(lambda: world.counter("frozen"), "given up", skip=0.1, also=lambda: assert_dark(world))
    world.heal()
    assert not world.wrong()


HALVES = [("kalshi", "half", 5, 0.0), ("coinbase", "half", 1, 0.0), ("kraken", "drip", 1, 0.01)]


@pytest.mark.parametrize(("venue", "kind", "number", "pause"), HALVES)
def test_b4_a_frame_that_does_not_end_ends_the_line(
    make: Make, venue: str, kind: str, number: int, pause: float
) -> None:
    """B4: half a frame, one header byte, a byte now and then: given up 1 s after it was begun."""
    world = make(venue)
    world.lab.faults(Fault(venue, kind, number=number, seconds=pause))
    world.lab.step(1)
    began = world.clock.monotonic_ns()
    world.until(lambda: world.counter("reconnects"), "given up", skip=0.05)
    assert elapsed(world, began) < 10
    assert world.none_live()
    assert not world.counter("silences")
    world.heal()
    assert not world.wrong()


@pytest.mark.parametrize(("kind", "number"), [("huge", 1), ("endless", 4), ("pings", 5_000)])
def test_b5_a_flood_ends_the_line_and_costs_no_memory(make: Make, kind: str, number: int) -> None:
    """B5: 1 TiB announced, a message without end, a flood of pings: given up at once, RSS hardly moved."""
    world = make("kraken")
    before = psutil.Process().memory_info().rss
    world.lab.faults(Fault("kraken", kind, number=number))
    world.lab.step(1)
    began = world.clock.monotonic_ns()
    world.until(lambda: world.counter("reconnects"), "given up")
    assert elapsed(world, began) < 5
    assert world.none_live()
    assert psutil.Process().memory_info().rss - before < 32 * MIB
    world.heal()
    assert not world.wrong()


def test_b6_an_unanswered_handshake_is_given_up(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """B6: no answer to the handshake: given up at the deadline, and the feed's heart beats all the time."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.3)
    world = make("coinbase", live=False)
    world.lab.faults(Fault("coinbase", "no_handshake"))
    beats = set()
    world.until(
        lambda: world.counter("connects_failed"), "given up", also=lambda: beats.add(heartbeat_ns(world))
    )
    assert len(beats) > 3
    assert [attempt.status for attempt in world.lab.attempts("coinbase")] == [0]
    world.heal()


def heartbeat_ns(world: World) -> int:
    """The heartbeat that readers see."""
    return world.feed.worker.segment.header.heartbeat_ns


@pytest.mark.parametrize("code", [301, 302, 307])
def test_b7_a_redirect_is_not_followed(make: Make, code: int) -> None:
    """B7: a redirect is a refusal; nobody ever connects to the other place."""
    with closing(socket.create_server(("127.0.0.1", 0))) as elsewhere:
        elsewhere.settimeout(0.05)
        world = make("polymarket", live=False)
        target = f"ws://127.0.0.1:{elsewhere.getsockname()[1]}/"
        world.lab.faults(Fault("polymarket", "refuse_handshake", number=code, text=target))
        world.until(lambda: world.counter("connects_failed") >= 2, "refused twice", skip=0.2)
        visitor = None
        with suppress(TimeoutError):
            visitor, _ = elsewhere.accept()
        assert visitor is None
    world.heal()


@pytest.mark.parametrize(("status", "asked", "waits"), [(429, 20, 20), (503, 60, 60), (429, 100_000, 300)])
def test_b8_retry_after_is_obeyed(make: Make, status: int, asked: int, waits: int) -> None:
    """B8: no attempt is earlier than Retry-After, which counts up to 300 s; then one comes."""
    world = make("kraken", live=False)
    world.lab.faults(Fault("kraken", "refuse_handshake", number=status, seconds=asked))
    began = world.clock.monotonic_ns()
    world.until(lambda: world.counter("connects_failed"), "refused")
    step = waits / 40
    while elapsed(world, began) < waits - 1 - step:
        world.turn(skip=step)
        assert len(world.lab.attempts("kraken")) == 1
    world.until(lambda: len(world.lab.attempts("kraken")) == 2, "tried again", skip=0.25)
    assert waits <= elapsed(world, began) < waits + 30


@pytest.mark.parametrize("status", [401, 403])
def test_b9_a_refused_key_is_tried_three_times(make: Make, status: int) -> None:
    """B9: three attempts, then AUTH_FAILED, which no time ends; no book is ever LIVE."""
    world = make("kalshi", live=False)
    world.lab.faults(Fault("kalshi", "refuse_handshake", number=status))
    world.wait(600, 5.0)
    assert len(world.lab.attempts("kalshi")) == 3
    assert world.connections()[0] is ConnectionState.AUTH_FAILED
    assert world.none_live()


def test_b9_three_refusals_far_apart_are_no_storm(make: Make) -> None:
    """B9: a venue that lets us in between forgets the refusals: AUTH_FAILED needs three in a row."""
    world = make("kalshi", live=False)
    for _ in range(3):
        world.lab.faults(Fault("kalshi", "refuse_handshake", number=401, times=2))
        world.until(world.all_live, "LIVE after two refusals", skip=0.5)
        world.lab.faults(Fault("kalshi", "reset"))
        world.lab.step(1)
        world.until(world.none_live, "lost")
    assert ConnectionState.AUTH_FAILED not in world.connections()
    world.heal()


def named(world: World) -> str:
    """The world's address with a name in place of the number."""
    return world.config.venues[world.venue].url.replace("127.0.0.1", "venue.invalid")


class Names:
    """getaddrinfo as a broken resolver has it; only the venue's name is touched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], None]) -> None:
        self.asked = 0
        real = socket.getaddrinfo

        def resolve(host, *more, **others):
            if host != "venue.invalid":
                return real(host, *more, **others)
            self.asked += 1
            answer()
            raise socket.gaierror(socket.EAI_NONAME, "no such name")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_b10_a_name_that_cannot_be_found_is_tried_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """B10: without the name there is no connection, a growing wait, and words that say so."""
    names = Names(monkeypatch, lambda: None)
    world = make("kraken", live=False, url="ws://venue.invalid:1/v2")
    world.until(lambda: world.counter("connects_failed") >= 3, "tried thrice", skip=0.2)
    assert names.asked >= 3
    assert world.none_live()


def test_b10_a_slow_resolver_holds_up_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """B10: a look-up that hangs: given up after its deadline, one thread at most, the heart beats on."""
    release = threading.Event()
    names = Names(monkeypatch, lambda: release.wait(60) and None)
    try:
        world = make("kraken", live=False, url="ws://venue.invalid:1/v2")
        beats = set()
        for _ in range(100):
            world.clock.skip(0.1)
            world.turn()
            beats.add(heartbeat_ns(world))
            assert sum(thread.name == "dial" for thread in threading.enumerate()) <= 1
        assert world.counter("connects_failed") >= 1
        assert names.asked == 1
        assert len(beats) > 50
    finally:
        release.set()
