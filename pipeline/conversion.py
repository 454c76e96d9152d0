"""Conversion: a spot ladder quoted in another currency, brought into dollars through a live book.

In: the side of the book that is used up, and the book that turns its quote currency (a stablecoin) into
dollars. Out: the same ladder with prices in dollars, or None. Pure integers; used where a leg is priced.

One rate serves the whole ladder: the worst one that converting all it shows would reach, after the
conversion's own fee. So a part of the ladder is never priced better than it could be converted.
"""

from __future__ import annotations

from pipeline.model import Ladder, Scale

PPM, PPM_DECIMALS = 10**6, 6
MAX_DECIMALS = 12
"""Decimals of a converted price at most: prices to nine million dollars then fit into 64 bits."""


def converted(
    ladder: Ladder,
    scale: Scale,
    side: str,
    conversion_ladder: Ladder,
    conversion_scale: Scale,
    conversion_fee_ppm: int,
    fee_ppm: int = 0,
) -> tuple[Ladder, Scale] | None:
    """The ladder in dollars with its scale, or None where the conversion book shows too little.

    `side` "sell" brings the currency, which is sold into the conversion's bids; "buy" needs it, and it is
    bought from the asks, for the leg's own fee of `fee_ppm` too. Sizes stay. Prices have the decimals of
    both books and the fee's, at most MAX_DECIMALS, and are rounded against us.
    """
    assert side in {"buy", "sell"}, side
    sold = side == "sell"
    worst = _worst(ladder, scale, 0 if sold else fee_ppm, conversion_ladder, conversion_scale)
    if worst is None:
        return None
    rate = worst * (PPM - conversion_fee_ppm if sold else PPM + conversion_fee_ppm)
    decimals = scale.price_decimals + conversion_scale.price_decimals + PPM_DECIMALS
    step: int = 10 ** max(decimals - MAX_DECIMALS, 0)
    prices = [ticks * rate // step if sold else -(-ticks * rate // step) for ticks, _units in ladder]
    if min(prices) <= 0:
        return None
    sizes = [units for _ticks, units in ladder]
    return tuple(zip(prices, sizes, strict=True)), Scale(min(decimals, MAX_DECIMALS), scale.size_decimals)


def _worst(
    ladder: Ladder, scale: Scale, fee_ppm: int, conversion_ladder: Ladder, conversion_scale: Scale
) -> int | None:
    """Ticks of the last conversion level that is needed to convert everything the ladder shows."""
    digits = scale.price_decimals + scale.size_decimals + PPM_DECIMALS
    left = sum(ticks * units for ticks, units in ladder) * (PPM + fee_ppm)
    if left <= 0:
        return None
    # Both sides on one scale: the notional and the sizes of the conversion book are whole numbers there.
    common = max(digits, conversion_scale.size_decimals)
    left *= 10 ** (common - digits)
    unit: int = 10 ** (common - conversion_scale.size_decimals)
    for ticks, units in conversion_ladder:
        left -= units * unit
        if left <= 0:
            return ticks
    return None
