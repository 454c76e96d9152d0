"""Positions: what is held of each event at each venue, and the account behind it.

In: a snapshot. Out: lines. Pure. Sizes are in the event's YES terms: minus is short.
"""

from __future__ import annotations

from dashboard.formatting import exposure_word, fit, join_fitting, letter, size_text, usd_text
from dashboard.snapshot import PositionLeg, PositionView, Snapshot
from dashboard.widgets.panel import HEAD, Line
from shm.records import KellyRow, SummaryRow

NET, PNL = 6, 8
# Numbers too far from their event are hard to follow.
WIDEST = 78


def draw_positions(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """The account, then a line per event."""
    lines = _account(snapshot, width, compact=compact)
    width = min(width, WIDEST)
    held = max(10, (width - NET - PNL - 3) * 12 // 25)
    event_cells = width - held - NET - PNL - 3
    if snapshot.positions and not compact:
        head = f"{fit('EVENT', event_cells)} {fit('HELD', held)} "
        lines.append([(head + fit("NET", NET, "right") + " " + fit("P&L", PNL, "right"), HEAD)])
    lines += [_position(position, event_cells, held) for position in snapshot.positions]
    if not snapshot.positions and not compact:
        lines.append([("no open positions", "dim")])
    return lines


def _account(snapshot: Snapshot, width: int, *, compact: bool) -> list[Line]:
    """Exposure, P&L, what Kelly says, and cash by venue."""
    total = snapshot.summary
    if total is None:
        return [[("no trader yet", "dim")]]
    word, role = exposure_word(total.exposure_micros)
    gross: Line = [
        ("gross ", "dim"),
        (f"{usd_text(total.exposure_micros)} {word}", role if snapshot.trader_alive else "dim"),
    ]
    unrealised: Line = [("  open P&L ", "dim"), _signed(total.unrealised_micros)]
    realised: Line = [
        ("realised ", "dim"),
        _signed(total.realised_micros),
        ("  fees ", "dim"),
        (usd_text(total.fees_micros), "plain"),
    ]
    cash = [f"{letter(row.venue)} {usd_text(row.cash_micros)[:-3]}" for row in snapshot.cash]
    if compact:
        return [[*gross, *unrealised, ("  ", "plain"), *realised]]
    return [
        [*gross, *unrealised],
        realised,
        [("kelly ", "dim"), (_kelly(snapshot.kelly, total), "plain")],
        [("cash ", "dim"), (join_fitting(cash, width - 5) or "--", "plain")],
    ]


def _kelly(kelly: KellyRow | None, total: SummaryRow) -> str:
    """The recommended share and bet, which hold if trades are independent and alike (the formula's own
    condition), and the run of losses.
    """
    said = "--"
    if kelly is not None:
        dollars = usd_text(kelly.recommended_micros)[:-3]
        said = f"{kelly.safe_ppm / 10_000:.1f}% → {dollars} if IID"
    return f"{said}  losses in a row {total.consecutive_losses}"


def _position(position: PositionView, event_cells: int, held_cells: int) -> Line:
    """One event: sizes by venue, what is not hedged, and what closing it now would bring."""
    decimals = position.size_decimals
    held = [_held(leg, decimals) for leg in position.legs]
    net = position.net_units
    pnl = position.unrealised_micros
    return [
        (fit(position.event_id, event_cells) + " ", "plain"),
        (fit(" ".join(held), held_cells) + " ", "plain"),
        (fit(_size(net, decimals), NET, "right") + " ", "dim" if net == 0 else "bad"),
        (fit("--", PNL, "right"), "dim")
        if pnl is None
        else (fit(usd_text(pnl, sign=True), PNL, "right"), _signed(pnl)[1]),
    ]


def _held(leg: PositionLeg, decimals: int) -> str:
    """A venue and what is held there: K+20, or K 2×20 of two markets."""
    size = (
        _size(leg.units, decimals) if leg.markets == 1 else f" {leg.markets}×{size_text(leg.units, decimals)}"
    )
    return f"{letter(leg.venue)}{size}"


def _size(units: int, decimals: int) -> str:
    """A size with its sign; 0 without."""
    sign = "+" if units > 0 else "-" if units < 0 else ""
    return sign + size_text(abs(units), decimals)


def _signed(micros: int) -> tuple[str, str]:
    """Money with its sign and the role of its colour."""
    role = "good" if micros > 0 else "bad" if micros < 0 else "plain"
    return usd_text(micros, sign=True), role
