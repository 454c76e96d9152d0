"""Build: what a file may leave out, who changes it from outside, and the lab's addresses in it.

In: layers, changes, a valid tree, run/lab.json. Out: fuller layers, a `Config`. Pure; used by
config_schema, which reads the texts and judges the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.config import SIMULATED, Config, EventConfig, TraderConfig, sealed
from pipeline.config_schema.checks import CCXT, KNOWN_VENUES, Finding, is_loopback
from pipeline.config_schema.event_checks import check_event, is_spot_venue
from pipeline.config_schema.layers import (
    Layers,
    Origin,
    belongs,
    environment_sets,
    split_set,
    take_secrets,
)
from pipeline.config_schema.series import SeriesConfig, check_series, instance, instances, time_of
from pipeline.config_schema.text import KeyPath, Problem, did_you_mean, dotted
from pipeline.config_schema.values import masked, shown
from pipeline.model_events import MODEL, SPOT

PROFILES = ("demo", "paper", "live")
PAPER_CASH = "500"
PAPER_INVENTORY = {
    "kraken": {"BTC/USD": "0.05", "ETH/USD": "1"},
    "coinbase": {"BTC-USD": "0.05", "ETH-USD": "1"},
}


def problem(origin: Origin, key: KeyPath, message: str, suggestion: str = "") -> Problem:
    """A problem with the value that came from `origin`."""
    numbered = len(key) > 1 and isinstance(key[1], int)
    key = (key[0], int(key[1]) - origin.first, *key[2:]) if numbered else key
    return Problem(origin.file, origin.line, None, dotted(key), message, suggestion)


def profile_problems(name: str, overlays: object, at: Callable[[KeyPath], Origin]) -> Iterator[Problem]:
    """What is wrong with the chosen profile and with the form of the [profile] tables."""
    tables = overlays if isinstance(overlays, dict) else {}
    wrong: list[KeyPath] = [("profile", key) for key, value in tables.items() if not isinstance(value, dict)]
    if tables is not overlays:
        wrong = [("profile",)]
    for path in wrong:
        yield problem(at(path), path, "must be a table: [profile.NAME]")
    if name == "live":
        yield Problem("--profile", None, None, "", "live orders do not exist yet: use demo or paper")
    elif name not in {*PROFILES, *tables}:
        hint = did_you_mean(name, [*PROFILES, *tables])
        yield Problem("--profile", None, None, "", f"there is no profile {shown(name)}", hint)


def lay_changes(
    layers: Layers, sets: Sequence[str], environ: Mapping[str, str], read: Callable[[str], object]
) -> list[Problem]:
    """Lay environment variables and then --set over the rest; `read` reads a value's text."""
    problems: list[Problem] = []
    changes = [(Origin(name), path, text) for name, path, text in environment_sets(environ)]
    for text in sets:
        parts = split_set(text)
        if parts is None:
            key = text[:60].partition("=")[0]
            problems.append(Problem("--set", None, None, masked(key), "write it as section.key=value"))
        else:
            changes.append((Origin("--set"), *parts))
    for origin, path, text in changes:
        value = read(text)
        tree: dict[str, Any] = {str(path[-1]): value}
        for part in reversed(path[:-1]):
            tree = {str(part): tree}
        if take_secrets(tree):
            problems.append(problem(origin, path, belongs(path)))
        elif path[0] == "profile":
            what = "choose the profile with --profile, or change the keys themselves"
            problems.append(problem(origin, path, what))
        else:
            layers.put(path, value, origin)
    return problems


def lay_defaults(layers: Layers) -> None:
    """What a file may leave out: four simulated venues, a paper account, the outcome of spot legs."""
    tree, origin = layers.values, layers.origin(())
    if not tree.get("venues"):
        layers.put(("venues",), {name: {} for name in KNOWN_VENUES}, origin)
    venues = tree["venues"] if isinstance(tree["venues"], dict) else {}
    for name, venue in venues.items():
        if CCXT.fullmatch(str(name)) and isinstance(venue, dict):
            venue.setdefault("url", "")
            venue.setdefault("rest_url", "")
    trader = tree.get("trader", {})
    if isinstance(trader, dict) and "cash" not in trader:
        cash = {name: PAPER_CASH for name in KNOWN_VENUES if name in venues}
        layers.put(("trader", "cash"), cash, origin)
    if isinstance(trader, dict) and "inventory" not in trader:
        coins = {name: coins for name, coins in PAPER_INVENTORY.items() if name in venues}
        layers.put(("trader", "inventory"), coins, origin)
    for leg in _spot_legs(tree.get("events")):
        leg.setdefault("outcome", "base")


