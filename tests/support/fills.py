"""Records of an account without a journal: fills, confirmations, cash, and markets that settle.

In: plain texts and numbers. Out: the journal's records, as they would be read back. Used by the tests of
what is made of them.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from pipeline.journal_records import CashRecord, ConfirmationRecord, FillRecord, SettlementRecord
from pipeline.model import MarketResult, Scale
from pipeline.trader.holding import Key
from pipeline.trader.positions import Positions
from pipeline.trader.results import DAY_NS

KALSHI, POLY, KRAKEN, COINBASE = Scale(6, 2), Scale(6, 6), Scale(1, 8), Scale(8, 8)
SCALES = {"kalshi": KALSHI, "polymarket": POLY, "kraken": KRAKEN}
DAY = 20_000 * DAY_NS


def fill(
    number: int,
    venue: str,
    outcome: str,
    price: str | Decimal,
    size: str | Decimal,
    *,
    action: str = "buy",
    fee: str | Decimal = "0",
    trade: str = "t1",
    event: str = "e",
    market: str = "M",
    polarity: str = "same",
    provisional: bool = False,
    wall_ns: int = DAY,
) -> FillRecord:
    """A fill at a book price; its id is `f` and the number."""
    scale = SCALES.get(venue, COINBASE)
    return FillRecord(
        venue=venue,
        fill_id=f"f{number}",
        order_id=f"{trade}-0",
        trade_id=trade,
        event_id=event,
        market=market,
        outcome=outcome,
        action=action,
        price_ticks=int(Decimal(price).scaleb(scale.price_decimals)),
        size_units=int(Decimal(size).scaleb(scale.size_decimals)),
        scale=scale,
        fee=Decimal(fee),
        at_ns=1,
        polarity=polarity,
        provisional=provisional,
        wall_ns=wall_ns,
    )


def a_pair(trade: str = "t1", size: str = "10", wall_ns: int = DAY, start: int = 0) -> list[FillRecord]:
    """YES on Kalshi at 0.48 and NO on Polymarket against a book of 0.55: costs 0.93, pays 1."""
    return [
        fill(start, "kalshi", "yes", "0.48", size, fee="0.18", trade=trade, wall_ns=wall_ns),
        fill(start + 1, "polymarket", "no", "0.55", size, fee="0.1", trade=trade, wall_ns=wall_ns),
    ]


def spot(size_bought: str = "0.5", size_sold: str = "0.5") -> list[FillRecord]:
    """Coins bought at 100 on Kraken and sold at 102 on Coinbase."""
    return [
        fill(1, "kraken", "base", "100", size_bought, fee="0.2", market="BTC/USD"),
        fill(2, "coinbase", "base", "102", size_sold, action="sell", fee="0.3", market="BTC-USD"),
    ]


def failed(venue: str, number: int) -> ConfirmationRecord:
    """The fill of that number never happened."""
    return ConfirmationRecord(venue, f"f{number}", "FAILED", 1)


def money(venue: str, amount: str, market: str = "") -> CashRecord:
    """Dollars, or coins of a market, that came or went."""
    return CashRecord(venue, market, Decimal(amount), "test")


def account(**changes: object) -> Positions:
    """$100 at each prediction market and $5000 at Kraken."""
    cash = {"kalshi": Decimal(100), "polymarket": Decimal(100), "kraken": Decimal(5000)}
    return Positions(cash, **changes)  # type: ignore[arg-type]


def settle(
    positions: Positions,
    venue: str,
    market: str,
    result: MarketResult,
    wall_ns: int = DAY,
    value: Decimal | None = None,
) -> list[SettlementRecord]:
    """Book what a market pays, and say what was booked."""
    due = [replace(each, wall_ns=wall_ns) for each in positions.due(venue, market, result, value)]
    for record in due:
        assert positions.apply_settlement(record)
    return due


def no_mark(_key: Key, _quantity: Decimal) -> Decimal | None:
    """No live book anywhere."""
    return None
