"""Evidence: what the last look found, as the risk gate, the plan and the journal want it.

In: a priced direction and what passed. Out: a `risk.Look`, the edge again within rooms, the plan of the
trade, its orders, and the journal's record with everything that explains it. Pure; used by the trader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from pipeline.config import Config
from pipeline.edge import Edge
from pipeline.fees import is_known
from pipeline.journal_records import IntentRecord, TradeRecord
from pipeline.look import Look
from pipeline.model_events import BASKET, CLOSE, OrderLeg
from pipeline.pairs import Direction
from pipeline.pricing import Priced, leg_view, pair_payoffs, unwind_cost
from pipeline.trader import risk
from pipeline.trader.broker import OrderIntent, Purpose, Style
from pipeline.trader.kelly import KellyPositionSizer
from pipeline.trader.kelly_arbitrage import arbitrage_fraction
from pipeline.trader.kelly_portfolio import KellyRoom, room
from pipeline.trader.orders import order_id_of
from pipeline.trader.plan import MAKER_HEDGE, TAKER, PlanLeg, TradePlan
from pipeline.trader.quoting import Quote
from pipeline.trader.record import Record
from pipeline.trader.repair import Choice
from pipeline.version import VERSION

PPM = 1_000_000


def look_of(
    priced: Priced,
    edge: Edge,
    *,
    expires_ns: int,
    now_ns: int,
    wall_ns: int,
    race_ppm: int,
    quoted: int = -1,
) -> risk.Look:
    """What the last look found, for the risk gate; `quoted` is the leg that is to rest, -1 for none."""
    direction = priced.direction
    review = direction.event.review
    legs = []
    for number, (plan, look) in enumerate(zip(direction.legs, priced.looks, strict=True)):
        if look is None:
            continue
        known = is_known(leg_view(look, wall_ns).fee)
        legs.append(risk.LookLeg.of(plan, look, fee_known=known, quoted=number == quoted))
    return risk.Look(
        event_id=direction.event.id,
        direction=direction.index,
        kind=direction.kind,
        legs=tuple(legs),
        edge=edge,
        expires_ns=expires_ns,
        now_ns=now_ns,
        mode=TAKER if quoted < 0 else MAKER_HEDGE,
        race_ppm=race_ppm,
        mismatch=review.mismatch if review else Decimal(1),
        reviewed=direction.event.reviewed,
        left_ns=priced.left_ns,
        quoted=quoted,
    )


def reprice(priced: Priced, rooms: risk.Rooms) -> Edge | None:
    """The edge on the same books within the rooms."""
    assert priced.edge is not None
    return priced.within(rooms.total, rooms.per_leg, rooms.units(priced.edge.size_decimals))


def kelly_room(
    priced: Priced, edge: Edge, sizer: KellyPositionSizer, race_ppm: int, taken: Decimal
) -> KellyRoom:
    """Dollars that Kelly allows: what its record says, and at most what leg risk and mismatch leave of the
    bankroll, less what open trades have `taken` of it.

    One leg alone is taken to be sold back at once; a pair that pays differently loses nearly all.
    """
    review = priced.direction.event.review
    recommended = sizer.get_recommended_position_size()
    if edge.cash <= 0 or priced.direction.kind == CLOSE:
        return KellyRoom(recommended, Fraction(0))
    mismatch = Fraction(review.mismatch if review else 1)
    fraction = arbitrage_fraction(
        edge.net_low / edge.cash,
        min(Decimal(1), unwind_cost(priced) / edge.cash),
        # Both are guesses, and may add up to more than all there is.
        min(Fraction(PPM - race_ppm, PPM), 1 - mismatch),
        mismatch,
    )
    return KellyRoom(min(recommended, room(sizer.capital, fraction, taken)), fraction)


def plan_for(
    trade_id: str, priced: Priced, edge: Edge, *, race_ppm: int, latency_ns: int, first: int, mode: str
) -> TradePlan:
    """What the trade is to be."""
    direction = priced.direction
    assert priced.legs is not None and len(priced.legs) == 2, "a trade has two legs"
    assert edge.legs, "an edge has legs"
    legs = []
    for number, (plan, leg) in enumerate(zip(direction.legs, priced.legs, strict=True)):
        polarity = polarity_of(direction, number)
        names = plan.leg.venue, plan.leg.market, plan.outcome, plan.action, polarity
        legs.append(PlanLeg(*names, leg.scale, leg.fee))
    # A quote that is filled is hedged for what the pair pays if nothing is called off.
    payoff = priced.payoff if mode == TAKER else pair_payoffs(direction)[0]
    return TradePlan(
        trade_id=trade_id,
        event_id=direction.event.id,
        kind=direction.kind,
        direction=direction.index,
        mode=mode,
        legs=(legs[0], legs[1]),
        payoff=payoff,
        size_units=edge.size_units,
        size_decimals=edge.size_decimals,
        edge_bp=edge.edge_bp,
        net=edge.net,
        cash=edge.cash,
        race_ppm=race_ppm,
        latency_ns=latency_ns,
        first=first,
    )


def polarity_of(direction: Direction, number: int) -> str:
    """How a leg's fills are booked: of two outcomes of which one must pay, each is against the other."""
    polarity = direction.legs[number].leg.polarity
    if number and direction.kind == BASKET:
        return "same" if polarity == "inverse" else "inverse"
    return polarity


