"""Performance: what the account made, how trades came against what was said of them, and their edges.

In: a snapshot. Out: lines, rows of a table, a chart. Pure. Numbers are cells of the trader's rows; a share
beside two counts is the one over the other.
"""

from __future__ import annotations

from dashboard.charts import histogram
from dashboard.formatting import (
    bp_text,
    clock_text,
    millis_text,
    percent_text,
    usd_text,
)
from dashboard.plots import chart
from dashboard.snapshot import Snapshot
from dashboard.widgets.flow import fact, flow, signed_usd
from dashboard.widgets.panel import Line, Span
from dashboard.widgets.table import Column, Table
from pipeline.model import Action
from pipeline.money import to_decimal
from shm.records import CalibrationRow, OutcomeRow, SummaryRow

# A ratio of results to their spread says something from about a month of days on; the curve is of two hours.
SHARPE = "Sharpe n/a (needs 30 days)"
# Mean squared error of one who always says one half.
COIN_PPM = 250_000

RESULTS: dict[int, Span] = {
    Action.EXECUTED: ("executed", "good"),
    Action.UNWOUND: ("unwound", "fair"),
    Action.UNHEDGED: ("UNHEDGED", "bad"),
    Action.REJECTED: ("unfilled", "dim"),
    Action.WITHDRAWN: ("untaken", "dim"),
}
TRADED = (Action.EXECUTED, Action.UNWOUND, Action.UNHEDGED)


