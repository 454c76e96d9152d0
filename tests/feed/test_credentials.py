"""Credentials: a key is used, may be exchanged, and is kept to oneself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline import secrets
from pipeline.config import VenueConfig
from pipeline.feed import credentials
from pipeline.feed.credentials import headers
from pipeline.secrets import redact
from pipeline.venues.signing import KeyFileError

URL = "wss://127.0.0.1/trade-api/ws/v2"
KEY_ID = "canary-0001-key-id"


@pytest.fixture(scope="module")
def pem() -> str:
    """A key of our own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded nothing, whose memory stays readable, with a key's id in its environment."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    monkeypatch.setattr(credentials, "_taken", {})
    monkeypatch.setattr(credentials, "hide_memory", lambda: True)
    monkeypatch.setenv("TEST_KEY_ID", KEY_ID)


def private(path: Path, text: str, mode: int = 0o600) -> str:
    """A file with a mode of its own."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_key_file_signs_and_may_be_exchanged(tmp_path: Path, pem: str) -> None:
    """Each handshake reads the file again, so a key that was exchanged counts from the next one on."""
    settings = VenueConfig(url=URL, key_id_env="TEST_KEY_ID", key_file=private(tmp_path / "key", pem))
    assert headers("kalshi", settings, 1)["KALSHI-ACCESS-KEY"] == KEY_ID
    private(tmp_path / "key", "no key")
    with pytest.raises(KeyFileError, match="key: the key is not an unencrypted private key in PEM form"):
        headers("kalshi", settings, 1)


def test_variables_are_taken_once_and_used_for_ever(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    """Key and id leave the environment with the first handshake, and the later ones are signed too."""
    monkeypatch.setenv("TEST_KEY", pem)
    settings = VenueConfig(url=URL, key_id_env="TEST_KEY_ID", key_env="TEST_KEY")
    for _ in range(2):
        assert len(headers("kalshi", settings, 1)) == 3
        assert "TEST_KEY" not in os.environ and "TEST_KEY_ID" not in os.environ


def test_what_was_loaded_is_redacted(tmp_path: Path, pem: str) -> None:
    """After a handshake neither the id nor a line of the key gets into a text."""
    settings = VenueConfig(url=URL, key_id_env="TEST_KEY_ID", key_file=private(tmp_path / "key", pem))
    headers("kalshi", settings, 1)
    lines = [line for line in pem.splitlines() if "-----" not in line]
    text = redact(f"{KEY_ID} {pem!r} {pem}")
    assert KEY_ID not in text and not any(line in text for line in lines)


def test_without_a_key_nothing_is_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pem: str) -> None:
    """Other venues, a missing name and a missing id sign nothing."""
    whole = VenueConfig(url=URL, key_id_env="TEST_KEY_ID", key_file=private(tmp_path / "key", pem))
    assert headers("kraken", whole, 1) == {}
    assert headers("kalshi", VenueConfig(url=URL, key_id_env="TEST_KEY_ID"), 1) == {}
    monkeypatch.delenv("TEST_KEY_ID")
    assert headers("kalshi", whole, 1) == {}


@pytest.mark.parametrize(
    ("file", "mode", "why"),
    [
        ("absent", 0o600, "cannot be read"),
        ("key", 0o644, "is open to others: chmod 600"),
        ("", 0, "TEST_KEY is not set"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, pem: str, file: str, mode: int, why: str) -> None:
    """The error says which key and why, and holds nothing of it."""
    private(tmp_path / "key", pem, mode)
    path = str(tmp_path / file) if file else ""
    settings = VenueConfig(
        url=URL, key_id_env="TEST_KEY_ID", key_file=path, key_env="" if file else "TEST_KEY"
    )
    with pytest.raises(KeyFileError) as caught:
        headers("kalshi", settings, 1)
    assert why in str(caught.value) and "the private key of kalshi" in str(caught.value)
    assert KEY_ID not in str(caught.value) and pem[40:60] not in str(caught.value)
