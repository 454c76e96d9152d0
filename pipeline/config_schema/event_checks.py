"""Event checks: events that make no sense, and what each kind of event needs.

In: a `Config` whose single values are in range. Out: findings, each with the path of the key to change.
Pure; used by config_schema. What the kinds are for is written in config.toml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from pipeline.config import Config, EventConfig, LegConfig
from pipeline.config_schema.checks import Finding, is_known, time_problem, unknown_venue
from pipeline.config_schema.text import KeyPath
from pipeline.model_events import (
    BASKET,
    BINARY,
    COMPLEMENT,
    EVENT_KINDS,
    IMPLICATION,
    LADDER,
    MAX_LEGS,
    MODEL,
    SPOT,
)

SPOT_VENUES = re.compile(r"kraken|coinbase|ccxt:.*")  # their markets are pairs of coins
LEGS: Mapping[str, tuple[int, int, str]] = {
    BINARY: (2, 4, "each two of them are a pair"),
    SPOT: (2, 4, "each two of them are a pair"),
    COMPLEMENT: (2, 2, "the two tokens of one market"),
    BASKET: (2, MAX_LEGS, "one for each outcome"),
    IMPLICATION: (2, 5, "each of them implies the next"),
    LADDER: (2, 5, "one for each strike, lowest first"),
    MODEL: (2, 2, "the prediction market and the spot market"),
}
"""Fewest and most legs of each kind, and what they are."""
_HASH = re.compile(r"[0-9a-fA-F]{64}")


def check_room(config: Config) -> Iterator[Finding]:
    """Whether all events and markets have room in memory."""
    if len(config.events) > config.shm.max_events:
        most = config.shm.max_events
        yield Finding(("events",), f"{len(config.events)} events, but shm.max_events is {most}")
    for name in config.venues:
        count = len(config.markets_of(name))
        most = config.shm.max_markets
        if count > most:
            yield Finding(("venues", name, "markets"), f"{count} markets, but shm.max_markets is {most}")


def check_events(config: Config) -> Iterator[Finding]:
    """Everything that is wrong with [[events]], event by event."""
    seen: dict[str, KeyPath] = {}
    for index, event in enumerate(config.events):
        base: KeyPath = ("events", index)
        other = seen.setdefault(event.id, (*base, "id"))
        if other != (*base, "id"):
            message = f"another event has the id {event.id[:64]!r} already"
            yield Finding((*base, "id"), message, other=other)
        yield from check_event(config, event, base)


def is_spot_venue(venue: str) -> bool:
    """Whether a venue's markets are pairs of coins, so that its legs trade the base."""
    return SPOT_VENUES.fullmatch(venue) is not None