def _spot_legs(events: object) -> Iterator[dict[str, Any]]:
    """Every leg of a spot event, and the spot leg of a model event, as far as the tree has the right form."""
    for event in events if isinstance(events, list) else ():
        kind, legs = (event.get("kind"), event.get("legs")) if isinstance(event, dict) else (None, None)
        for leg in legs if kind in (SPOT, MODEL) and isinstance(legs, list) else ():
            if isinstance(leg, dict) and (kind == SPOT or is_spot_venue(str(leg.get("venue")))):
                yield leg


def build(tree: dict[str, Any], profile: str, directories: Mapping[str, str]) -> Config:
    """The `Config` of a valid tree. `directories` holds `instance` and the three directories.

    A venue on this machine that names no REST address has none ("").
    """
    for venue in tree["venues"].values():
        if venue["rest_url"] == SIMULATED and is_loopback(venue["url"]):
            venue["rest_url"] = ""
    config = msgspec.convert({**tree, **directories, "profile": profile}, Config)
    names = (name for name, venue in config.venues.items() if venue.enabled and venue.url == SIMULATED)
    return msgspec.structs.replace(config, simulated=tuple(names))


@dataclass(frozen=True, slots=True)
class WithSeries:
    """A config with the instances of its series after its own events; what is wrong, and what is left out."""

    config: Config
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    changes_wall_ns: int


def with_series(config: Config, series: Sequence[SeriesConfig], wall_ns: int) -> WithSeries:
    """Add the instances that each series has at `wall_ns`; at 0 none. `changes_wall_ns` is 0 for never."""
    findings: list[Finding] = []
    notes: list[str] = []
    events = list(config.events)
    changes: list[int] = []
    seen: dict[str, KeyPath] = {}
    for index, one in enumerate(series):
        base: KeyPath = ("series", index)
        found = list(check_series(one, base))
        other = seen.setdefault(one.id, (*base, "id"))
        if other != (*base, "id"):
            found.append(Finding((*base, "id"), f"another series has the id {one.id!r} already", other=other))
        if not found:
            found += check_event(config, instance(one, time_of(one.first)), base)
        findings += found
        if found or not wall_ns:
            continue
        made = instances(one, wall_ns)
        taken = {event.id for event in events}
        findings += (
            Finding((*base, "id"), f"there is an event with the id {event.id!r} of its instance already")
            for event in made.events
            if event.id in taken
        )
        events += made.events
        notes += made.notes
        changes.append(made.changes_wall_ns)
    whole = msgspec.structs.replace(config, events=tuple(events))
    return WithSeries(whole, tuple(findings), tuple(notes), min(changes, default=0))


def merge_lab(config: Config, lab: Mapping[str, object]) -> Config:
    """The config with the lab's addresses in its simulated venues, its events after the config's own, and
    what its scenario makes of the paper exchange.

    Of the lab's events those count whose venues are all simulated here; an id of the file's own wins.
    Raises msgspec.ValidationError when `lab` is not what the lab writes.
    """
    addresses = msgspec.convert(lab.get("venues", {}), dict[str, dict[str, str]])
    events = msgspec.convert(lab.get("events", []), tuple[EventConfig, ...])
    venues = dict(config.venues)
    for name in config.simulated:
        if name in addresses:
            at = addresses[name]
            venues[name] = msgspec.structs.replace(venues[name], url=at["ws"], rest_url=at["rest"])
    own = {event.id for event in config.events}
    played = tuple(
        event
        for event in events
        if event.id not in own and all(leg.venue in config.simulated for leg in event.legs)
    )
    paper = msgspec.convert(lab.get("paper", {}), dict[str, int | str])
    behaviour = {key: value for key, value in paper.items() if key.startswith("paper_")}
    trader = msgspec.convert(msgspec.to_builtins(config.trader) | behaviour, TraderConfig)
    changed = {"venues": venues, "trader": trader, "events": (*config.events, *played)}
    return sealed(msgspec.structs.replace(config, **changed))
