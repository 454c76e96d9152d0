"""Fee settings: which schedule counts, of what a venue publishes and what [fees.NAME] says over it.

In: `FeeConfig`, the published schedule, the venue's tiers. Out: a `FeeSchedule` that says who stated it,
or ValueError. Pure; used through `pipeline.fees` by feeds and the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline.config import FeeConfig, parse_time_ns
from pipeline.fees_formula import CENT_MICROS, MILLION, is_known, precision_micros
from pipeline.fees_tiers import BASE_VOLUME, BUILT_IN, TierTable, dollars, table_of
from pipeline.model import UNKNOWN_FEE, FeeKind, FeeSchedule, to_units

SOURCE_BYTES = 48
"""So much of a source is kept, as a row of shared memory holds it."""

KALSHI_COEFFICIENT = "0.07"
"""Taker coefficient of Kalshi's base model (schedule effective 2026-07-07)."""

KALSHI_BASE = FeeSchedule(
    FeeKind.KALSHI,
    70_000,
    precision_micros=CENT_MICROS,
    source="kalshi schedule 2026-07-07, base model",
    as_of_ns=1_783_382_400_000_000_000,
)
"""Kalshi's base model, for `run.py fee`. A market's fee comes from its own metadata, never from here."""

_TIERS = ("taker_bps", "maker_bps", "volume_usd", "tiers")
_BY_UNIT = ("per_unit", "rounding")
# The keys that a kind of fee is made of. Where the config names no kind, any other key is a slip: it would
# count for nothing. Where it does, those of the venue's usual kind may still stand in the file.
_KEYS: dict[FeeKind, tuple[str, ...]] = {
    FeeKind.KALSHI: ("multiplier", "taker_coefficient", "maker_coefficient", "account_precision"),
    FeeKind.POLYMARKET: ("rate", "exponent"),
    FeeKind.BPS: _TIERS,
    FeeKind.FLAT: _BY_UNIT,
    FeeKind.CUSTOM: (*_BY_UNIT, "rate"),
}
_ALL_KEYS = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))
# These say how an account rounds or trades, not what the venue charges: the source stays the venue's.
_OF_THE_ACCOUNT = {"account_precision", "rounding", "volume_usd"}


def schedule_from_config(
    venue: str, config: FeeConfig | None, published: FeeSchedule, tiers: TierTable | None = None
) -> FeeSchedule:
    """The schedule to use: what `[fees.VENUE]` sets wins over what the venue publishes.

    Where nothing is published, the config has to state the rate itself (Kalshi `taker_coefficient` or
    `multiplier`, Polymarket and custom `rate`, others `taker_bps` or `tiers`, flat `per_unit`), else the
    fee stays UNKNOWN. `tiers` is the venue's own table, for a `volume_usd` in the config. A rate from the
    config ends a waiver. Raises ValueError for text finer than a millionth, for a rate below 0 or of 1 or
    more, for a hole in the tiers and, where the config names no kind, for a key that the venue's does not
    know.
    """
    config = config or FeeConfig()
    kind = _kind(venue, config, published)
    if published.kind not in {kind, FeeKind.UNKNOWN}:
        published, tiers = UNKNOWN_FEE, None
    set_keys = {key for key in _ALL_KEYS if getattr(config, key) not in {None, ()}}
    stray = set_keys.difference(_KEYS[kind])
    if stray and config.kind is None:
        raise ValueError(
            f"[fees.{venue}] sets {', '.join(sorted(stray))}, which {kind.name} fees do not know: "
            f"they know {', '.join(_KEYS[kind])}"
        )
    if kind == FeeKind.BPS and tiers is None and published.kind == FeeKind.UNKNOWN and config.volume_usd:
        tiers = BUILT_IN.get(venue)
    made = _MAKERS[kind](config, published, tiers)
    if made.kind == FeeKind.UNKNOWN:
        return made
    if config.kind is not None or set_keys - _OF_THE_ACCOUNT:
        source = config.source or f"config [fees.{venue}]"
        made = replace(made, source=source, as_of_ns=parse_time_ns(config.as_of), waived_until_ns=0)
    if not is_known(made):
        raise ValueError(f"[fees.{venue}] gives no possible fee: {made}")
    return replace(made, source=made.source.encode()[:SOURCE_BYTES].decode(errors="ignore"))


def _kind(venue: str, config: FeeConfig, published: FeeSchedule) -> FeeKind:
    """The formula: the config's, else the one published, else the venue's usual one."""
    if config.kind is not None:
        return FeeKind[config.kind.upper()]
    if published.kind != FeeKind.UNKNOWN:
        return published.kind
    return {"kalshi": FeeKind.KALSHI, "polymarket": FeeKind.POLYMARKET}.get(venue, FeeKind.BPS)


