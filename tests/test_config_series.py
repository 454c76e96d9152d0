"""Series: the instances of a recurring market, which come and go by the clock and by the file alone."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, LegConfig, ReviewConfig, parse_time_ns
from pipeline.config_schema import resolve
from pipeline.config_schema.schema import Resolved, Wanted, survey
from pipeline.config_schema.series import (
    KEEP,
    KEEP_CLOSED,
    SeriesConfig,
    SeriesLegConfig,
    close_of,
    filled,
    instances,
    time_of,
)
from pipeline.model import UNKNOWN_FEE, BookState, Reason
from pipeline.pairs import directions
from pipeline.pairs_checks import PASSED, LegView, check_event, limits_of
from shm.records import MarketRow

HASH = "a" * 64
FIRST, SECOND = '"2026-12-16T19:00:00Z"', '"2026-12-23T19:00:00Z"'
TEXT = f"""
[venues.kalshi]
[venues.polymarket]
[[series]]
id = "fed"
title = "Cut on {{close:%-d %B %Y}}?"
first = "2026-12-16T19:00:00Z"
every = "1w"
legs = [
  {{ venue = "kalshi", market = "KXFED-{{CLOSE:%y%b%d}}", void = "never" }},
  {{ venue = "polymarket", polarity = "inverse", markets = {{ {FIRST} = "1", {SECOND} = "2" }} }},
]
review = {{ by = "me", rules_hash = "{HASH}", void_rule = "never" }}
"""


def whole(text: str, at: str, folder: Path) -> Resolved:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    wanted = Wanted(folder / "config.toml", None, (), {}, folder / "data", 1000)
    return survey(wanted, wall_ns=parse_time_ns(at))


def ids(resolved: Resolved) -> list[str]:
    return [event.id for event in resolved.config.events]


def test_the_next_instance_is_an_event(tmp_path: Path) -> None:
    """An instance has the series' legs with that close's markets, its title, its close and its review."""
    (event,) = whole(TEXT, "2026-12-10T00:00:00Z", tmp_path).config.events
    assert (event.id, event.title) == ("fed-20261216T1900Z", "Cut on 16 December 2026?")
    assert event.close == "2026-12-16T19:00:00Z"
    assert event.legs == (
        LegConfig("kalshi", "KXFED-26DEC16", void="never"),
        LegConfig("polymarket", "1", polarity="inverse"),
    )
    assert event.review == ReviewConfig(by="me", rules_hash=HASH, void_rule="never")


def test_instances_come_and_go_by_the_clock(tmp_path: Path) -> None:
    """After a close the next is there; the closed one stays a day; a look is due at each change."""
    first, second = "fed-20261216T1900Z", "fed-20261223T1900Z"
    for at, found, due in (
        ("2026-01-01T00:00:00Z", [first], "2026-12-16T19:00:00Z"),
        ("2026-12-16T18:59:59Z", [first], "2026-12-16T19:00:00Z"),
        ("2026-12-16T19:00:00Z", [first, second], "2026-12-17T19:00:00Z"),
        ("2026-12-17T18:59:59Z", [first, second], "2026-12-17T19:00:00Z"),
        ("2026-12-17T19:00:00Z", [second], "2026-12-23T19:00:00Z"),
    ):
        resolved = whole(TEXT, at, tmp_path)
        assert ids(resolved) == found, at
        assert resolved.changes_wall_ns == parse_time_ns(due), at


def test_without_a_clock_there_is_none(tmp_path: Path) -> None:
    """What only checks a file makes no instances."""
    whole(TEXT, "2026-12-10T00:00:00Z", tmp_path)
    config = resolve(
        path=tmp_path / "config.toml", profile=None, sets=(), environ={}, data_directory=tmp_path / "data"
    )
    assert config.events == ()


def test_an_instance_without_a_market_is_left_out_and_named(tmp_path: Path) -> None:
    """A close that `markets` does not name has no instance, and that is said; the others are there."""
    text = TEXT.replace('every = "1w"', 'every = "1w"\nahead = 3')
    resolved = whole(text, "2026-12-10T00:00:00Z", tmp_path)
    assert ids(resolved) == ["fed-20261216T1900Z", "fed-20261223T1900Z"]
    assert resolved.notes == (
        "series fed: the instance of 2026-12-30T19:00:00Z is left out: no market at polymarket",
    )


def test_an_event_of_an_instance_s_name_is_refused(tmp_path: Path) -> None:
    """A series never hides an event of the file."""
    legs = 'legs = [{ venue = "kalshi", market = "A" }, { venue = "polymarket", market = "B" }]\n'
    text = TEXT + f'[[events]]\nid = "fed-20261216T1900Z"\n{legs}'
    with pytest.raises(Exception, match=r"config.toml:5: series\[0\].id: there is an event with the id"):
        whole(text, "2026-12-10T00:00:00Z", tmp_path)


def test_series_and_events_of_several_files_are_one_list(tmp_path: Path) -> None:
    """config.toml's come first, then those of events/ by the files' names, then instances."""
    folder = tmp_path / "events"
    folder.mkdir()
    legs = 'legs = [{ venue = "kalshi", market = "A" }, { venue = "polymarket", market = "B" }]\n'
    (folder / "b.toml").write_text(f'[[events]]\nid = "b"\n{legs}')
    (folder / "a.toml").write_text(TEXT[TEXT.index("[[series]]") :] + f'[[events]]\nid = "a"\n{legs}')
    (folder / ".hidden.toml").write_text("no = TOML")
    (folder / "notes.txt").write_text("no TOML")
    text = f'[venues.kalshi]\n[venues.polymarket]\n[[events]]\nid = "c"\n{legs}'
    resolved = whole(text, "2026-12-10T00:00:00Z", tmp_path)
    assert ids(resolved) == ["c", "a", "b", "fed-20261216T1900Z"]
    places = [resolved.layers.set_in(("events", number, "id")) for number in range(3)]
    assert [(Path(each.file).name, each.line) for each in places if each] == [
        ("config.toml", 4),
        ("a.toml", 12),
        ("b.toml", 2),
    ]


@pytest.mark.parametrize(
    ("first", "every", "closes"),
    [
        ("2026-12-16T19:30:00Z", "1h", ["2026-12-16T19:30", "2026-12-16T20:30", "2026-12-16T21:30"]),
        ("2026-12-16T19:30:00Z", "15min", ["2026-12-16T19:30", "2026-12-16T19:45", "2026-12-16T20:00"]),
        ("2026-12-30T00:00:00Z", "1d", ["2026-12-30T00:00", "2026-12-31T00:00", "2027-01-01T00:00"]),
        ("2026-12-30T00:00:00+02:00", "2w", ["2026-12-29T22:00", "2027-01-12T22:00", "2027-01-26T22:00"]),
        ("2026-12-31T10:00:00Z", "1mo", ["2026-12-31T10:00", "2027-01-31T10:00", "2027-02-28T10:00"]),
        ("2028-01-31T10:00:00Z", "1mo", ["2028-01-31T10:00", "2028-02-29T10:00", "2028-03-31T10:00"]),
        ("2026-11-30T10:00:00Z", "3mo", ["2026-11-30T10:00", "2027-02-28T10:00", "2027-05-30T10:00"]),
    ],
)
def test_distances(first: str, every: str, closes: list[str]) -> None:
    """Minutes to weeks are even; a month keeps the day, or takes its last, and does not drift."""
    series = SeriesConfig("s", first, every)
    assert [close_of(series, number).strftime("%Y-%m-%dT%H:%M") for number in range(3)] == closes


@given(
    st.sampled_from(["5min", "1h", "7h", "1d", "3d", "1w", "1mo", "5mo", "12mo"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)),  # noqa: DTZ001 - UTC is added
    st.timedeltas(timedelta(days=-900), timedelta(days=900)),
    st.integers(1, 10),
)
def test_there_are_always_as_many_ahead_as_asked_for(
    every: str, first: datetime, after: timedelta, ahead: int
) -> None:
    """At any time `ahead` instances are coming, in order, at most three closed ones stay, none over a day."""
    start = first.replace(second=0, microsecond=0, tzinfo=UTC)
    legs = (SeriesLegConfig("kalshi", "K-{close:%y%m%d%H%M}"),)
    series = SeriesConfig("s", start.isoformat(), every, ahead=ahead, legs=legs)
    now = start + after
    made = instances(series, round(now.timestamp()) * 10**9)
    closes = [time_of(event.close) for event in made.events]
    assert closes == sorted(set(closes))
    assert sum(close > now for close in closes) == ahead
    past = [close for close in closes if close <= now]
    assert len(past) <= KEEP_CLOSED and all(close + KEEP > now for close in past)
    assert made.changes_wall_ns > round(now.timestamp()) * 10**9
    if now < start:
        assert closes[0] == start


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("K-{CLOSE:%y%b%d}-T", "K-26DEC06-T"),
        ("k-{close:%Y-%m-%d}", "k-2026-12-06"),
        ("{close:%-d %B %Y, %-I %p}", "6 December 2026, 7 PM"),
        ("{close:%H%M}{close:%j}", "1905340"),
        ("{CLOSE:%B}", "DECEMBER"),
        ("plain", "plain"),
    ],
)
def test_templates(template: str, text: str) -> None:
    """A template is filled with the close in UTC, in English, in capitals where asked for."""
    assert filled(template, datetime(2026, 12, 6, 19, 5, tzinfo=UTC)) == text


def test_the_program_s_language_does_not_matter() -> None:
    """Months are English whatever locale the machine has: venues call their markets so."""
    names = [filled("{close:%b}", datetime(2026, month, 1, tzinfo=UTC)) for month in range(1, 13)]
    assert names == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def test_instances_travel(tmp_path: Path) -> None:
    """The configuration with instances is one that workers can read."""
    config = whole(TEXT, "2026-12-10T00:00:00Z", tmp_path).config
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    assert [event.close_ns for event in config.all_events()] == [parse_time_ns("2026-12-16T19:00:00Z")]


def test_an_instance_with_other_rules_is_watched_and_not_traded(tmp_path: Path) -> None:
    """Of an instance whose rules are not those that were read the books are looked at, and the reason of the
    refusal is RULES_CHANGED; with the reviewed rules on every leg nothing stands in the way.
    """
    config = whole(TEXT, "2026-12-10T00:00:00Z", tmp_path).config
    assert config.markets_of("kalshi") == ["KXFED-26DEC16"] and config.markets_of("polymarket") == ["1"]
    (direction, _) = directions(config.all_events())
    other = hashlib.sha256(b"other rules").hexdigest()
    for rules, reason in (((HASH, HASH), None), ((HASH, other), Reason.RULES_CHANGED)):
        nothing = dict.fromkeys(MarketRow._fields, 0)
        rows = [MarketRow(**(nothing | {"rules_hash": one})) for one in rules]  # type: ignore[arg-type]
        views = [LegView(None, BookState.LIVE, row, UNKNOWN_FEE) for row in rows]
        verdict = check_event(direction, views, limits_of(config))
        assert verdict.reason == (reason or PASSED.reason)
