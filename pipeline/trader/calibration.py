"""Calibration: each trade as it was predicted beside what it came to, and how good the predictions are.

In: the plan of a trade, its orders and fills. Out: an `Outcome`, running means of all outcomes with the
Brier score of the race, and rows for shared memory. Pure; run by the trader, and by whoever reads the
journal. What is computed here is shown and never booked: quotients are Decimals of 28 digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Protocol

from pipeline.journal_records import FillRecord, IntentRecord, TradeRecord
from pipeline.model import Action, Ladder
from pipeline.model_events import OrderLeg, takes_asks
from pipeline.money import to_decimal, to_micros
from pipeline.trader.broker import Purpose
from pipeline.trader.plan import FLATTEN, MAKER_HEDGE, TradePlan, plan_of
from shm.records import CalibrationRow, OutcomeRow

PPM = 1_000_000
BINS = 10
ZERO, ONE = Decimal(0), Decimal(1)
_BP = 10_000
# Whoever calls may compute under a context that traps rounding.
_ROUNDED = Context(prec=28)


class Sent(Protocol):
    """What an order was: a broker's `OrderIntent`, or the journal's `IntentRecord`."""

    @property
    def order_id(self) -> str:
        """Its id."""
        ...

    @property
    def order(self) -> OrderLeg:
        """What it does, at which limit."""
        ...

    @property
    def leg(self) -> int:
        """The leg of the trade, 0 or 1."""
        ...

    @property
    def purpose(self) -> str:
        """A `broker.Purpose`."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trade that has ended. Dollars are exact as far as nothing had to be divided.

    `realised` is what the pairs leave that were hedged, after fees and after what unwinding lost; what is
    held without a counterpart is left out of it at its average cost. `realised_bp` is over the cash
    that all buying took (a close: over the planned cash of the part that was filled). `filled_ppm` is the
    share of the size that was filled on both legs the way it was planned: by the opening orders, or where
    one leg goes first by it and its hedge. `slippage` is what fills cost more than the books showed to
    whoever sent the orders. `latency_ns` is from the decision to the last first fill of a taker's opening
    orders, 0 where none of them was filled.
    """

    trade_id: str
    event_id: str
    mode: str
    outcome: Action
    predicted_bp: int
    realised_bp: int
    predicted: Decimal
    realised: Decimal
    race_ppm: int
    filled_ppm: int
    slippage: Decimal
    latency_predicted_ns: int
    latency_ns: int
    wall_ns: int

    @property
    def raced(self) -> bool:
        """Whether it says something about the race: a quote that nobody took does not."""
        return self.mode != MAKER_HEDGE

    @property
    def traded(self) -> bool:
        """Whether anything was filled."""
        return self.outcome in (Action.EXECUTED, Action.UNWOUND, Action.UNHEDGED)


@dataclass(slots=True)
class _Leg:
    """Sums of one leg: quantities by the way they came, dollars in and out, fees included."""

    opened: Decimal = ZERO
    hedged: Decimal = ZERO
    unwound: Decimal = ZERO
    bought: Decimal = ZERO
    added: Decimal = ZERO
    taken_back: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        """What is filled and not taken back."""
        return self.opened + self.hedged - self.unwound

    def share(self, quantity: Decimal) -> Decimal:
        """Which part `quantity` is of all that was added."""
        return quantity / (self.opened + self.hedged) if quantity else ZERO


def shown_of(intents: Iterable[IntentRecord]) -> dict[str, Ladder]:
    """The side of the book that each order was to take, as the journal has it."""
    return {intent.order_id: _shown(intent) for intent in intents}


def _shown(intent: IntentRecord) -> Ladder:
    side = intent.book.get("asks" if intent.order.takes_asks else "bids", ())
    assert isinstance(side, Sequence), "evidence.intent_record writes ladders"
    return tuple((ticks, units) for ticks, units in side)


def outcome_of(
    plan: TradePlan,
    sent: Sequence[Sent],
    fills: Iterable[FillRecord],
    *,
    decided_ns: int,
    wall_ns: int,
    shown: Mapping[str, Ladder] | None = None,
) -> Outcome:
    """What became of a trade that has ended; fills that failed must not be among `fills`.

    `decided_ns` is CLOCK_MONOTONIC, as are the fills' stamps. Without `shown` no slippage is known.
    Raises KeyError for a fill of an order that is not in `sent`.
    """
    by_order: dict[str, list[FillRecord]] = {}
    orders = {order.order_id: order for order in sent}
    legs = (_Leg(), _Leg())
    with localcontext(_ROUNDED):
        for fill in fills:
            order = orders[fill.order_id]
            by_order.setdefault(fill.order_id, []).append(fill)
            _book(legs[order.leg], order.purpose, fill)
        realised, realised_bp = _realised(plan, legs)
        slips = [_slippage(filled, (shown or {}).get(name, ())) for name, filled in by_order.items()]
        return Outcome(
            trade_id=plan.trade_id,
            event_id=plan.event_id,
            mode=plan.mode,
            outcome=_action(plan, legs),
            predicted_bp=plan.edge_bp,
            realised_bp=realised_bp,
            predicted=plan.net,
            realised=realised,
            race_ppm=plan.race_ppm,
            filled_ppm=int(_as_planned(plan, legs) * PPM / _size(plan)),
            slippage=sum(slips, ZERO),
            latency_predicted_ns=plan.latency_ns,
            latency_ns=_latency_ns(orders, by_order, decided_ns),
            wall_ns=wall_ns,
        )


def _size(plan: TradePlan) -> Decimal:
    return to_decimal(plan.size_units, plan.size_decimals)


def _realised(plan: TradePlan, legs: tuple[_Leg, _Leg]) -> tuple[Decimal, int]:
    """Dollars that the hedged pairs leave, and basis points of the cash that they took."""
    hedged = min(leg.quantity for leg in legs)
    realised, paid = plan.payoff * hedged, ZERO
    for leg in legs:
        counted = ONE - leg.share(leg.quantity - hedged)
        realised += leg.added * counted + leg.taken_back
        paid += leg.bought * counted
    paid = paid or plan.cash * hedged / _size(plan)
    bp = int((realised * _BP / paid).to_integral_value(ROUND_FLOOR)) if paid > 0 else 0
    return realised, bp


def _book(leg: _Leg, purpose: str, fill: FillRecord) -> None:
    """Add a fill to its leg."""
    quantity = to_decimal(fill.size_units, fill.scale.size_decimals)
    paid = _price(fill.price_ticks, fill) * quantity
    flow = (-paid if fill.action == "buy" else paid) - fill.fee
    if purpose == Purpose.UNWIND:
        leg.unwound += quantity
        leg.taken_back += flow
        return
    if purpose == Purpose.HEDGE:
        leg.hedged += quantity
    else:
        leg.opened += quantity
    leg.added += flow
    if fill.action == "buy":
        leg.bought -= flow


def _price(ticks: int, fill: FillRecord) -> Decimal:
    """A book price as the price of the fill's own outcome (DESIGN 4)."""
    price = to_decimal(ticks, fill.scale.price_decimals)
    return ONE - price if fill.outcome == "no" else price


