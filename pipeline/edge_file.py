"""Edge files: the books and settings of one event as JSON, for `run.py edge` (docs/EDGE_FILES.md).

In: the text of a file. Out: an `EdgeFile` of integers on each leg's own scale, or `EdgeFileError` with
the key that is wrong, what is wrong with it and what to do. Pure.

Numbers are decimal text. A JSON number counts as the digits it is written with, never as binary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from pipeline.config import FeeConfig
from pipeline.fees import schedule_from_config
from pipeline.model import UNKNOWN_FEE, FeeSchedule, Ladder, Scale
from pipeline.model_events import (
    BASKET,
    BINARY,
    CLOSE,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    MAX_LEGS,
    SPOT,
)

KINDS = (BINARY, SPOT, COMPLEMENT, BASKET, IMPLICATION, LADDER, CLOSE)
PAIRS = (BINARY, SPOT, COMPLEMENT, CLOSE)
"""Kinds of exactly two legs."""

MAX_DECIMALS, MAX_DIGITS, MAX_LEVELS = 12, 15, 10_000
"""Digits after the point and before it, and levels a side. More is a slip, not a market."""

SIZE_DECIMALS = {"kalshi": 2, "polymarket": 6}
"""Decimals of sizes where a file states no lot; 8 on all other venues (DESIGN 4)."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=80)
_FINEST = Decimal(1).scaleb(-MAX_DECIMALS)

FILE_KEYS = "kind legs cash days mismatch side held worth transfer_usd".split()
LEG_KEYS = "venue market polarity bids asks fee grid lot min_size min_cost age_ms".split()


