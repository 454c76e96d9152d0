"""The settings that workers act on: travelling as run/config.json, named by their content."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    Config,
    EventConfig,
    FeeConfig,
    LegConfig,
    ReviewConfig,
    RiskConfig,
    TraderConfig,
    VenueConfig,
    decode,
    encode,
    parse_time_ns,
    sealed,
)
from pipeline.model_events import EventLeg

LEGS = (LegConfig("kalshi", "K1"), LegConfig("polymarket", "77", "yes", "inverse"))
CONFIG = Config(
    venues={
        "kalshi": VenueConfig(markets=("K1", "K2")),
        "polymarket": VenueConfig(enabled=False),
        "kraken": VenueConfig(url="wss://ws.kraken.com/v2", rest_url=""),
    },
    fees={"kraken": FeeConfig(taker_bps="40")},
    trader=TraderConfig(cash={"kalshi": "500.10"}, inventory={"kraken": {"BTC/USD": "0.05"}}),
    events=(
        EventConfig("a", "A?", close="2026-12-16T19:00:00Z", legs=LEGS, review=ReviewConfig(by="me")),
        EventConfig("b", legs=(LegConfig("kalshi", "K3"), LegConfig("polymarket", "78"))),
    ),
)


def test_it_travels() -> None:
    """What the supervisor writes is what a worker reads, money digit by digit."""
    assert decode(encode(CONFIG)) == CONFIG
    assert decode(encode(Config())) == Config()
    assert b'"500.10"' in encode(CONFIG)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"versio": 1}', b'{"version": "1"}', b"\xff", b'{"risk": null}']
)
def test_what_is_not_ours_is_refused(text: bytes) -> None:
    """Half a file, another file and unknown keys are errors of msgspec, which workers count."""
    with pytest.raises(msgspec.MsgspecError):
        decode(text)


def test_the_hash_names_the_content() -> None:
    """Version and hash themselves do not count, any setting does, and the order of venues does not."""
    named = sealed(CONFIG)
    assert len(named.hash) == 64 and msgspec.structs.replace(named, hash="") == CONFIG
    assert sealed(named) == named
    replace = msgspec.structs.replace
    assert sealed(replace(CONFIG, version=9)).hash == named.hash
    assert sealed(replace(CONFIG, risk=RiskConfig(min_edge_bp=51))).hash != named.hash
    turned = dict(reversed(CONFIG.venues.items()))
    assert sealed(replace(CONFIG, venues=turned)).hash == named.hash


def test_nobody_changes_it() -> None:
    """A config is frozen: a change is a new config."""
    with pytest.raises(AttributeError):
        CONFIG.version = 2  # type: ignore[misc]


def test_feeds_and_markets() -> None:
    """Enabled venues have feeds; a feed subscribes its own markets and those of events, each once."""
    assert CONFIG.feeds() == ["kalshi", "kraken"]
    assert CONFIG.markets_of("kalshi") == ["K1", "K2", "K3"]
    assert CONFIG.markets_of("polymarket") == ["77", "78"]
    assert CONFIG.markets_of("kraken") == []


def test_events() -> None:
    """An event without title is called by its id; one that nobody signed is not reviewed."""
    first, second = CONFIG.all_events()
    assert (first.title, second.title) == ("A?", "b")
    assert first.legs == (EventLeg("kalshi", "K1"), EventLeg("polymarket", "77", "yes", "inverse"))
    assert (first.reviewed, second.reviewed) == (True, False)
    assert (first.close_ns, second.close_ns) == (1_797_447_600 * 10**9, 0)
    assert not EventConfig("c", legs=LEGS, review=ReviewConfig(source="x")).event().reviewed


def test_limits_are_nanoseconds() -> None:
    """The scanner's milliseconds become the limits that `book_state` takes."""
    limits = CONFIG.scanner.limits()
    assert (limits.heartbeat_ns, limits.proof_ns, limits.quiet_ns) == (
        250_000_000,
        2_000_000_000,
        30_000_000_000,
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", "0"),
        ("1970-01-01", "0"),
        ("1970-01-01T00:00:01Z", "1"),
        ("1970-01-01T01:00:01+01:00", "1"),
        ("1970-01-01 00:00:01.5", "1.5"),
        ("1969-12-31T23:59:59.999999Z", "-0.000001"),
        ("2026-12-16T19:00:00.123456Z", "1797447600.123456"),
    ],
)
def test_times(text: str, seconds: str) -> None:
    """ISO-8601 with or without a zone (then UTC), exact to the microsecond."""
    assert parse_time_ns(text) == int(Decimal(seconds) * 10**9)


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "2026-12-16T25:00:00Z", "1797447600 ", "0", "\0"])
def test_what_is_no_time(text: str) -> None:
    """Anything else is ValueError."""
    with pytest.raises(ValueError):
        parse_time_ns(text)


@given(st.datetimes(timezones=st.timezones() | st.none()))
def test_every_time_is_exact(moment) -> None:  # type: ignore[no-untyped-def]
    """Any time is read to its very microsecond, in whatever zone it is written."""
    ns = parse_time_ns(moment.isoformat())
    assert ns % 1000 == 0
    assert (ns // 1000) % 10**6 == moment.microsecond
