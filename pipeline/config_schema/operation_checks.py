"""Operation checks: keys of [control], [alerts], [logs] and [supervisor] that do not fit each other.

In: a `Config` whose single values are in range. Out: findings, each with the path of the key to change.
Pure; used by config_schema. Whether files and variables that hold secrets are there is asked in `keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.config import Config, SupervisorConfig
from pipeline.config_schema.checks import Finding
from pipeline.config_schema.text import KeyPath, did_you_mean
from pipeline.config_schema.values import shown

WORKERS = ("supervisor", "scanner", "paper", "trader", "observer", "lab")
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+|\*):(\d{1,5})")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # ZeroMQ RFC 32
_DAY_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_KEYRING = re.compile(r"[^/\s]+/[^/\s]+")
NEVER = 1000
# Twice what a worker takes when it has just begun.
LEAST_MEMORY_MB = 100
# These tell of what is there or is not: nothing in them has a size.
WITHOUT_LIMIT = ("disconnect", "flapping", "unhedged", "halt")
SOURCES = ("urls_env", "urls_file", "urls_keyring")


def check_operations(config: Config) -> Iterator[Finding]:
    """Everything that is wrong between the keys of these sections."""
    yield from _control(config)
    yield from _alerts(config)
    yield from _logs(config)
    yield from _restarts(config.supervisor)
    for name, venue in config.venues.items():
        yield from _keyring(venue.key_keyring, ("venues", name, "key_keyring"))


def _restarts(limits: SupervisorConfig) -> Iterator[Finding]:
    """Whether a worker can stay up at all, and whether so many restarts can happen in the window: else a
    broken worker is never FLAPPING.

    The first restart waits for nothing, the next for restart_delay, doubling. A limit of NEVER is meant so.
    """
    count = min(limits.restart_limit, 64)
    least = sum(min(limits.max_restart_delay, limits.restart_delay * 2**number) for number in range(count))
    if limits.restart_limit < NEVER and least >= limits.restart_window:
        message = (
            f"{limits.restart_limit + 1} restarts take {least:g} s with these delays, so that no worker would"
            " ever be FLAPPING: make it longer, or restart_limit smaller"
        )
        yield Finding(("supervisor", "restart_window"), message)
    if 0 < limits.memory_mb < LEAST_MEMORY_MB:
        least = f"at least {LEAST_MEMORY_MB}, or 0 for no limit"
        message = f"no worker could stay up with {limits.memory_mb} MiB: {least}"
        yield Finding(("supervisor", "memory_mb"), message)


def _control(config: Config) -> Iterator[Finding]:
    control = config.control
    match = _TCP.fullmatch(control.tcp)
    if control.tcp and (match is None or not 0 < int(match[2]) < 65_536):
        yield Finding(("control", "tcp"), f"must be tcp://ADDRESS:PORT, got {shown(control.tcp)}")
    for number, key in enumerate(control.allowed_keys):
        if not _Z85.fullmatch(key):
            message = f"must be a CURVE public key, 40 characters of Z85; got {len(key)} characters"
            yield Finding(("control", "allowed_keys", number), message)
    if not control.tcp:
        return
    if not control.key_file:
        message = "control.tcp needs our own secret key, on loopback too: name its file"
        yield Finding(("control", "key_file"), message)
    if not control.allowed_keys:
        message = "control.tcp needs the public keys of those who may command: without any, nobody may"
        yield Finding(("control", "allowed_keys"), message)


def _alerts(config: Config) -> Iterator[Finding]:
    alerts = config.alerts
    given = [name for name in SOURCES if getattr(alerts, name)]
    if len(given) > 1:
        yield Finding(("alerts", given[1]), f"name one place of the addresses: {given[0]} is set too")
    yield from _keyring(alerts.urls_keyring, ("alerts", "urls_keyring"))
    if alerts.daily_at and not _DAY_TIME.fullmatch(alerts.daily_at):
        message = f'must be a time of day such as "07:00", or "" for none; got {shown(alerts.daily_at)}'
        yield Finding(("alerts", "daily_at"), message)
    for name in WITHOUT_LIMIT:
        if name in alerts.rules and alerts.rules[name].limit is not None:
            message = f"{name} has no limit: leave it out, or set for_s, the seconds that it must hold"
            yield Finding(("alerts", "rules", name, "limit"), message)


def _keyring(entry: str, path: KeyPath) -> Iterator[Finding]:
    if entry and not _KEYRING.fullmatch(entry):
        yield Finding(path, f"must be SERVICE/NAME, got {shown(entry)}")


def _logs(config: Config) -> Iterator[Finding]:
    workers = [*WORKERS, *(f"feed-{venue}" for venue in config.venues)]
    for name in config.logs.levels:
        if name not in workers:
            message = f"there is no worker {shown(name)}; there are {', '.join(workers)}"
            yield Finding(("logs", "levels", name), message, did_you_mean(name, workers))