def intents_for(
    plan: TradePlan,
    orders: Sequence[OrderLeg],
    *,
    deadline_ns: int,
    quote: Quote | None = None,
) -> tuple[OrderIntent, ...]:
    """The orders that open the trade: both legs, the one that is sent first, or the quote."""
    if quote is not None:
        name = order_id_of(plan.trade_id, 0)
        ends = deadline_ns, quote.expires_ns
        return (OrderIntent(name, quote.order, quote.fee, quote.leg, Purpose.QUOTE, Style.MAKER, *ends),)
    purpose = Purpose.CLOSE if plan.kind == CLOSE else Purpose.OPEN
    numbers = (0, 1) if plan.first < 0 else (plan.first,)
    return tuple(
        OrderIntent(
            order_id_of(plan.trade_id, at),
            orders[leg],
            plan.legs[leg].fee,
            leg,
            purpose,
            Style.IOC,
            deadline_ns,
        )
        for at, leg in enumerate(numbers)
    )


def intent_record(intent: OrderIntent, polarity: str, look: Look | None) -> IntentRecord:
    """One order for the journal, with the book that it was decided on."""
    evidence: dict[str, object] = {}
    if look is not None:
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
    return IntentRecord(
        order_id=intent.order_id,
        order=intent.order,
        fee=intent.fee,
        leg=intent.leg,
        purpose=str(intent.purpose),
        style=str(intent.style),
        deadline_ns=intent.deadline_ns,
        expires_ns=intent.expires_ns,
        polarity=polarity,
        book=evidence,
    )


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


def repair_evidence(
    choice: Choice, leg: int, excess: Decimal, looks: Sequence[Look | None]
) -> dict[str, object]:
    """Why a repair is what it is: the excess, both books, and what each way costs. `edge_bp`, `net` and
    `cash` are 0.
    """
    books = [{"bids": look.book.bids, "asks": look.book.asks} if look else None for look in looks]
    return {
        "repair": str(choice.purpose),
        "excess_leg": leg,
        "excess": excess,
        "cost": choice.cost,
        "other_cost": choice.other_cost,
        "compared": choice.compared,
        "why": choice.why,
        "books": books,
        "edge_bp": 0,
        "net": Decimal(0),
        "cash": Decimal(0),
    }


def trade_record(
    run_id: str,
    record: Record | None,
    plan: TradePlan,
    intents: Sequence[OrderIntent],
    looks: Sequence[Look | None],
    config: Config,
    *,
    decided_ns: int,
    edge: Mapping[str, object],
    kelly: Mapping[str, object],
) -> TradeRecord:
    """Everything that explains orders, for the journal. A repair after a restart has no record."""
    seen = record.opportunity if record is not None else None
    return TradeRecord(
        trade_id=plan.trade_id,
        run_id=run_id,
        event_id=plan.event_id,
        kind=plan.kind,
        direction=plan.direction,
        run_epoch=seen.run_epoch if seen else 0,
        sequence=seen.sequence if seen else 0,
        config_version=config.version,
        config_hash=config.hash,
        program_version=VERSION,
        decided_ns=decided_ns,
        edge=edge,
        kelly=kelly,
        plan=plan.evidence(),
        intents=tuple(
            intent_record(intent, plan.legs[intent.leg].polarity, looks[intent.leg]) for intent in intents
        ),
    )
