"""Kelly: how much of the capital the record of closed trades supports.

In: realised profits and losses of closed trades, net of fees; never an estimate. Out: statistics, a
fraction, a size in dollars. Exact fractions inside; pure; run by the trader.

    f* = (b p - q) / b = p - q / b      b = average win / average loss, p = win rate, q = 1 - p

The fraction used is f* times the mode, at most `cap` of the capital. Below 20 trades it counts only
in proportion to their number, and the probe size is the least. While no trade has lost, b is
unknown: the prior adds one imagined loss as large as the average win. With no trade at all f* is 0
and the size is the probe. A size never exceeds the cap, the probe neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from fractions import Fraction

from pipeline.model import EXACT

FULL_CONFIDENCE_TRADES = 20
CENT = Decimal("0.01")


class KellySizeMode(StrEnum):
    """Which share of f* is used; the values are those of [kelly] mode."""

    FULL_KELLY = "full"
    HALF_KELLY = "half"
    QUARTER_KELLY = "quarter"

    @property
    def share(self) -> Fraction:
        """The factor on f*. Half Kelly keeps 75 % of the growth at an eighth of the risk of
        halving.
        """
        return {"full": Fraction(1), "half": Fraction(1, 2), "quarter": Fraction(1, 4)}[self.value]


@dataclass(frozen=True, slots=True)
class TradeStatistics:
    """The record. A result of exactly 0 counts in `total_trades` alone and ends no streak.

    Losses are positive amounts. Averages are 0 where there is nothing to average; `profit_factor`
    (all wins over all losses) is None while nothing was lost.
    """

    total_trades: int = 0
    winning_trades: int = 0
    losing_trades: int = 0
    total_won: Decimal = Decimal(0)
    total_lost: Decimal = Decimal(0)
    largest_win: Decimal = Decimal(0)
    largest_loss: Decimal = Decimal(0)
    consecutive_losses: int = 0
    max_consecutive_losses: int = 0
    consecutive_wins: int = 0
    max_consecutive_wins: int = 0

    @property
    def win_rate(self) -> Fraction:
        """Wins over all trades, 0 to 1."""
        return Fraction(self.winning_trades, self.total_trades or 1)

    @property
    def avg_win(self) -> Fraction:
        """Dollars of the average win."""
        return Fraction(self.total_won) / (self.winning_trades or 1)

    @property
    def avg_loss(self) -> Fraction:
        """Dollars of the average loss, positive."""
        return Fraction(self.total_lost) / (self.losing_trades or 1)

    @property
    def profit_factor(self) -> Fraction | None:
        """All wins over all losses."""
        return Fraction(self.total_won) / Fraction(self.total_lost) if self.total_lost else None

    def after(self, profit_loss: Decimal) -> TradeStatistics:
        """The record with one more closed trade."""
        won, lost = profit_loss > 0, profit_loss < 0
        losses = 0 if won else self.consecutive_losses + lost
        wins = 0 if lost else self.consecutive_wins + won
        gain, loss = max(profit_loss, Decimal(0)), max(-profit_loss, Decimal(0))
        return TradeStatistics(
            self.total_trades + 1,
            self.winning_trades + won,
            self.losing_trades + lost,
            EXACT.add(self.total_won, gain),
            EXACT.add(self.total_lost, loss),
            max(self.largest_win, gain),
            max(self.largest_loss, loss),
            losses,
            max(self.max_consecutive_losses, losses),
            wins,
            max(self.max_consecutive_wins, wins),
        )


@dataclass(frozen=True, slots=True)
class KellyFraction:
    """What Kelly makes of a record. `prior` says that the odds are assumed, not measured.

    `kelly_fraction` is f*, never below 0; `safe_kelly_fraction` is after mode and cap; `confidence`
    is 0 to 1; `estimated_position_size` is the safe fraction of the capital, in dollars.
    """

    kelly_fraction: Fraction
    safe_kelly_fraction: Fraction
    confidence: Fraction
    estimated_position_size: Decimal
    prior: bool


class KellyPositionSizer:
    """Keeps the record and sizes by it. Money is dollars; attributes may be set when the config
    is.
    """

    def __init__(
        self,
        capital: Decimal,
        kelly_mode: KellySizeMode = KellySizeMode.HALF_KELLY,
        cap: Decimal = Decimal("0.10"),
        probe_usd: Decimal = Decimal(5),
    ) -> None:
        self.capital = capital
        self.kelly_mode = kelly_mode
        self.cap = cap
        self.probe_usd = probe_usd
        self.statistics = TradeStatistics()

    def add_trade(self, profit_loss: Decimal) -> None:
        """Record a closed trade: its realised result in dollars, after all fees."""
        self.statistics = self.statistics.after(profit_loss)

    def calculate_kelly_fraction(self) -> KellyFraction:
        """The fraction that the record supports; 0 where it has no win or loses on average."""
        record = self.statistics
        fraction, prior = _kelly(record)
        safe = min(fraction * self.kelly_mode.share, Fraction(self.cap))
        confidence = Fraction(min(record.total_trades, FULL_CONFIDENCE_TRADES), FULL_CONFIDENCE_TRADES)
        return KellyFraction(fraction, safe, confidence, _dollars(safe * Fraction(self.capital)), prior)

    def get_recommended_position_size(self) -> Decimal:
        """Dollars for the next trade, rounded down to the cent; 0 means that Kelly says no.

        Below 20 trades at least the probe, so that a bad start can still be outgrown; from 20
        trades on what Kelly says, be it 0.
        """
        kelly = self.calculate_kelly_fraction()
        capital = Fraction(self.capital)
        size = kelly.confidence * kelly.safe_kelly_fraction * capital
        if kelly.confidence < 1:
            size = min(max(size, Fraction(self.probe_usd)), Fraction(self.cap) * capital)
        return _dollars(size)


def _kelly(record: TradeStatistics) -> tuple[Fraction, bool]:
    """(f*, whether it stands on the prior) of a record."""
    if record.winning_trades == 0:
        return Fraction(0), record.total_trades == 0
    if record.losing_trades == 0:
        rate = Fraction(record.winning_trades, record.total_trades + 1)
        return max(2 * rate - 1, Fraction(0)), True
    odds = record.avg_win / record.avg_loss
    return max(record.win_rate - (1 - record.win_rate) / odds, Fraction(0)), False


def _dollars(amount: Fraction) -> Decimal:
    """An amount in dollars, rounded down to the cent."""
    cents = int(amount * 100)
    return (Decimal(cents) * CENT).quantize(CENT, ROUND_DOWN)
