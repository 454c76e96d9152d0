"""Holdings: the Positions tab: what is held, what it cost, what it would fetch, and what of it stands alone.

In: a snapshot. Out: rows of a table, lines. Pure. Sizes are in the event's YES terms: minus is short. Average
prices and marks are those of the outcome that is held.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.formatting import (
    age_text,
    clean,
    clock_text,
    count_text,
    exposure_word,
    letter,
    price_text,
    signed_size,
    size_text,
    usd_text,
)
from dashboard.snapshot import PositionLeg, PositionView, Snapshot
from dashboard.widgets.beside import cut
from dashboard.widgets.cells import closes_text
from dashboard.widgets.flow import fact, flow, signed_usd
from dashboard.widgets.panel import HEAD, Line, Span
from dashboard.widgets.table import Column, Table
from pipeline.model import to_text
from pipeline.model_orders import OrderState
from shm.records import FlattenRow, OrderRow, PositionRow

# EventPositionRow.state, and FlattenRow.state.
_STATES: dict[int, Span] = {0: ("✓ hedged", "good"), 1: ("→ moving", "info"), 2: ("✗ UNHEDGED", "bad")}
_ASKED: dict[int, Span] = {
    1: ("works", "info"),
    2: ("flat", "good"),
    3: ("refused", "bad"),
    4: ("ended", "fair"),
}
_ORDERS: dict[int, Span] = {
    OrderState.INTENT: ("not sent yet", "dim"),
    OrderState.SENT: ("sent", "info"),
    OrderState.ACCEPTED: ("accepted", "info"),
    OrderState.PARTIAL: ("part filled", "fair"),
    OrderState.FILLED: ("filled", "good"),
    OrderState.CANCELLED: ("cancelled", "dim"),
    OrderState.REJECTED: ("rejected", "bad"),
    OrderState.UNKNOWN: ("⚠ UNKNOWN", "bad"),
    OrderState.NOT_SENT: ("never sent", "dim"),
}
SPOT = "spot"
# From so many cells on events have their titles, and holdings of several outcomes more room.
ROOMY, ROOM = 150, 6
# A number too far from its event is hard to follow.
WIDEST_NAME = 60
# Some venues name a market by 78 digits.
MARKET = 24


def held_text(leg: PositionLeg, decimals: int) -> str:
    """A venue and what is held there: K+20, or K 2×20 of two markets."""
    if leg.markets > 1:
        return f"{letter(leg.venue)} {leg.markets}×{size_text(leg.units, decimals)}"
    return f"{letter(leg.venue)}{signed_size(leg.units, decimals)}"


# -- events -----------------------------------------------------------------------------------------------


def holding_rows(snapshot: Snapshot, width: int) -> Table[PositionView]:
    """A row for each event of which something is held, for a grid of so many cells."""
    known = snapshot.summary is not None
    return Table(
        snapshot.positions,
        _columns(snapshot, roomy=width >= ROOMY),
        lambda one: one.event_id,
        "Nothing is held." if known else "Nothing is known: no trader has written an account yet.",
    )


def _columns(snapshot: Snapshot, *, roomy: bool) -> tuple[Column[PositionView], ...]:
    more = ROOM if roomy else 0
    return (
        Column("EVENT", 10, lambda one: (_name(one, titled=roomy), "plain"), lambda one: one.event_id,
               grows=WIDEST_NAME),
        Column("HELD (YES)", 17 + more, _held),
        Column("NET", 6, _net, lambda one: abs(one.net_units), True),
        Column("EXPOSURE", 12, _exposure, gross_micros, True),
        Column("AVG", 14 + more, lambda one: (_averages(one), "dim"), spare=4),
        Column("MARK", 14 + more, lambda one: (_marks(one), "plain"), spare=2),
        Column("P&L", 8, _pnl, lambda one: one.unrealised_micros, True),
        Column("LOCKED", 7, _locked, lambda one: one.total.locked_micros if one.total else None, True,
               spare=1),
        Column("AGE", 5, lambda one: (_age(one, snapshot), "dim"), _opened, True, spare=3),
        Column("STATE", 10, state_word, lambda one: one.total.state if one.total else None),
    )  # fmt: skip


def _name(one: PositionView, *, titled: bool) -> str:
    """The id, which commands take; its title where there is room."""
    more = titled and one.title not in ("", one.event_id)
    return f"{one.event_id}  {one.title}" if more else one.event_id


def gross_micros(one: PositionView) -> int:
    """What all of it cost, by the trader's own line where there is one."""
    return one.total.gross_micros if one.total is not None else one.cost_micros


