"""The lab's end of the streams to the feeds: nothing is lost, and nobody is waited for in vain."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.feed.replay import TapeSource
from pipeline.lab.replay_link import Streams
from pipeline.tape_link import Item, Kind

PATIENCE_SECONDS = 5.0


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    made = Streams(tmp_path / "tape", lambda: True)
    yield made
    made.close()


def join(streams: Streams, path: Path, venue: str) -> TapeSource:
    """A feed that has come and is known."""
    source = TapeSource(path, venue)
    come: list[str] = []
    while not come:
        streams.wait(PATIENCE_SECONDS)
        come = streams.newcomers()
    assert come == [venue]
    return source


def test_a_feed_is_known_by_its_hello(streams: Streams, tmp_path: Path) -> None:
    """Whoever has not said a venue gets nothing; who has is sent its lines."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.connect(str(tmp_path / "tape"))
        streams.wait(PATIENCE_SECONDS)
        assert streams.newcomers() == []
        source = join(streams, tmp_path / "tape", "kraken")
        assert streams.send("kraken", Item(Kind.LINE, 0, "x"))
        assert not streams.send("kalshi", Item(Kind.LINE, 0, "x"))
        assert source.receive(PATIENCE_SECONDS) == [Item(Kind.LINE, 0, "x")]
        source.close()


def test_a_slow_feed_holds_back_and_misses_nothing(streams: Streams, tmp_path: Path) -> None:
    """Much more than a socket holds arrives whole and in order at a feed that begins to read late."""
    source = join(streams, tmp_path / "tape", "kraken")
    sent = [Item(Kind.LINE, 0, f"{number} " + "x" * 5000) for number in range(400)]
    sender = threading.Thread(target=lambda: [streams.send("kraken", item) for item in sent])
    sender.start()
    found: list[Item] = []
    while len(found) < len(sent):
        found += source.receive(PATIENCE_SECONDS)
    sender.join()
    assert found == sent
    source.close()


def test_a_feed_that_goes_is_forgotten_and_may_come_again(streams: Streams, tmp_path: Path) -> None:
    """A stream that ended is counted; the next of that venue takes its place."""
    join(streams, tmp_path / "tape", "kraken").close()
    streams.wait(PATIENCE_SECONDS)
    assert (streams.venues, streams.lost) == (set(), 1)
    first = join(streams, tmp_path / "tape", "kraken")
    second = join(streams, tmp_path / "tape", "kraken")
    assert (streams.venues, streams.lost) == ({"kraken"}, 2)
    first.close()
    second.close()


def test_marks_come_back(streams: Streams, tmp_path: Path) -> None:
    """A mark counts as answered once every feed that is here has sent it back."""
    sources = [join(streams, tmp_path / "tape", venue) for venue in ("kraken", "kalshi")]
    streams.to_all(Item(Kind.MARK, number=1))
    for source in sources:
        assert not streams.marked(1)
        source.send(source.receive(PATIENCE_SECONDS)[0])
        streams.wait(PATIENCE_SECONDS)
    assert streams.marked(1)
    for source in sources:
        source.close()


def test_whoever_is_told_to_end_does_not_wait_for_a_feed(tmp_path: Path) -> None:
    """A feed that never reads does not keep the lab from ending."""
    streams = Streams(tmp_path / "tape", lambda: False)
    source = join(streams, tmp_path / "tape", "kraken")
    assert not streams.send("kraken", Item(Kind.LINE, 0, "x" * 10_000_000))
    assert streams.lost == 1
    streams.close()
    source.close()
