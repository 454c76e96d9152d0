"""Tape orders: what whoever watches a replay may ask of it, and the file that carries it.

In: an action and a value in words. Out: orders that hold, as text of run/replay.json; the position that one
seeks. Pure. Written by the supervisor (command `replay`), read by the lab that plays the tape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

ORDERS_FILE = "replay.json"
KEPT_ORDERS = 64
"""So many are kept in the file: the lab reads it each beat, a person gives far fewer meanwhile."""
ACTIONS = ("pause", "resume", "step", "speed", "seek")
AS_RECORDED_PPM = 1_000_000
FASTEST_PPM = 0
"""The speed that waits for nothing."""
SPEEDS = Decimal("0.1"), Decimal(1000)
SECOND_NS = 1_000_000_000
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(\.[0-9]{1,9})?")
SEEK_HELP = "write a share such as 25%, seconds such as +30 or -10, or a time of the tape such as 14:03:20"


class TapeOrderError(ValueError):
    """An order that cannot be obeyed, in words."""


class TapeOrder(msgspec.Struct, frozen=True):
    """One order; numbers count from 1 within a run."""

    number: int
    action: str
    value: str = ""


class _Orders(msgspec.Struct, frozen=True):
    orders: tuple[TapeOrder, ...] = ()


def checked(number: int, action: str, value: str) -> TapeOrder:
    """The order, if it can be obeyed on some tape. Raises TapeOrderError."""
    value = value.strip()
    if action not in ACTIONS:
        raise TapeOrderError(f"no action {action[:40]!r}; there are: {', '.join(ACTIONS)}")
    if action == "speed":
        speed_ppm(value)
    elif action == "seek":
        place_ns(value, 0, 0, 0)
    elif value:
        raise TapeOrderError(f"{action} takes no value, got {value[:40]!r}")
    return TapeOrder(number, action, value)


def speed_ppm(text: str) -> int:
    """A speed in millionths of the recording's pace, FASTEST_PPM for "max". Raises TapeOrderError."""
    if text == "max":
        return FASTEST_PPM
    low, high = SPEEDS
    if not _NUMBER.fullmatch(text) or not low <= Decimal(text) <= high:
        raise TapeOrderError(f"a speed is a number from {low} to {high}, or max; got {text[:40]!r}")
    return int(Decimal(text) * AS_RECORDED_PPM)


def place_ns(text: str, first_ns: int, last_ns: int, at_ns: int) -> int:
    """The wall time of the tape that is sought, within its first and last; `at_ns` is where it stands.

    A time of day is UTC, and the first such moment that is not before the tape's first line.
    Raises TapeOrderError.
    """
    sign, plain = text[:1], text.removesuffix("%")
    if text.endswith("%") and _NUMBER.fullmatch(plain) and Decimal(plain) <= 100:
        place = first_ns + int((last_ns - first_ns) * Decimal(plain) / 100)
    elif sign in {"+", "-"} and _NUMBER.fullmatch(text[1:].removesuffix("s")):
        place = at_ns + int(Decimal(text.removesuffix("s")) * SECOND_NS)
    elif (found := _TIME.fullmatch(text)) is not None:
        place = _moment_ns(found, first_ns)
    else:
        raise TapeOrderError(f"{text[:40]!r} is no place of a tape: {SEEK_HELP}")
    return max(first_ns, min(place, last_ns))


def _moment_ns(found: re.Match[str], first_ns: int) -> int:
    """A time of day on the day of the tape's first line, or on the next."""
    hours, minutes, seconds = (int(found.group(part)) for part in (1, 2, 3))
    begin = datetime.fromtimestamp(first_ns // SECOND_NS, UTC).replace(hour=0, minute=0, second=0)
    moment = begin + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    place = int(moment.timestamp()) * SECOND_NS + int(Decimal(found.group(4) or "0") * SECOND_NS)
    # The tape's first second counts whole: people write no fractions.
    return place if place > first_ns - SECOND_NS else place + 86_400 * SECOND_NS


def as_text(orders: Sequence[TapeOrder]) -> bytes:
    """The file of the last orders."""
    return msgspec.json.encode(_Orders(tuple(orders[-KEPT_ORDERS:])))


def from_text(text: bytes) -> tuple[TapeOrder, ...]:
    """The orders of a file, oldest first. Raises TapeOrderError when somebody else wrote it."""
    try:
        return msgspec.json.decode(text, type=_Orders).orders
    except msgspec.MsgspecError as error:
        raise TapeOrderError(str(error)) from error
