"""Kelly: how much of the capital the record of closed trades supports.

In: realised profits and losses of closed trades, net of fees; never an estimate. Out: statistics, a
fraction, a trend, a size in dollars, all of it as text. Exact fractions inside; pure; run by the trader.

    f* = (b p - q) / b = p - q / b      b = average win / average loss, p = win rate, q = 1 - p

f* is the share of the capital that a trade may lose. It is used as the share that a trade may cost, as if
a loss took all of it, which is on the safe side. The fraction used is f* times the mode, at most `cap` of
the capital. Below 20 trades it counts only in proportion to their number, and the probe size is the least.
While no trade has lost, b is unknown: the prior adds one imagined loss as large as the average win. With
no trade at all f* is 0 and the size is the probe. A size never exceeds the cap, the probe neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from pipeline.model import EXACT
from pipeline.money import to_decimal
from pipeline.trader.kelly_arbitrage import fall_probability, growth_share
from pipeline.trader.kelly_ratio import Amount, Ratio, amount_of
from pipeline.trader.kelly_trend import RECENT_TRADES, KellyTrend, trend_of

FULL_CONFIDENCE_TRADES = 20
DAY_NS = 86_400 * 10**9
ZERO = Decimal(0)

IID_CAVEAT = (
    "Kelly takes trades to be independent and alike (IID). Arbitrages are neither: trades on one event share"
    " its fate."
)
MINIMUM_SAMPLE = (
    f"Fewer than {FULL_CONFIDENCE_TRADES} closed trades say little: until then the size is scaled down."
)
ESTIMATES = (
    "The fraction is as good as the record: bad statistics make bad sizes, and no size is a guarantee."
)
RECALCULATION = "Markets change: the fraction is computed again after each closed trade and every day (UTC)."
CAVEATS = (IID_CAVEAT, MINIMUM_SAMPLE, ESTIMATES, RECALCULATION)


class KellySizeMode(StrEnum):
    """Which share of f* is used; the values are those of [kelly] mode."""

    FULL_KELLY = "full"
    HALF_KELLY = "half"
    QUARTER_KELLY = "quarter"

    @property
    def share(self) -> Fraction:
        """The factor on f*. Half Kelly keeps 75 % of the growth, and falls to half its capital once in
        eight times where full Kelly does in one of two.
        """
        return _SHARES[self]


_SHARES = {
    KellySizeMode.FULL_KELLY: Fraction(1),
    KellySizeMode.HALF_KELLY: Fraction(1, 2),
    KellySizeMode.QUARTER_KELLY: Fraction(1, 4),
}


@dataclass(frozen=True, slots=True)
class TradeStatistics:
    """The record. A result of exactly 0 counts in `total_trades` alone and ends no streak.

    Losses are positive amounts. Averages are 0 where there is nothing to average; `profit_factor`
    (all wins over all losses) is None while nothing was lost. `consecutive_losses` is the streak that the
    record ends with.
    """

    total_trades: int = 0
    winning_trades: int = 0
    losing_trades: int = 0
    total_won: Decimal = ZERO
    total_lost: Decimal = ZERO
    largest_win: Decimal = ZERO
    largest_loss: Decimal = ZERO
    consecutive_losses: int = 0
    max_consecutive_losses: int = 0
    consecutive_wins: int = 0
    max_consecutive_wins: int = 0

    @property
    def win_rate(self) -> Ratio:
        """Wins over all trades, 0 to 1."""
        return Ratio(self.winning_trades, self.total_trades or 1)

    @property
    def avg_win(self) -> Ratio:
        """Dollars of the average win."""
        return Ratio(Fraction(self.total_won) / (self.winning_trades or 1))

    @property
    def avg_loss(self) -> Ratio:
        """Dollars of the average loss, positive."""
        return Ratio(Fraction(self.total_lost) / (self.losing_trades or 1))

    @property
    def profit_factor(self) -> Ratio | None:
        """All wins over all losses."""
        return Ratio(Fraction(self.total_won) / Fraction(self.total_lost)) if self.total_lost else None

    def after(self, profit_loss: Decimal) -> TradeStatistics:
        """The record with one more closed trade."""
        won, lost = profit_loss > 0, profit_loss < 0
        losses = 0 if won else self.consecutive_losses + lost
        wins = 0 if lost else self.consecutive_wins + won
        gain, loss = max(profit_loss, ZERO), max(-profit_loss, ZERO)
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
    is 0 to 1. In dollars, cut to the cent: `estimated_position_size` is for the next trade, with confidence
    and probe; `full_position_size` is the safe fraction of the capital, as if confidence were complete.
    """

    kelly_fraction: Ratio
    safe_kelly_fraction: Ratio
    confidence: Ratio
    estimated_position_size: Decimal
    full_position_size: Decimal
    prior: bool

    @property
    def kelly_percent(self) -> Ratio:
        """f* in percent of the capital, before mode and cap."""
        return self.kelly_fraction * 100


