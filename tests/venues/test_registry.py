"""The registry: every venue we speak to has its codec there, under its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.model import Scale
from pipeline.venues.registry import CODECS, PER_CONNECTION


@pytest.mark.parametrize("venue", CODECS)
def test_a_maker_makes_its_own_venues_codec_anew_each_time(venue: str) -> None:
    """Codecs are per connection and share nothing."""
    first, second = CODECS[venue]({}), CODECS[venue]({"M": Scale(2, 2)})
    assert first is not second
    assert first.venue == second.venue == venue


def test_every_venue_package_with_books_is_registered(project_root: Path) -> None:
    """A codec that nobody can find is as good as none."""
    folders = (project_root / "pipeline" / "venues").glob("*/books.py")
    assert sorted(CODECS) == sorted(path.parent.name for path in folders)


def test_every_venue_has_a_capacity_that_its_figures_allow() -> None:
    """A connection is never asked for more than what the venue was seen to serve."""
    assert sorted(PER_CONNECTION) == sorted(CODECS)
    allowed = {"coinbase": 16, "polymarket": 500, "kalshi": 100, "kraken": 250}
    assert all(0 < PER_CONNECTION[venue] <= most for venue, most in allowed.items())
