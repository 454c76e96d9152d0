"""Status account: what the trader says of its account: switches, positions, orders, Kelly, predictions.

In: the trader's segment, the HALT file. Out: parts of the status object, money and sizes as decimal text;
empty where there is no trader. Used by `pipeline.status`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.clock import moment_text
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.model import to_text
from pipeline.model_orders import OrderState
from shm import records
from shm.layout import Record
from shm.segment import View
from shm.tables import TableReader

RowT = TypeVar("RowT", bound=tuple[Any, ...])
BANDS = ("low", "medium", "high")
# S1's colours of an exposure, in millionths of a dollar: low below the first, high above the second.
BANDS_MICROS = (20_000_000, 50_000_000)
EVENT_STATES = ("hedged", "on its way", "unhedged")
TRENDS = {1: "better", 0: "steady", -1: "worse"}


def summary_of(trader: View | None) -> records.SummaryRow | None:
    """The trader's totals; None while no trader has written any."""
    return written(trader, "summary", records.SUMMARY)


def written(trader: View | None, name: str, record: Record[RowT]) -> RowT | None:
    """The one row of a table; None without a trader, and for the empty row that a restart leaves."""
    row = TableReader(trader, name, record).get(0) if trader is not None else None
    return None if row == record.empty() else row


def switches(data: Path, summary: records.SummaryRow | None) -> dict[str, Any]:
    """Whether and why nothing new is traded: by the file, and by what the trader shows."""
    found = HaltFile(data / HALT_FILE).read()
    shown = bool(summary is not None and summary.halted)
    halt: dict[str, Any] | None = None
    if found is not None:
        at = moment_text(found.known_ns)
        halt = {"cause": found.cause, "who": found.who, "at": at, "later": list(found.later)}
    elif shown and summary is not None:
        at = moment_text(summary.halted_wall_ns)
        halt = {"cause": summary.halt_cause, "who": "", "at": at, "later": []}
    return {"halted": halt is not None, "halt": halt, "trader_halted": shown}


def account(summary: records.SummaryRow | None) -> dict[str, Any]:
    """The totals. `day_known` is False while a lone leg counts as the day's limit reached."""
    if summary is None:
        return {}
    return {
        "order_mode": summary.mode,
        "armed": bool(summary.armed),
        "closed_trades": summary.closed_trades,
        "unhedged": summary.unhedged,
        "realised_usd": usd(summary.realised_micros),
        "unrealised_usd": usd(summary.unrealised_micros),
        "fees_usd": usd(summary.fees_micros),
        "day_pnl_usd": usd(summary.day_pnl_micros),
        "day_known": bool(summary.day_known),
        "exposure_usd": usd(summary.exposure_micros),
        "band": band(summary.exposure_micros),
        "net_exposure_usd": usd(summary.net_exposure_micros),
        "locked_profit_usd": usd(summary.locked_profit_micros),
        "consecutive_losses": summary.consecutive_losses,
        "open_orders": summary.open_orders,
        "unknown_orders": summary.unknown_orders,
        "quotes": summary.quotes,
    }


def band(micros: int) -> str:
    """S1's colour of an exposure in words; exactly $20 and exactly $50 are in the middle."""
    low, high = BANDS_MICROS
    return BANDS[0 if micros < low else 1 if micros <= high else 2]


def positions(trader: View | None) -> dict[str, dict[str, str]]:
    """Sizes by event and venue, NO negative; where one venue holds both outcomes, each for itself."""
    if trader is None:
        return {}
    held: dict[str, dict[str, list[records.PositionRow]]] = {}
    for _, row in TableReader(trader, "positions", records.POSITION).rows():
        held.setdefault(row.event_id, {}).setdefault(row.venue, []).append(row)
    return {
        event: {venue: size_text(rows) for venue, rows in by_venue.items()}
        for event, by_venue in held.items()
    }


def size_text(rows: Iterable[records.PositionRow]) -> str:
    """What one venue holds of an event: "12", "-12.5", or "5 yes, 5 no"."""
    sizes: dict[str, int] = {}
    decimals = 0
    for row in rows:
        # Markets of one venue may count in different units: all are brought to the finest.
        finest = max(decimals, row.size_decimals)
        sizes = {outcome: units * 10 ** (finest - decimals) for outcome, units in sizes.items()}
        units = row.units * int(10 ** (finest - row.size_decimals))
        sizes[row.outcome] = sizes.get(row.outcome, 0) + units
        decimals = finest
    texts = {outcome: to_text(units, decimals) for outcome, units in sizes.items()}
    if len(texts) > 1:
        return ", ".join(f"{texts[outcome]} {outcome}" for outcome in sorted(texts, reverse=True))
    ((outcome, units),) = sizes.items()
    return to_text(-units if outcome == "no" else units, decimals)


