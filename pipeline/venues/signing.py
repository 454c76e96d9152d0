"""Signing: request signatures of the venues. The door to `cryptography`.

In: a key, a time, a method, a path, perhaps a body. Out: headers, or the text of a signature. Used by
Kalshi's feed, whose whole WebSocket wants a signed handshake even for public channels. The functions at the
end sign Kraken's and Polymarket's private requests and Polymarket's orders, for when orders are sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stat
from pathlib import Path

# The library takes 20 ms to load, and most workers sign nothing: each function fetches what it needs of it.

SALT_BYTES = 32
MIN_KEY_BITS = 2048
# Of the group that secp256k1 generates (SEC 2, 2.4.1).
_CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class KeyFileError(Exception):
    """A key file cannot be used; the text says which, why and what to do, and never what is in it."""


class KalshiSigner:
    """Signs `timestamp + METHOD + path` with RSA-PSS, SHA-256, a salt as long as the digest."""

    def __init__(self, key_id: str, pem: bytes) -> None:
        """Load the key once. Raises KeyFileError for what is no RSA private key."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

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
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        message = f"{timestamp_ms}{method}{path}".encode()
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), SALT_BYTES)
        signature = self._key.sign(message, scheme, hashes.SHA256())
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(timestamp_ms),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }


def kraken_signature(secret: str, path: str, nonce: str, body: str) -> str:
    """`API-Sign` of a private request: HMAC-SHA512 of the path and the SHA-256 of nonce and body.

    `secret` is the base64 text that Kraken gives out, `path` begins with /0/private, `body` is the form
    as it is sent, the nonce in it. KeyFileError for a secret that is no base64.
    """
    digest = hashlib.sha256(nonce.encode() + body.encode()).digest()
    sealed = hmac.new(_decoded(secret), path.encode() + digest, hashlib.sha512).digest()
    return base64.b64encode(sealed).decode()


def polymarket_signature(secret: str, timestamp_s: int, method: str, path: str, body: str = "") -> str:
    """`POLY_SIGNATURE` of a private request: HMAC-SHA256 of time, method, path without query, and body.

    `secret` is the URL-safe base64 text of the API key, `body` the very text that is sent. KeyFileError
    for a secret that is no base64.
    """
    message = f"{timestamp_s}{method}{path}{body}".encode()
    sealed = hmac.new(_decoded(secret, altchars=b"-_"), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(sealed).decode()


def polymarket_order_signature(private_key: int, digest: bytes) -> str:
    """Signature, in hexadecimal with 0x, of an order's EIP-712 digest by a wallet's key (type 0, EOA).

    ECDSA on secp256k1 with the nonce of RFC 6979, `s` in the lower half, then 27 or 28 for the parity of
    the nonce's point, as Ethereum wants it. KeyFileError for a number that is no key.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        key = ec.derive_private_key(private_key, ec.SECP256K1())
    except ValueError as error:
        raise KeyFileError("the wallet's key is not on its curve") from error
    scheme = ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True)
    r, s = utils.decode_dss_signature(key.sign(digest, scheme))
    s = min(s, _CURVE_ORDER - s)
    nonce = (int.from_bytes(digest, "big") + r * private_key) * pow(s, -1, _CURVE_ORDER) % _CURVE_ORDER
    point = ec.derive_private_key(nonce, ec.SECP256K1()).public_key().public_numbers()
    return f"0x{r:064x}{s:064x}{27 + (point.y & 1):02x}"


def _decoded(secret: str, altchars: bytes | None = None) -> bytes:
    """The bytes of a secret, of which no word is ever told."""
    try:
        return base64.b64decode(secret, altchars=altchars, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyFileError("the secret is not base64") from error
