"""Values: amounts, texts and addresses as people write them, read exactly.

In: one value as TOML gave it. Out: the value as `Config` holds it, or ValueError that says what it must
be. Pure; used by config_schema, which decides which key is of which kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

_AMOUNT = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)

Reader = Callable[[object], object]


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
    text = text if len(text) <= 40 else text[:40] + "…"
    return repr(text) if isinstance(value, str) else text


def amount(low: str, high: str, decimals: int = 6) -> Reader:
    """Reads an amount from `low` to `high` into plain decimal text, with the digits it is written with."""

    def read(value: object) -> object:
        known = isinstance(value, int | float | str) and not isinstance(value, bool)
        text = value.text if isinstance(value, Written) else str(value)
        if not known or not _AMOUNT.fullmatch(text):
            raise ValueError(f"must be an amount such as 12.50, got {shown(value)}")
        number = Decimal(text)
        if not Decimal(low) <= number <= Decimal(high):
            raise ValueError(f"must be from {low} to {high}, got {text}")
        if number != round(number, decimals):
            raise ValueError(f"must have at most {decimals} decimals, got {text}")
        return text if _PLAIN.fullmatch(text) else format(number, "f")

    return read


def text(least: int, most: int) -> Reader:
    """Reads text of `least` to `most` bytes without control characters, as rows of shared memory hold it.

    A TOML date or time becomes its ISO text.
    """

    def read(value: object) -> object:
        if isinstance(value, date | time):
            return value.isoformat()
        if not isinstance(value, str):
            raise ValueError(f"must be text in quotes, got {shown(value)}")  # noqa: TRY004 - pydantic collects it
        size = len(value.encode("utf-8", "replace"))
        if size < least:
            raise ValueError("must not be empty")
        if size > most:
            raise ValueError(f"must have at most {most} bytes, got {size}")
        if not value.isprintable():
            raise ValueError("must not hold control characters")
        return value

    return read


def variable_name(value: object) -> object:
    """Reads the name of an environment variable. What is none is not repeated: it may be the key itself."""
    if isinstance(value, str) and re.fullmatch(r"([A-Z_][A-Z0-9_]{0,63})?", value):
        return value
    raise ValueError("must be the name of an environment variable in capitals, such as KALSHI_KEY_ID")


def as_tuples(value: Any) -> Any:
    """A tree with tuples for lists, which frozen values hold."""
    if isinstance(value, dict):
        return {key: as_tuples(child) for key, child in value.items()}
    if isinstance(value, list):
        return tuple(as_tuples(child) for child in value)
    return value
