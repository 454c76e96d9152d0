"""Lines: the directions of the grid that are no pair of venues to and fro, one line each.

In: line views of a snapshot. Out: what is done with which legs at which price, and what it leaves. Pure.
A MODEL line is an opinion: it is never green and never ▲.
"""

from __future__ import annotations

from dashboard.event_rows import deal_ticks
from dashboard.event_views import LegView, LineView
from dashboard.formatting import bp_text, fit, letter, price_text, race_text, usd_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.cells import (
    AGE,
    EDGE,
    age_cell,
    closes_text,
    edge_cell,
    edge_word,
    name_cell,
    price_role,
    state_word,
)
from dashboard.widgets.grid import Heading
from dashboard.widgets.panel import Line

NARROW_NAME = 18
KIND, CLOSES = 11, 7
NARROW_KIND = 6
GROSS, NET, RACE = 7, 8, 11
MODEL = "model"

# Kinds in few cells.
_SHORT = {"complement": "COMPL", "implication": "IMPL"}


def line_head(width: int, name_cells: int) -> list[Heading]:
    """The heading of the lines; `name_cells` is 0 where the grid is narrow."""
    if not name_cells:
        line = [
            Heading(fit("EVENT", NARROW_NAME) + " ", "event"),
            Heading(fit("KIND", NARROW_KIND) + " ", "kind"),
        ]
        rest = width - NARROW_NAME - NARROW_KIND - 2 - AGE - EDGE - 2
        line.append(Heading(fit("OTHER DIRECTIONS", rest) + " "))
        age, net = fit("AGE", AGE, "right") + " ", fit("NET", EDGE - 2, "right") + "  "
        return [*line, Heading(age, "age"), Heading(net, "edge")]
    return [
        Heading(fit("EVENT", name_cells), "event"),
        Heading(" │ "),
        Heading(fit("KIND", KIND) + " ", "kind"),
        Heading(fit("OTHER DIRECTIONS", _deal_cells(width, name_cells))),
        Heading(" " + fit("closes", CLOSES, "right") + " ", "close"),
        Heading(fit("age", AGE, "right"), "age"),
        Heading(" │ "),
        Heading(fit("bp", EDGE - 2, "right") + "  ", "edge"),
        Heading(f" {fit('gross', GROSS, 'right')}"),
        Heading(f" {fit('net', NET, 'right')}", "net"),
        Heading(f" {fit('race', RACE, 'right')}"),
    ]


def line_row(line: LineView, width: int, name_cells: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """One direction."""
    model = line.kind == MODEL
    cell = edge_cell(line.legs, line.edge, snapshot, stale_ns, model=model)
    oldest = max(line.legs, key=lambda leg: leg.age_ns or 0)
    kind = (line.kind.upper(), "info" if model else "plain")
    if not name_cells:
        short = _SHORT.get(line.kind, kind[0])
        used = NARROW_NAME + NARROW_KIND + AGE + EDGE + 4
        return [
            name_cell(line.id, line.title, NARROW_NAME),
            (" " + fit(short, NARROW_KIND) + " ", kind[1]),
            *_deals(line, width - used, stale_ns),
            (" ", "plain"),
            age_cell(oldest, stale_ns),
            (" ", "plain"),
            cell,
        ]
    return [
        name_cell(line.id, line.title, name_cells),
        (" │ ", "dim"),
        (fit(kind[0], KIND) + " ", kind[1]),
        *_deals(line, _deal_cells(width, name_cells), stale_ns),
        (" " + fit(closes_text(line.close_wall_ns, snapshot.wall_ns), CLOSES, "right") + " ", "dim"),
        age_cell(oldest, stale_ns),
        (" │ ", "dim"),
        cell,
        (_figures(line, snapshot), "dim"),
    ]


def _deal_cells(width: int, name_cells: int) -> int:
    """What is left for the legs in a wide line."""
    used = name_cells + 3 + KIND + 1 + 1 + CLOSES + 1 + AGE + 3 + EDGE + 1 + GROSS + 1 + NET + 1 + RACE
    return width - used


def _figures(line: LineView, snapshot: Snapshot) -> str:
    """The edge before fees, the net and the race, where there is an edge to stand beside."""
    edge = line.edge
    if edge_word(line.legs, edge, snapshot)[0]:
        return f" {fit('--', GROSS, 'right')} {fit('--', NET, 'right')} {fit('', RACE)}"
    race = "" if line.kind == MODEL or edge.edge_bp <= 0 else race_text(edge.race_ppm, edge.race_count)
    gross, net = bp_text(edge.gross_bp), usd_text(edge.net_micros, sign=True)
    return f" {fit(gross, GROSS, 'right')} {fit(net, NET, 'right')} {fit(race, RACE, 'right')}"


def _deals(line: LineView, cells: int, stale_ns: int) -> Line:
    """What is done with each leg at its best price: "yes K 61.2 + no P 38"."""
    texts: list[str] = []
    for leg, (action, outcome) in zip(line.legs, line.deals, strict=True):
        verb = "sell " if action == "sell" and not texts else ""
        texts.append(f"{verb}{outcome} {letter(leg.venue)} {_price(leg, action, outcome)}")
    more = line.count - len(line.legs)
    text = " + ".join([*texts, f"{more} more"] if more > 0 else texts)
    if line.odds is not None:
        low, middle, high = (f"{ppm / 10_000:.0f}" for ppm in line.odds)
        text += f"  model {low}–{middle}–{high}"
    worst = next((word for leg in line.legs if (word := state_word(leg)) is not None), None)
    role = worst[2] if worst is not None else price_role(max(line.legs, key=_age_ns), stale_ns)
    return [(fit(text, cells), role)]


def _price(leg: LegView, action: str, outcome: str) -> str:
    """The best price of the deal, or the word for why there is none."""
    word = state_word(leg)
    if word is not None:
        return word[0]
    found = deal_ticks(leg, action, outcome)
    if found is None:
        return "--"
    ticks, pays = found
    kind = "spot" if outcome == "base" else "binary"
    return price_text(ticks, leg.price_decimals, kind, ask=pays)


def _age_ns(leg: LegView) -> int:
    return leg.age_ns or 0
