"""`run.py books`: the books that our own codecs build from a tape, and how healthy it was.

In: a tape (DESIGN 8). Out: on stdout a table, or with --json the object of DESIGN 9; on stderr
every broken line. Run by people and by checks. Exit code 0, or 1 when the tape cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from pipeline.cli.common import say
from pipeline.feed.book import Book, BookKeeper
from pipeline.logs_text import clean
from pipeline.model import BookState, Level, to_text
from pipeline.tape import BrokenLine, TapeLine, read
from pipeline.venues.codec import Codec
from pipeline.venues.registry import CODECS

DEFAULT_DEPTH = 25
HEALTH = ("book_messages", "bad_frames", "gaps", "checksums_ok", "checksums_bad")


@dataclass(slots=True)
class VenueBooks:
    """One venue of a tape. Its books are shared; each of its connections has its own codec."""

    keeper: BookKeeper
    connections: dict[float | str, tuple[int, Codec]] = field(default_factory=dict)
    frames: int = 0

    def take(self, line: TapeLine) -> None:
        """Apply one line. What we sent ourselves counts as a line and changes no book."""
        self.frames += 1
        if line.out or line.venue not in CODECS:
            return
        known = self.connections.get(line.conn)
        if known is None:
            known = self.connections[line.conn] = len(self.connections), CODECS[line.venue]({})
        index, codec = known
        self.keeper.apply_frame(codec.decode(line.data.encode()), index)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tape", metavar="TAPE", help="a .jsonl, .jsonl.gz or .jsonl.zst file")
    parser.add_argument(
        "--depth",
        type=_depth,
        default=DEFAULT_DEPTH,
        metavar="N",
        help="levels a side to show, best first; 0 = all (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _depth(text: str) -> int:
    """A count of levels. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of levels")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Read the tape and print what came of it."""
    venues: dict[str, VenueBooks] = {}
    bad_lines = 0
    try:
        for line in read(args.tape):
            if isinstance(line, BrokenLine):
                bad_lines += 1
                print(f"{args.tape}: line {line.number}: {line.why}", file=sys.stderr)
                continue
            if line.venue not in venues:
                venues[line.venue] = VenueBooks(BookKeeper(line.venue))
                if line.venue not in CODECS:
                    known = ", ".join(CODECS)
                    print(f"unknown venue {line.venue!r}; known: {known}", file=sys.stderr)
            venues[line.venue].take(line)
    except OSError as error:
        print(f"books: {_reason(error)}", file=sys.stderr)
        return 1
    for seen in venues.values():
        # The tape's end is the end of every batch on it.
        seen.keeper.settle()
    report = build_report(venues, bad_lines, args.depth)
    say(json.dumps(report) if args.json else format_table(report))
    return 0


def _reason(error: OSError) -> str:
    """The error in one line: `FILE: No such file or directory`."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def build_report(venues: dict[str, VenueBooks], bad_lines: int, depth: int) -> dict[str, Any]:
    """The object that --json prints, as DESIGN 9 fixes it."""
    return {
        "books": {
            venue: {name: _book(book, depth) for name, book in sorted(seen.keeper.books.items())}
            for venue, seen in venues.items()
        },
        "venues": {
            venue: {"frames": seen.frames, **{key: getattr(seen.keeper, key) for key in HEALTH}}
            for venue, seen in venues.items()
        },
        "bad_lines": bad_lines,
    }


def _book(book: Book, depth: int) -> dict[str, Any]:
    bids, asks = book.top(depth)
    return {
        "state": BookState(book.state).name,
        "bids": _texts(book, bids),
        "asks": _texts(book, asks),
    }


def _texts(book: Book, levels: list[Level]) -> list[list[str]]:
    """Levels as plain decimal text; a book has none while its scale is unknown."""
    scale = book.scale
    if scale is None:
        return []
    return [
        [to_text(ticks, scale.price_decimals), to_text(units, scale.size_decimals)] for ticks, units in levels
    ]


def format_table(report: dict[str, Any]) -> str:
    """The report for people: a line a venue, then a line a book with its best levels."""
    lines = [f"{'VENUE':12}" + "".join(f"{key:>15}" for key in ("frames", *HEALTH))]
    for venue, counts in report["venues"].items():
        lines.append(f"{clean(venue)[:12]:12}" + "".join(f"{count:>15}" for count in counts.values()))
    lines.append(f"bad lines: {report['bad_lines']}")
    heads = f"{'size':>16} {'BID':>12} | {'ASK':<12} {'size':<16}"
    lines += ["", f"{'BOOK':40} {'STATE':8} {heads} levels shown"]
    for venue, books in report["books"].items():
        for name, book in books.items():
            bid, bid_size = (book["bids"] or [["-", "-"]])[0]
            ask, ask_size = (book["asks"] or [["-", "-"]])[0]
            shown = f"{len(book['bids'])} + {len(book['asks'])}"
            best = f"{bid_size:>16} {bid:>12} | {ask:<12} {ask_size:<16}"
            lines.append(f"{_short(clean(f'{venue} {name}')):40} {book['state']:8} {best} {shown}")
    return "\n".join(lines)


def _short(text: str) -> str:
    """At most 40 characters: Polymarket's ids are longer, and their ends tell them apart too."""
    return text if len(text) <= 40 else f"{text[:26]}…{text[-13:]}"
