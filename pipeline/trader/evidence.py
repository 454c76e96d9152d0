"""Evidence: what the last look found, as the risk gate and the journal want it.

In: a priced direction and what passed. Out: a `risk.Look`, the edge again within a limit, and the
journal's record of a trade with everything that explains it. Pure; used by the trader's worker.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from pipeline.config import Config
from pipeline.edge import Edge
from pipeline.journal_records import IntentRecord, TradeRecord
from pipeline.look import Look
from pipeline.model_events import CLOSE, LegPlan
from pipeline.pricing import Priced, unwind_cost
from pipeline.trader import risk
from pipeline.trader.broker import OrderIntent
from pipeline.trader.kelly import KellyPositionSizer
from pipeline.trader.kelly_arbitrage import arbitrage_fraction
from pipeline.trader.orders import Trade
from pipeline.trader.record import Record
from pipeline.version import VERSION

PPM = 1_000_000


def look_of(priced: Priced, expires_ns: int, now_ns: int) -> risk.Look:
    """What the last look found, for the risk gate."""
    assert priced.edge is not None
    direction = priced.direction
    return risk.Look(
        event_id=direction.event.id,
        direction=direction.index,
        kind=direction.kind,
        legs=tuple(
            look_leg(look, plan) for look, plan in zip(priced.looks, direction.legs, strict=True) if look
        ),
        edge=priced.edge,
        expires_ns=expires_ns,
        now_ns=now_ns,
    )


def look_leg(look: Look, plan: LegPlan) -> risk.LookLeg:
    """One leg of the last look."""
    market, at = look.market.market, look.book.socket_ns
    return risk.LookLeg(plan.leg.venue, market, plan.outcome, plan.action, look.scale, at)


def reprice(priced: Priced, account: risk.Account, room: Decimal) -> Edge | None:
    """The edge on the same books for at most `room` dollars, within each venue's cash and what is held."""
    assert priced.edge is not None
    looked = look_of(priced, 0, 0).legs
    there = [risk.stock(priced.direction.event.id, leg, account) for leg in looked if leg.action == "sell"]
    most = int(min(there).scaleb(priced.edge.size_decimals)) if there else None
    if priced.direction.kind == CLOSE:
        return priced.within(None, None, most)
    cash = [account.cash.get(plan.leg.venue, Decimal(0)) for plan in priced.direction.legs]
    return priced.within(room, cash, most)


def kelly_room(priced: Priced, sizer: KellyPositionSizer, race_ppm: int) -> Decimal:
    """Dollars that Kelly allows: what its record says, and at most what leg risk and mismatch leave.

    One leg alone is taken to be sold back at once; a pair that pays differently loses nearly all.
    """
    edge, review = priced.edge, priced.direction.event.review
    recommended = sizer.get_recommended_position_size()
    if edge is None or edge.cash <= 0 or priced.direction.kind == CLOSE:
        return recommended
    fraction = arbitrage_fraction(
        edge.net_low / edge.cash,
        min(Decimal(1), unwind_cost(priced) / edge.cash),
        Decimal(PPM - race_ppm) / PPM,
        review.mismatch if review else Decimal(1),
    )
    # The fraction is exact in binary; dollars are cut to the cent.
    allowed = int(fraction * Fraction(sizer.capital) * 100)
    return min(recommended, Decimal(allowed).scaleb(-2))


def intent_record(intent: OrderIntent, polarity: str, look: Look) -> IntentRecord:
    """One leg for the journal, with the whole side of the book that it was decided on."""
    book = look.book
    evidence = {
        "row": look.row,
        "epoch": book.epoch,
        "number": book.number,
        "state": look.state,
        "socket_ns": book.socket_ns,
        "publish_ns": book.publish_ns,
        "bids": book.bids,
        "asks": book.asks,
    }
    return IntentRecord(intent.order_id, intent.leg, intent.fee, polarity, evidence)


def edge_evidence(edge: Edge) -> dict[str, object]:
    """An edge's numbers for the journal."""
    return {
        "size_units": edge.size_units,
        "size_decimals": edge.size_decimals,
        "gross": edge.gross,
        "depth": edge.depth,
        "payoff": edge.payoff,
        "fees": [leg.fee for leg in edge.legs],
        "fees_high": [leg.fee_high for leg in edge.legs],
        "net": edge.net,
        "net_low": edge.net_low,
        "cash": edge.cash,
        "edge_bp": edge.edge_bp,
    }


def kelly_evidence(sizer: KellyPositionSizer, recommended_usd: Decimal) -> dict[str, object]:
    """What the size was made from, for the journal."""
    record = sizer.statistics
    return {
        "recommended_usd": recommended_usd,
        "mode": str(sizer.kelly_mode),
        "capital_usd": sizer.capital,
        "trades": record.total_trades,
        "wins": record.winning_trades,
        "won_usd": record.total_won,
        "lost_usd": record.total_lost,
    }


def trade_record(
    trade_id: str,
    run_id: str,
    record: Record,
    priced: Priced,
    passed: risk.Passed,
    intents: tuple[OrderIntent, OrderIntent],
    config: Config,
    sizer: KellyPositionSizer,
) -> TradeRecord:
    """Everything that explains the trade, for the journal."""
    seen, direction = record.opportunity, priced.direction
    looks = [look for look in priced.looks if look is not None]
    return TradeRecord(
        trade_id=trade_id,
        run_id=run_id,
        event_id=seen.event_id,
        kind=seen.kind,
        direction=seen.direction,
        run_epoch=seen.run_epoch,
        sequence=seen.sequence,
        config_version=config.version,
        config_hash=config.hash,
        program_version=VERSION,
        decided_ns=record.decide_ns,
        edge=edge_evidence(passed.edge),
        kelly=kelly_evidence(sizer, passed.kelly_usd),
        intents=(
            intent_record(intents[0], direction.buy.polarity, looks[0]),
            intent_record(intents[1], direction.sell.polarity, looks[1]),
        ),
    )


def fee_counter(record: Record, trade: Trade) -> str:
    """Which counter a trade adds to: what the venues charged against the interval expected before."""
    fills = [fill for order in trade.orders for fill in order.fills.values()]
    charged = sum((fill.fee for fill in fills), Decimal(0))
    if charged > record.fee_high:
        return "fees_higher"
    return "fees_lower" if charged < record.fee else "fees_as_expected"
