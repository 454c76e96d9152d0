"""Signing: request signatures. The door to `cryptography`.

In: a key, a time, a method and a path. Out: headers. Used by Kalshi's feed, whose whole WebSocket wants
a signed handshake even for public channels.
"""

from __future__ import annotations

import base64
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SALT_BYTES = 32
MIN_KEY_BITS = 2048


class KeyFileError(Exception):
    """A key file cannot be used; the text says which, why and what to do, and never what is in it."""


class KalshiSigner:
    """Signs `timestamp + METHOD + path` with RSA-PSS, SHA-256, a salt as long as the digest."""

    def __init__(self, key_id: str, pem: bytes) -> None:
        """Load the key once. Raises KeyFileError for what is no RSA private key."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFileError("the key is not an unencrypted private key in PEM form") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyFileError("the key is not an RSA key")
        if key.key_size < MIN_KEY_BITS:
            raise KeyFileError(f"the RSA key has {key.key_size} bits, fewer than {MIN_KEY_BITS}")
        self._key_id = key_id
        self._key = key

    @classmethod
    def from_file(cls, key_id: str, path: Path) -> KalshiSigner:
        """Load the key from a file that only its owner may read. Raises KeyFileError."""
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{path} is not a file")
            if stat.S_IMODE(mode) & 0o077:
                raise KeyFileError(f"{path} is open to others: chmod 600 {path}")
            pem = path.read_bytes()
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
        try:
            return cls(key_id, pem)
        except KeyFileError as error:
            raise KeyFileError(f"{path}: {error}") from error

    def headers(self, method: str, path: str, timestamp_ms: int) -> dict[str, str]:
        """The three headers of a request; `path` begins with /trade-api and has no query."""
        message = f"{timestamp_ms}{method}{path}".encode()
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), SALT_BYTES)
        signature = self._key.sign(message, scheme, hashes.SHA256())
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(timestamp_ms),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
