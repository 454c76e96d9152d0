"""Secrets: had from one place that is safe, and shown nowhere."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import secrets
from pipeline.secrets import HIDDEN, Secret, SecretError, load_secret, redact, remember
from tests.support.canaries import INPUT_FOLDER

CANARY = "canary-9f8e-7d6c5b4a"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a new process does: no secret has been loaded."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A folder for secrets, which the search for those that got out leaves alone."""
    folder = tmp_path / INPUT_FOLDER
    folder.mkdir()
    return folder


def private(path: Path, content: bytes = CANARY.encode(), mode: int = 0o600) -> str:
    """A file with a mode of its own."""
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        format,
        lambda s: f"{s:>40}",
        lambda s: f"{s!r}",
        "{}".format,
        lambda s: [s].__repr__(),
    ],
)
def test_no_way_of_showing_shows_it(show: Callable[[Secret], str]) -> None:
    """However a secret is turned into text, the text is not it, nor as long as it."""
    assert show(Secret(CANARY)).strip("[]") == HIDDEN


@pytest.mark.parametrize("write", [json.dumps, pickle.dumps, msgspec.json.encode, msgspec.msgpack.encode])
def test_it_cannot_be_written_down(write: Callable[[Any], Any]) -> None:
    """Every way of serialising one fails, and the error does not tell it."""
    with pytest.raises(TypeError) as caught:
        write({"key": Secret(CANARY)})
    assert CANARY not in str(caught.value)


def test_it_cannot_be_copied_hashed_or_looked_into() -> None:
    """What copies objects, keys tables by them or lists their attributes gets nothing out of a secret."""
    secret = Secret(CANARY)
    for copier in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert not hasattr(secret, "__dict__")


def test_equality_is_of_secrets_alone() -> None:
    """Two secrets are equal when they hide the same; a plain text never is."""
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(CANARY + "x")
    assert Secret(CANARY) != CANARY
    assert Secret("") != Secret(CANARY) and not Secret("")


def test_a_variable_is_taken_out_of_the_environment() -> None:
    """What is read from the environment is not in it afterwards, so no child inherits it."""
    environ = {"KEY": f" {CANARY}\n", "OTHER": "stays"}
    assert load_secret("a key", env="KEY", environ=environ).reveal() == CANARY
    assert environ == {"OTHER": "stays"}


def test_a_file_of_ours_is_read_through_a_link_of_ours(tmp_path: Path) -> None:
    """A private file is read, and so is one that a link names."""
    path = private(tmp_path / "key")
    (tmp_path / "link").symlink_to(path)
    for name in ("key", "link"):
        assert load_secret("a key", file=str(tmp_path / name), environ={}).reveal() == CANARY


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({}, "a key: no place is named; give one of an environment variable, a file, a keyring entry"),
        ({"env": "A", "file": "B"}, "a key: more than one place is named"),
        ({"env": "ABSENT"}, "a key: the environment variable ABSENT is not set"),
        ({"file": "absent"}, "absent cannot be read: No such file or directory"),
        ({"file": "open"}, "open is open to others: chmod 600"),
        ({"file": "group"}, "group is open to others: chmod 600"),
        ({"file": "folder"}, "folder is not a file"),
        ({"file": "fifo"}, "fifo is not a file"),
        ({"file": "empty"}, "empty is empty"),
        ({"file": "large"}, "large is larger than 65536 bytes"),
        ({"file": "binary"}, "binary is not text"),
        ({"file": "loop"}, "loop cannot be read: Too many levels of symbolic links"),
        ({"keyring": "no-slash"}, "'no-slash' is no keyring entry; write SERVICE/NAME"),
    ],
)
def test_a_place_that_will_not_do_is_named(tmp_path: Path, places: dict[str, str], message: str) -> None:
    """Each refusal says which secret, where it was looked for and what to do, and nothing of a content."""
    private(tmp_path / "open", mode=0o644)
    private(tmp_path / "group", mode=0o640)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo", 0o600)
    private(tmp_path / "empty", b" \n")
    private(tmp_path / "large", CANARY.encode() * 6000)
    private(tmp_path / "binary", b"\xff\xfe" + CANARY.encode())
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    if "file" in places and "env" not in places:
        places = {"file": str(tmp_path / places["file"])}
    with pytest.raises(SecretError) as caught:
        load_secret("a key", **places, environ={})
    assert message in str(caught.value) and str(caught.value).startswith("a key: ")
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private file that another user owns is not ours to believe, whatever link led to it."""
    path = private(tmp_path / "key")
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(path).st_uid + 1)
    with pytest.raises(SecretError, match="belongs to another user"):
        load_secret("a key", file=path, environ={})


KEYRING = '''"""Backends of a keyring, for tests."""
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class Full(KeyringBackend):
    priority = 1
    set_password = None

    def get_password(self, service, name):
        return {"parallax/kalshi": "CANARY"}.get(service + "/" + name)


class Locked(KeyringBackend):
    priority = 1
    set_password = None

    def get_password(self, service, name):
        raise KeyringLocked("CANARY")
'''.replace("CANARY", CANARY)
ASK = """
import sys
from pipeline.secrets import SecretError, load_secret
try:
    print(load_secret("a key", keyring=sys.argv[1], environ={}).reveal())
