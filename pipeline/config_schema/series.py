"""Series: the instances of a recurring market: which closes come next, and what its markets are called then.

In: a [[series]] stanza, the wall clock. Out: events, what is left out and why, and when that changes next.
Pure; used by config_schema. A person reviews a series once: its instances carry the hash of the rules that
were read, so one whose rules are others is watched and not traded (`pairs_checks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from pipeline.config import EventConfig, LegConfig, ReviewConfig, parse_time_ns
from pipeline.config_schema.checks import Finding
from pipeline.config_schema.text import KeyPath
from pipeline.config_schema.values import shown

KEEP = timedelta(days=1)
"""How long an instance stays after its close, so that what was held of it can settle."""
KEEP_CLOSED = 3
"""How many closed ones of a series stay at most."""
SUFFIX = "-20261216T1900Z"
MAX_ID, MAX_TITLE, MAX_MARKET = 64, 96, 96
_LONGEST = datetime(2026, 9, 30, 20, 30, tzinfo=UTC)
"""No month has a longer name."""
_EVERY = re.compile(r"([1-9]\d{0,2})(min|h|d|w|mo)")
_UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LEAST = timedelta(minutes=5)
_FIELD = re.compile(r"\{(close|CLOSE):([^{}]*)\}")
_FORMAT = re.compile(r"(%-?[YymdbBHIMpj]|[^%{}])+")
_YEARS = range(2000, 2100)
_MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
"""In English whatever the machine's language: venues name their markets so."""


class SeriesLegConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One leg of a series: `market` is a template, or `markets` names one for each close."""

    venue: str
    market: str = ""
    markets: dict[str, str] = {}
    outcome: str = "yes"
    polarity: str = "same"
    void: str = ""


class SeriesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[series]]: a market that comes again and again. `first` is one of its closes, `every` their
    distance.
    """

    id: str
    first: str
    every: str
    title: str = ""
    kind: str = "binary"
    ahead: int = 1
    legs: tuple[SeriesLegConfig, ...] = ()
    exhaustive: bool = False
    review: ReviewConfig | None = None


class Instances(msgspec.Struct, frozen=True):
    """What a series is now. `changes_wall_ns` is when another look is due."""

    events: tuple[EventConfig, ...]
    notes: tuple[str, ...]
    changes_wall_ns: int


def instances(series: SeriesConfig, wall_ns: int) -> Instances:
    """The coming instances of a good series and those that closed within a day."""
    now = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    closes = list(_around(series, now))
    events: list[EventConfig] = []
    notes: list[str] = []
    for close in closes:
        missing = [leg.venue for leg in series.legs if not _market(leg, close)]
        if missing and close <= now:
            continue
        if missing:
            at = close.strftime("%Y-%m-%dT%H:%M:%SZ")
            notes.append(f"series {series.id}: the instance of {at} is left out: no market at {missing[0]}")
        else:
            events.append(instance(series, close))
    changes = [c for c in closes if c > now] + [c + KEEP for c in closes if c <= now]
    return Instances(tuple(events), tuple(notes), min((_ns(at) for at in changes), default=0))


def instance(series: SeriesConfig, close: datetime) -> EventConfig:
    """One instance as an event; a leg without a market for that close has the name ""."""
    legs = tuple(
        LegConfig(leg.venue, _market(leg, close), leg.outcome, leg.polarity, leg.void) for leg in series.legs
    )
    return EventConfig(
        id=f"{series.id}-{close:%Y%m%dT%H%MZ}",
        title=filled(series.title, close),
        kind=series.kind,
        close=close.strftime("%Y-%m-%dT%H:%M:%SZ"),
        legs=legs,
        exhaustive=series.exhaustive,
        review=series.review,
    )


def _around(series: SeriesConfig, now: datetime) -> Iterator[datetime]:
    """The closes that count now: the last few of a day, and `ahead` that come."""
    number = _first_after(series, now)
    for past in range(max(0, number - KEEP_CLOSED), number):
        if close_of(series, past) + KEEP > now:
            yield close_of(series, past)
    for coming in range(number, number + series.ahead):
        yield close_of(series, coming)


