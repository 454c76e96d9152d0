"""Credentials: where a feed connects to, as whom, and what it must sign.

In: a venue's settings, the environment, a key file. Out: headers of a handshake. Used by the feed's
worker. Secrets are read for each handshake and kept nowhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.config import VenueConfig
from pipeline.venues.signing import KalshiSigner, KeyFileError


def address(settings: VenueConfig) -> tuple[str, ...]:
    """What a connection depends on; another value asks for another connection."""
    return settings.url, settings.key_id_env, settings.key_env, settings.key_file


def headers(venue: str, settings: VenueConfig, timestamp_ms: int) -> dict[str, str]:
    """The signed headers of Kalshi's handshake; none for other venues, or where no key is configured.

    Raises KeyFileError, without a word of what is in it, for a key that cannot be used.
    """
    key_id = os.environ.get(settings.key_id_env, "") if settings.key_id_env else ""
    if venue != "kalshi" or not key_id or not (settings.key_file or settings.key_env):
        return {}
    if settings.key_file:
        signer = KalshiSigner.from_file(key_id, Path(settings.key_file).expanduser())
    else:
        pem = os.environ.get(settings.key_env, "")
        if not pem:
            raise KeyFileError(f"the environment variable {settings.key_env} is not set")
        signer = KalshiSigner(key_id, pem.encode())
    return signer.headers("GET", urlsplit(settings.url).path, timestamp_ms)
