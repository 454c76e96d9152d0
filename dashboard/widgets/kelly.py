"""Kelly: the record of closed trades, what Kelly makes of it, and which rule cuts the size.

In: a snapshot. Out: lines: a column of facts, or in a compact layout as few lines as they need. Pure. Every
number is a cell of the trader's `KellyRow`; losses are written with a minus.
"""

from __future__ import annotations

from dashboard.charts import bar
from dashboard.formatting import clean, clock_text, fit, percent_text, usd_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.beside import cut
from dashboard.widgets.flow import fact, flow
from dashboard.widgets.panel import Line, Span
from pipeline.money import to_decimal
from shm.records import KellyRow

# As the trader counts: `pipeline.trader.kelly` and `kelly_trend`.
FULL_TRADES, TREND_TRADES = 20, 10
# Columns of the full layout, and the bar of the win rate.
NAME, VALUE, BAR = 13, 10, 20
_TRENDS = {1: ("↑ rising", "good"), 0: ("→ as all", "plain"), -1: ("↓ falling", "fair")}
IID = "if trades are independent and alike (IID)"


def draw_kelly(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """Statistics, fraction, size."""
    row = snapshot.kelly
    if row is None:
        return [[("no trader yet: it keeps the record", "dim")]]
    return _short(row, width) if compact else [cut(line, width) for line in _full(row)]


def _full(row: KellyRow) -> list[Line]:
    """A fact a line: name, value, and what belongs to it."""
    won, lost = ("won ", "dim"), ("lost ", "dim")
    share = row.win_rate_ppm / 1e6
    return [
        _line("closed trades", str(row.total_trades), won, (f"{row.winning_trades}  ", "plain"), lost,
              (str(row.losing_trades), "plain")),
        _line("win rate", percent_text(row.win_rate_ppm), (bar(share, BAR), "gain")),
        _line(f"recent {_recent(row)}", percent_text(row.recent_win_rate_ppm), *_trend(row)),
        _line("profit factor", _factor(row), ("odds b ", "dim"), (_odds(row), "plain")),
        _line("average win", *_won(row.avg_win_micros), lost, _lost(row.avg_loss_micros)),
        _line("largest win", *_won(row.largest_win_micros), lost, _lost(row.largest_loss_micros)),
        _line("losses now", str(row.consecutive_losses), ("in a row, ", "dim"),
              (str(row.max_consecutive_losses), "plain"), (" at most", "dim")),
        _line("full Kelly f*", percent_text(row.kelly_ppm), ("= p - q/b" + _when(row), "dim")),
        _line(clean(row.mode) or "mode?", percent_text(row.mode_ppm), ("by kelly.mode", "dim")),
        _line("safe", percent_text(row.safe_ppm), _cap(row)),
        _line("confidence", percent_text(row.confidence_ppm, 0), (_sample(row), "dim")),
        _line("RECOMMENDED", usd_text(row.recommended_micros), ("of ", "dim"),
              (usd_text(row.capital_micros), "plain"), role="strong"),
        [(" → ", "dim"), _cut(row)],
        [(IID, "dim")],
    ]  # fmt: skip


def _short(row: KellyRow, width: int) -> list[Line]:
    """The same in a few lines."""
    role = "strong"
    groups = [
        fact(
            "closed trades", str(row.total_trades), more=f"won {row.winning_trades} lost {row.losing_trades}"
        ),
        [*fact("win rate", percent_text(row.win_rate_ppm)), (" " + bar(row.win_rate_ppm / 1e6, 8), "gain")],
        [
            *fact(f"recent {_recent(row)}", percent_text(row.recent_win_rate_ppm)),
            (" ", "dim"),
            _trend(row)[0],
        ],
        [("average ", "dim"), _won(row.avg_win_micros)[0], (" ", "dim"), _lost(row.avg_loss_micros)],
        [("largest ", "dim"), _won(row.largest_win_micros)[0], (" ", "dim"), _lost(row.largest_loss_micros)],
        fact("factor", _factor(row)),
        fact("b", _odds(row)),
        fact("losses in a row", str(row.consecutive_losses), more=f"at most {row.max_consecutive_losses}"),
        fact("f*", percent_text(row.kelly_ppm)),
        fact(clean(row.mode) or "mode?", percent_text(row.mode_ppm)),
        [*fact("safe", percent_text(row.safe_ppm)), (" ", "dim"), _cap(row)],
        fact("confidence", percent_text(row.confidence_ppm, 0), more=_sample(row)),
        [*fact("RECOMMENDED", usd_text(row.recommended_micros), role), (" → ", "dim"), _cut(row)],
        [("if IID", "dim")],
    ]
    return flow(groups, width)


def _line(name: str, value: Span | str, *rest: Span, role: str = "plain") -> Line:
    """Name, value and the rest, each in its column."""
    text, colour = (value, role) if isinstance(value, str) else value
    return [(fit(name, NAME) + " ", "dim"), (fit(text, VALUE, "right") + "  ", colour), *rest]


def _won(micros: int) -> tuple[Span]:
    return ((usd_text(micros, sign=True), "gain" if micros else "plain"),)


def _lost(micros: int) -> Span:
    """A loss; the row has it positive."""
    return usd_text(-micros, sign=True), "bad" if micros else "plain"


def _ratio(ppm: int) -> str:
    return f"{to_decimal(ppm, 6):.2f}"


def _factor(row: KellyRow) -> str:
    """All wins over all losses."""
    if not row.total_trades:
        return "-"
    return _ratio(row.profit_factor_ppm) if row.profit_factor_ppm >= 0 else "no loss"


def _odds(row: KellyRow) -> str:
    """The average win over the average loss, or what Kelly takes while one of them is unknown."""
    if row.odds_ppm:
        return _ratio(row.odds_ppm)
    # The sizer's prior: one imagined loss as large as the average win.
    return "1.00 (prior)" if row.prior and row.total_trades else "-"


def _recent(row: KellyRow) -> int:
    return min(TREND_TRADES, row.total_trades)


def _trend(row: KellyRow) -> tuple[Span, ...]:
    """The last trades against all; it changes no size."""
    if row.total_trades < TREND_TRADES:
        return ((f"{row.total_trades} of {TREND_TRADES} for a trend", "dim"),)
    return (_TRENDS.get(row.trend, ("?", "fair")), ("; not in size", "dim"))


def _cap(row: KellyRow) -> Span:
    """The largest share of the capital, and whether it cuts."""
    if row.mode_ppm > row.cap_ppm:
        return f"kelly.cap {percent_text(row.cap_ppm, 0)} reached", "fair"
    return f"below kelly.cap {percent_text(row.cap_ppm, 0)}", "dim"


def _sample(row: KellyRow) -> str:
    if row.total_trades >= FULL_TRADES:
        return f"from {FULL_TRADES} trades on"
    return f"{row.total_trades} of {FULL_TRADES} trades"


def _cut(row: KellyRow) -> Span:
    """What decides about the next trade's size beside its own edge."""
    if row.recommended_micros > row.order_micros:
        return f"risk.max_order_usd cuts it to {usd_text(row.order_micros)}", "fair"
    if not row.recommended_micros:
        return "Kelly says no: the record loses on average", "bad"
    if row.confidence_ppm < 10**6:
        return "few trades: scaled down to risk.probe_usd", "dim"
    return ("kelly.cap cuts it", "fair") if row.mode_ppm > row.cap_ppm else ("no fixed limit cuts it", "dim")


def _when(row: KellyRow) -> str:
    """When it was computed last: after each closed trade, and every day."""
    return f", at {clock_text(row.computed_wall_ns)}" if row.computed_wall_ns else ""
