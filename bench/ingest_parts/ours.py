"""Our feed on a file of frames: the real worker, with its real segment, in a process of its own.

In: `socket URL` or `frames`, a venue, a file. Out: CPU and wall nanoseconds of the changes, printed. Run by
the ingest bench. `socket` goes through the feed's own connection; `frames` hands the worker the same bytes
in the portions in which its connection would have: 64 at most, as they come together. `single` hands them
over one at a time, so that every message is published by itself. `tape` plays a recording over and over,
each time on a new connection. `profile` prints where the time goes.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from bench.ingest_parts.files import load
from pipeline.clock import SystemClock
from pipeline.config import Config, ShmConfig, VenueConfig
from pipeline.feed.book import BookKeeper
from pipeline.feed.connection import MESSAGES
from pipeline.feed.worker import Feed
from pipeline.model import BookState
from pipeline.venues.registry import CODECS

TAPE_FRAMES = 20_000


def main() -> None:
    """Do what the arguments say."""
    how, venue, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    url = sys.argv[4] if len(sys.argv) > 4 else "ws://127.0.0.1:1/"
    markets = tuple(sys.argv[5:])
    opening, changes = load(path)
    if how == "tape":
        markets = on_tape(venue, changes)
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        feed = Feed(venue, config(venue, url, markets, Path(folder)), SystemClock(), Random(1))
        if how == "socket":
            spent = socket(feed, len(opening), len(changes))
        elif how == "tape":
            passes = max(1, TAPE_FRAMES // len(changes))
            spent = tape(feed, venue, changes, passes)
        else:
            spent = frames(feed, how, opening, changes)
        report = {"frames": passes * len(changes)} if how == "tape" else healthy(feed, venue)
        feed.close()
    print(msgspec.json.encode({"cpu_ns": spent[0], "wall_ns": spent[1], **report}).decode())


def config(venue: str, url: str, markets: tuple[str, ...], folder: Path) -> Config:
    """A run of its own in a temporary directory; the memory files lie where they always lie."""
    for name in ("data", "run"):
        (folder / name).mkdir()
    settings = VenueConfig(url=url, rest_url="", markets=markets)
    return Config(
        venues={venue: settings},
        shm=ShmConfig(max_markets=128),
        data_directory=str(folder / "data"),
        run_directory=str(folder / "run"),
        shm_directory=str(folder / "shm"),
    )


def socket(feed: Feed, opening: int, count: int) -> tuple[int, int]:
    """Turn until everything has come through the socket; the parent waits for the word `ready`."""
    counters = feed.worker.counters
    while counters.get("frames") < opening:
        feed.turn()
        feed.worker.go_on()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    while counters.get("frames") < opening + count:
        feed.turn()
        feed.worker.go_on()
    return time.process_time_ns() - cpu, time.monotonic_ns() - wall


def frames(feed: Feed, how: str, opening: list[bytes], changes: list[bytes]) -> tuple[int, int]:
    """Hand the worker the frames, without a socket."""
    link = feed.links[0]
    # A codec that was never asked to subscribe takes every market, as on a tape.
    for frame in opening:
        feed.ingest.take(link, [frame], time.monotonic_ns())
    size = 1 if how == "single" else MESSAGES
    portions = [changes[at : at + size] for at in range(0, len(changes), size)]
    profile = cProfile.Profile() if how == "profile" else None
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    if profile is not None:
        profile.enable()
    for portion in portions:
        feed.ingest.take(link, portion, time.monotonic_ns())
    spent = time.process_time_ns() - cpu, time.monotonic_ns() - wall
    if profile is not None:
        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return spent


def on_tape(venue: str, frames: list[bytes]) -> tuple[str, ...]:
    """The markets of a tape."""
    keeper, codec = BookKeeper(venue), CODECS[venue]({})
    for frame in frames:
        keeper.apply_frame(codec.decode(frame))
    return tuple(keeper.books)


def tape(feed: Feed, venue: str, frames: list[bytes], passes: int) -> tuple[int, int]:
    """Play a tape so many times."""
    link = feed.links[0]
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    for _ in range(passes):
        link.codec = CODECS[venue]({})
        for at in range(0, len(frames), MESSAGES):
            feed.ingest.take(link, frames[at : at + MESSAGES], time.monotonic_ns())
    return time.process_time_ns() - cpu, time.monotonic_ns() - wall


def healthy(feed: Feed, venue: str) -> dict[str, object]:
    """What the books say afterwards: a fast feed that lost something has measured nothing."""
    keeper = feed.keeper
    keeper.settle()
    states = {book.state for book in keeper.books.values()}
    assert states == {BookState.LIVE}, (venue, states)
    assert not keeper.bad_frames and not keeper.gaps and not keeper.checksums_bad, venue
    return {"books": len(keeper.books), "checksums_ok": keeper.checksums_ok}


main()
