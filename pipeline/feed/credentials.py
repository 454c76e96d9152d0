"""Credentials: where a feed connects to, as whom, and what it must sign.

In: a venue's settings, the environment, a key file, a keyring. Out: headers of a handshake. Used by the
feed's worker. A key file is read for each handshake, so that it can be exchanged while the feed runs; what
came from the environment or the keyring is kept here, for it cannot be read there again unnoticed.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from pipeline.config import VenueConfig
from pipeline.secrets import Secret, SecretError, hide_memory, load_secret
from pipeline.venues.signing import KalshiSigner, KeyFileError

_taken: dict[str, Secret] = {}


def address(settings: VenueConfig) -> tuple[str, ...]:
    """What a connection depends on; another value asks for another connection."""
    return settings.url, settings.key_id_env, settings.key_env, settings.key_file, settings.key_keyring


def headers(venue: str, settings: VenueConfig, timestamp_ms: int) -> dict[str, str]:
    """The signed headers of Kalshi's handshake; none for other venues, or where no key is configured.

    Raises KeyFileError, without a word of what is in it, for a key that cannot be used.
    """
    place = settings.key_file or settings.key_env or settings.key_keyring
    if venue != "kalshi" or not settings.key_id_env or not place:
        return {}
    # First, so that no moment is left in which another process could look.
    hide_memory()
    try:
        key_id = _kept(f"the key's id of {venue}", env=settings.key_id_env)
    except SecretError:
        # A run whose key is not there reads what is public: the configuration has been checked before it.
        return {}
    what = f"the private key of {venue}"
    try:
        if settings.key_file:
            key = load_secret(what, file=settings.key_file, environ={})
        else:
            key = _kept(what, env=settings.key_env, keyring=settings.key_keyring)
    except SecretError as error:
        raise KeyFileError(str(error)) from error
    try:
        signer = KalshiSigner(key_id.reveal(), key.reveal().encode())
    except KeyFileError as error:
        raise KeyFileError(f"{place}: {error}") from error
    return signer.headers("GET", urlsplit(settings.url).path, timestamp_ms)


def _kept(what: str, *, env: str = "", keyring: str = "") -> Secret:
    """What a variable held when it was taken, or a keyring said when it was asked: it may ask a person."""
    known = _taken.get(env or keyring)
    if known is not None and os.environ.get(env) is None:
        return known
    secret = _taken[env or keyring] = load_secret(what, env=env, keyring=keyring, environ=os.environ)
    return secret