class KellyPositionSizer:
    """Keeps the record and sizes by it. Money is dollars; attributes may be set when the config is.

    `recalculated_wall_ns` is the wall clock of the last `refresh` that was due, 0 before the first.
    Raises ValueError for a capital or probe that is no amount or below 0, and a cap outside 0 to 1.
    """

    def __init__(
        self,
        capital: Amount,
        kelly_mode: KellySizeMode = KellySizeMode.HALF_KELLY,
        cap: Amount = Decimal("0.10"),
        probe_usd: Amount = Decimal(5),
        *,
        recalculated_wall_ns: int = 0,
    ) -> None:
        self.capital = amount_of(capital)
        self.kelly_mode = KellySizeMode(kelly_mode)
        self.cap = amount_of(cap)
        self.probe_usd = amount_of(probe_usd)
        if min(self.capital, self.probe_usd) < 0 or not 0 <= self.cap <= 1:
            raise ValueError(f"capital {capital}, probe {probe_usd} or cap {cap} is out of range")
        self.statistics = TradeStatistics()
        self.recalculated_wall_ns = recalculated_wall_ns
        self._recent: deque[bool] = deque(maxlen=RECENT_TRADES)
        self._due = not recalculated_wall_ns

    def add_trade(self, profit_loss: Amount, is_winning: bool | None = None) -> None:
        """Record a closed trade: its realised result in dollars, after all fees.

        `is_winning` may be left out; the sign says it. Raises ValueError where the two contradict each
        other and for what is no amount, TypeError for a bool in an amount's place.
        """
        result = amount_of(profit_loss)
        if is_winning is not None and is_winning != (result > 0):
            raise ValueError(f"a trade of {result} dollars cannot have is_winning={is_winning}")
        self.statistics = self.statistics.after(result)
        self._recent.append(result > 0)
        self._due = True

    def forget(self) -> None:
        """Begin the record again: a result that was told is another one now."""
        self.statistics = TradeStatistics()
        self._recent.clear()
        self._due = True

    def refresh(self, wall_ns: int) -> bool:
        """Note that the fraction is computed now, if it is due: after a trade, and on another UTC day."""
        if not self._due and wall_ns // DAY_NS == self.recalculated_wall_ns // DAY_NS:
            return False
        self.recalculated_wall_ns, self._due = wall_ns, False
        return True

    @property
    def trend(self) -> KellyTrend:
        """The win rate of the last ten trades against that of all."""
        record = self.statistics
        return trend_of(tuple(self._recent), record.winning_trades, record.total_trades)

    def calculate_kelly_fraction(self) -> KellyFraction:
        """The fraction that the record supports; 0 where it has no win or loses on average."""
        trades = min(self.statistics.total_trades, FULL_CONFIDENCE_TRADES)
        fraction, prior = _kelly(self.statistics)
        cap, capital = Fraction(self.cap), Fraction(self.capital)
        safe = min(fraction * self.kelly_mode.share, cap)
        confidence = Fraction(trades, FULL_CONFIDENCE_TRADES)
        size = confidence * safe * capital
        if confidence < 1:
            size = min(max(size, Fraction(self.probe_usd)), cap * capital)
        return KellyFraction(
            Ratio(fraction), Ratio(safe), Ratio(confidence), _dollars(size), _dollars(safe * capital), prior
        )

    def get_recommended_position_size(self) -> Decimal:
        """Dollars for the next trade, cut to the cent; 0 means that Kelly says no.

        Below 20 trades at least the probe, so that a bad start can still be outgrown; from 20
        trades on what Kelly says, be it 0.
        """
        return self.calculate_kelly_fraction().estimated_position_size

    def analysis(self) -> str:
        """Everything that is known, as lines of text for people: record, trend, fraction, size, caveats."""
        lines = [*_record_lines(self.statistics), f"trend           {self.trend}"]
        lines += _size_lines(self.calculate_kelly_fraction(), self.kelly_mode, self.capital, self.cap)
        if self.recalculated_wall_ns:
            seconds = self.recalculated_wall_ns // 10**9
            lines.append(f"computed        {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC")
        return "\n".join([*lines, *(f"note: {caveat}" for caveat in CAVEATS)])

    def print_analysis(self, write: Callable[[str], object] | None = None) -> str:
        """The analysis; handed to `write` too, if that is given (only the caller may print)."""
        text = self.analysis()
        if write is not None:
            write(text)
        return text


def _record_lines(record: TradeStatistics) -> list[str]:
    """The statistics, one subject a line."""
    factor = "none: nothing was lost" if record.profit_factor is None else f"{record.profit_factor:.2f}"
    return [
        f"trades          {record.total_trades}: {record.winning_trades} won, {record.losing_trades} lost",
        f"win rate        {record.win_rate * 100:.1f} %",
        f"average         won ${record.avg_win:.2f}, lost ${record.avg_loss:.2f}",
        f"largest         won ${record.largest_win:.2f}, lost ${record.largest_loss:.2f}",
        f"profit factor   {factor}",
        f"losses in a row {record.consecutive_losses} now, {record.max_consecutive_losses} at most",
    ]


def _size_lines(kelly: KellyFraction, mode: KellySizeMode, capital: Decimal, cap: Decimal) -> list[str]:
    """The fraction and the size, one step a line."""
    halved, prior = fall_probability(mode.share, Fraction(1, 2)) * 100, " on the prior" if kelly.prior else ""
    growth, confidence = Ratio(growth_share(mode.share)) * 100, kelly.confidence * 100
    kept = f"{growth:.1f} % of full Kelly's growth, capital ever halved with probability {halved:.1f} %"
    return [
        f"Kelly           {kelly.kelly_percent:.1f} %{prior}",
        f"mode            {mode}: {kept}",
        f"safe fraction   {kelly.safe_kelly_fraction * 100:.1f} %, at most {cap * 100:.1f} %",
        f"confidence      {confidence:.0f} %",
        f"next trade      ${kelly.estimated_position_size} of ${capital:.2f}",
    ]


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
    """An amount in dollars, cut to the cent."""
    return to_decimal(int(amount * 100), 2)
