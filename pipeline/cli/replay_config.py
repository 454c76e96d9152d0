"""Replay configuration: what is on a tape, and the settings of a run that plays it.

In: a tape, the user's configuration. Out: a configuration in which every venue is the tape's. Used by
`run.py replay` and by `run.py dashboard --replay`.

Fees, limits and events are the user's; events count whose markets are all on the tape. Beside them stands an
event, which nobody has reviewed, for each pair of coins that the tape has on two venues: the scanner shows
what it would leave, and nobody trades it. Closing times move along with the tape: an event that had an hour
left when the tape began has one now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from pipeline.config import (
    TAPE,
    AlertsConfig,
    Config,
    ControlConfig,
    EventConfig,
    FeeConfig,
    LegConfig,
    VenueConfig,
    parse_time_ns,
    sealed,
)
from pipeline.model_events import SPOT
from pipeline.tape import BrokenLine, TapeLine, read
from pipeline.venues.codec import Change, Codec, Snapshot
from pipeline.venues.registry import CODECS

SEPARATORS = {"kraken": "/", "coinbase": "-"}
"""What stands between base and quote in the names of a venue's markets."""
MAX_MARKETS, MAX_EVENTS, MAX_LEGS = 4096, 4096, 4


class TapeError(Exception):
    """A tape that cannot be played, in words."""


@dataclass(slots=True)
class Found:
    """What is on a tape: markets by venue as they first came, venues that nobody here speaks to."""

    first_ns: int = 0
    lines: int = 0
    broken: int = 0
    markets: dict[str, dict[str, None]] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)


def look_through(tape: Path) -> Found:
    """Read the whole tape and decode it. Raises TapeError for one that cannot be played."""
    found = Found()
    codecs: dict[tuple[str, float | str], Codec] = {}
    try:
        for line in read(tape):
            if isinstance(line, BrokenLine):
                found.broken += 1
            else:
                found.first_ns = found.first_ns if found.lines else line.t_ns
                found.lines += 1
                _look_at(line, found, codecs)
    except OSError as error:
        raise TapeError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    if not found.lines:
        words = (
            f"no line of it is one of a tape ({found.broken} are broken)" if found.broken else "it is empty"
        )
        raise TapeError(f"{tape}: {words}: a tape has a JSON object a line, with t, venue, conn and data")
    if not found.markets:
        named = ", ".join(found.unknown)
        raise TapeError(f"{tape}: no venue of it is known: it names {named}; known: {', '.join(CODECS)}")
    return found


def _look_at(line: TapeLine, found: Found, codecs: dict[tuple[str, float | str], Codec]) -> None:
    if line.venue not in CODECS:
        if len(found.unknown) < len(CODECS):
            found.unknown[line.venue[:40]] = None
        return
    markets = found.markets.setdefault(line.venue, {})
    if line.out:
        return
    codec = codecs.get((line.venue, line.conn))
    if codec is None:
        codec = codecs[line.venue, line.conn] = CODECS[line.venue]({})
    for event in codec.decode(line.data.encode()):
        if isinstance(event, Snapshot | Change) and len(markets) < MAX_MARKETS:
            markets[event.market] = None


def replay_config(config: Config, tape: Path, found: Found, speed: str, wall_ns: int) -> Config:
    """The user's settings for a run on this tape. Raises TapeError where real orders are asked for."""
    if config.mode != "paper" or config.profile == "live":
        raise TapeError("a replay trades on paper alone: leave out --profile live")
    venues = {
        name: VenueConfig(url=TAPE, rest_url="", markets=tuple(markets), witness_interval=0.0)
        for name, markets in found.markets.items()
    }
    most = max(len(markets) for markets in found.markets.values())
    events = tuple(_events(config, found, wall_ns - found.first_ns))[:MAX_EVENTS]
    sizes = msgspec.structs.replace(
        config.shm,
        max_markets=max(config.shm.max_markets, most),
        max_events=max(config.shm.max_events, len(events)),
    )
    return sealed(
        msgspec.structs.replace(
            config,
            simulated=(),
            account=f"sim-{wall_ns // 1_000_000_000}",
            started_wall_ns=wall_ns,
            venues=venues,
            fees=dict(_fees(config, found)),
            events=events,
            shm=sizes,
            # Whoever is told of alerts, or commands from afar, knows the real run.
            alerts=AlertsConfig(),
            control=ControlConfig(),
            observer=msgspec.structs.replace(config.observer, metrics=False),
            tape=os.path.abspath(tape),
            tape_speed=speed,
        )
    )


def _fees(config: Config, found: Found) -> Iterator[tuple[str, FeeConfig]]:
    """The user's fees. Nobody is asked for the venue's own, so where a spot venue's are left to it, they are
    those of its public table for an account without volume, its highest.
    """
    yield from config.fees.items()
    for name in SEPARATORS.keys() & found.markets.keys():
        fee = config.fees.get(name, FeeConfig())
        if fee.kind is None and fee.volume_usd is None:
            yield name, msgspec.structs.replace(fee, volume_usd="0")


def _events(config: Config, found: Found, shift_ns: int) -> Iterator[EventConfig]:
    """The user's events that the tape has whole, then pairs of coins that stand in none of them."""
    covered = set()
    ids = set()
    for event in config.events:
        named = [(leg.venue, leg.market) for leg in event.legs]
        asked = [(leg.convert_venue, leg.convert_market) for leg in event.legs if leg.convert_venue]
        if all(market in found.markets.get(venue, ()) for venue, market in (*named, *asked)):
            ids.add(event.id)
            if event.kind == SPOT:
                covered.add(frozenset(named))
            yield msgspec.structs.replace(event, close=_shifted(event.close, shift_ns))
    for pair, legs in _pairs(found):
        named_id = f"tape-{pair.lower()}"
        if frozenset(legs) not in covered and named_id not in ids:
            made = tuple(LegConfig(venue, market, "base") for venue, market in legs)
            yield EventConfig(named_id, f"{pair} as recorded", SPOT, legs=made)


def _shifted(close: str, shift_ns: int) -> str:
    """A closing time, later by the tape's age; a time that would lie outside of the calendar is left out."""
    if not close:
        return ""
    try:
        return datetime.fromtimestamp((parse_time_ns(close) + shift_ns) // 10**9, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _pairs(found: Found) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Base and quote that at least two venues of the tape have, with their markets."""
    named = sorted(
        (market.replace(separator, "-").upper(), venue, market)
        for venue, separator in SEPARATORS.items()
        for market in found.markets.get(venue, ())
        if market.count(separator) == 1
    )
    for pair, same in groupby(named, key=lambda one: one[0]):
        legs = [(venue, market) for _, venue, market in same][:MAX_LEGS]
        if len({venue for venue, _ in legs}) > 1:
            yield pair, legs
