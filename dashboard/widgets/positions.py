"""Positions: the panel of the Live tab: what is held of each event, and the account behind it.

In: a snapshot. Out: lines. Pure. Sizes are in the event's YES terms: minus is short.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.charts import sparkline
from dashboard.formatting import exposure_word, fit, percent_text, signed_size, usd_text
from dashboard.snapshot import LimitsView, PositionView, Snapshot
from dashboard.widgets.flow import signed_usd
from dashboard.widgets.holdings import held_text
from dashboard.widgets.panel import HEAD, Line
from shm.records import SummaryRow

NET, PNL = 6, 8
# Two venues with sizes of two decimals: K+31.06 P-31.06.
HELD = 15
# Numbers too far from their event are hard to follow.
WIDEST = 78


def draw_positions(snapshot: Snapshot, width: int, compact: bool, height: int) -> list[Line]:
    """The account, then a line per event; what `height` has no room for is counted."""
    lines = _account(snapshot, width, compact=compact)
    cells = min(width, WIDEST)
    held = max(HELD, (cells - NET - PNL - 3) * 12 // 25)
    event_cells = cells - held - NET - PNL - 3
    if snapshot.positions and not compact:
        head = f"{fit('EVENT', event_cells)} {fit('HELD', held)} "
        lines.append([(head + fit("NET", NET, "right") + " " + fit("P&L", PNL, "right"), HEAD)])
    elif not snapshot.positions:
        lines.append([("no open positions", "dim")])
    shown = snapshot.positions[: max(1, height - len(lines))]
    hidden = len(snapshot.positions) - len(shown)
    if hidden:
        shown, hidden = shown[:-1], hidden + 1
    lines += [_position(position, event_cells, held) for position in shown]
    if hidden:
        said = f"and {hidden} more" if shown else f"{hidden} events held"
        lines.append([(f"{said}: key 3 shows them", "dim")])
    return lines


def positions_title(snapshot: Snapshot) -> str:
    """How many events something is held of."""
    held = len(snapshot.positions)
    return f"Positions in {held} event{'' if held == 1 else 's'}" if held else "Positions"


def _account(snapshot: Snapshot, width: int, *, compact: bool) -> list[Line]:
    """Exposure, P&L, how many opportunities were approved, the run of losses; each beside its limit."""
    total, limits = snapshot.summary, snapshot.limits
    if total is None:
        return [[("no trader yet", "dim")]]
    word, role = exposure_word(total.exposure_micros)
    gross: Line = [
        ("gross ", "dim"),
        (f"{usd_text(total.exposure_micros)} {word}", role if snapshot.trader_alive else "dim"),
        (f" /{whole_usd(limits.exposure_micros)}" if limits else "", "dim"),
    ]
    opened: Line = [("  open ", "dim"), signed_usd(total.unrealised_micros)]
    day: Line = [
        ("day P&L ", "dim"),
        signed_usd(total.day_pnl_micros),
        ("" if total.day_known else "?", "fair"),
        (f"  limit -{whole_usd(limits.day_loss_micros)}" if limits else "", "dim"),
    ]
    approval: Line = [("approval ", "dim"), (approval_text(total), "plain"), *_losses(total, limits)]
    worth: Line = [("P&L ", "dim"), (_sparkline(snapshot, width - 4), "info")]
    if not compact:
        return [[*gross, *opened], day, approval, worth]
    first: Line = [*gross, *opened, ("  ", "plain"), *day]
    used = sum(cell_len(text) for text, _ in approval) + 6
    return [first, [*approval, ("  P&L ", "dim"), (_sparkline(snapshot, min(40, width - used)), "info")]]


def approval_text(total: SummaryRow) -> str:
    """Of the opportunities the share that was approved, as in bot_state.json; "-" before the first."""
    seen = total.opportunities
    return percent_text(total.approved * 10**6 // seen if seen else None, 0)


def whole_usd(micros: int) -> str:
    """A limit without its cents, where it has none."""
    return usd_text(micros).removesuffix(".00")


def _losses(total: SummaryRow, limits: LimitsView | None) -> Line:
    """The run of losses and the length of it that stops trading; red when it is that long."""
    most = limits.losses if limits else 0
    reached = bool(most) and total.consecutive_losses >= most
    text = f"{total.consecutive_losses}/{most}" if most else str(total.consecutive_losses)
    return [("  loss streak ", "dim"), (text + (" STOPS" if reached else ""), "bad" if reached else "plain")]


def _sparkline(snapshot: Snapshot, cells: int) -> str:
    """What the account was worth, by the trader's own points."""
    if not snapshot.equity:
        return fit("no points yet", max(0, cells))
    return sparkline([point.equity_micros for point in snapshot.equity], cells)


def _position(position: PositionView, event_cells: int, held_cells: int) -> Line:
    """One event: sizes by venue, what is not hedged, and what closing it now would bring."""
    decimals = position.size_decimals
    held = [held_text(leg, decimals) for leg in position.legs]
    net = position.net_units
    pnl = position.unrealised_micros
    return [
        (fit(position.event_id, event_cells) + " ", "plain"),
        (fit(" ".join(held), held_cells) + " ", "plain"),
        (fit(signed_size(net, decimals), NET, "right") + " ", "dim" if net == 0 else "bad"),
        (fit("--", PNL, "right"), "dim")
        if pnl is None
        else (fit(usd_text(pnl, sign=True), PNL, "right"), signed_usd(pnl)[1]),
    ]
