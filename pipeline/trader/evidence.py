"""Evidence: what the last look found, as the risk gate and the journal want it.

In: a priced direction and what passed. Out: a `risk.Look`, the edge again within a limit, and the
journal's record of a trade with everything that explains it. Pure; used by the trader's worker.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.config import Config
from pipeline.edge import SPOT, Edge
from pipeline.journal_records import IntentRecord, TradeRecord
from pipeline.look import Look
from pipeline.pricing import Priced
from pipeline.trader import risk
from pipeline.trader.broker import OrderIntent
from pipeline.trader.kelly import KellyPositionSizer
from pipeline.trader.record import Record
from pipeline.version import VERSION


def look_of(priced: Priced, expires_ns: int, now_ns: int) -> risk.Look:
    """What the last look found, for the risk gate."""
    assert priced.edge is not None
    assert priced.buy is not None
    assert priced.sell is not None
    direction = priced.direction
    return risk.Look(
        event_id=direction.event.id,
        direction=direction.index,
        kind=direction.event.kind,
        buy=look_leg(priced.buy, direction.buy.venue),
        sell=look_leg(priced.sell, direction.sell.venue),
        edge=priced.edge,
        expires_ns=expires_ns,
        now_ns=now_ns,
    )


def look_leg(look: Look, venue: str) -> risk.LookLeg:
    """One leg of the last look."""
    return risk.LookLeg(venue, look.market.market, look.scale, look.book.socket_ns)


def reprice(priced: Priced, account: risk.Account, room: Decimal) -> Edge | None:
    """The edge on the same books for at most `room` dollars, within each venue's cash and coins."""
    direction = priced.direction
    cash = (
        account.cash.get(direction.buy.venue, Decimal(0)),
        account.cash.get(direction.sell.venue, Decimal(0)),
    )
    coins = None
    if direction.event.kind == SPOT:
        assert priced.edge is not None
        free = account.inventory.get((direction.sell.venue, direction.sell.market), Decimal(0))
        coins = int(free.scaleb(priced.edge.size_decimals))
    return priced.within(room, cash, coins)


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
        "fee_buy": edge.fee_buy,
        "fee_sell": edge.fee_sell,
        "net": edge.net,
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
    assert priced.buy is not None
    assert priced.sell is not None
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
            intent_record(intents[0], direction.buy.polarity, priced.buy),
            intent_record(intents[1], direction.sell.polarity, priced.sell),
        ),
    )