def _first_after(series: SeriesConfig, now: datetime) -> int:
    """Number of the first close after `now`; 0 is `first` itself."""
    count, unit = _step(series.every)
    start = time_of(series.first)
    if unit == "mo":
        months = (now.year - start.year) * 12 + now.month - start.month
        number = max(0, months // count)
    else:
        number = max(0, (now - start) // (count * _UNITS[unit]))
    while close_of(series, number) <= now:
        number += 1
    return number


def close_of(series: SeriesConfig, number: int) -> datetime:
    """Close of an instance. A month that is too short for the day has its last day instead."""
    count, unit = _step(series.every)
    start = time_of(series.first)
    if unit != "mo":
        return start + number * count * _UNITS[unit]
    years, month = divmod(start.month - 1 + number * count, 12)
    year, month = start.year + years, month + 1
    after = start.replace(year=year + month // 12, month=month % 12 + 1, day=1)
    return start.replace(year=year, month=month, day=min(start.day, (after - timedelta(days=1)).day))


def _step(every: str) -> tuple[int, str]:
    match = _EVERY.fullmatch(every)
    assert match is not None, "checked before"
    return int(match[1]), match[2]


def time_of(text: str) -> datetime:
    """A time of the file, to the second, in UTC. Raises ValueError for anything else."""
    return datetime.fromtimestamp(parse_time_ns(text) // 10**9, UTC)


def _ns(at: datetime) -> int:
    return round(at.timestamp()) * 10**9


def _market(leg: SeriesLegConfig, close: datetime) -> str:
    """The leg's market at a close; "" where none is named."""
    if leg.markets:
        return next((name for at, name in leg.markets.items() if time_of(at) == close), "")
    return filled(leg.market, close)


def filled(template: str, close: datetime) -> str:
    """A template with its {close:%y%b%d} written out in UTC; {CLOSE:...} in capitals."""

    def fill(match: re.Match[str]) -> str:
        text = _written(match[2], close)
        return text.upper() if match[1] == "CLOSE" else text

    return _FIELD.sub(fill, template)


def _written(form: str, close: datetime) -> str:
    """strftime in English, with %-d and its like for numbers without a leading zero."""
    return re.sub(r"%(-?)(.)", lambda m: _part(m[2], close).lstrip("0" if m[1] else "") or "0", form)


def _part(letter: str, close: datetime) -> str:
    match letter:
        case "b":
            return _MONTHS[close.month - 1][:3]
        case "B":
            return _MONTHS[close.month - 1]
        case "p":
            return "AM" if close.hour < 12 else "PM"
    return close.strftime(f"%{letter}")


# -- checks ---------------------------------------------------------------------------------------


def check_series(series: SeriesConfig, base: KeyPath) -> Iterator[Finding]:
    """What is wrong with a stanza, but for what its instances are as events."""
    timed = list(_times(series, base))
    yield from timed
    if len(series.id) + len(SUFFIX) > MAX_ID:
        yield Finding(
            (*base, "id"), f"must leave room for {SUFFIX!r} of its instances: at most {MAX_ID} bytes"
        )
    for problem in _template(series.title, MAX_TITLE):
        yield Finding((*base, "title"), problem)
    review = series.review
    if review is None or not review.by or not review.hashes():
        message = "a series needs a review with by and rules_hash: only instances with those rules are traded"
        yield Finding((*base, "review") if review is None else (*base, "review", "rules_hash"), message)
    for number, leg in enumerate(series.legs):
        yield from _leg(series, leg, (*base, "legs", number), timed=not timed)


def _times(series: SeriesConfig, base: KeyPath) -> Iterator[Finding]:
    match = _EVERY.fullmatch(series.every)
    if match is None or (match[2] != "mo" and int(match[1]) * _UNITS[match[2]] < _LEAST):
        message = f"must be 5min or more in min, h, d, w or mo, such as 1h; got {shown(series.every)}"
        yield Finding((*base, "every"), message)
    try:
        good = time_of(series.first).year in _YEARS
    except (ValueError, OverflowError):
        good = False
    if not good:
        message = f"must be the time of one close, such as 2026-12-16T19:00:00Z, got {shown(series.first)}"
        yield Finding((*base, "first"), message)


def _leg(series: SeriesConfig, leg: SeriesLegConfig, path: KeyPath, *, timed: bool) -> Iterator[Finding]:
    if bool(leg.market) == bool(leg.markets):
        yield Finding(
            (*path, "market"), "name the market by a template in market, or each in markets: one of the two"
        )
        return
    wrong = list(_template(leg.market, MAX_MARKET))
    if leg.market and not wrong and not _FIELD.search(leg.market):
        wrong.append("would be the same market each time: {close:%y%b%d} or the like must stand in it")
    for problem in wrong:
        yield Finding((*path, "market"), problem)
    for at in leg.markets:
        try:
            close = time_of(at)
        except (ValueError, OverflowError):
            yield Finding((*path, "markets", at), "the keys are times of closes such as 2026-12-16T19:00:00Z")
            continue
        if timed and not _is_close(series, close):
            yield Finding((*path, "markets", at), "is no close of this series (see first and every)")


def _is_close(series: SeriesConfig, close: datetime) -> bool:
    return close_of(series, _first_after(series, close - timedelta(seconds=1))) == close


def _template(text: str, most: int) -> Iterator[str]:
    """What is wrong with the fields of a template, or with the bytes that they may become."""
    for match in _FIELD.finditer(text):
        if not _FORMAT.fullmatch(match[2]):
            yield f"{match[0][:40]!r}: a field is {{close:...}} with %Y %y %m %d %b %B %H %I %M %p %j in it"
    if re.search(r"[{}]", _FIELD.sub("", text)):
        yield "a field is {close:%y%b%d}, or {CLOSE:%y%b%d} for capitals; there are no other braces"
    else:
        size = len(filled(text, _LONGEST).encode("utf-8", "replace"))
        if size > most:
            yield f"must have at most {most} bytes when it is filled in, got {size}"
