"""`run.py edge FILE`: the edge mathematics on books given in a file (docs/EDGE_FILES.md).

In: a JSON file, the limits of the configuration. Out: per direction the waterfall from gross to net and
the check that refuses it, or with --json the object of DESIGN 10. Run by people and by checks. Exit code
0, 1 when the file cannot be opened, 2 when it makes no sense, 3 when the configuration does not hold.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from dashboard.reasons import reason_plain, reason_sentence
from pipeline.cli.common import BAD_CONFIG, FAILED, OK, ROOT, USAGE, add_data, complain, say
from pipeline.cli.edge_answers import answer
from pipeline.cli.settings import resolve_or_complain
from pipeline.edge_file import FILE_KEYS, LEG_KEYS, EdgeFileError, read
from pipeline.model import Reason
from pipeline.money import money_text, to_micros
from pipeline.pairs_checks import limits_of

MAX_BYTES = 16 * 2**20
"""A larger file is no event's books."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="JSON, as docs/EDGE_FILES.md says")
    parser.add_argument("--config", metavar="PATH", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--profile", metavar="NAME", help="demo, paper")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read the file and print what it is worth."""
    config = resolve_or_complain(args.config, args.profile, args.set, args.data)
    if config is None:
        return BAD_CONFIG
    try:
        with args.file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        complain(f"{args.file}: {error.strerror}")
        return FAILED
    try:
        if len(raw) > MAX_BYTES:
            raise EdgeFileError(f"has over {MAX_BYTES} bytes; give the books of one event")
        file = read(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        complain(f"{args.file}: byte {error.start}: is no UTF-8; write it as UTF-8")
        return USAGE
    except EdgeFileError as error:
        complain(f"{args.file}: {error}")
        return USAGE
    for key in file.ignored:
        known = LEG_KEYS if "." in key else FILE_KEYS
        complain(f"{args.file}: {key}: is ignored; known here are {', '.join(known)}")
    found = answer(file, limits_of(config))
    say(json.dumps(found) if args.json else "\n".join(lines(found)))
    return OK


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The answer for people: a waterfall for each direction."""
    for index, direction in enumerate(found["directions"]):
        best = "  (best)" if index == found["best"] else ""
        yield f"{found['kind']} {index}: {', '.join(_leg(leg) for leg in direction['legs'])}{best}"
        yield from _waterfall(direction)
        refusal = direction["rejection"]
        yield f"  rejected: {_sentence(refusal)}" if refusal else "  no check refuses it"
        yield ""


def _leg(leg: dict[str, Any]) -> str:
    limit = f" at {leg['limit']}" if leg["limit"] is not None else ""
    return f"{leg['action']} {leg['outcome']} {leg['venue']} {leg['market']}{limit}"


def _waterfall(direction: dict[str, Any]) -> Iterator[str]:
    """Gross at the best prices, what depth and each venue's fees take, and what is left."""
    if direction["size"] is None:
        yield "  no size has a gross above 0"
        return
    best = money_text(Decimal(direction["gross"]) + Decimal(direction["depth"]))
    year = f", {direction['annual_pct']} % a year" if direction["annual_pct"] is not None else ""
    split = f"at least {direction['net_low']} however fills split"
    pays = (
        f"net above 0 from {direction['break_even'] or '-'}, not below 0 up to {direction['largest'] or '-'}"
    )
    rows = [("gross", best, f"{direction['gross_bp']} bp, at the best prices")]
    rows.append(("depth", _less(direction["depth"]), "for the levels behind them"))
    rows += [("fee", _less(fee), venue) for venue, fee in direction["fees"].items()]
    rows.append(("net", direction["net"], f"{direction['edge_bp']} bp{year}; {split}"))
    rows += [("cash", direction["cash"], "with fees"), ("size", direction["size"], pays)]
    width = max(len(value) for _name, value, _text in rows)
    for name, value, text in rows:
        yield f"  {name:6} {value:>{width}}  {text}"


def _less(amount: str) -> str:
    return amount if amount == "0" else f"-{amount}"


def _sentence(refusal: dict[str, str]) -> str:
    """A rejection in words, with its numbers."""
    reason = Reason[refusal["reason"].upper()]
    value, limit = to_micros(Decimal(refusal["value"])), to_micros(Decimal(refusal["limit"]))
    return f"{reason_plain(reason)} ({reason_sentence(reason, value, limit)})"
