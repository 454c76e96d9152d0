"""Validator: the risk gate and Kelly for one pair of prices, for other people's Python.

In: prices at two venues, dollars, results of closed trades. Out: a report: whether the gate passes the trade,
at which size, and what it leaves after fees; Kelly's statistics. Pure. It asks the gate that the trader asks,
of books that show these two prices and nothing else, with the fee models of the venues. It sends nothing.

    validator = RiskValidator(max_position_size=1000, capital=10000)
    report = validator.validate_trade("BTC", "kraken", 42500, "coinbase", 43400)

Prices of kalshi and polymarket are of contracts that ask the same, between 0 and 1: YES is bought where it
is cheap, NO where YES is dear. All others are dollars a coin, bought at one venue and sold at the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from pipeline.config import Config, FeeConfig
from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.fees import BUILT_IN, KALSHI_BASE, is_known, schedule_from_config
from pipeline.model import UNKNOWN_FEE, FeeSchedule, MarketStatus, Reason, Scale, to_text, to_units
from pipeline.model_events import BINARY, SPOT
from pipeline.money import money_text, to_decimal, to_micros
from pipeline.trader.broker import Refused
from pipeline.trader.kelly import KellyFraction, KellyPositionSizer, KellySizeMode, TradeStatistics
from pipeline.trader.kelly_ratio import Amount, amount_of
from pipeline.trader.plan import TAKER
from pipeline.trader.risk import Account, Limits, Look, LookLeg, Passed, failures, gate
from pipeline.trader.risk_limits import ONE_PPM, ZERO

CONTRACTS: Final = frozenset({"kalshi", "polymarket"})
CONTRACT_SCALE, COIN_SCALE = Scale(6, 2), Scale(8, 8)
ALL_THERE_IS: Final = Decimal(10**12)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What the gate says of a trade. Money is dollars, exact.

    `position_size` is the cash that may be used, fees included, 0 where refused; `quantity` coins or
    contracts of each leg. The estimates are of that size, or of the one that was refused. `reasons` are all
    checks that failed, in words and in `refused`; `cut` is whether less passed than was asked for.
    """

    approved: bool
    market: str
    position_size: Decimal
    quantity: Decimal
    estimated_profit_before_fees: Decimal
    estimated_fees: Decimal
    estimated_profit_after_fees: Decimal
    cut: bool
    reasons: tuple[str, ...]
    refused: tuple[Refused, ...]