def state_word(one: PositionView) -> Span:
    """Whether one leg stands alone, by the trader's word; by the sizes until it has said so."""
    if one.total is not None:
        return _STATES.get(one.total.state, ("?", "bad"))
    return _STATES[2 if one.net_units else 0]


def _held(one: PositionView) -> Span:
    return " ".join(held_text(leg, one.size_decimals) for leg in one.legs), "plain"


def _net(one: PositionView) -> Span:
    return signed_size(one.net_units, one.size_decimals), "bad" if one.net_units else "dim"


def _exposure(one: PositionView) -> Span:
    gross = gross_micros(one)
    word, role = exposure_word(gross)
    return f"{usd_text(gross)} {word:<4}", role


def _kind(one: PositionView) -> str:
    return one.total.kind if one.total is not None else ""


def _averages(one: PositionView) -> str:
    return " ".join(f"{letter(row.venue)}{_price(row.average_micros, one)}" for row in _largest_first(one))


def _marks(one: PositionView) -> str:
    """What a unit of each would fetch now; "--" where no live book says."""
    return " ".join(f"{letter(row.venue)}{_mark(row, one)}" for row in _largest_first(one))


def _largest_first(one: PositionView) -> list[PositionRow]:
    """What is held, by what it cost: what is left over from a trade comes last."""
    return sorted(one.outcomes, key=lambda row: -row.cost_micros)