def _kalshi(config: FeeConfig, published: FeeSchedule, _tiers: TierTable | None) -> FeeSchedule:
    rate, maker = published.rate_ppm, published.maker_rate_ppm
    stated = config.taker_coefficient is not None or config.multiplier is not None
    if published.kind == FeeKind.UNKNOWN and not stated:
        return published
    multiplier = config.multiplier or "1"
    if stated:
        rate = _product_ppm(config.taker_coefficient or KALSHI_COEFFICIENT, multiplier)
    if config.maker_coefficient is not None:
        maker = _product_ppm(config.maker_coefficient, multiplier)
    precision = _step(config.account_precision, "account_precision", precision_micros(published))
    return replace(
        published,
        kind=FeeKind.KALSHI,
        rate_ppm=rate,
        maker_rate_ppm=maker,
        exponent=1,
        precision_micros=precision,
    )


def _polymarket(config: FeeConfig, published: FeeSchedule, _tiers: TierTable | None) -> FeeSchedule:
    if published.kind == FeeKind.UNKNOWN and config.rate is None:
        return published
    rate = published.rate_ppm if config.rate is None else to_units(config.rate, 6)
    exponent = published.exponent if config.exponent is None else config.exponent
    return replace(published, kind=FeeKind.POLYMARKET, rate_ppm=rate, exponent=exponent)


def _basis_points(config: FeeConfig, published: FeeSchedule, tiers: TierTable | None) -> FeeSchedule:
    base = published
    if config.tiers or (tiers is not None and config.volume_usd is not None):
        table = table_of(config.tiers) if config.tiers else tiers
        assert table is not None
        volume = BASE_VOLUME if config.volume_usd is None else dollars(config.volume_usd)
        # A table that does not say leaves the fee unknown: what is published is another account's.
        base = table.schedule(volume) or UNKNOWN_FEE
    if base.kind == FeeKind.UNKNOWN and config.taker_bps is None:
        return UNKNOWN_FEE
    # A basis point is a hundred millionths, so two decimals of a bp are exactly ppm.
    taker = base.rate_ppm if config.taker_bps is None else to_units(config.taker_bps, 2)
    maker = base.maker_rate_ppm if config.maker_bps is None else to_units(config.maker_bps, 2)
    return replace(base, kind=FeeKind.BPS, rate_ppm=taker, maker_rate_ppm=maker)


def _flat(config: FeeConfig, published: FeeSchedule, _tiers: TierTable | None) -> FeeSchedule:
    if published.kind == FeeKind.UNKNOWN and config.per_unit is None:
        raise ValueError("a flat fee needs per_unit, the dollars a contract or coin costs")
    return _by_unit(FeeKind.FLAT, config, published)


def _custom(config: FeeConfig, published: FeeSchedule, _tiers: TierTable | None) -> FeeSchedule:
    """`rate` is the share of price * size that takers and makers pay."""
    if published.kind == FeeKind.UNKNOWN and config.per_unit is None and config.rate is None:
        raise ValueError("a custom fee needs rate, a share of price * size, or per_unit, or both")
    rate, maker = published.rate_ppm, published.maker_rate_ppm
    if config.rate is not None:
        rate = maker = to_units(config.rate, 6)
    return _by_unit(FeeKind.CUSTOM, config, replace(published, rate_ppm=rate, maker_rate_ppm=maker))


def _by_unit(kind: FeeKind, config: FeeConfig, base: FeeSchedule) -> FeeSchedule:
    per_unit = base.per_unit_micros if config.per_unit is None else to_units(config.per_unit, 6)
    precision = _step(config.rounding, "rounding", precision_micros(base))
    return replace(base, kind=kind, per_unit_micros=per_unit, precision_micros=precision)


_MAKERS: dict[FeeKind, Callable[[FeeConfig, FeeSchedule, TierTable | None], FeeSchedule]] = {
    FeeKind.KALSHI: _kalshi,
    FeeKind.POLYMARKET: _polymarket,
    FeeKind.BPS: _basis_points,
    FeeKind.FLAT: _flat,
    FeeKind.CUSTOM: _custom,
}


def _step(text: str | None, key: str, otherwise: int) -> int:
    """A rounding step in millionths of a dollar; ValueError unless it is above 0."""
    if text is None:
        return otherwise
    micros = to_units(text, 6)
    if micros <= 0:
        raise ValueError(f"{key} {text!r} is not above 0")
    return micros


def _product_ppm(coefficient: str, multiplier: str) -> int:
    """coefficient * multiplier in millionths, or ValueError where that is not exact."""
    whole, rest = divmod(to_units(coefficient, 6) * to_units(multiplier, 6), MILLION)
    if rest:
        raise ValueError(f"{coefficient} * {multiplier} is finer than a millionth")
    return whole
