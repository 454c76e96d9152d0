"""Logs text: log lines as they are read, and for people: time, level, worker and event, then the fields.

In: bytes of a log file, whose content anybody may have sent us (market titles, errors of venues). Out:
`Line`s, and text without a character that a terminal would obey; colours, where asked for, are the only
escapes. Pure; used by `run.py logs` and the dashboard.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

_COLOURS = {"debug": "2", "warning": "33", "error": "31"}
_HEAD = ("time", "level", "worker", "event")
_PLAIN = re.compile(r"[\w./:@%+*-]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `at` orders it; `fields` is what it says, or None where it is no line of ours."""

    at: float
    worker: str
    fields: dict[str, Any] | None
    raw: bytes


def parse(raw: bytes, worker: str, before: float) -> Line:
    """A line from its bytes. What is no line of ours, or has no time, keeps its place behind `before`,
    and so does what is older: within a file lines stand in the order in which they were written.
    """
    try:
        fields = msgspec.json.decode(raw)
        if not isinstance(fields, dict):
            return Line(before, worker, None, raw)
        moment = datetime.fromisoformat(fields["time"])
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return Line(before, worker, None, raw)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Line(max(before, moment.timestamp()), worker, fields, raw)


def clean(text: str) -> str:
    """Text with everything that is not printable as an escape: controls, direction marks, half surrogates."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def rendered(line: Line, *, colour: bool) -> str:
    """A line of ours for people; its traceback, if it has one, on lines of its own."""
    fields = line.fields
    if fields is None:
        return f"{'':>18} {'?':<7} {clean(line.worker)}  {clean(line.raw.decode('utf-8', 'replace'))}"
    level = str(fields.get("level", "?"))
    # Month to millisecond of 2026-11-21T15:30:14.123+00:00.
    when = clean(str(fields.get("time", "")))[5:23].replace("T", " ")
    told = told_fields(fields)
    worker = clean(str(fields.get("worker", line.worker)))
    text = f"{when} {clean(level):<7} {worker:<16} {clean(str(fields.get('event', '')))}  {told}".rstrip()
    for trace in trace_lines(fields):
        text += f"\n    {trace}"
    shade = _COLOURS.get(level, "") if colour else ""
    return f"\x1b[{shade}m{text}\x1b[0m" if shade else text


def told_fields(fields: dict[str, Any]) -> str:
    """What a line tells beside its head and its traceback: key=value."""
    # A field that would be taken for one of the head has a sign behind it in the file.
    return " ".join(f"{clean(str(key)).rstrip('_')}={_value(value)}" for key, value in _others(fields))


def trace_lines(fields: dict[str, Any]) -> list[str]:
    """The traceback of a line, the outermost call first; none where it has none."""
    return [clean(trace) for trace in str(fields.get("traceback", "")).splitlines()]


def _others(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in fields.items() if key not in {*_HEAD, "traceback"}]


def _value(value: object) -> str:
    """A value; text that could be taken for more than one stands in quotes."""
    if isinstance(value, str) and value.isascii() and _PLAIN.fullmatch(value):
        return value
    if type(value) is int:
        return str(value)
    return clean(json.dumps(value, ensure_ascii=False))


def as_json(line: Line) -> str:
    """A line as one JSON object, ASCII alone; one that is not ours as {"worker", "broken"}."""
    if line.fields is not None:
        return json.dumps(line.fields)
    return json.dumps({"worker": line.worker, "broken": line.raw.decode("utf-8", "replace")})