def events(trader: View | None) -> dict[str, dict[str, Any]]:
    """What is held of each event over all venues; `unrealised_usd` is None where no live book could say."""
    if trader is None:
        return {}
    return {
        row.event_id: {
            "kind": row.kind,
            "state": word(EVENT_STATES, row.state),
            "hedged": to_text(row.hedged_units, row.size_decimals),
            "net": to_text(row.net_units, row.size_decimals),
            "exposure_usd": usd(row.gross_micros),
            "net_exposure_usd": usd(row.net_exposure_micros),
            "band": word(BANDS, row.band),
            "locked_usd": usd(row.locked_micros),
            "unrealised_usd": usd(row.unrealised_micros) if row.marked else None,
            "fees_usd": usd(row.fees_micros),
            "opened": moment_text(row.opened_wall_ns),
            "closes": moment_text(row.close_wall_ns),
        }
        for _, row in TableReader(trader, "events", records.EVENT_POSITION).rows()
    }


def orders(trader: View | None, now_ns: int) -> list[dict[str, Any]]:
    """The orders that are on their way or rest; prices in the book's terms."""
    if trader is None:
        return []
    return [
        {
            "order_id": row.order_id,
            "event_id": row.event_id,
            "venue": row.venue,
            "market": row.market,
            "order": f"{row.action} {row.outcome}",
            "purpose": row.purpose,
            "style": row.style,
            "price": to_text(row.price_ticks, row.price_decimals),
            "size": to_text(row.size_units, row.size_decimals),
            "filled": to_text(row.filled_units, row.size_decimals),
            "state": state_word(row.state),
            "age_ms": round((now_ns - row.sent_ns) / 1e6) if row.sent_ns else None,
        }
        for _, row in TableReader(trader, "orders", records.ORDER).rows()
    ]


def kelly(trader: View | None) -> dict[str, Any]:
    """The eleven statistics and what Kelly makes of them; `profit_factor` is None while nothing was lost."""
    row = written(trader, "kelly", records.KELLY)
    if row is None:
        return {}
    return {
        "total_trades": row.total_trades,
        "winning_trades": row.winning_trades,
        "losing_trades": row.losing_trades,
        "win_rate": share(row.win_rate_ppm),
        "avg_win_usd": usd(row.avg_win_micros),
        "avg_loss_usd": usd(row.avg_loss_micros),
        "profit_factor": None if row.profit_factor_ppm < 0 else share(row.profit_factor_ppm),
        "largest_win_usd": usd(row.largest_win_micros),
        "largest_loss_usd": usd(row.largest_loss_micros),
        "consecutive_losses": row.consecutive_losses,
        "max_consecutive_losses": row.max_consecutive_losses,
        "recent_win_rate": share(row.recent_win_rate_ppm),
        "trend": TRENDS.get(row.trend, "steady"),
        "kelly_fraction": share(row.kelly_ppm),
        "safe_fraction": share(row.safe_ppm),
        "confidence": share(row.confidence_ppm),
        "prior": bool(row.prior),
        "recommended_usd": usd(row.recommended_micros),
        "capital_usd": usd(row.capital_micros),
        "mode": row.mode,
    }


def calibration(trader: View | None) -> dict[str, Any]:
    """How well the trader's predictions came true; `brier` is None while there is nothing to judge."""
    row = written(trader, "calibration", records.CALIBRATION)
    if row is None:
        return {}
    return {
        "trades": row.trades,
        "brier": share(row.brier_ppm) if row.trades else None,
        "race_predicted": share(row.race_mean_ppm),
        "filled": share(row.filled_mean_ppm),
        "edge_predicted_bp": row.edge_predicted_bp,
        "edge_realised_bp": row.edge_realised_bp,
        "slippage_usd": usd(row.slippage_micros),
        "latency_predicted_ms": round(row.latency_predicted_ns / 1e6, 1),
        "latency_ms": round(row.latency_ns / 1e6, 1),
    }


def usd(micros: int) -> str:
    """Millionths of a dollar as plain decimal text."""
    return to_text(micros, 6)


def share(ppm: int) -> str:
    """Millionths as plain decimal text of a share."""
    return to_text(ppm, 6)


def word(words: tuple[str, ...], number: int) -> str:
    """The word of a number; the number itself where there is none."""
    return words[number] if 0 <= number < len(words) else str(number)


def state_word(number: int) -> str:
    """An order's state by name."""
    return OrderState(number).name if number in OrderState.__members__.values() else f"state {number}"
