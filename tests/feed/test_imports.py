"""What a feed loads before it connects: its restart waits for all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each takes 10 to 100 ms to load, and a feed needs it later, in a thread that has time, or never.
HEAVY = (
    "apprise argparse ccxt cryptography difflib httpx keyring numpy pipeline.bus prometheus_client psutil"
    " pydantic rich sqlite3 tempfile textual tomli tomlkit websockets zmq"
).split()
CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import pipeline.cli.work
import pipeline.feed.worker
from pipeline.venues.registry import CODECS
from pipeline.venues.rest_registry import book_source
CODECS[sys.argv[2]]({})
book_source(sys.argv[2])
print(*sorted(sys.modules))
"""
VENUES = ("coinbase", "kalshi", "kraken", "polymarket")


@pytest.fixture(scope="module")
def loaded(project_root: Path) -> dict[str, set[str]]:
    """The modules that the feed of each venue has loaded when it is about to connect."""
    started = {
        venue: subprocess.Popen(
            [sys.executable, "-c", CODE, str(project_root), venue], stdout=subprocess.PIPE, text=True
        )
        for venue in VENUES
    }
    found = {venue: set(child.communicate()[0].split()) for venue, child in started.items()}
    assert all(child.returncode == 0 for child in started.values())
    return found


@pytest.mark.parametrize("venue", VENUES)
def test_a_feed_loads_nothing_heavy_before_it_connects(loaded: dict[str, set[str]], venue: str) -> None:
    """Neither REST's library nor ZeroMQ, nor the schema, nor signatures, nor what other processes use."""
    assert "pipeline.feed.connection" in loaded[venue]
    assert loaded[venue] & set(HEAVY) == set()


@pytest.mark.parametrize("venue", VENUES)
def test_a_feed_loads_one_venue(loaded: dict[str, set[str]], venue: str) -> None:
    """Of the venues' codecs and parsers it knows its own alone."""
    others = {f"pipeline.venues.{other}" for other in VENUES if other != venue}
    assert f"pipeline.venues.{venue}.books" in loaded[venue]
    assert loaded[venue] & others == set()
