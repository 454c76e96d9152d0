"""Marks: what an open position would fetch if it were closed into the book as it is now.

In: a quantity and its book. Out: exact dollars after the taker fee. Pure; used by the trader for
unrealised P&L and the daily loss. What the published depth cannot take counts as worth nothing; what it
cannot give back of coins that are owed has no price, so nobody can say.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.fees import fee_high, is_known
from pipeline.look import Look
from pipeline.model import EXACT, BookState, Ladder, Level
from pipeline.model_events import takes_asks
from pipeline.money import to_decimal
from pipeline.pairs import published_fee


def value_now(outcome: str, quantity: Decimal, look: Look | None) -> Decimal | None:
    """Dollars that closing `quantity` of an outcome would bring now; negative where it must be bought.

    None where no LIVE book with that side and a known fee can say. NO is sold into the YES asks at
    1 - price; coins sold beyond those bought are bought back at the asks, all or none.
    """
    if look is None or look.state != BookState.LIVE:
        return None
    fee = published_fee(look.market)
    if not is_known(fee) or min(look.scale.price_decimals, look.scale.size_decimals) < 0:
        return None
    scale = look.scale
    units = int(quantity.copy_abs().scaleb(scale.size_decimals, EXACT))
    buying = quantity < 0
    hits_asks = takes_asks("buy" if buying else "sell", outcome)
    ladder: Ladder = look.book.asks if hits_asks else look.book.bids
    if outcome == "no":
        one = 10**scale.price_decimals
        ladder = tuple((one - ticks, size) for ticks, size in ladder)
    taken = take(ladder, units)
    if not taken or (buying and sum(size for _, size in taken) < units):
        return None
    total = sum(ticks * size for ticks, size in taken)
    gross = to_decimal(total, scale.price_decimals + scale.size_decimals)
    cost = fee_high(fee, taken, scale)
    return EXACT.minus(EXACT.add(gross, cost)) if buying else EXACT.subtract(gross, cost)


def take(ladder: Ladder, units: int) -> list[Level]:
    """The levels that `units` would take, best first."""
    taken: list[Level] = []
    for ticks, size in ladder:
        if units <= 0:
            break
        taken.append((ticks, min(size, units)))
        units -= size
    return taken
