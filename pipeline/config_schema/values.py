"""Values: amounts, texts and addresses as people write them, read exactly.

In: one value as TOML gave it. Out: the value as `Config` holds it, or ValueError that says what it must
be. Pure; used by config_schema, which decides which key is of which kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any

_AMOUNT = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_RUN = re.compile(r"[A-Za-z0-9+/=_.:-]{24,}", re.ASCII)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(\S+)", re.ASCII)
_OWN_SCHEMES = {"ws://", "wss://", "http://", "https://", "tcp://", "ftp://", "file://"}
_POST_TO = re.compile(
    r"https?://([^/]*\.)?(discord(app)?\.com/api/webhooks|hooks\.slack\.com|api\.telegram\.org)/"
)


class Written(float):
    """A TOML float that remembers how it was written: money must not pass through binary."""

    text: str


def written(text: str) -> Written:
    """What tomli makes of a float."""
    number = Written(text)
    number.text = text.replace("_", "")
    return number


def shown(value: object) -> str:
    """A value as a message shows it: short, in TOML's words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Written):
        return value.text[:40]
    text = str(value)
    if looks_secret(text):
        return f"{len(text)} characters that are not repeated here: they may be a secret"
    text = text if len(text) <= 40 else text[:40] + "…"
    return repr(text) if isinstance(value, str) else text


def toml(value: object) -> str:
    """A value as TOML writes it, in one line."""
    if isinstance(value, str):
        return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in value) + '"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{toml_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return shown(value) if value is not None else ""


def toml_key(key: str) -> str:
    """A key as TOML writes it."""
    return key if _BARE.fullmatch(key) else toml(key)


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"\\U{ord(character):08x}"


def is_secret_address(text: str) -> bool:
    """Whether a text is an address that lets whoever reads it in: with a password, or of a messenger."""
    for scheme, rest in _ADDRESS.findall(text):
        if scheme.lower() not in _OWN_SCHEMES or "@" in rest.partition("/")[0]:
            return True
    return bool(_POST_TO.match(text)) or "PRIVATE KEY-----" in text


def looks_secret(text: str) -> bool:
    """Whether a text may be a key or a token: 24 characters without a space, digits among small letters."""
    return is_secret_address(text) or any(_is_token(run) for run in _RUN.findall(text))


def masked(text: str) -> str:
    """The text with a star for each character of what may be a secret; as long as before."""
    stars = _ADDRESS.sub(lambda m: m[1] + "*" * len(m[2]) if is_secret_address(m[0]) else m[0], text)
    return _RUN.sub(lambda m: "*" * len(m[0]) if _is_token(m[0]) else m[0], stars)


def _is_token(run: str) -> bool:
    digits, small = sum(c.isdecimal() for c in run), sum(c.islower() for c in run)
    return digits >= 3 and small >= 3 and not _ADDRESS.match(run)


@dataclass(frozen=True, slots=True)
class Amount:
    """Reads an amount from `low` to `high` into plain decimal text, with the digits it is written with."""

    low: str
    high: str
    decimals: int = 6

    @property
    def form(self) -> str:
        """What may be written, for people."""
        return f"amount, {self.low} to {self.high}"

    def __call__(self, value: object) -> object:
        """The text of the amount. Raises ValueError saying what it must be."""
        known = isinstance(value, int | float | str) and not isinstance(value, bool)
        text = value.text if isinstance(value, Written) else str(value)
        if not known or not _AMOUNT.fullmatch(text):
            raise ValueError(f"must be an amount such as 12.50, got {shown(value)}")
        number = Decimal(text)
        if not Decimal(self.low) <= number <= Decimal(self.high):
            raise ValueError(f"must be from {self.low} to {self.high}, got {text}")
        if number != round(number, self.decimals):
            raise ValueError(f"must have at most {self.decimals} decimals, got {text}")
        return text if _PLAIN.fullmatch(text) else format(number, "f")


@dataclass(frozen=True, slots=True)
class Text:
    """Reads text of `least` to `most` bytes without control characters, as rows of shared memory hold it.

    A TOML date or time becomes its ISO text.
    """

    least: int
    most: int

    @property
    def form(self) -> str:
        """What may be written, for people."""
        return f"text, {self.least or 'up'} to {self.most} bytes"

    def __call__(self, value: object) -> object:
        """The text. Raises ValueError saying what it must be."""
        if isinstance(value, date | time):
            return value.isoformat()
        if not isinstance(value, str):
            raise ValueError(f"must be text in quotes, got {shown(value)}")  # noqa: TRY004 - pydantic collects it
        size = len(value.encode("utf-8", "replace"))
        if size < self.least:
            raise ValueError("must not be empty")
        if size > self.most:
            raise ValueError(f"must have at most {self.most} bytes, got {size}")
        if not value.isprintable():
            raise ValueError("must not hold control characters")
        return value


def variable_name(value: object) -> object:
    """Reads the name of an environment variable. What is none is not repeated: it may be the key itself."""
    if isinstance(value, str) and re.fullmatch(r"([A-Z_][A-Z0-9_]{0,63})?", value):
        return value
    raise ValueError("must be the name of an environment variable in capitals, such as KALSHI_KEY_ID")


def is_deeper(tree: Any, most: int) -> bool:
    """Whether tables and lists stand more than `most` deep in each other; walked level by level."""
    level = [tree]
    for _ in range(most + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, dict | list) for each in level)


def as_tuples(value: Any) -> Any:
    """A tree with tuples for lists, which frozen values hold."""
    if isinstance(value, dict):
        return {key: as_tuples(child) for key, child in value.items()}
    if isinstance(value, list):
        return tuple(as_tuples(child) for child in value)
    return value
