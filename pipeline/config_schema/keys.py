"""Keys: whether the secrets that the configuration names are there and kept to oneself.

In: a `Config`, the environment, the files. Out: findings. Used by config_schema; it never reads what is in a
file, and asks no keyring: that may ask a person.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.config import Config
from pipeline.config_schema import values
from pipeline.config_schema.checks import Finding, is_real
from pipeline.config_schema.text import KeyPath

NEEDS_KEY = (
    "Kalshi's WebSocket wants a key even for prices: name its id's environment variable with key_id_env and"
    " its file with key_file (or the variable that holds it with key_env, or its keyring entry with"
    " key_keyring), or read books by REST with enable_websocket = false"
)


def check_keys(config: Config, environ: Mapping[str, str], uid: int | None = None) -> Iterator[Finding]:
    """Whether each secret that is needed is where the configuration says; `uid` None is our own user."""
    owner = os.geteuid() if uid is None else uid
    yield from _kalshi(config, environ, owner)
    if config.control.tcp:
        yield from _file(config.control.key_file, ("control", "key_file"), owner)
    yield from _variable(config.alerts.urls_env, ("alerts", "urls_env"), environ)
    yield from _file(config.alerts.urls_file, ("alerts", "urls_file"), owner)


def _kalshi(config: Config, environ: Mapping[str, str], owner: int) -> Iterator[Finding]:
    """Kalshi's WebSocket is open to signed connections only, so without a key its feed could never start."""
    venue = config.venues.get("kalshi")
    if venue is None or not (venue.enabled and venue.enable_websocket and is_real(venue)):
        return
    base = ("venues", "kalshi")
    given = [name for name in ("key_file", "key_env", "key_keyring") if getattr(venue, name)]
    if not venue.key_id_env or not given:
        yield Finding((*base, "key_file" if venue.key_id_env else "key_id_env"), NEEDS_KEY)
    if len(given) > 1:
        yield Finding((*base, given[1]), f"name one place of the key: {given[0]} is set too")
    yield from _variable(venue.key_id_env, (*base, "key_id_env"), environ)
    yield from _variable(venue.key_env, (*base, "key_env"), environ)
    yield from _file(venue.key_file, (*base, "key_file"), owner)


def _variable(name: str, path: KeyPath, environ: Mapping[str, str]) -> Iterator[Finding]:
    if name and not environ.get(name):
        yield Finding(path, f"the environment variable {name} is not set")


def _file(name: str, path: KeyPath, owner: int) -> Iterator[Finding]:
    """A secret's file is there, ours, and nobody else's to read; "" is no file."""
    if not name:
        return
    try:
        status = Path(name).expanduser().stat()
    except (OSError, RuntimeError, ValueError):
        yield Finding(path, f"there is no file {values.shown(name)}")
        return
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        yield Finding(path, "must be a file that only you can read: chmod 600")
    elif status.st_uid != owner:
        yield Finding(path, f"must be your own file: it belongs to uid {status.st_uid}")
