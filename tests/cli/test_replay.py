"""What a replay is made of: what is on a tape, and which settings play it; tapes that cannot be played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.cli.replay import PREFIX, _sweep
from pipeline.cli.replay_config import Found, TapeError, look_through, replay_config
from pipeline.cli.replay_start import ReplayFailedError, start_replay
from pipeline.config import (
    AlertsConfig,
    Config,
    ControlConfig,
    EventConfig,
    LegConfig,
    ReviewConfig,
    ShmConfig,
    VenueConfig,
    parse_time_ns,
)

SECOND = 1_000_000_000
FIRST = 1_700_000_000 * SECOND
NOW = FIRST + 90 * 86_400 * SECOND
TAPE = Path("some.jsonl")
DATA = Path(__file__).parents[1] / "venues" / "data"
SPOT = EventConfig(
    "btc",
    kind="spot",
    legs=(LegConfig("kraken", "BTC/USD", "base"), LegConfig("coinbase", "BTC-USD", "base")),
)
BINARY = EventConfig(
    "rain",
    close="2023-11-14T23:13:20+00:00",
    legs=(LegConfig("kalshi", "KX"), LegConfig("polymarket", "77")),
    review=ReviewConfig(by="me"),
)


def found(**markets: str) -> Found:
    return Found(FIRST, 1, 0, {venue: dict.fromkeys(names.split()) for venue, names in markets.items()})


def made(config: Config, on_tape: Found) -> Config:
    return replay_config(config, TAPE, on_tape, "1", NOW)


def test_what_is_on_a_tape_is_found() -> None:
    """Venues and markets are those of its book messages."""
    seen = look_through(DATA / "kraken.jsonl")
    assert list(seen.markets) == ["kraken"]
    assert "BTC/USD" in seen.markets["kraken"]
    assert (seen.lines, seen.broken) == (320, 0)


def test_every_venue_is_the_tapes_and_nobody_is_told() -> None:
    """No address, alert or remote command of the real run is in a replay's configuration, nor real orders."""
    real = Config(
        venues={
            "kraken": VenueConfig("wss://example.org", "https://example.org", canary="X"),
            "kalshi": VenueConfig(),
        },
        simulated=("kalshi",),
        alerts=AlertsConfig(urls_env="SECRET"),
        control=ControlConfig(tcp="tcp://127.0.0.1:1"),
    )
    config = made(real, found(kraken="BTC/USD ETH/USD"))
    assert config.venues == {
        "kraken": VenueConfig("tape", "", markets=("BTC/USD", "ETH/USD"), witness_interval=0.0)
    }
    assert (config.simulated, config.alerts, config.control) == ((), AlertsConfig(), ControlConfig())
    assert (config.tape, config.has_lab) == (os.path.abspath(TAPE), True)


def test_real_orders_are_refused() -> None:
    """No configuration that trades for real is replayed."""
    for config in (Config(mode="live"), Config(profile="live")):
        with pytest.raises(TapeError, match="paper"):
            made(config, found(kraken="BTC/USD"))


def test_events_are_the_users_that_the_tape_has_whole() -> None:
    """An event counts with all its legs and the books that convert them; its closing time moves along."""
    on_tape = found(kalshi="KX", polymarket="77")
    config = made(Config(events=(BINARY, SPOT)), on_tape)
    assert [event.id for event in config.events] == ["rain"]
    assert config.events[0].review == BINARY.review
    assert parse_time_ns(config.events[0].close) - NOW == 3_600 * SECOND
    assert not made(Config(events=(BINARY,)), found(kalshi="KX")).events


def test_pairs_of_coins_are_made_into_events_that_nobody_trades() -> None:
    """A pair on two venues becomes an event without a review, unless the user has one of these markets."""
    on_tape = found(kraken="BTC/USD ETH/EUR", coinbase="ETH-EUR BTC-USD SOL-USD")
    config = made(Config(events=(SPOT,)), on_tape)
    assert [event.id for event in config.events] == ["btc", "tape-eth-eur"]
    assert config.events[1].review is None
    assert [(leg.venue, leg.market, leg.outcome) for leg in config.events[1].legs] == [
        ("coinbase", "ETH-EUR", "base"),
        ("kraken", "ETH/EUR", "base"),
    ]


def test_memory_has_room_for_what_is_on_the_tape() -> None:
    """A tape of more markets than the configuration's rows gets more rows."""
    many = found(kalshi=" ".join(f"K{number}" for number in range(100)))
    assert made(Config(shm=ShmConfig(max_markets=64)), many).shm.max_markets == 100


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.jsonl", None, "No such file"),
        ("empty.jsonl", "", "it is empty"),
        ("other.jsonl", "hello\n", "no line of it is one of a tape"),
        ("notes.txt", "", "neither .jsonl, .gz nor .zst"),
        (
            "mars.jsonl",
            json.dumps({"t": 1, "venue": "mars", "conn": 0, "data": "{}"}),
            "names mars; known: coinbase",
        ),
        ("torn.jsonl.gz", "not gzip", "cannot be unpacked"),
    ],
)
def test_a_tape_that_cannot_be_played_is_said(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    """A missing, empty, foreign or damaged file is one sentence, before anything is started."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(TapeError, match=words):
        look_through(tmp_path / name)


def test_the_screen_is_told_why_there_is_nothing_to_show(tmp_path: Path) -> None:
    """Whoever starts a replay for a screen gets exit code and words, and nothing is left."""
    with (
        pytest.raises(ReplayFailedError, match=r"none\.jsonl: No such file") as failure,
        start_replay(tmp_path / "none.jsonl"),
    ):
        pytest.fail("there is nothing to play")
    assert failure.value.code == 1


def test_what_a_killed_replay_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next replay removes the directories of those whose process is gone, and no others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead = tmp_path / f"{PREFIX}{int(gone.stdout)}-x"
    living = tmp_path / f"{PREFIX}{os.getpid()}-x"
    other = tmp_path / f"{PREFIX}notes-x"
    for folder in (dead, living, other):
        folder.mkdir()
    _sweep()
    assert not dead.exists()
    assert living.exists()
    assert other.exists()