class EdgeFileError(ValueError):
    """A file that cannot be read: its text names the key and says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class FileLeg:
    """One market of a file. Ladders are best first, on `scale`; `age_ms` is None where not stated.

    The other numbers are those of `edge.EdgeLeg`. An unreadable fee is `UNKNOWN_FEE`.
    """

    venue: str
    market: str
    inverse: bool
    bids: Ladder
    asks: Ladder
    scale: Scale
    fee: FeeSchedule
    grid_ticks: int
    lot_units: int
    min_units: int
    min_cost_micros: int
    age_ms: Decimal | None


@dataclass(frozen=True, slots=True)
class EdgeFile:
    """What a file says; money in dollars.

    `side` of a basket is "yes", "no" or "" for both. `held` are contracts or coins, None for no bound;
    `worth` is what a held unit pays at settlement; `days` until it are None where not stated. `ignored`
    are unknown keys, for people.
    """

    kind: str
    legs: tuple[FileLeg, ...]
    cash: Mapping[str, Decimal]
    days: Decimal | None
    mismatch: Decimal
    side: str
    held: Decimal | None
    worth: Decimal
    transfer_usd: Decimal
    ignored: tuple[str, ...] = field(default=())


def read(text: str) -> EdgeFile:
    """Parse a file. Raises EdgeFileError."""
    top = _object(_json(text), "the file")
    kind = top.get("kind", BINARY)
    if kind not in KINDS:
        raise EdgeFileError(f"kind: {_shown(kind)} is not one of {', '.join(KINDS)}")
    listed = top.get("legs")
    if not isinstance(listed, list):
        raise EdgeFileError("legs: is not a list; give one object for each market")
    least, most = 2, 2 if kind in PAIRS else MAX_LEGS
    if not least <= len(listed) <= most:
        wanted = "2" if least == most else f"{least} to {most}"
        raise EdgeFileError(f"legs: there are {len(listed)}; {kind} takes {wanted}")
    ignored = _unknown(top, FILE_KEYS, "")
    legs = []
    for index, value in enumerate(listed):
        path = f"legs[{index}]"
        found = _object(value, path)
        ignored += _unknown(found, LEG_KEYS, f"{path}.")
        legs.append(_leg(found, path, index, contract=kind != SPOT))
    for index, leg in enumerate(legs):
        if (leg.venue, leg.market) in [(other.venue, other.market) for other in legs[:index]]:
            path, name = f"legs[{index}]", f"{leg.market!r} of {leg.venue}"
            raise EdgeFileError(f"{path}: names market {name} a second time; a market is no pair with itself")
    side = top.get("side", "")
    if side not in {"", "yes", "no"}:
        raise EdgeFileError(f'side: {_shown(side)} is not "yes" or "no"')
    cash = _object({} if top.get("cash") is None else top["cash"], "cash")
    days = _optional(top, "days")
    if days is not None and days <= 0:
        raise EdgeFileError(f"days: {_plain(days)} is not above 0; leave it out where nothing settles")
    mismatch = _optional(top, "mismatch") or Decimal(0)
    if mismatch > 1:
        raise EdgeFileError(f"mismatch: {_plain(mismatch)} is no probability; give 0 to 1")
    worth = _optional(top, "worth")
    return EdgeFile(
        kind,
        tuple(legs),
        {venue: _number(amount, f"cash.{venue}") for venue, amount in cash.items()},
        days,
        mismatch,
        side,
        _optional(top, "held"),
        Decimal(1) if worth is None else worth,
        _optional(top, "transfer_usd") or Decimal(0),
        tuple(ignored),
    )


def _json(text: str) -> Any:
    """The JSON, with numbers as Decimals of their text."""
    try:
        return json.loads(
            text,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=_constant,
            object_pairs_hook=_once,
        )
    except json.JSONDecodeError as error:
        raise EdgeFileError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise EdgeFileError("the file: is nested too deeply; it needs five levels") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that names no key twice: one of the two values would be lost in silence."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise EdgeFileError(f"{key}: is there twice in one object; keep one")
        found[key] = value
    return found


def _constant(text: str) -> Any:
    raise EdgeFileError(f"{text}: is no number that a market can have; write decimal text")


def _leg(found: dict[str, Any], path: str, index: int, *, contract: bool) -> FileLeg:
    polarity = found.get("polarity", "same")
    if polarity not in {"same", "inverse"}:
        raise EdgeFileError(f'{path}.polarity: {_shown(polarity)} is not "same" or "inverse"')
    if polarity == "inverse" and not contract:
        raise EdgeFileError(f"{path}.polarity: spot has no other outcome; leave it out")
    venue = _name(found, "venue", path, "")
    market = _name(found, "market", path, f"leg {index + 1}")
    sides = [_levels(found.get(name), f"{path}.{name}", contract=contract) for name in ("bids", "asks")]
    grid, lot, least, cost = [
        _optional(found, key, path) or Decimal(0) for key in ("grid", "lot", "min_size", "min_cost")
    ]
    prices = [price for side in sides for price, _size in side]
    sizes = [size for side in sides for _price, size in side]
    finest = 0 if lot else SIZE_DECIMALS.get(venue, 8)
    scale = Scale(_decimals([grid, *prices]), max(finest, _decimals([lot, least, *sizes])))
    bids, asks = [_ladder(side, scale) for side in sides]
    grid_ticks = _units(grid, scale.price_decimals)
    for name, side in zip(("bids", "asks"), sides, strict=True):
        for number, (price, _size) in enumerate(side):
            if grid_ticks and _units(price, scale.price_decimals) % grid_ticks:
                where = f"{path}.{name}[{number}]"
                raise EdgeFileError(f"{where}: price {_plain(price)} is not on the grid of {_plain(grid)}")
    return FileLeg(
        venue,
        market,
        polarity == "inverse",
        bids[::-1],
        asks,
        scale,
        _fee(found.get("fee"), venue, spot=not contract),
        grid_ticks,
        _units(lot, scale.size_decimals),
        _units(least, scale.size_decimals),
        int((cost * 1_000_000).to_integral_value(ROUND_CEILING)),
        _optional(found, "age_ms", path),
    )


def _levels(value: Any, path: str, *, contract: bool) -> list[tuple[Decimal, Decimal]]:
    """The levels of one side, in the order of the file."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_LEVELS:
        raise EdgeFileError(f"{path}: is not a list of at most {MAX_LEVELS} [price, size]")
    levels: list[tuple[Decimal, Decimal]] = []
    seen: dict[Decimal, int] = {}
    for index, level in enumerate(value):
        where = f"{path}[{index}]"
        if not isinstance(level, list) or len(level) != 2:
            raise EdgeFileError(f'{where}: {_shown(level)} is not a pair ["price", "size"]')
        price, size = _number(level[0], f"{where}[0]"), _number(level[1], f"{where}[1]")
        if contract and price > 1:
            raise EdgeFileError(f"{where}: price {_plain(price)} is above 1, which no contract costs")
        if size <= 0:
            raise EdgeFileError(f"{where}: size {_plain(size)} is not above 0; leave the level out")
        if price in seen:
            raise EdgeFileError(
                f"{where}: price {_plain(price)} is that of {path}[{seen[price]}] too; add up"
            )
        seen[price] = index
        levels.append((price, size))
    return levels


