"""Log lines: files of a data directory's logs, made line by line. Used by the tests that read logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipeline.logs import log_directory

# What a terminal might obey, the end of a line aside.
ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def stamp(seconds: float) -> str:
    return f"2026-11-21T10:{int(seconds) // 60:02}:{seconds % 60:06.3f}+00:00"


def line(seconds: float, event: str, level: str = "info", worker: str = "w", **fields: object) -> str:
    head = {"time": stamp(seconds), "level": level, "worker": worker, "event": event}
    return json.dumps({**head, **fields})


def write(data: Path, name: str, lines: list[str]) -> Path:
    path = log_directory(data) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in lines), "utf-8")
    return path
