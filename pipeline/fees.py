"""Fees: what venues charge, exact to their own rounding, and where a schedule comes from.

In: schedules, fills, [fees.NAME] of the configuration. Out: exact Decimal dollars, and for the edge
arithmetic a `FeeFormula` on plain integers. Pure; used by edge, feeds, trader, lab and cli. The parts:
`fees_formula` (each venue's rounding), `fees_order` (accumulator, roles, waivers, intervals), `fees_tiers`
(tables by volume), `fees_config` (which schedule counts).
"""

from pipeline.fees_config import KALSHI_BASE, schedule_from_config
from pipeline.fees_formula import FLOOR_SCALE, FeeFormula, formula, is_known, money_decimals
from pipeline.fees_order import (
    Accumulator,
    OrderFees,
    Role,
    effective,
    fee_high,
    fee_interval,
    fee_price_ticks,
    order_fee,
    schedule_for,
    taker_fee,
)
from pipeline.fees_tiers import BUILT_IN, TieredMarket, TierTable, tier_problem

__all__ = [
    "BUILT_IN",
    "FLOOR_SCALE",
    "KALSHI_BASE",
    "Accumulator",
    "FeeFormula",
    "OrderFees",
    "Role",
    "TierTable",
    "TieredMarket",
    "effective",
    "fee_high",
    "fee_interval",
    "fee_price_ticks",
    "formula",
    "is_known",
    "money_decimals",
    "order_fee",
    "schedule_for",
    "schedule_from_config",
    "taker_fee",
    "tier_problem",
]
