"""Logs text: log lines for people: one time, level, worker and event a line, then the fields.

In: `Line`s, whose content anybody may have sent us (market titles, errors of venues). Out: text without a
character that a terminal would obey; colours, where asked for, are the only escapes. Used by `run.py logs`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.cli.logs_files import Line

_COLOURS = {"debug": "2", "warning": "33", "error": "31"}
_HEAD = ("time", "level", "worker", "event")
_PLAIN = re.compile(r"[\w./:@%+*-]+")


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
    told = " ".join(f"{clean(str(key))}={_value(value)}" for key, value in _others(fields))
    worker = clean(str(fields.get("worker", line.worker)))
    text = f"{when} {clean(level):<7} {worker:<16} {clean(str(fields.get('event', '')))}  {told}".rstrip()
    for trace in str(fields.get("traceback", "")).splitlines():
        text += f"\n    {clean(trace)}"
    shade = _COLOURS.get(level, "") if colour else ""
    return f"\x1b[{shade}m{text}\x1b[0m" if shade else text


def _others(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in fields.items() if key not in {*_HEAD, "traceback"}]


def _value(value: object) -> str:
    """A value; text that could be taken for more than one stands in quotes."""
    if isinstance(value, str):
        return (
            value
            if value.isascii() and _PLAIN.fullmatch(value)
            else clean(json.dumps(value, ensure_ascii=False))
        )
    return clean(json.dumps(value, ensure_ascii=False))


def as_json(line: Line) -> str:
    """A line as one JSON object, ASCII alone; one that is not ours as {"worker", "broken"}."""
    if line.fields is not None:
        return json.dumps(line.fields)
    return json.dumps({"worker": line.worker, "broken": line.raw.decode("utf-8", "replace")})
