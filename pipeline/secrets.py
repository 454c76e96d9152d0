"""Secrets: keys and addresses that nobody may read over our shoulder.

In: the name of one place: an environment variable, a file that only its owner may read, or an entry of the
system's keyring. Out: a `Secret`, which shows itself nowhere, and `redact`, which takes every secret that
this process has loaded out of any text. Run by what holds a secret (feeds, observer, supervisor) and by the
logs. A variable is taken out of the environment when it is read; what /proc/PID/environ showed when the
process began it goes on showing to its owner, so a file or the keyring is the better place.
"""

from __future__ import annotations

import ctypes
import hmac
import json
import os
import re
import stat
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Never

HIDDEN = "***"
MAX_BYTES = 64 * 1024
# What is shorter would take ordinary words out of every log; the oldest of too many gives way.
LEAST_CHARACTERS, MOST_KNOWN = 6, 1024
PR_SET_DUMPABLE = 4  # linux/prctl.h


class SecretError(ValueError):
    """A secret cannot be had; the text says which, where it was looked for and what to do, and no more."""


class Secret:
    """A text that shows as `***`, is compared in constant time, and goes into no message and no file."""

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # a key of a dict would be shown with it

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the call that needs it; keep no reference to it."""
        return self._text

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Whether both hide the same; no plain text is ever equal to a secret."""
        if not isinstance(other, Secret):
            return False
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __repr__(self) -> str:
        """`***`, of whatever length it is."""
        return HIDDEN

    def __format__(self, _how: str) -> str:
        """`***`, not even cut or filled as was asked."""
        return HIDDEN

    def __reduce_ex__(self, _protocol: object) -> Never:
        """A secret is neither copied nor written down."""
        raise TypeError("a secret cannot be copied or serialised; reveal() it where it is needed")


def load_secret(
    what: str,
    *,
    env: str = "",
    file: str = "",
    keyring: str = "",
    environ: MutableMapping[str, str],
) -> Secret:
    """The secret in the one place that is named, remembered for `redact`. Raises SecretError.

    `what` names it for people ("the private key of kalshi"). A variable is removed from `environ`: who needs
    it again keeps the Secret. `keyring` is SERVICE/NAME. Blanks around the text are no part of it.
    """
    named = [place for place in (env, file, keyring) if place]
    if len(named) != 1:
        found = "no place is named" if not named else "more than one place is named"
        raise SecretError(f"{what}: {found}; give one of an environment variable, a file, a keyring entry")
    if env:
        text = environ.pop(env, "").strip()
        if not text:
            raise SecretError(f"{what}: the environment variable {env} is not set")
        if len(text) > MAX_BYTES:
            raise SecretError(f"{what}: the environment variable {env} is longer than {MAX_BYTES} bytes")
    elif file:
        text = _from_file(what, Path(file))
    else:
        text = _from_keyring(what, keyring)
    secret = Secret(text)
    remember(secret)
    return secret


def _from_file(what: str, path: Path) -> str:
    """The text of a file of ours. The open file is judged, so nobody can exchange it after the look."""
    try:
        path = path.expanduser()
        # Not blocking: a FIFO of that name would hold us for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, RuntimeError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "it cannot be found"
        raise SecretError(f"{what}: {path} cannot be read: {why}") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise SecretError(f"{what}: {path} is not a file")
        if found.st_uid != os.geteuid():
            raise SecretError(f"{what}: {path} belongs to another user; make a copy that is yours")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SecretError(f"{what}: {path} is open to others: chmod 600 {path}")
        content = os.read(handle, MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{what}: {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(content) > MAX_BYTES:
        raise SecretError(f"{what}: {path} is larger than {MAX_BYTES} bytes, so it is something else")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        # Not chained: the error would carry the bytes.
        raise SecretError(f"{what}: {path} is not text") from None
    if not text:
        raise SecretError(f"{what}: {path} is empty")
    return text


def _from_keyring(what: str, entry: str) -> str:
    """The text of an entry of the system's keyring."""
    service, slash, name = entry.partition("/")
    if not (service and slash and name):
        raise SecretError(f"{what}: {entry!r} is no keyring entry; write SERVICE/NAME")
    try:
        # Late: it looks for every backend of the system when it is imported, and few people use it.
        import keyring

        text = (keyring.get_password(service, name) or "").strip()
    except ModuleNotFoundError as error:
        wanted = "pip install keyring" if error.name == "keyring" else "look at PYTHON_KEYRING_BACKEND"
        raise SecretError(f"{what}: {error.name} is not installed: {wanted}") from None
    except Exception as error:
        # Backends are other people's programs: what they raise is not told, for it may hold the text.
        kind = type(error).__name__
        if kind == "NoKeyringError":
            raise SecretError(f"{what}: this system has no keyring; use a file of mode 600") from None
        raise SecretError(f"{what}: the keyring refused: {kind}; is it unlocked?") from None
    if not text:
        raise SecretError(f"{what}: the keyring has no entry {entry}: keyring set {service} {name}")
    return text


# -- what this process knows, so that it can be kept out of every text -----------------------------------


class _Known:
    """Every spelling of every secret loaded so far, and the pattern that finds any of them."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, texts: list[str]) -> None:
        """Know these too. The pattern is made first and then put in place: other threads may be using it."""
        fresh = [text for text in texts if len(text) >= LEAST_CHARACTERS and text not in self._texts]
        if not fresh:
            return
        self._texts.update(dict.fromkeys(fresh))
        for old in list(self._texts)[: max(0, len(self._texts) - MOST_KNOWN)]:
            del self._texts[old]
        longest_first = sorted(self._texts, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        """The text with each of them as `***`."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


_known = _Known()


def remember(secret: Secret, *parts: str) -> None:
    """Let `redact` know a secret, and `parts` of it that tell it by themselves (the token of an address).

    Each line of a key counts by itself, because a log may break or escape lines. What has fewer than
    LEAST_CHARACTERS cannot be kept out of texts.
    """
    texts = [part for whole in (secret.reveal(), *parts) for part in (whole, *whole.splitlines())]
    # The armour of a PEM is the same for everybody, and says what is wrong with a key.
    texts = [text.strip() for text in texts if not text.strip().startswith("-----") or "\n" in text.strip()]
    _known.add(texts + [json.dumps(text)[1:-1] for text in texts])


def redact(text: str) -> str:
    """`text` with every secret that this process has loaded replaced by `***`."""
    return _known.redact(text)


def hide_memory() -> bool:
    """Keep other processes of the same user from reading our memory and environment, and make no core dump.

    PR_SET_DUMPABLE 0 (prctl(2)): afterwards only root may trace us or read /proc/PID/mem, environ, fd.
    Returns whether the system did so; it need not be Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return int(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0
    except (OSError, AttributeError):
        return False
