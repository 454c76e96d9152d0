"""Signatures: what the venue would verify, and keys that are refused without a word of what is in them."""

from __future__ import annotations

import base64
import os
import traceback
from functools import cache
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pipeline.venues.signing import (
    KalshiSigner,
    KeyFileError,
    kraken_signature,
    polymarket_order_signature,
    polymarket_signature,
)

FORM = serialization.PrivateFormat
NO_PASSWORD = serialization.NoEncryption()
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def pem(of: Private, form: FORM = FORM.PKCS8, password: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else NO_PASSWORD
    return of.private_bytes(serialization.Encoding.PEM, form, lock)


def verify(headers: dict[str, str], message: bytes, salt: int = 32) -> None:
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"], validate=True)
    key().public_key().verify(signature, message, scheme, hashes.SHA256())


def refusal(make: object, *arguments: object) -> str:
    """The whole text of a refusal, with everything that led to it."""
    with pytest.raises(KeyFileError) as caught:
        make(*arguments)  # type: ignore[operator]
    return "".join(traceback.format_exception(caught.value))


def test_the_handshake_is_signed_over_time_method_and_path() -> None:
    """Nothing between the three; PSS, a salt as long as the digest; the venue's public key verifies it."""
    headers = KalshiSigner("a-key-id", pem(key())).headers("GET", "/trade-api/ws/v2", 1703123456789)
    assert headers.keys() == {"KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE"}
    assert (headers["KALSHI-ACCESS-KEY"], headers["KALSHI-ACCESS-TIMESTAMP"]) == ("a-key-id", "1703123456789")
    assert len(headers["KALSHI-ACCESS-SIGNATURE"]) == 344
    verify(headers, b"1703123456789GET/trade-api/ws/v2")
    for message, salt in [
        (b"1703123456789 GET /trade-api/ws/v2", 32),
        (b"1703123456788GET/trade-api/ws/v2", 32),
        (b"1703123456789POST/trade-api/ws/v2", 32),
        (b"1703123456789GET/trade-api/ws/v2", 20),
    ]:
        with pytest.raises(InvalidSignature):
            verify(headers, message, salt)


def test_a_signature_is_made_anew_each_time() -> None:
    """PSS is salted: two signatures of one message differ, and both are right."""
    signer = KalshiSigner("id", pem(key(), FORM.TraditionalOpenSSL))
    first, second = (signer.headers("GET", "/x", 5) for _ in range(2))
    assert first != second
    verify(first, b"5GET/x")
    verify(second, b"5GET/x")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_only_its_owner_reads_is_used(tmp_path: Path, mode: int) -> None:
    """What `chmod 600` leaves."""
    path = tmp_path / "kalshi.pem"
    path.write_bytes(pem(key()))
    path.chmod(mode)
    verify(KalshiSigner.from_file("id", path).headers("GET", "/x", 5), b"5GET/x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o644, 0o777])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The refusal names the file and the command that mends it."""
    path = tmp_path / "kalshi.pem"
    path.write_bytes(pem(key()))
    path.chmod(mode)
    assert f"chmod 600 {path}" in refusal(KalshiSigner.from_file, "id", path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there, a folder, and a pipe that nobody writes to and that would be waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "No such file" in refusal(KalshiSigner.from_file, "id", tmp_path / "none.pem")
    for path in (tmp_path, tmp_path / "pipe"):
        assert f"{path} is not a file" in refusal(KalshiSigner.from_file, "id", path)


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "not an RSA key"),
        (lambda: pem(key(1024)), "has 1024 bits"),
        (lambda: pem(key(), password=b"open sesame"), "unencrypted"),
        (lambda: pem(key())[:800], "PEM"),
        (lambda: pem(key()).replace(b"A", b"B"), "PEM"),
        (lambda: pem(key()).replace(b"PRIVATE KEY", b"CERTIFICATE"), "PEM"),
        (lambda: b"", "PEM"),
        (lambda: b"\x00\xff" * 50, "PEM"),
    ],
    ids=["ec", "ed25519", "small", "locked", "cut", "altered", "mislabelled", "empty", "noise"],
)
def test_a_key_that_cannot_sign_is_refused_in_words_of_ours(tmp_path: Path, made: object, word: str) -> None:
    """The refusal names the file and the reason, and no line of the key is in it or behind it."""
    path, content = tmp_path / "kalshi.pem", made()  # type: ignore[operator]
    path.write_bytes(content)
    path.chmod(0o600)
    text = refusal(KalshiSigner.from_file, "id", path)
    assert word in text
    assert str(path) in text
    for line in content.splitlines():
        assert len(line) < 20 or line.decode("latin-1") not in text


def test_a_signer_does_not_show_its_key() -> None:
    """Neither in a log line nor in a traceback that prints it."""
    signer = KalshiSigner("id", pem(key()))
    assert "KEY" not in f"{signer!r} {signer}"
    assert str(key().private_numbers().d) not in f"{signer!r} {signer}"


def test_krakens_published_vector() -> None:
    """The signature of the request in Kraken's own guide to REST authentication."""
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    expected = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    assert kraken_signature(secret, "/0/private/AddOrder", "1616492376594", body) == expected


@pytest.mark.parametrize(
    ("timestamp_s", "method", "path", "body", "expected"),
    [
        (1_700_000_000, "GET", "/data/orders", "", "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4="),
        (
            1_700_000_000,
            "DELETE",
            "/order",
            '{"orderID":"0x01"}',
            "24l6Lx6iJPil3STmxxlrWZKP7YBLNsVqEIduvmUOx7Q=",
        ),
        (
            1_000_000,
            "test-sign",
            "/orders",
            '{"hash": "0x123"}',
            "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc=",
        ),
    ],
)
def test_polymarkets_vectors(timestamp_s: int, method: str, path: str, body: str, expected: str) -> None:
    """Signatures as the venue's own library makes them, for a secret of 32 zero bytes."""
    assert polymarket_signature("A" * 43 + "=", timestamp_s, method, path, body) == expected


@pytest.mark.parametrize("secret", ["no secret!", "AAA", "ÄÖ=="])
def test_a_secret_that_is_none_is_not_told(secret: str) -> None:
    """The error says what is wrong and nothing of what was given."""
    for sign in (
        lambda: kraken_signature(secret, "/0/private/Balance", "1", "nonce=1"),
        lambda: polymarket_signature(secret, 1, "GET", "/x"),
    ):
        with pytest.raises(KeyFileError) as caught:
            sign()
        assert secret not in str(caught.value)


def test_polymarkets_order_vector() -> None:
    """The signature of the venue's own library, by a test wallet that everybody knows."""
    wallet = 0xAC0974BEC39A17E36BA4A6B4D238FF944BACB478CBED5EFCAE784D7BF4F2FF80
    digest = bytes.fromhex("0fbf0b2600dc74c6fbaee71b048464caed75a13e520cb8d00d540ebdaaf2ee06")
    expected = (
        "0xde347cab1aa0798cf0b7a6eb94aa90a5df6a079eee19c063c678dcae7811fb80"
        "2a166b21f36bf21a91708e548d6264a09321c5441898efa179b379aa557d7dbd1c"
    )
    assert polymarket_order_signature(wallet, digest) == expected
    with pytest.raises(KeyFileError):
        polymarket_order_signature(0, digest)
