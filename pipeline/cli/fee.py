"""Fee: what one fill costs on a venue, by the numbers that config.toml and --set give.

In: a venue, a price and a size, a role, perhaps the fills of an order. Out: the fee in dollars with the
numbers it was made from, as lines or as one JSON object. Run by people and by checks. Exit code 0, 1 where
the fee is not known, 2 for a price, size, role or venue that cannot be, 3 for a configuration that cannot.
"""

from __future__ import annotations

import argparse
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.cli.common import BAD_CONFIG, FAILED, OK, ROOT, USAGE, add_data, complain, say
from pipeline.cli.parser import did_you_mean
from pipeline.cli.settings import resolve_or_complain
from pipeline.clock import moment_text
from pipeline.config import Config
from pipeline.config_schema.checks import KNOWN_VENUES, is_known
from pipeline.fees import (
    BUILT_IN,
    KALSHI_BASE,
    OrderFees,
    Role,
    fee_interval,
    schedule_for,
    schedule_from_config,
)
from pipeline.fees_tiers import BASE_VOLUME
from pipeline.model import UNKNOWN_FEE, FeeKind, FeeSchedule, Scale, to_text, to_units
from pipeline.money import money_text

CONTRACTS = frozenset({"kalshi", "polymarket"})
# A contract's price and size have six decimals at most on any venue; coins are counted in hundred-millionths.
CONTRACT_SCALE, COIN_SCALE = Scale(6, 6), Scale(8, 8)
FILLS_MAX = 1_000
# The key to name where a fee is not known.
RATE_KEYS = {"kalshi": "taker_coefficient", "polymarket": "rate"}


class Refused(Exception):
    """A word of the command line that cannot be. The text says which, why, and what to give."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("venue", metavar="VENUE", help=f"{', '.join(KNOWN_VENUES)} or ccxt:EXCHANGE")
    parser.add_argument("--price", metavar="P", required=True, help="dollars a contract or coin")
    parser.add_argument("--size", metavar="N", required=True, help="contracts, shares or coins")
    parser.add_argument("--role", choices=("taker", "maker"), default="taker", help="(default %(default)s)")
    parser.add_argument("--fills", metavar="N@P,...", default="", help="also the fee of an order filled so")
    parser.add_argument("--config", metavar="PATH", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--profile", metavar="NAME", help="demo, paper")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compute the fee and print it."""
    try:
        venue, scale = read_venue(args.venue)
        price, size = read_price(args.price, "--price", venue, scale), read_size(args.size, "--size", scale)
        fills = read_fills(args.fills, venue, scale)
    except Refused as error:
        complain(f"fee: {error}")
        return USAGE
    config = resolve_or_complain(args.config, args.profile, args.set, args.data)
    if config is None:
        return BAD_CONFIG
    try:
        schedule = schedule_of(venue, config)
    except ValueError as error:
        complain(f"{args.config}: {error}")
        return BAD_CONFIG
    if schedule.kind == FeeKind.UNKNOWN:
        key = f"fees.{venue if venue.isalpha() else json.dumps(venue)}.{RATE_KEYS.get(venue, 'taker_bps')}"
        complain(f"fee: what {venue} charges is not known here: name it, as in --set {key}=...")
        return FAILED
    report = build_report(schedule, args.role, (price, size), scale)
    report = {"venue": venue, **report}
    if fills:
        report |= order_report(schedule, args.role, fills, scale)
    say(json.dumps(report) if args.json else format_report(report))
    return OK


def schedule_of(venue: str, config: Config) -> FeeSchedule:
    """The schedule where no market says anything: the venue's base model or base tier under [fees]."""
    tiers = BUILT_IN.get(venue)
    published = KALSHI_BASE if venue == "kalshi" else UNKNOWN_FEE
    if tiers is not None:
        published = tiers.schedule(BASE_VOLUME) or UNKNOWN_FEE
    return schedule_from_config(venue, config.fees.get(venue), published, tiers)


def read_venue(word: str) -> tuple[str, Scale]:
    """The venue and the scale on which its prices and sizes are read."""
    if not is_known(word):
        known = f"{', '.join(KNOWN_VENUES)} or ccxt:EXCHANGE"
        raise Refused(f"{word!r} is no venue{did_you_mean(word, KNOWN_VENUES)}; give {known}")
    return word, CONTRACT_SCALE if word in CONTRACTS else COIN_SCALE


