"""Moments: times as people give them: "2h", "yesterday", "14:30", "2026-11-21T14:30".

In: a text, the wall clock. Out: nanoseconds since 1970. Times without a zone are UTC. Used by commands.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
HELP = "30s, 10m, 2h, 1d ago; today, yesterday; 14:30; 2026-11-21T14:30 (UTC)"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LETTERS = 40


def parse_moment(text: str, wall_ns: int) -> int:
    """The moment that is meant at `wall_ns`. Raises ValueError with what is understood."""
    today_ns = wall_ns - wall_ns % DAY_NS
    named = {"now": wall_ns, "today": today_ns, "yesterday": today_ns - DAY_NS}
    if text in named:
        return named[text]
    ago = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if ago:
        return wall_ns - int(ago[1]) * _SECONDS[ago[2]] * SECOND_NS
    today = datetime.fromtimestamp(wall_ns // SECOND_NS, UTC)
    of_day = re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text)
    try:
        moment = datetime.fromisoformat(f"{today:%Y-%m-%d}T{text}" if of_day else text)
    except ValueError:
        raise ValueError(f"{text[:_LETTERS]!r} is no time: give {HELP}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 10**6) * 1000