def check_event(config: Config, event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    """Everything that is wrong with one event, whose keys stand under `base`."""
    yield from _count(event, base)
    yield from time_problem(event.close, (*base, "close"))
    yield from _review(event, base)
    yield from _options(event, base)
    seen: set[tuple[str, str]] = set()
    for number, leg in enumerate(event.legs):
        path = (*base, "legs", number)
        yield from _leg(config, event.kind, leg, path)
        if (leg.venue, leg.market) in seen:
            yield Finding((*path, "market"), f"{leg.venue} {leg.market[:64]!r} stands twice in this event")
        seen.add((leg.venue, leg.market))
    if event.kind in _KIND_CHECKS:
        yield from _KIND_CHECKS[event.kind](event, base)


def _count(event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    """Whether the event has as many legs as its kind can have."""
    assert event.kind in EVENT_KINDS, f"the schema lets no event be {event.kind}"
    least, most, what = LEGS[event.kind]
    count = len(event.legs)
    if count < 2:
        yield Finding((*base, "legs"), f"an event needs at least two legs, got {count}")
    elif not least <= count <= most:
        span = str(least) if least == most else f"{least} to {most}"
        message = f"an event of kind {event.kind!r} has {span} legs ({what}), got {count}"
        yield Finding((*base, "legs"), message)


def _review(event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    if event.review is None:
        return
    yield from time_problem(event.review.at, (*base, "review", "at"))
    for part in event.review.rules_hash.replace(",", " ").split():
        if not _HASH.fullmatch(part):
            message = f"must be SHA-256 sums of 64 hex digits, apart by spaces, got {part[:70]!r}"
            yield Finding((*base, "review", "rules_hash"), message)


def _options(event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    """Keys that mean something for one kind only: elsewhere they would promise what nobody keeps."""
    if event.exhaustive and event.kind != BASKET:
        yield _only((*base, "exhaustive"), BASKET)
    if Decimal(event.transfer_usd) and event.kind != SPOT:
        yield _only((*base, "transfer_usd"), SPOT)
    if event.digital is not None and event.kind != MODEL:
        yield _only((*base, "digital"), MODEL)


def _only(path: KeyPath, kind: str) -> Finding:
    return Finding(path, f"belongs to events of kind {kind!r} alone: take it out")


def _leg(config: Config, kind: str, leg: LegConfig, path: KeyPath) -> Iterator[Finding]:
    yield from _venue(config, leg.venue, (*path, "venue"))
    base = leg.outcome == "base"
    if kind == SPOT and not base:
        yield Finding((*path, "outcome"), f"a leg of a spot event trades 'base', got {leg.outcome!r}")
    if kind not in {SPOT, MODEL} and base:
        yield Finding((*path, "outcome"), f"a leg of a {kind} event pays on 'yes' or 'no', got 'base'")
    if (kind == SPOT or base) and leg.polarity != "same":
        yield Finding((*path, "polarity"), "a leg that trades the base cannot be inverse")
    if (kind == SPOT or base) and leg.void:
        yield Finding((*path, "void"), "a leg that trades the base is never called off: take it out")
    yield from _conversion(config, kind, leg, path)


def _venue(config: Config, venue: str, path: KeyPath) -> Iterator[Finding]:
    if not is_known(venue):
        yield unknown_venue(path, venue)
    elif venue not in config.venues:
        yield Finding(path, f"there is no [venues.{venue}]")


def _conversion(config: Config, kind: str, leg: LegConfig, path: KeyPath) -> Iterator[Finding]:
    """The book that turns a spot leg's quote currency into dollars: named whole, known, another one."""
    venue, market = leg.convert_venue, leg.convert_market
    if not venue and not market:
        return
    if kind != SPOT:
        key = "convert_venue" if venue else "convert_market"
        yield Finding((*path, key), "only the legs of spot events are converted: take it out")
    elif not market:
        yield Finding((*path, "convert_market"), "name the market too that convert_venue is asked for")
    elif not venue:
        yield Finding((*path, "convert_venue"), "name the venue of convert_market too")
    elif (venue, market) == (leg.venue, leg.market):
        yield Finding((*path, "convert_market"), "is the leg's own market: name one in dollars")
    else:
        yield from _venue(config, venue, (*path, "convert_venue"))


def _complement(event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    """Both tokens of one market; Kalshi has one book a market, whose NO is what its YES leaves."""
    venues = {leg.venue for leg in event.legs}
    if "kalshi" in venues:
        message = "Kalshi keeps YES and NO in one book, which cannot disagree with itself: name no such event"
        yield Finding((*base, "legs"), message)
    elif len(event.legs) == 2 and len(venues) > 1:
        message = "both legs of a complement event are of one venue; for two venues use kind 'binary'"
        yield Finding((*base, "legs"), message)


def _model(event: EventConfig, base: KeyPath) -> Iterator[Finding]:
    """One digital, one spot market, a strike and a close: without them there is nothing to compute."""
    if len(event.legs) == 2 and {leg.outcome for leg in event.legs} != {"base", "yes"}:
        message = "a model event has one leg with outcome 'yes' (the digital) and one with 'base' (spot)"
        yield Finding((*base, "legs"), message)
    if event.digital is None:
        yield Finding((*base, "digital"), "a model event must say what is asked: name a strike")
    elif not Decimal(event.digital.strike):
        yield Finding((*base, "digital", "strike"), "must be more than 0 dollars")
    if not event.close:
        yield Finding((*base, "close"), "a model event must say when it is decided")


_KIND_CHECKS: dict[str, Callable[[EventConfig, KeyPath], Iterator[Finding]]] = {
    COMPLEMENT: _complement,
    MODEL: _model,
}