class RiskValidator:
    """The gate with limits of one's own, and Kelly's record of the results that it is told.

    `max_position_size` and `capital` are dollars, `min_profit_margin` per cent of the cash after fees.
    `fees` is as [fees] in config.toml; with `use_dynamic_estimation` a venue that is not in it has its base
    fees, without that only what `fees` says is known. Polymarket's fee depends on the market, so it always
    has to be given: {"polymarket": FeeConfig(rate="0.05")}. Raises ValueError for what is no amount.
    """

    def __init__(
        self,
        max_position_size: Amount = 1000,
        capital: Amount = 10_000,
        enable_kelly_sizing: bool = True,
        kelly_mode: KellySizeMode = KellySizeMode.HALF_KELLY,
        min_profit_margin: Amount = Decimal("0.2"),
        use_dynamic_estimation: bool = True,
        fees: Mapping[str, FeeConfig] | None = None,
    ) -> None:
        self.sizer = KellyPositionSizer(capital, kelly_mode)
        self.enable_kelly_sizing = enable_kelly_sizing
        self._models = use_dynamic_estimation
        self._fees = fees or {}
        most = amount_of(capital)
        self.limits = replace(
            Limits.of(Config()),
            min_edge_bp=0,
            min_profit_usd=ZERO,
            min_profit_pct=amount_of(min_profit_margin),
            max_order_usd=amount_of(max_position_size),
            max_event_usd=most,
            max_exposure_usd=most,
            max_market_usd=most,
            max_venue_usd=most,
        )

    def validate_trade(
        self,
        market: str,
        buy_venue: str,
        buy_price: Amount,
        sell_venue: str,
        sell_price: Amount,
        position_size: Amount | None = None,
    ) -> ValidationReport:
        """Whether the gate passes the trade. None lets Kelly size it, or without Kelly the maximum.

        What is over the maximum is cut to it, on both legs alike, and checked again. Raises ValueError for
        what is no amount, a price finer than its venue's, and one venue alone.
        """
        venues = buy_venue, sell_venue
        if buy_venue == sell_venue:
            raise ValueError(f"a trade needs two venues, not {buy_venue} twice")
        fees = [self._fee(venue) for venue in venues]
        prices = [amount_of(price) for price in (buy_price, sell_price)]
        refused = _impossible(venues, prices, fees)
        if refused:
            return _refusal(market, None, refused)
        kind = BINARY if buy_venue in CONTRACTS else SPOT
        legs, payoff = _legs(kind, prices, fees)
        most = self.limits.max_order_usd
        wanted = most if position_size is None else amount_of(position_size)
        asks_kelly = self.enable_kelly_sizing and position_size is None
        kelly = self.sizer.get_recommended_position_size() if asks_kelly else most
        edge = _edge_within(legs, payoff, wanted)
        if edge is None:
            return _refusal(market, None, [Refused(Reason.BELOW_MINIMUM, wanted, _unit_cost(legs))])
        look = _look(market, kind, venues, legs, edge)
        account = Account(
            cash=dict.fromkeys(venues, self.sizer.capital),
            inventory={(venue, market): ALL_THERE_IS for venue in venues},
        )
        passed = gate(
            look,
            account,
            self.limits,
            kelly,
            lambda rooms: None if rooms.total is None else _edge_within(legs, payoff, rooms.total),
        )
        if isinstance(passed, Passed):
            smaller_than_asked = passed.edge.size_units < edge.size_units
            return _report(market, passed.edge, cut=position_size is not None and smaller_than_asked)
        smaller = _edge_within(legs, payoff, min(wanted, most, kelly))
        found = failures(replace(look, edge=smaller or edge), account, self.limits, kelly)
        return _refusal(market, smaller or edge, found or [passed])

    def record_trade_result(self, is_profitable: bool, profit_loss: Amount) -> None:
        """Record a closed trade: what it really brought, after all fees, never what was estimated.

        Raises ValueError where the two contradict each other.
        """
        self.sizer.add_trade(profit_loss, is_profitable)

    def get_kelly_recommendation(self) -> KellyFraction:
        """What Kelly makes of the results so far."""
        return self.sizer.calculate_kelly_fraction()

    def get_kelly_statistics(self) -> TradeStatistics:
        """The results so far."""
        return self.sizer.statistics

    def print_kelly_analysis(self, write: Callable[[str], object] | None = None) -> str:
        """All of it for people; handed to `write` too, such as `print`."""
        return self.sizer.print_analysis(write)

    def _fee(self, venue: str) -> FeeSchedule:
        """The venue's base fee, under what `fees` says."""
        tiers = BUILT_IN.get(venue) if self._models else None
        published = KALSHI_BASE if self._models and venue == "kalshi" else UNKNOWN_FEE
        if tiers is not None:
            published = tiers.schedule(ZERO) or UNKNOWN_FEE
        return schedule_from_config(venue, self._fees.get(venue), published, tiers)


def _impossible(venues: tuple[str, str], prices: list[Decimal], fees: list[FeeSchedule]) -> list[Refused]:
    """What is wrong before anything can be priced. A coin is no counterpart of a contract."""
    found = []
    for price, fee in zip(prices, fees, strict=True):
        if price <= 0 or (price >= 1 and not CONTRACTS.isdisjoint(venues)):
            found.append(Refused(Reason.NOT_TRADABLE, price, Decimal(1)))
        if not is_known(fee):
            found.append(Refused(Reason.FEE_UNKNOWN, Decimal(1), ZERO))
    return found