def draw_performance(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """Money, what became of opportunities, predictions against results, times."""
    total, came = snapshot.summary, snapshot.calibration
    if total is None:
        return [[("no trader yet", "dim")]]
    if compact:
        parts = [[*_money(total), _falls(total)[0][:2]], _counts(total), _short_predictions(total, came)]
    else:
        parts = [_money(total), _falls(total), _counts(total), *_predictions(came), _times(total, came)]
    return [line for part in parts for line in flow(part, width)]


def _money(total: SummaryRow) -> list[Line]:
    return [
        [("realised ", "dim"), signed_usd(total.realised_micros)],
        [("unrealised ", "dim"), signed_usd(total.unrealised_micros)],
        fact("fees so far", usd_text(total.fees_micros)),
    ]


def _falls(total: SummaryRow) -> list[Line]:
    below = f"({usd_text(total.drawdown_micros)} now)" if total.drawdown_micros else "(none now)"
    return [
        fact("max drawdown", usd_text(total.max_drawdown_micros), more=below),
        fact("peak", usd_text(total.peak_micros)),
    ]


def _counts(total: SummaryRow) -> list[Line]:
    """What became of what was seen."""
    approved = f"({_share(total.approved, total.opportunities)})"
    filled = "n/a" if total.fill_rate_ppm < 0 else percent_text(total.fill_rate_ppm, 0)
    return [
        fact("opps", f"{total.opportunities:,}"),
        fact("approved", f"{total.approved:,}", more=approved),
        fact("fill rate", filled),
        fact("unhedged", str(total.unhedged), "bad" if total.unhedged else "plain"),
    ]


def _predictions(came: CalibrationRow | None) -> list[list[Line]]:
    """What was said against what came, as means over all trades."""
    if came is None:
        return [[[("no trade has ended yet: nothing to compare", "dim")]]]
    captured = _share(came.edge_realised_bp, came.edge_predicted_bp)
    better = "fair" if came.brier_ppm > COIN_PPM else "plain"
    return [
        [
            fact("edge said", f"{bp_text(came.edge_predicted_bp)} bp"),
            fact("came", f"{bp_text(came.edge_realised_bp)} bp", more=f"({captured} captured)"),
            fact("slip", usd_text(came.slippage_micros)),
        ],
        [
            fact("race said", percent_text(came.race_mean_ppm, 0)),
            fact("filled", percent_text(came.filled_mean_ppm, 0)),
            fact("Brier", f"{to_decimal(came.brier_ppm, 6):.3f}", better, "(coin 0.250)"),
        ],
    ]


def _short_predictions(total: SummaryRow, came: CalibrationRow | None) -> list[Line]:
    """The most of it in one line."""
    if came is None:
        return _predictions(came)[0]
    said, brier = _predictions(came)[0][:2], _predictions(came)[1][-1][:2]
    return [*said, brier, fact("leg gap", f"{millis_text(total.leg_gap_p50_ns or None)} ms")]


def _times(total: SummaryRow, came: CalibrationRow | None) -> list[Line]:
    gap, far = millis_text(total.leg_gap_p50_ns or None), millis_text(total.leg_gap_p99_ns or None)
    groups = [fact("leg gap", f"p50 {gap} p99 {far} ms")]
    if came is not None:
        said, took = millis_text(came.latency_predicted_ns), millis_text(came.latency_ns)
        groups.append(fact("latency said", f"{said} ms", more=f"came {took} ms"))
    return [*groups, [(SHARPE, "dim")]]


def _share(part: int, whole: int) -> str:
    """A share in per cent; "-" where there is no whole, or a lossy one."""
    return percent_text(part * 10**6 // whole, 0) if whole > 0 else "-"


# -- charts ---------------------------------------------------------------------------------------


def draw_pnl(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """What the account is worth beyond its worth at the first point that is kept: all fees are in it."""
    rows = snapshot.equity
    return chart([(row.wall_ns, row.equity_micros - rows[0].equity_micros) for row in rows], width, height)


def pnl_title(snapshot: Snapshot) -> str:
    """Since when the chart is, and what stands at its end."""
    rows = snapshot.equity
    if not rows:
        return "P&L"
    made = rows[-1].equity_micros - rows[0].equity_micros
    return f"P&L since {clock_text(rows[0].wall_ns)}: {usd_text(made, sign=True)}"


def draw_spread(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """How often which edge came, of the last trades that were filled; from the mark on nothing was lost."""
    edges = [row.realised_bp for row in snapshot.outcomes if row.outcome in TRADED]
    return histogram(edges, width, height, mark=0, unit="bp")


# -- trades ---------------------------------------------------------------------------------------


def _bp(value: int) -> Span:
    return bp_text(value), "good" if value > 0 else "bad" if value < 0 else "plain"


def _millis(span_ns: int) -> Span:
    return millis_text(span_ns or None), "dim"


OUTCOME_COLUMNS: tuple[Column[OutcomeRow], ...] = (
    Column("TIME", 8, lambda row: (clock_text(row.wall_ns) if row.wall_ns else "-", "dim"),
           lambda row: row.wall_ns or None),
    Column("EVENT", 10, lambda row: (row.event_id, "plain"), lambda row: row.event_id, grows=30),
    Column("MODE", 11, lambda row: (row.mode, "dim"), lambda row: row.mode, spare=5),
    Column("RESULT", 8, lambda row: RESULTS.get(row.outcome, ("?", "fair")), lambda row: row.outcome),
    Column("SAID bp", 7, lambda row: (bp_text(row.predicted_bp), "plain"), lambda row: row.predicted_bp,
           True),
    Column("CAME bp", 7, lambda row: _bp(row.realised_bp), lambda row: row.realised_bp, True),
    Column("SAID $", 8, lambda row: (usd_text(row.predicted_micros, sign=True), "plain"),
           lambda row: row.predicted_micros, True, spare=6),
    Column("P&L", 8, lambda row: signed_usd(row.realised_micros), lambda row: row.realised_micros, True),
    Column("RACE", 5, lambda row: (percent_text(row.race_ppm, 0), "dim"), lambda row: row.race_ppm, True,
           spare=2),
    Column("FILLED", 6, lambda row: (percent_text(row.filled_ppm, 0), "plain"), lambda row: row.filled_ppm,
           True, spare=1),
    Column("SLIP", 7, lambda row: (usd_text(row.slippage_micros, sign=True), "dim"),
           lambda row: row.slippage_micros, True, spare=4),
    Column("SAID ms", 7, lambda row: _millis(row.latency_predicted_ns),
           lambda row: row.latency_predicted_ns or None, True, spare=7),
    Column("MS", 6, lambda row: _millis(row.latency_ns), lambda row: row.latency_ns or None, True,
           spare=3),
)  # fmt: skip


def outcome_rows(snapshot: Snapshot) -> Table[OutcomeRow]:
    """The last trades as predicted and as they came, newest first."""
    nothing = "No trade has that in it. Esc shows all." if snapshot.outcomes else "No trade has ended yet."
    return Table(snapshot.outcomes, OUTCOME_COLUMNS, lambda row: f"{row.sequence} {row.trade_id}", nothing)
