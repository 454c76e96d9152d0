"""Doctor config: are secrets where the configuration says, and events reviewed and not over?

In: a configuration that holds, the environment. Out: findings; no secret is in them. Used by `run.py doctor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.bus import BusError
from pipeline.bus_remote import load_key
from pipeline.cli.doctor_finding import Finding, fault, good, warn
from pipeline.config import Config, parse_time_ns
from pipeline.secrets import SecretError, load_secret

NAMED = 5


def secrets(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Each secret that is named: whether it is there, and readable by this user alone."""
    places = []
    for name in config.feeds():
        venue = config.venues[name]
        key = {"env": venue.key_env, "file": venue.key_file, "keyring": venue.key_keyring}
        places += [(f"the key of {name}", key), (f"the key's id of {name}", {"env": venue.key_id_env})]
    alerts = config.alerts
    urls = {"env": alerts.urls_env, "file": alerts.urls_file, "keyring": alerts.urls_keyring}
    places.append(("alerts' addresses", urls))
    named = 0
    for what, where in places:
        if not any(where.values()):
            continue
        named += 1
        try:
            load_secret(what, environ=dict(environ), **where)
        except SecretError as error:
            yield fault("secrets", str(error), "put it there, or take the key out of config.toml")
    if config.control.tcp:
        named += 1
        try:
            load_key(config.control.key_file)
        except BusError as error:
            yield fault("secrets", str(error), "make one: run.py remote keys --out FILE")
    yield good("secrets", f"{named} named" if named else "none named: none needed")


def events(config: Config, now_wall_ns: int) -> Iterator[Finding]:
    """Events that will never be traded: nobody reviewed them, or they are over."""
    over = [event.id for event in config.events if 0 < parse_time_ns(event.close) < now_wall_ns]
    unread = [
        event.id
        for event in config.events
        if event.id not in over and (event.review is None or not event.review.by)
    ]
    if over:
        yield warn("events", f"over: {_named(over)}", "take them out of config.toml or events/")
    if unread:
        todo = "compare the venues' rules and write a review (docs/CONFIG.md); until then they are watched"
        yield warn("events", f"without a review: {_named(unread)}", todo)
    if not over and not unread:
        own = " (the lab opens its own)" if config.simulated else ""
        yield good("events", f"{len(config.events) or 'none'} in the configuration{own}")


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more