def _legs(
    kind: str, prices: list[Decimal], fees: list[FeeSchedule]
) -> tuple[tuple[EdgeLeg, EdgeLeg], Decimal]:
    """Both legs, with more to be had than anyone wants, and what a unit of both pays for sure."""
    scale = CONTRACT_SCALE if kind == BINARY else COIN_SCALE
    most = int(ALL_THERE_IS) * int(10**scale.size_decimals)
    lot = int(10**scale.size_decimals) if kind == BINARY else 1
    sides = [((to_units(money_text(price), scale.price_decimals), most),) for price in prices]
    how = (("buy", "yes"), ("buy", "no")) if kind == BINARY else (("buy", "base"), ("sell", "base"))
    first, second = (
        EdgeLeg(side, scale, fee, action, outcome, lot_units=lot)
        for side, fee, (action, outcome) in zip(sides, fees, how, strict=True)
    )
    return (first, second), Decimal(kind == BINARY)


def _edge_of(legs: tuple[EdgeLeg, EdgeLeg], payoff: Decimal, units: int) -> Edge | None:
    """The edge at exactly this size, be it a loss."""
    first, second = (replace(leg, min_units=units) for leg in legs)
    return evaluate((first, second), payoff, max_size_units=units)


def _edge_within(legs: tuple[EdgeLeg, EdgeLeg], payoff: Decimal, dollars: Decimal) -> Edge | None:
    """The edge at the largest size that costs at most so much, fees included; None where none does."""
    lot = legs[0].lot_units
    least = _unit_cost(legs)
    fits, beyond = 0, int(dollars.scaleb(legs[0].scale.size_decimals) / least) // lot + 1
    found = None
    # Fees come on top of the price, so the size is somewhat smaller than dollars over price: halve.
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        edge = _edge_of(legs, payoff, middle * lot)
        if edge is not None and edge.cash <= dollars:
            fits, found = middle, edge
        else:
            beyond = middle
    return found


def _unit_cost(legs: tuple[EdgeLeg, EdgeLeg]) -> Decimal:
    """Dollars that a coin or a pair of contracts costs before fees."""
    bought, other = (to_decimal(leg.ladder[0][0], leg.scale.price_decimals) for leg in legs)
    return bought if legs[1].action == "sell" else bought + 1 - other


def _look(market: str, kind: str, venues: tuple[str, str], legs: tuple[EdgeLeg, EdgeLeg], edge: Edge) -> Look:
    """The two prices as the gate takes them: just seen, of open markets that are the same thing."""
    looked = tuple(
        LookLeg(
            venue=venue,
            market=market,
            outcome=leg.outcome,
            action=leg.action,
            scale=leg.scale,
            socket_ns=0,
            best_ticks=leg.ladder[0][0],
            grid_ticks=leg.grid_ticks,
            lot_units=leg.lot_units,
            min_units=leg.min_units,
            min_cost_micros=leg.min_cost_micros,
            status=MarketStatus.OPEN,
            fee_known=True,
        )
        for venue, leg in zip(venues, legs, strict=True)
    )
    return Look(
        event_id=market,
        direction=0,
        kind=kind,
        legs=looked,
        edge=edge,
        expires_ns=0,
        now_ns=0,
        mode=TAKER,
        race_ppm=ONE_PPM,
        mismatch=ZERO,
        reviewed=True,
    )


def _report(market: str, edge: Edge, *, cut: bool) -> ValidationReport:
    """What passed."""
    size = to_decimal(edge.size_units, edge.size_decimals)
    return ValidationReport(True, market, edge.cash, size, edge.walked_gross, edge.fee, edge.net, cut, (), ())


def _refusal(market: str, edge: Edge | None, refused: Sequence[Refused]) -> ValidationReport:
    """What did not pass, with the estimates of the edge where there is one."""
    gross, fee, net = (edge.walked_gross, edge.fee, edge.net) if edge else (ZERO, ZERO, ZERO)
    words = tuple(_words(one) for one in refused)
    return ValidationReport(False, market, ZERO, ZERO, gross, fee, net, False, words, tuple(refused))


def _words(refused: Refused) -> str:
    """A refusal in words: "profit too small: 0.1, limit 0.2"."""
    numbers = f"{_short(refused.value)}, limit {_short(refused.limit)}"
    return f"{refused.reason.name.lower().replace('_', ' ')}: {numbers}"


def _short(number: Decimal) -> str:
    """A number to the millionth."""
    return to_text(to_micros(number), 6)