def _action(plan: TradePlan, legs: tuple[_Leg, _Leg]) -> Action:
    first, second = legs
    if first.quantity != second.quantity:
        return Action.UNHEDGED
    if first.quantity:
        return Action.EXECUTED
    if first.unwound or second.unwound:
        return Action.UNWOUND
    return Action.WITHDRAWN if plan.mode == MAKER_HEDGE else Action.REJECTED


def _as_planned(plan: TradePlan, legs: tuple[_Leg, _Leg]) -> Decimal:
    """What was filled on both legs as planned. Where one goes first, hedging is the other one's plan."""
    return min(
        leg.opened + leg.hedged if plan.first == 1 - number else leg.opened for number, leg in enumerate(legs)
    )


def _slippage(fills: Sequence[FillRecord], ladder: Ladder) -> Decimal:
    """What one order's fills cost more than the levels that it was shown; beyond them the last one counts.

    A maker's fill is at its own price, so it has none.
    """
    first = fills[0]
    taken = [fill for fill in fills if not fill.maker]
    left = sum(fill.size_units for fill in taken)
    if not ladder or not left:
        return ZERO
    ticks = sum(fill.price_ticks * fill.size_units for fill in taken)
    for price, units in ladder:
        used = min(units, left)
        ticks -= price * used
        left -= used
    ticks -= ladder[-1][0] * left
    # Who takes asks pays more when they are higher; who takes bids gets less when they are lower.
    worse = ticks if takes_asks(first.action, first.outcome) else -ticks
    return to_decimal(worse, first.scale.price_decimals + first.scale.size_decimals)


def _latency_ns(orders: Mapping[str, Sent], filled: Mapping[str, list[FillRecord]], decided_ns: int) -> int:
    """From the decision to the last of the first fills of orders that open."""
    firsts = [
        min(fill.at_ns for fill in fills)
        for name, fills in filled.items()
        if orders[name].purpose in (Purpose.OPEN, Purpose.CLOSE)
    ]
    return max(0, max(firsts) - decided_ns) if firsts else 0


def leg_gap_ns(fills: Iterable[FillRecord]) -> int:
    """How long after the first fill of one leg of a trade the other leg's first one came; 0 for one leg."""
    firsts: dict[tuple[str, str, str], int] = {}
    for fill in fills:
        leg = fill.venue, fill.market, fill.outcome
        firsts[leg] = min(fill.at_ns, firsts.get(leg, fill.at_ns))
    return max(firsts.values(), default=0) - min(firsts.values(), default=0)