def read_price(text: str, where: str, venue: str, scale: Scale) -> int:
    """Ticks of a price that a fill on this venue can have."""
    ticks = _read(text, where, scale.price_decimals, "0.37")
    one = 10**scale.price_decimals
    if venue in CONTRACTS and not 0 < ticks < one:
        raise Refused(f"{where} {text}: a contract costs more than 0 and less than 1 dollar; give 0.37, say")
    if ticks <= 0:
        raise Refused(f"{where} {text}: a price is above 0; give 60000.5, say")
    return ticks


def read_size(text: str, where: str, scale: Scale) -> int:
    """Units of a size above 0."""
    units = _read(text, where, scale.size_decimals, "7")
    if units <= 0:
        raise Refused(f"{where} {text}: a size is above 0; give 7, say")
    return units


def read_fills(text: str, venue: str, scale: Scale) -> list[tuple[int, int]]:
    """`N@P,N@P,...` as price ticks and size units, in order; "" is none."""
    words = text.split(",") if text else []
    if len(words) > FILLS_MAX:
        raise Refused(f"--fills has {len(words)} fills: give {FILLS_MAX} at most")
    fills = []
    for word in words:
        size, at, price = word.partition("@")
        if not at:
            raise Refused(f"--fills: {word!r} is no fill; give SIZE@PRICE, as in 7@0.37,3@0.38")
        fills.append((read_price(price, "--fills", venue, scale), read_size(size, "--fills", scale)))
    return fills


def _read(text: str, where: str, decimals: int, example: str) -> int:
    try:
        return to_units(text, decimals)
    except ValueError as error:
        raise Refused(f"{where}: {error}; give a number such as {example}") from error


def build_report(schedule: FeeSchedule, role: Role, fill: tuple[int, int], scale: Scale) -> dict[str, Any]:
    """One fill's fee, its interval, and what they were made from; money as plain decimal text."""
    used = schedule_for(schedule, role)
    low, high = fee_interval(used, [fill], scale)
    return {
        "price": to_text(fill[0], scale.price_decimals),
        "size": to_text(fill[1], scale.size_decimals),
        "role": role,
        "fee": money_text(low),
        "fee_low": money_text(low),
        "fee_high": money_text(high),
        "kind": used.kind.name.lower(),
        **numbers_of(used),
        "source": schedule.source,
        "as_of": moment_text(schedule.as_of_ns),
    }


def numbers_of(schedule: FeeSchedule) -> dict[str, Any]:
    """The numbers that a formula of this kind uses, by the names of [fees.NAME]."""
    rate = to_text(schedule.rate_ppm, 6)
    precision = to_text(schedule.precision_micros, 6)
    if schedule.kind == FeeKind.KALSHI:
        return {"coefficient": rate, "account_precision": precision}
    if schedule.kind == FeeKind.POLYMARKET:
        return {"rate": rate, "exponent": schedule.exponent}
    if schedule.kind == FeeKind.BPS:
        return {"bps": to_text(schedule.rate_ppm, 2)}
    by_unit = {"per_unit": to_text(schedule.per_unit_micros, 6), "rounding": precision}
    return by_unit if schedule.kind == FeeKind.FLAT else {**by_unit, "rate": rate}


def order_report(
    schedule: FeeSchedule, role: Role, fills: list[tuple[int, int]], scale: Scale
) -> dict[str, Any]:
    """The fee of an order fill by fill, rebates included, and in all."""
    order = OrderFees(schedule, scale)
    rows: list[dict[str, str]] = []
    for ticks, units in fills:
        fee: Decimal = order.add(ticks, units, role)
        price, size = to_text(ticks, scale.price_decimals), to_text(units, scale.size_decimals)
        rows.append({"size": size, "price": price, "fee": money_text(fee)})
    return {"order_fee": money_text(order.total), "fills": rows}


def format_report(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['venue']}: {report['size']} at {report['price']} as {report['role']}",
        f"  {report['fee']} dollars in one fill, {report['fee_high']} in the worst split",
    ]
    shown = ("venue", "size", "price", "role", "fee", "fee_low", "fee_high", "fills")
    lines += [f"  {key:18} {value}" for key, value in report.items() if key not in shown]
    lines += [f"  {each['size']} at {each['price']}: {each['fee']}" for each in report.get("fills", ())]
    return "\n".join(lines)
