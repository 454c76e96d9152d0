"""The feed of a replay: what a tape's lines become in memory is what `run.py books` makes of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.books import VenueBooks, build_report
from pipeline.clock import ManualClock
from pipeline.config import TAPE, Config, ShmConfig, VenueConfig
from pipeline.feed.book import BookKeeper
from pipeline.feed.replay import MAX_CONNECTIONS, Pass, TapeLostError, TapeSource
from pipeline.model import BookFlag, BookState, ConnectionState, to_text
from pipeline.tape import TapeLine, read
from pipeline.tape_link import Item, Kind, Unpacker, packed
from shm.books import BookReader
from shm.segment import attach

DATA = Path(__file__).parents[1] / "venues" / "data"
VENUES = ("coinbase", "kalshi", "kraken", "polymarket")
DEPTH = 60
"""More levels than any book of our payloads has."""


def config_in(folder: Path, venue: str, markets: int = 64) -> Config:
    return Config(
        data_directory=str(folder / "data"),
        run_directory=str(folder / "run"),
        shm_directory=str(folder / "shm"),
        tape="some.jsonl",
        venues={venue: VenueConfig(url=TAPE, rest_url="")},
        shm=ShmConfig(depth=DEPTH, max_markets=markets),
    )


@pytest.fixture
def passes(tmp_path: Path) -> Iterator[Any]:
    """Makes the life of a feed for a venue; each is over when the test is."""
    open_ones = []

    def make(venue: str, markets: int = 64) -> Pass:
        one = Pass(venue, config_in(tmp_path, venue, markets), ManualClock())
        open_ones.append(one)
        return one

    yield make
    for one in open_ones:
        one.worker.segment.close()
        one.worker.log.close()


def lines_of(venue: str) -> list[TapeLine]:
    return [line for line in read(DATA / f"{venue}.jsonl") if isinstance(line, TapeLine) and not line.out]


def items(lines: list[TapeLine]) -> list[Item]:
    return [Item(Kind.LINE, line.conn, line.data) for line in lines]


def shown(folder: Path, venue: str) -> dict[str, Any]:
    """The books of the segment in the form of `run.py books --json`."""
    reader = BookReader(attach(folder / "shm", f"feed-{venue}"))
    found = {}
    for row, market in reader.directory.rows():
        book = reader.get(row)
        assert book is not None
        assert book.flags & BookFlag.REPLAY
        scale = market.price_decimals, market.size_decimals
        found[market.market] = {"state": BookState(book.state).name} | {
            name: [
                [to_text(number, decimals) for number, decimals in zip(level, scale, strict=True)]
                for level in side
            ]
            for name, side in (("bids", book.bids), ("asks", book.asks))
        }
    return found


def expected(venue: str, lines: list[TapeLine], *, ended: bool) -> dict[str, Any]:
    seen = VenueBooks(BookKeeper(venue))
    for line in lines:
        seen.take(line)
    if ended:
        seen.keeper.settle()
    books: dict[str, Any] = build_report({venue: seen}, 0, DEPTH)["books"][venue]
    return books


@pytest.mark.parametrize("venue", VENUES)
def test_the_books_are_those_of_run_py_books(venue: str, passes: Any, tmp_path: Path) -> None:
    """After any number of lines, however they came together, every level of every book is the same."""
    lines = lines_of(venue)
    one = passes(venue)
    at = 0
    for piece in (1, 1, 7, 30, 61, 100, len(lines)):
        one.take(items(lines[at : at + piece]))
        at += piece
        assert shown(tmp_path, venue) == expected(venue, lines[:at], ended=False)
    one.end()
    assert shown(tmp_path, venue) == expected(venue, lines, ended=True)


def test_a_new_pass_is_a_new_epoch_with_empty_books(passes: Any, tmp_path: Path) -> None:
    """When the tape begins anew readers attach again, and find nothing of the old books."""
    one = passes("kraken")
    one.take(items(lines_of("kraken")))
    view = attach(tmp_path / "shm", "feed-kraken")
    one.worker.segment.close()
    two = passes("kraken")
    assert view.outdated()
    assert two.pristine
    assert shown(tmp_path, "kraken") == {}


def test_beats_are_proof_of_life_and_a_lost_lab_voids_all_books(passes: Any, tmp_path: Path) -> None:
    """While the lab beats every recorded connection lives; when it is gone no book is believed."""
    one = passes("kalshi")
    one.take(items(lines_of("kalshi")))
    one.worker.clock.advance(60_000_000_000)
    one.alive()
    reader = BookReader(attach(tmp_path / "shm", "feed-kalshi"))
    used = [row for row in reader.connections() if row.state == ConnectionState.UP]
    assert used and all(row.proof_ns == one.worker.clock.monotonic_ns() for row in used)
    one.lost()
    assert not [row for row in reader.connections() if row.state == ConnectionState.UP]
    assert {book["state"] for book in shown(tmp_path, "kalshi").values()} <= {"GAP", "EMPTY"}


def test_more_connections_than_rows_share_the_last(passes: Any, tmp_path: Path) -> None:
    """A tape of many reconnects is played all the same."""
    one = passes("kraken")
    first = lines_of("kraken")[0]
    one.take([Item(Kind.LINE, conn, first.data) for conn in range(MAX_CONNECTIONS + 5)])
    reader = BookReader(attach(tmp_path / "shm", "feed-kraken"))
    assert all(row.state == ConnectionState.UP for row in reader.connections())


def test_markets_beyond_the_room_are_counted(passes: Any, tmp_path: Path) -> None:
    """Markets that find no row are told once; the others are shown."""
    one = passes("polymarket", 2)
    for item in items(lines_of("polymarket")):
        one.take([item])
    assert len(shown(tmp_path, "polymarket")) == 2
    assert one.worker.counters.get("no_room") > 0
    assert one.worker.counters.get("errors") == 1


def test_the_source_says_who_it_is_and_when_the_lab_is_gone(tmp_path: Path) -> None:
    """A feed says its venue first; a stream that ends, or is none, is a loss and no crash."""
    path = tmp_path / "tape"
    with pytest.raises(OSError, match="No such file"):
        TapeSource(path, "kraken")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        source = TapeSource(path, "kraken")
        lab, _ = listener.accept()
        assert Unpacker().feed(lab.recv(4096)) == [Item(Kind.HELLO, text="kraken")]
        assert source.receive(0.0) == []
        lab.sendall(packed(Item(Kind.LINE, "a", "{}")))
        assert source.receive(5.0) == [Item(Kind.LINE, "a", "{}")]
        lab.close()
        with pytest.raises(TapeLostError, match="closed"):
            source.receive(5.0)
        source.close()
