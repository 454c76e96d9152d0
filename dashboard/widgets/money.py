"""Money: where the cash of each venue is, when it comes back, and what was not traded for want of it.

In: a snapshot. Out: lines. Pure. Money cannot move between venues: what is scarce at one does not help that
another has plenty.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.charts import EMPTY, FULL, SHADED
from dashboard.formatting import clean, clock_text, count_text, fit, tick_text, usd_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.beside import cut
from dashboard.widgets.flow import flow
from dashboard.widgets.panel import Line
from shm.records import CashRow

BAR, LEAST_BAR = 20, 8
# Room for "$424.25 free of $500.00", and what stands before the lines below it.
FREE, INDENT = 32, "  "
_DAY_NS = 86_400 * 10**9
_YEAR_NS = 366 * _DAY_NS


def free_micros(row: CashRow) -> int:
    """Cash that no open order may still take."""
    return row.cash_micros - row.reserved_micros


def money_title(snapshot: Snapshot) -> str:
    """All venues together."""
    if not snapshot.cash:
        return "Money"
    free = sum(map(free_micros, snapshot.cash))
    locked = sum(row.locked_micros for row in snapshot.cash)
    return f"Money: {usd_text(free)} free, {usd_text(locked)} locked"


def draw_money(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """What is free at each venue with a bar, below it the rest in words; compact: words alone."""
    if not snapshot.cash:
        return [[("no account yet: no trader", "dim")]]
    names = max(cell_len(clean(row.venue)) for row in snapshot.cash)
    cells = min(BAR, width - names - FREE)
    lines: list[Line] = []
    for row in snapshot.cash:
        if compact or cells < LEAST_BAR:
            lines += flow([[(f"{clean(row.venue)}: ", "strong"), *_free(row)], *_rest(row, snapshot)], width)
            continue
        lines.append([(fit(row.venue, names) + " ", "strong"), *_bar(row, cells), *_free(row)])
        lines += [[(INDENT, "plain"), *line] for line in flow(_rest(row, snapshot), width - len(INDENT))]
    return [cut(line, width) for line in lines]


def _bar(row: CashRow, cells: int) -> Line:
    """The shares of a venue's money: free, kept for open orders, locked in what is held."""
    free, reserved = max(0, free_micros(row)), row.reserved_micros
    whole = max(1, free + reserved + row.locked_micros)
    kept = min(cells, -(-reserved * cells // whole))
    first = min(free * cells // whole, cells - kept)
    locked = EMPTY * (cells - first - kept) + " "
    return [(FULL * first, "gain"), (SHADED * kept, "fair"), (locked, "dim")]


def _free(row: CashRow) -> Line:
    """What may be used of what there was."""
    free = free_micros(row)
    return [
        (f"{usd_text(free)} free", "plain" if free > 0 else "bad"),
        (f" of {usd_text(row.start_micros)}", "dim"),
    ]


def _rest(row: CashRow, snapshot: Snapshot) -> list[Line]:
    """Where the rest is: "$340.00 locked until 31 Dec", and what was not traded for want of it."""
    groups: list[Line] = []
    if row.locked_micros:
        groups += [[(words, "plain")] for words in _locked(row, snapshot.wall_ns)]
    if row.reserved_micros:
        groups.append([(f"{usd_text(row.reserved_micros)} kept for orders", "fair")])
    if row.refused:
        groups.append([(f"⚠ too little cash {_times(row.refused)}", "fair")])
        groups.append([(f"up to {usd_text(row.wanted_micros)} wanted", "plain")])
    return groups


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count_text(count)} times"


def _locked(row: CashRow, now_ns: int) -> list[str]:
    """What is locked, and when the first of it and all of it come back."""
    amount, first_ns, last_ns = usd_text(row.locked_micros), row.next_free_wall_ns, row.all_free_wall_ns
    if not last_ns:
        return [f"{amount} locked", "until nobody knows when"]
    if first_ns == last_ns:
        return [f"{amount} locked {_moment(last_ns, now_ns)}"]
    return [f"{amount} locked {_moment(last_ns, now_ns)}", f"some {_moment(first_ns, now_ns)}"]


def _moment(at_ns: int, now_ns: int) -> str:
    """A moment to come, as precise as it is near; what is over waits to be settled."""
    left_ns = at_ns - now_ns
    if left_ns <= 0:
        return "until it is settled: it has closed"
    if left_ns < _DAY_NS // 2:
        return f"until {clock_text(at_ns)[:5]}"
    day = tick_text(at_ns, _YEAR_NS)
    return f"until {day}" if left_ns < _YEAR_NS - 30 * _DAY_NS else f"for {left_ns // _DAY_NS} days"