def _ladder(levels: Sequence[tuple[Decimal, Decimal]], scale: Scale) -> Ladder:
    """Rising by price."""
    made = [(_units(p, scale.price_decimals), _units(s, scale.size_decimals)) for p, s in levels]
    return tuple(sorted(made))


def _fee(value: Any, venue: str, *, spot: bool) -> FeeSchedule:
    """The fee of a leg; UNKNOWN_FEE for what is missing, mixed or unreadable, never zero."""
    if not isinstance(value, dict):
        return UNKNOWN_FEE
    keys = set(value)
    try:
        given = {key: _fee_text(item) for key, item in value.items()}
        if "coefficient" in keys and keys <= {"coefficient", "precision", "multiplier", "maker_coefficient"}:
            config = FeeConfig(
                kind="kalshi",
                taker_coefficient=given["coefficient"],
                multiplier=given.get("multiplier"),
                account_precision=given.get("precision"),
            )
        elif spot and keys == {"rate"}:
            # A coin has no p * (1 - p): its rate is a share of what is paid.
            config = FeeConfig(kind="bps", taker_bps=_plain(Decimal(given["rate"]).scaleb(4)))
        elif "rate" in keys and keys <= {"rate", "exponent"}:
            exponent = int(given.get("exponent") or "1")
            config = FeeConfig(kind="polymarket", rate=given["rate"], exponent=exponent)
        elif "taker_bps" in keys and keys <= {"taker_bps", "maker_bps"}:
            config = FeeConfig(kind="bps", taker_bps=given["taker_bps"])
        elif "per_unit" in keys and keys <= {"per_unit", "rounding", "rate"}:
            config = FeeConfig(
                kind="custom" if "rate" in keys else "flat",
                per_unit=given["per_unit"],
                rate=given.get("rate"),
                rounding=given.get("rounding"),
            )
        else:
            return UNKNOWN_FEE
        return schedule_from_config(venue, config, UNKNOWN_FEE)
    except ValueError:
        return UNKNOWN_FEE


def _fee_text(value: Any) -> str:
    """A number of a fee as plain text. Raises ValueError where it is none."""
    return _plain(_number(value, "fee")) if isinstance(value, str | Decimal) else ""


def _number(value: Any, path: str) -> Decimal:
    """A number that is not negative, of a plausible length. Raises EdgeFileError."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise EdgeFileError(f'{path}: {_shown(value)} is no number; write decimal text as "0.54"')
        value = Decimal(value)
    if not isinstance(value, Decimal):
        raise EdgeFileError(f"{path}: {_shown(value)} is no number")
    if not value:
        return Decimal(0)
    number: Decimal = value
    if not -MAX_DECIMALS <= number.adjusted() < MAX_DIGITS or len(number.as_tuple().digits) > _EXACT.prec:
        raise EdgeFileError(f"{path}: is too large or too fine for a number of a market")
    number = number.normalize(_EXACT)
    if number < 0:
        raise EdgeFileError(f"{path}: {_plain(number)} is below 0")
    if number != number.quantize(_FINEST, context=_EXACT):
        raise EdgeFileError(f"{path}: {_plain(number)} has over {MAX_DECIMALS} decimals")
    return number


def _optional(found: Mapping[str, Any], key: str, path: str = "") -> Decimal | None:
    """A number that may be left out."""
    value = found.get(key)
    return None if value is None else _number(value, f"{path}.{key}".lstrip("."))


def _name(found: Mapping[str, Any], key: str, path: str, otherwise: str) -> str:
    """A name, which is needed where there is nothing to call it otherwise."""
    value = found.get(key, otherwise)
    if not isinstance(value, str) or not value:
        raise EdgeFileError(f"{path}.{key}: {_shown(value)} is no name; give one")
    return value


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EdgeFileError(f"{path}: {_shown(value)} is no object with keys")
    return value


def _unknown(found: Mapping[str, Any], known: Collection[str], path: str) -> list[str]:
    return [f"{path}{key}" for key in found if key not in known]


def _decimals(values: Sequence[Decimal]) -> int:
    """The most decimals that any of them has; they are normalized."""
    return max(0, *[-int(value.as_tuple().exponent) for value in values])


def _units(value: Decimal, decimals: int) -> int:
    """A number on a scale that it fits."""
    return int(value.scaleb(decimals, _EXACT))


def _plain(value: Decimal) -> str:
    return format(value, "f")


def _shown(value: Any) -> str:
    """A wrong value, short enough for a line."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