def _mark(row: PositionRow, one: PositionView) -> str:
    if not row.marked or not row.units:
        return "--"
    return _price(row.mark_micros * 10**row.size_decimals // row.units, one)


def _price(micros: int, one: PositionView) -> str:
    return price_text(micros, 6, _kind(one), ask=False)


def _pnl(one: PositionView) -> Span:
    return ("--", "dim") if one.unrealised_micros is None else signed_usd(one.unrealised_micros)


def _locked(one: PositionView) -> Span:
    """What the pairs will surely have earned."""
    if one.total is None or not one.total.locked_micros:
        return "-", "dim"
    return signed_usd(one.total.locked_micros)


def _opened(one: PositionView) -> int | None:
    """When the oldest of it was bought; None where nobody says."""
    stamps = [row.opened_wall_ns for row in one.outcomes if row.opened_wall_ns]
    return -min(stamps) if stamps else None


def _age(one: PositionView, snapshot: Snapshot) -> str:
    opened = _opened(one)
    return "-" if opened is None else age_text(snapshot.wall_ns + opened)


# -- the account ------------------------------------------------------------------------------------------


def draw_totals(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """All events together: what is at stake, what it earned, and what it may still be."""
    total, limits = snapshot.summary, snapshot.limits
    if total is None:
        return [[("no account yet: no trader", "dim")]]
    word, role = exposure_word(total.exposure_micros)
    most = f"of {usd_text(limits.exposure_micros)}" if limits is not None else ""
    alone = usd_text(total.net_exposure_micros)
    groups = [
        fact("gross", f"{usd_text(total.exposure_micros)} {word}", role, most),
        fact("without a hedge", alone, "bad" if total.net_exposure_micros else "plain"),
        [("unrealised ", "dim"), signed_usd(total.unrealised_micros)],
        [("realised ", "dim"), signed_usd(total.realised_micros)],
        fact("fees so far", usd_text(total.fees_micros)),
        [("locked in ", "dim"), signed_usd(total.locked_profit_micros)],
    ]
    if limits is not None and limits.event_micros:
        groups.append(fact("an event at most", usd_text(limits.event_micros)))
    unhedged = sum(state_word(one)[1] == "bad" for one in snapshot.positions)
    if unhedged:
        groups.append([(f"✗ {unhedged} UNHEDGED", "bad")])
    return flow(groups, width)


def holding_title(one: PositionView | None) -> str:
    """Which event it is."""
    if one is None:
        return "Held"
    return f"Held: {clean(one.title or one.event_id)}"


def draw_holding(one: PositionView | None, snapshot: Snapshot, width: int) -> list[Line]:
    """One event in full: each outcome that is held, and what comes of it."""
    if one is None:
        return [[("nothing under the cursor", "dim")]]
    lines: list[Line] = []
    total = one.total
    if total is not None:
        groups = [fact("hedged", size_text(total.hedged_units, total.size_decimals))]
        groups.append(fact("net", signed_size(total.net_units, total.size_decimals)))
        groups.append(fact("closes in", closes_text(total.close_wall_ns, snapshot.wall_ns)))
        groups.append([("locked in ", "dim"), signed_usd(total.locked_micros)])
        lines += flow(groups, width)
    for row in _largest_first(one):
        name = f"{clean(row.venue)} {_market(row)} {clean(row.outcome)}"
        worth = usd_text(row.mark_micros) if row.marked else "no live book"
        groups = [
            [(f"{name} ", "strong"), (to_text(row.units, row.size_decimals), "plain")],
            fact("at", _price(row.average_micros, one)),
            fact("now", _mark(row, one)),
            fact("cost", usd_text(row.cost_micros)),
            fact("fetches", worth),
            fact("fees so far", usd_text(row.fees_micros)),
        ]
        lines += flow(groups, width)
    return [cut(line, width) for line in lines]


def _market(row: PositionRow) -> str:
    """The venue's name of it, cut in its middle: what tells two apart is at the end."""
    name = clean(row.market)
    return name if len(name) <= MARKET else f"{name[: MARKET // 3]}…{name[1 - MARKET + MARKET // 3 :]}"


# -- orders -----------------------------------------------------------------------------------------------


def draw_orders(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """Orders on their way, and what became of the last orders of people to close an event."""
    lines: list[Line] = []
    if snapshot.orders:
        # One whose fate nobody knows comes first.
        known = sorted(snapshot.orders, key=lambda one: one.state != OrderState.UNKNOWN)
        table = Table(known, _order_columns(snapshot), lambda one: one.order_id, "")
        lines.append([(cell.text, HEAD) for cell in table.heading(0, width)])
        lines += [table.line(row, width) for row in range(len(snapshot.orders))]
    else:
        lines.append([("no order is on its way", "dim")])
    lines += (line for row in snapshot.flattens for line in _flattened(row, width))
    return [cut(line, width) for line in lines]


def _order_columns(snapshot: Snapshot) -> Sequence[Column[OrderRow]]:
    return (
        Column("EVENT", 8, lambda one: (one.event_id, "plain"), grows=WIDEST_NAME),
        Column("V", 2, lambda one: (letter(one.venue), "plain")),
        Column("ORDER", 8, lambda one: (f"{one.action} {one.outcome}", "plain")),
        Column("PRICE", 8, lambda one: (_limit(one, snapshot), "plain"), None, True),
        Column("FILLED", 9, _filled, None, True),
        Column("AGE", 5, lambda one: (age_text(snapshot.now_ns - one.sent_ns) if one.sent_ns else "-", "dim"),
               None, True),
        Column("STATE", 11, lambda one: _ORDERS.get(one.state, ("?", "bad"))),
    )  # fmt: skip


def _limit(one: OrderRow, snapshot: Snapshot) -> str:
    """The price that it is limited to."""
    kind = SPOT if one.outcome == "base" else snapshot.kinds.get((one.event_id, 0), "")
    return price_text(one.price_ticks, one.price_decimals, kind, ask=one.action == "buy")


def _filled(one: OrderRow) -> Span:
    filled, size = (size_text(units, one.size_decimals) for units in (one.filled_units, one.size_units))
    return f"{filled}/{size}", "fair" if one.filled_units else "plain"


def _flattened(row: FlattenRow, width: int) -> list[Line]:
    """An order of a person to close an event."""
    word, role = _ASKED.get(row.state, ("?", "bad"))
    groups: list[Line] = [
        [(f"flatten {clean(row.event_id)} ", "strong"), (word, role)],
        [(f"{clock_text(row.asked_wall_ns)} by {clean(row.who) or '?'}", "dim")],
        [(f"{count_text(row.orders)} order{'' if row.orders == 1 else 's'}", "dim")],
    ]
    groups += [[(clean(row.text), "plain")]] if row.text else []
    return flow(groups, width)