def outcomes_of(trades: Iterable[TradeRecord], fills: Iterable[FillRecord]) -> list[Outcome]:
    """The outcomes of trades that the journal holds, in its order; failed fills must not be among `fills`.

    Only for trades that have ended: what is still on its way would count as not filled. Trades of journals
    that kept no plan are left out. An outcome's moment is that of its last fill, 0 without one.
    """
    by_trade: dict[str, list[FillRecord]] = {}
    for fill in fills:
        by_trade.setdefault(fill.trade_id, []).append(fill)
    found = []
    for trade in trades:
        if not trade.plan:
            continue
        mine = by_trade.get(trade.trade_id, [])
        found.append(
            outcome_of(
                plan_of(trade.trade_id, trade.event_id, trade.kind, trade.direction, trade.plan),
                trade.intents,
                mine,
                decided_ns=trade.decided_ns,
                wall_ns=max((fill.wall_ns for fill in mine), default=0),
                shown=shown_of(trade.intents),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions from `low_ppm` up to `high_ppm`: how many, their mean, and how often it came true."""

    low_ppm: int
    high_ppm: int
    count: int
    predicted_ppm: int
    observed_ppm: int


class Calibration:
    """Running sums over outcomes: constant memory, each outcome added once."""

    def __init__(self) -> None:
        self._races = self._error = self._race = self._filled = 0
        self._trades = self._predicted_bp = self._realised_bp = 0
        self._slippage = ZERO
        self._timed = self._latency_predicted_ns = self._latency_ns = 0
        # Of each bin: predictions, their sum, and how many came true.
        self._bins = [[0, 0, 0] for _ in range(BINS)]

    def add(self, outcome: Outcome) -> None:
        """Add a trade that has ended; what a person had closed was no prediction."""
        if outcome.mode == FLATTEN:
            return
        if outcome.raced:
            whole = outcome.filled_ppm == PPM
            self._races += 1
            self._race += outcome.race_ppm
            self._filled += outcome.filled_ppm
            self._error += (outcome.race_ppm - whole * PPM) ** 2
            cells = self._bins[min(outcome.race_ppm * BINS // PPM, BINS - 1)]
            cells[0] += 1
            cells[1] += outcome.race_ppm
            cells[2] += whole
        if outcome.traded:
            self._trades += 1
            self._predicted_bp += outcome.predicted_bp
            self._realised_bp += outcome.realised_bp
            self._slippage += outcome.slippage
        if outcome.latency_ns:
            self._timed += 1
            self._latency_predicted_ns += outcome.latency_predicted_ns
            self._latency_ns += outcome.latency_ns

    def value(self) -> CalibrationRow:
        """The means so far, rounded down; 0 for those of nothing.

        `trades`, the Brier score (mean of (predicted - came true)^2, Brier 1950) and the two shares are over
        trades that took; edges and slippage over those of which something was filled.
        """
        return CalibrationRow(
            trades=self._races,
            brier_ppm=_mean(self._error, self._races * PPM),
            race_mean_ppm=_mean(self._race, self._races),
            filled_mean_ppm=_mean(self._filled, self._races),
            edge_predicted_bp=_mean(self._predicted_bp, self._trades),
            edge_realised_bp=_mean(self._realised_bp, self._trades),
            slippage_micros=_mean(to_micros(self._slippage), self._trades),
            latency_predicted_ns=_mean(self._latency_predicted_ns, self._timed),
            latency_ns=_mean(self._latency_ns, self._timed),
        )

    def bins(self) -> list[Bin]:
        """The race in tenths of its predicted probability, lowest first; a good forecast lies on a line."""
        width = PPM // BINS
        return [
            Bin(at * width, (at + 1) * width, count, _mean(predicted, count), _mean(true * PPM, count))
            for at, (count, predicted, true) in enumerate(self._bins)
        ]


def _mean(total: int, count: int) -> int:
    return total // count if count else 0


def outcome_row(outcome: Outcome, sequence: int) -> OutcomeRow:
    """An outcome as a row of the trader's segment."""
    return OutcomeRow(
        sequence=sequence,
        trade_id=outcome.trade_id,
        event_id=outcome.event_id,
        mode=outcome.mode,
        outcome=int(outcome.outcome),
        predicted_bp=outcome.predicted_bp,
        realised_bp=outcome.realised_bp,
        predicted_micros=to_micros(outcome.predicted),
        realised_micros=to_micros(outcome.realised),
        race_ppm=outcome.race_ppm,
        filled_ppm=outcome.filled_ppm,
        slippage_micros=to_micros(outcome.slippage),
        latency_predicted_ns=outcome.latency_predicted_ns,
        latency_ns=outcome.latency_ns,
        wall_ns=outcome.wall_ns,
    )
