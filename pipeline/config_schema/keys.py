"""Keys: whether what Kalshi's WebSocket must be signed with is there and kept to oneself.

In: a `Config`, the environment, the key's file. Out: findings. Used by config_schema; it never reads what is
in the file.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.config import Config
from pipeline.config_schema import values
from pipeline.config_schema.checks import Finding, is_real

NEEDS_KEY = (
    "Kalshi's WebSocket wants a key even for prices: name its id's environment variable with key_id_env and"
    " its file with key_file (or the variable that holds it with key_env), or read books by REST with"
    " enable_websocket = false"
)


def check_keys(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Kalshi's WebSocket is open to signed connections only, so without a key its feed could never start."""
    venue = config.venues.get("kalshi")
    if venue is None or not (venue.enabled and venue.enable_websocket and is_real(venue)):
        return
    base = ("venues", "kalshi")
    if not venue.key_id_env or not (venue.key_file or venue.key_env):
        yield Finding((*base, "key_file" if venue.key_id_env else "key_id_env"), NEEDS_KEY)
    for key, name in (("key_id_env", venue.key_id_env), ("key_env", venue.key_env)):
        if name and not environ.get(name):
            yield Finding((*base, key), f"the environment variable {name} is not set")
    if venue.key_file:
        try:
            status = Path(venue.key_file).expanduser().stat()
        except (OSError, RuntimeError):
            yield Finding((*base, "key_file"), f"there is no file {values.shown(venue.key_file)}")
        else:
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                yield Finding((*base, "key_file"), "must be a file that only you can read: chmod 600")