except SecretError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("backend", "entry", "said"),
    [
        ("fakering.Full", "parallax/kalshi", CANARY),
        (
            "fakering.Full",
            "parallax/none",
            "a key: the keyring has no entry parallax/none: keyring set parallax none",
        ),
        ("fakering.Locked", "parallax/kalshi", "a key: the keyring refused: KeyringLocked; is it unlocked?"),
        ("absent.Ring", "a/b", "a key: absent is not installed: look at PYTHON_KEYRING_BACKEND"),
        ("keyring.backends.fail.Keyring", "a/b", "a key: this system has no keyring; use a file of mode 600"),
    ],
)
def test_a_keyring_is_asked(tmp_path: Path, project_root: Path, backend: str, entry: str, said: str) -> None:
    """An entry of the keyring that the system names is read; what is wrong with it is one sentence."""
    pytest.importorskip("keyring")
    (tmp_path / "fakering.py").write_text(KEYRING)
    environ = {**os.environ, "PYTHON_KEYRING_BACKEND": backend}
    environ["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{project_root}"
    command = [sys.executable, "-c", ASK, entry]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == said


PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQcanaryline1\nAAAAcanaryline2==\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "spell", [str, repr, json.dumps, lambda text: text.split("\n")[2], lambda t: repr(repr(t))]
)
def test_every_spelling_of_what_was_loaded_is_redacted(spell: Callable[[str], str]) -> None:
    """A key is taken out of any text, whole or by lines, however its line ends are written."""
    remember(Secret(PEM))
    text = redact(f"before {spell(PEM)} after")
    assert "canaryline" not in text and HIDDEN in text
    assert text.startswith("before ") and text.endswith(" after")
    assert redact("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_parts_count_and_short_ones_do_not() -> None:
    """The token of an address is redacted by itself; two letters are not, or no text would be left."""
    remember(Secret("json://host/segment-of-path-77"), "segment-of-path-77", "ab")
    assert redact("POST /segment-of-path-77 about") == f"POST /{HIDDEN} about"


def test_what_is_known_is_bounded() -> None:
    """The oldest secret gives way when there are too many, and the latest is always redacted."""
    remember(Secret("the-first-secret"))
    for number in range(0, secrets.MOST_KNOWN, 64):
        remember(Secret("several"), *(f"secret-{each:06d}" for each in range(number, number + 64)))
    assert redact("the-first-secret") == "the-first-secret"
    assert redact(f"secret-{secrets.MOST_KNOWN - 1:06d}") == HIDDEN


HIDE = """
import ctypes
from pipeline.secrets import hide_memory
assert hide_memory()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_memory_is_hidden(project_root: Path) -> None:
    """A process that holds a secret is not dumpable, so nobody of the same user may read its memory."""
    environ = {**os.environ, "PYTHONPATH": str(project_root)}
    command = [sys.executable, "-c", HIDE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "0"
