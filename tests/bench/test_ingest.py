"""The ingest bench: its messages are sound, and what it claims holds in order, with far wider limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import ingest
from bench.ingest_parts import files, messages

COUNT = 3_000


def saved(folder: Path, venue: str) -> Path:
    """A file of seeded frames."""
    opening, changes = messages.frames(venue, COUNT, 1)
    path = folder / f"{venue}.bin"
    files.save(path, opening, changes)
    assert files.load(path) == (opening, changes)
    return path


def test_the_same_seed_gives_the_same_frames() -> None:
    """Rounds can be repeated; another seed is another market."""
    for venue in ("kalshi", "polymarket", "kraken"):
        assert messages.frames(venue, 50, 3) == messages.frames(venue, 50, 3)
        assert messages.frames(venue, 50, 3) != messages.frames(venue, 50, 4)


@pytest.mark.parametrize("venue", ["polymarket", "kraken"])
def test_every_message_counts(tmp_path: Path, venue: str) -> None:
    """After a run every book is LIVE, nothing was bad, and Kraken's checksum was right on every frame."""
    found = ingest.finish(ingest.ours("single", venue, saved(tmp_path, venue)), messages.names(venue))
    assert found["books"] == len(messages.names(venue))
    assert found["checksums_ok"] == (COUNT + messages.KRAKEN_PAIRS if venue == "kraken" else 0)
    assert found["cpu_ns"] > 0


def test_the_wire_is_read_whole_and_costs_less_than_the_literal_reading(tmp_path: Path) -> None:
    """Through a socket, with every frame counted; the literal reading takes more CPU on the same bytes."""
    path = saved(tmp_path, "kalshi")
    opening, changes = files.load(path)
    ours = ingest.wire(ingest.ours("socket", "kalshi", path), opening, changes, messages.names("kalshi"))
    command = [sys.executable, str(ingest.PARTS / "literal.py")]
    theirs = ingest.literal(command, opening, changes)
    assert ours["books"] == messages.KALSHI_MARKETS
    assert theirs["cpu_ns"] > 1.4 * ours["cpu_ns"]
