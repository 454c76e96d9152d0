"""Segment: what the scanner keeps in its own memory: sections, counters, hops. Names, for its worker."""

from __future__ import annotations

from pipeline.model import Reason
from shm.histogram import histogram_section
from shm.layout import Section
from shm.records import EVENT, LIFE, QUOTE
from shm.survival import survival_section

EVENTS, LIVES, QUOTES = "events", "lives", "quotes"
REFUSED = "refused."
COUNTERS = (
    "evaluations",
    "screened",
    "opportunities",
    "sent",
    "send_dropped",
    "wakes",
    "bells",
    "missed_bells",
    "read_retries",
    "no_room",
    "births",
    "deaths",
    "censored",
    "predictions",
    "prediction_errors_ppm",
    "unfollowed",
    "classes_dropped",
    *(REFUSED + reason.name.lower() for reason in Reason if reason is not Reason.NONE),
)
HOPS = ("socket_to_book", "book_to_scan", "scan_to_send")
DIRECTIONS = 4
"""Rows for each event that the scanner may hold: a pair has two directions, and two more while it is held."""
RING, CLASSES = 256, 128


def sections(max_events: int) -> list[Section]:
    """Sections beside counters and errors."""
    return [
        EVENT.section(EVENTS, DIRECTIONS * max_events),
        LIFE.section(LIVES, RING),
        QUOTE.section(QUOTES, DIRECTIONS * max_events),
        survival_section(CLASSES),
        histogram_section(HOPS),
    ]
