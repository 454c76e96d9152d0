"""Tuning: what a fresh configuration means for a run that goes on: what differs, what may act now, what
waits.

In: the running `Config`, the one that the files give now, ids of events that are held. Out: the config to
go on with, and every change with when it acts. Pure; used by `live`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pipeline.config import SIMULATED, Config, EventConfig, sealed
from pipeline.config_changes import ALL, NOW, Change
from pipeline.config_schema.reference import ALL as RESTART_ALL
from pipeline.config_schema.reference import WORKER
from pipeline.config_schema.text import KeyPath, dotted
from pipeline.config_schema.values import toml

OF_THE_RUN = frozenset(
    "version hash profile mode simulated tape tape_speed account started_wall_ns instance source"
    " data_directory run_directory shm_directory events".split()
)
"""What no file changes; and the events, which are compared one by one."""
ADDRESSES = ("url", "rest_url", "book_url")
SHOWN_CHARACTERS = 60
ABSENT = object()

ReloadOf = Callable[[KeyPath], str]


def settle(
    running: Config, fresh: Config, held: frozenset[str], reload_of: ReloadOf
) -> tuple[Config, tuple[Change, ...], tuple[str, ...]]:
    """The config to go on with, the changes, and the ids of events that stay only because they are held.

    A key that waits for a restart of all keeps its running value; an event on a venue that waits, too.
    """
    old, new = msgspec.to_builtins(running), msgspec.to_builtins(fresh)
    changes: list[Change] = []
    for section in old.keys() - OF_THE_RUN:
        differences = list(_differences((section,), old[section], new[section]))
        times = [_when(path, old, new, reload_of) for path, _, _ in differences]
        for (path, before, after), when in zip(differences, times, strict=True):
            changes.append(Change(dotted(path), _shown(before), _shown(after), when))
            if when == ALL:
                _put(new, path, before)
    for name in OF_THE_RUN:
        new[name] = old[name]
    events, of_events, kept = _events(running, fresh, held)
    config = msgspec.structs.replace(msgspec.convert(new, Config), events=events)
    order = {NOW: 0, ALL: 2}
    told = sorted([*changes, *of_events], key=lambda change: (order.get(change.when, 1), change.key))
    return sealed(config), tuple(told), kept


def _differences(path: KeyPath, old: Any, new: Any) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Path, old and new value of everything that differs; ABSENT where there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _differences((*path, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif old is ABSENT or new is ABSENT or old != new:
        yield path, old, new


def _when(path: KeyPath, old: dict[str, Any], new: dict[str, Any], reload_of: ReloadOf) -> str:
    """When a change of a key acts."""
    if path[0] == "venues":
        venue = path[1]
        if len(path) == 2:
            return ALL  # a feed comes or goes
        turned = (old["venues"][venue]["url"] == SIMULATED) != (new["venues"][venue]["url"] == SIMULATED)
        if turned and path[2] in ADDRESSES:
            return ALL
    reload = reload_of(path)
    if reload == WORKER:
        return f"feed-{path[1]}" if path[0] == "venues" else str(path[0])
    return ALL if reload == RESTART_ALL else NOW


def _put(tree: dict[Any, Any], path: KeyPath, value: Any) -> None:
    """Give a key its old value back."""
    for part in path[:-1]:
        tree = tree[part]
    if value is ABSENT:
        del tree[path[-1]]
    else:
        tree[path[-1]] = value


def _shown(value: Any) -> str:
    """A value as a change tells it."""
    if value is ABSENT or value is None:
        return "-"
    if isinstance(value, dict):
        value = {key: child for key, child in value.items() if child not in (None, "", [], {})}
    text = toml(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _events(
    running: Config, fresh: Config, held: frozenset[str]
) -> tuple[tuple[EventConfig, ...], list[Change], tuple[str, ...]]:
    """The events to go on with, what changed of them, and the ids of those that stay because they are
    held.
    """
    old = {event.id: event for event in running.events}
    new = {event.id: event for event in fresh.events}
    events: list[EventConfig] = []
    changes: list[Change] = []
    for name, event in new.items():
        before = old.get(name)
        known = all(venue in running.venues for venue in _venues_of(event))
        if known:
            events.append(event)
        elif before is not None:
            events.append(before)
        if event != before:
            told = "-" if before is None else "there"
            what = "added" if before is None else f"changed: {', '.join(_parts(before, event))}"
            changes.append(Change(f"events.{name}", told, what, NOW if known else ALL))
    gone = [name for name in old if name not in new]
    changes += [Change(f"events.{name}", "there", "removed", NOW) for name in gone if name not in held]
    kept = tuple(name for name in gone if name in held)
    return (*events, *(old[name] for name in kept)), changes, kept


def _venues_of(event: EventConfig) -> Iterator[str]:
    for leg in event.legs:
        yield leg.venue
        if leg.convert_venue:
            yield leg.convert_venue


def _parts(old: EventConfig, new: EventConfig) -> list[str]:
    """Names of what differs between two events of one id."""
    return [name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name)]
