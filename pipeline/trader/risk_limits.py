"""Risk limits: what the risk gate compares: the limits, the last look, the account.

In: the config, the books of the last look. Out: frozen values. Pure; made by the trader, read by the gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from pipeline.config import Config
from pipeline.edge import Edge
from pipeline.look import Look as BookLook
from pipeline.model import EXACT, MarketStatus, Scale
from pipeline.model_events import CLOSE, LegPlan
from pipeline.money import to_decimal
from pipeline.trader.plan import MAKER_HEDGE, TAKER

MS_NS: Final = 10**6
ZERO: Final = Decimal(0)
ONE_PPM: Final = 1_000_000
KeyT = TypeVar("KeyT", str, tuple[str, str])
MODES: Final = {
    TAKER: frozenset({TAKER}),
    MAKER_HEDGE: frozenset({MAKER_HEDGE}),
    "both": frozenset({TAKER, MAKER_HEDGE}),
}
"""What each value of [trader] mode allows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """[risk] and what else limits a trade, ready to compare with: money in dollars, times in ns.

    `min_profit_pct` and `price_collar_pct` are per cent, `hurdle_pct` per cent a year, `min_race` and
    `max_mismatch` probabilities. `modes` are those in which trades may be opened.
    """

    min_edge_bp: int
    min_profit_pct: Decimal
    min_profit_usd: Decimal
    max_order_usd: Decimal
    max_event_usd: Decimal
    max_exposure_usd: Decimal
    max_market_usd: Decimal
    max_venue_usd: Decimal
    max_net_usd: Decimal
    daily_loss_usd: Decimal
    max_consecutive_losses: int
    max_trades_per_hour: int
    max_orders_per_second: int
    max_orders_per_minute: int
    max_open_orders: int
    max_book_age_ns: int
    max_leg_skew_ns: int
    cooldown_ns: int
    price_collar_pct: Decimal
    min_race: Decimal
    max_mismatch: Decimal
    hurdle_pct: Decimal
    modes: frozenset[str]

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The limits of a config. Raises decimal.InvalidOperation for text that is no number."""
        risk = config.risk
        return cls(
            min_edge_bp=risk.min_edge_bp,
            min_profit_pct=Decimal(risk.min_profit_pct),
            min_profit_usd=Decimal(risk.min_profit_usd),
            max_order_usd=Decimal(risk.max_order_usd),
            max_event_usd=Decimal(risk.max_event_usd),
            max_exposure_usd=Decimal(risk.max_exposure_usd),
            max_market_usd=Decimal(risk.max_market_usd),
            max_venue_usd=Decimal(risk.max_venue_usd),
            max_net_usd=Decimal(risk.max_net_usd),
            daily_loss_usd=Decimal(risk.daily_loss_usd),
            max_consecutive_losses=risk.max_consecutive_losses,
            max_trades_per_hour=risk.max_trades_per_hour,
            max_orders_per_second=risk.max_orders_per_second,
            max_orders_per_minute=risk.max_orders_per_minute,
            max_open_orders=risk.max_open_orders,
            max_book_age_ns=risk.max_book_age_ms * MS_NS,
            max_leg_skew_ns=risk.max_leg_skew_ms * MS_NS,
            cooldown_ns=risk.cooldown_ms * MS_NS,
            price_collar_pct=Decimal(risk.price_collar_pct),
            min_race=Decimal(risk.min_race),
            max_mismatch=Decimal(risk.max_mismatch),
            hurdle_pct=Decimal(config.scanner.hurdle_pct),
            modes=MODES[config.trader.mode],
        )


@dataclass(frozen=True, slots=True)
class LookLeg:
    """One leg at the last look, everything on the market's own scale.

    `socket_ns` is when its book's last message was received. `best_ticks` is the best price of the side
    that the order hits, or, for a quote, joins; 0 where that side is empty. `grid_ticks`, `lot_units`,
    `min_units` and `min_cost_micros` are the venue's, 0 where it states none.
    """

    venue: str
    market: str
    outcome: str
    action: str
    scale: Scale
    socket_ns: int
    best_ticks: int
    grid_ticks: int
    lot_units: int
    min_units: int
    min_cost_micros: int
    status: int
    fee_known: bool

    @classmethod
    def of(cls, plan: LegPlan, look: BookLook, *, fee_known: bool, quoted: bool = False) -> LookLeg:
        """The leg as its book was looked at; `quoted` where the order is to rest there."""
        book, market = look.book, look.market
        side = book.asks if plan.takes_asks != quoted else book.bids
        return cls(
            venue=plan.leg.venue,
            market=market.market,
            outcome=plan.outcome,
            action=plan.action,
            scale=look.scale,
            socket_ns=book.socket_ns,
            best_ticks=side[0][0] if side else 0,
            grid_ticks=market.grid_ticks,
            lot_units=market.lot_units,
            min_units=market.min_units,
            min_cost_micros=market.min_cost_micros,
            status=market.status,
            fee_known=fee_known,
        )

    @property
    def is_contract(self) -> bool:
        """Whether it pays at most a dollar; else it is a coin."""
        return self.outcome != "base"

    @property
    def is_open(self) -> bool:
        """Whether its venue says that the market is open; what is not known is not."""
        return self.status == MarketStatus.OPEN


def _summed(amounts: Iterable[tuple[KeyT, Decimal]]) -> dict[KeyT, Decimal]:
    """Amounts added up by their keys."""
    sums: dict[KeyT, Decimal] = {}
    for key, amount in amounts:
        sums[key] = EXACT.add(sums.get(key, ZERO), amount)
    return sums


@dataclass(frozen=True, slots=True)
class Look:
    """What the last look found. All times are CLOCK_MONOTONIC; `edge` was priced on these very books.

    `mode` is how the trade is to be opened; `quoted` the leg that rests then, -1 for a taker. `race_ppm`
    is the probability that the edge outlives our latency, `mismatch` that the venues decide differently,
    `reviewed` whether a person compared their rules. `left_ns` is the time to settlement, 0 for never.
    """

    event_id: str
    direction: int
    kind: str
    legs: tuple[LookLeg, ...]
    edge: Edge
    expires_ns: int
    now_ns: int
    mode: str
    race_ppm: int
    mismatch: Decimal
    reviewed: bool
    left_ns: int = 0
    quoted: int = -1

    @property
    def age_ns(self) -> int:
        """Age of the older book."""
        return self.now_ns - min(leg.socket_ns for leg in self.legs)

    @property
    def skew_ns(self) -> int:
        """How far apart the books are."""
        stamps = [leg.socket_ns for leg in self.legs]
        return max(stamps) - min(stamps)

    @property
    def cash(self) -> Decimal:
        """Dollars that the trade ties up; closing what is held ties up none."""
        return ZERO if self.kind == CLOSE else self.edge.cash

    @property
    def size(self) -> Decimal:
        """Contracts or coins of each leg."""
        return to_decimal(self.edge.size_units, self.edge.size_decimals)

    def venue_cash(self) -> dict[str, Decimal]:
        """Dollars that each venue takes, fees included. What is sold takes none."""
        return _summed(
            (leg.venue, priced.cash) for leg, priced in zip(self.legs, self.edge.legs, strict=True)
        )

    def market_cash(self) -> dict[tuple[str, str], Decimal]:
        """The same by (venue, market)."""
        both = zip(self.legs, self.edge.legs, strict=True)
        return _summed(((leg.venue, leg.market), priced.cash) for leg, priced in both)


@dataclass(frozen=True, slots=True)
class Account:
    """Where the trader stands. Exposures and cash count what orders in flight may still take.

    `cash` is free dollars by venue, `inventory` free coins by (venue, market), `held` contracts by (event,
    venue, market, outcome). Exposures are dollars: in all, by event, by (venue, market), by venue, and
    `net_exposure` what is held or in flight without a hedge. `unhedged` are events with an excess of one
    leg that is more than dust.

    `day_pnl` is results and open positions since 00:00 UTC; None where nobody knows it (a lone leg that
    nobody can price, an order that nobody answered for). `trades_ns` and `orders_ns` are the times of the
    last hour's trades and the last minute's orders, oldest first; `last_trade_ns` that of the last trade by
    (event, direction). `open_orders` are on their way or rest; `unresolved` are those of an earlier run
    that nobody has answered for. `armed` is true wherever nothing need be armed.
    """

    cash: Mapping[str, Decimal]
    exposure: Decimal = ZERO
    event_exposure: Mapping[str, Decimal] = field(default_factory=dict)
    market_exposure: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    venue_exposure: Mapping[str, Decimal] = field(default_factory=dict)
    net_exposure: Decimal = ZERO
    inventory: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    held: Mapping[tuple[str, str, str, str], Decimal] = field(default_factory=dict)
    day_pnl: Decimal | None = ZERO
    consecutive_losses: int = 0
    trades_ns: Sequence[int] = ()
    orders_ns: Sequence[int] = ()
    open_orders: int = 0
    unresolved: int = 0
    last_trade_ns: Mapping[tuple[str, int], int] = field(default_factory=dict)
    in_flight: frozenset[str] = frozenset()
    unhedged: frozenset[str] = frozenset()
    halted: bool = False
    armed: bool = True
    supervisor_alive: bool = True
    journal_ok: bool = True

    def stock(self, event_id: str, leg: LookLeg) -> Decimal:
        """What is there of a leg to be sold: coins of the account, or contracts held of the event."""
        if leg.is_contract:
            return self.held.get((event_id, leg.venue, leg.market, leg.outcome), ZERO)
        return self.inventory.get((leg.venue, leg.market), ZERO)
