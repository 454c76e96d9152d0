"""Tab 2: the last decisions, why each was taken so, and how all of them ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.event_screen import EventScreen
from dashboard.snapshot import LimitsView, Snapshot
from dashboard.widgets.checks import GATE, ORDERS, SIZES, STAGES, Came, checks_of
from dashboard.widgets.decisions import decision_rows, draw_edges, draw_tally
from dashboard.widgets.grid import Grid, Sort
from dashboard.widgets.panel import ROLES, Line
from dashboard.widgets.why import draw_why, why_title
from pipeline.model import Action, Reason
from pipeline.trader.plan import FLATTEN
from pipeline.trader.risk_checks import CHECKS
from shm.records import DecisionRow
from tests.dashboard.canned import USD, CannedSource, S, app_of, decision, everything, quiet, waiting

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
WIDE, NARROW = (120, 36), (80, 24)


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def row(sequence: int) -> DecisionRow:
    """A decision of the canned picture."""
    return next(one for one in everything().decisions if one.sequence == sequence)


def why(one: DecisionRow, width: int = 116, *, every: bool = False) -> str:
    return text_of(draw_why(one, everything(), width, width < 100, every=every))


def shown(snapshot: Snapshot, sort: Sort | None = None, needle: str = "", width: int = 119) -> list[str]:
    """The rows of the grid as text."""
    rows = decision_rows(snapshot, width)
    lines = rows.arrange(sort or Sort(), needle)
    return ["".join(text for text, _ in rows.line(at, width)) for at in lines if at >= 0]


# -- the grid -----------------------------------------------------------------------------------------------


def test_a_row_says_when_what_how_much_and_what_became_of_it() -> None:
    """Newest first; refusals with number and limit; the time from the scan to the last act, in ms."""
    lines = shown(everything())
    assert lines[0][9:].split()[0].isdigit()
    assert lines[0].split()[1:] == "btc-97k K→P +95 high $18.00 executed +$0.17 41 ms 41 ms".split()
    assert "rejected book 7300 > 5000 ms" in lines[2]
    assert lines[2].split()[5] == "-"
    assert "compl" in lines[9]


def test_it_is_found_by_event_action_and_reason() -> None:
    """The filter looks at what stands in the row."""
    assert len(shown(everything(), needle="btc")) == 2
    assert len(shown(everything(), needle="REJECTED")) == 5
    assert len(shown(everything(), needle="book 7300")) == 1
    assert not shown(everything(), needle="nowhere")


def test_it_sorts_by_every_column() -> None:
    """Every title is a sort, and what has no number comes last."""
    seen = everything()
    rows = decision_rows(seen, 119)
    assert [cell.sort for cell in rows.heading(0, 119)] == list(rows.sorts)
    for key in rows.sorts:
        for descending in (True, False):
            assert len(shown(seen, Sort(key, descending))) == len(seen.decisions)
    edges = [one.split()[3] for one in shown(seen, Sort("edge"))]
    assert edges[:2] == ["+95", "+95"]
    assert edges[-1] == "+42"
    assert shown(seen, Sort("size"))[0].split()[5] == "$18.00"
    assert shown(seen, Sort("size"))[-1].split()[5] == "-"
    slowest = shown(seen, Sort("scan→act"))[0]
    assert slowest.rstrip().endswith("1,200 ms")


@pytest.mark.parametrize("width", [69, 79, 119, 240])
def test_rows_and_headings_are_as_wide_as_the_grid(width: int) -> None:
    """No column pushes another out of sight; in a narrow one time, event, edge, action, reason are left."""
    rows = decision_rows(everything(), width)
    heading = "".join(cell.text for cell in rows.heading(0, width))
    assert cell_len(heading) == width
    for name in ("TIME", "EVENT", "EDGE", "ACTION", "REASON"):
        assert name in heading
    assert all(cell_len(line) == width for line in shown(everything(), width=width))


def test_no_decision_yet_is_said() -> None:
    """Nothing decided, and nobody there to decide, are not the same."""
    assert "worth a look" in decision_rows(quiet(), 80).nothing()
    assert "no trader" in decision_rows(waiting(), 80).nothing()


# -- why ----------------------------------------------------------------------------------------------------


def test_the_edge_is_taken_apart_step_by_step() -> None:
    """Gross, depth, both fees by venue and net, in cents that add up, with what may be lost beside it."""
    text = why(row(80))
    one = row(80)
    assert one.gross_micros - one.depth_micros - one.fee_buy_micros - one.fee_sell_micros == one.net_micros
    for told in (
        "gross          +$0.62",
        "depth          -$0.04",
        "fee kalshi     -$0.23",
        "fee polymarket -$0.18",
        "net            +$0.17",
    ):
        assert told in text
    assert "leg risk -$0.03" in text
    assert "scan +95 bp  last look +91 bp (-4)" in text


def test_a_refusal_names_number_limit_and_key() -> None:
    """The check that failed is marked among those before it and those it never came to."""
    text = why(row(78))
    assert "✗ a book is too old  book 7300 > 5000 ms  risk.max_book_age_ms" in text
    assert "✓ all outcomes" in text
    assert "✗ young  – of one moment  – last look" in text
    assert "not priced" in text
    assert "Kelly was not asked" in text


def test_kelly_is_told_with_why_it_was_less() -> None:
    """What it wanted of the bankroll, what was bet, and the limit where it is that of one order."""
    assert "Kelly wants $90.00 (this edge alone: 0.9 % of the bankroll)" in why(row(80))
    assert "bet $18.00" in why(row(80))
    assert "a limit, or a venue's cash leaves no more" in why(row(80))
    most = row(80)._replace(cash_micros=49 * USD)
    assert "an order is at most $50.00 (risk.max_order_usd)" in why(most)
    refused = row(80)._replace(action=int(Action.REJECTED), reason=int(Reason.HALTED), intent_ns=0)
    assert "bet nothing: refused" in why(refused)


def test_every_hop_has_its_time() -> None:
    """Each from the one before, and all of them together; hops that it did not reach are not there."""
    assert (
        "→ book 0.06  → scan 0.34  → send 0.06  → receive 0.24  → decide 0.40  → intent 0.80  → order 0.40"
        "  → fill 39  in all 41"
    ) in why(row(80)).replace("\n", "  ")
    assert "intent" not in why(row(78))


@pytest.mark.parametrize("width", [40, 78, 100, 116, 200])
def test_no_line_is_wider_than_its_panel(width: int) -> None:
    """Whatever the decision, in every role that there is."""
    for one in everything().decisions:
        for every in (False, True):
            for line in draw_why(one, everything(), width, width < 100, every=every):
                assert cell_len("".join(text for text, _ in line)) <= width
                assert {role for _, role in line} <= set(ROLES)


def test_nothing_under_the_cursor_is_said() -> None:
    """An empty grid explains nothing."""
    assert "no decision" in text_of(draw_why(None, quiet(), 80, compact=True))
    assert why_title(None, quiet()) == "Why"


# -- checks -------------------------------------------------------------------------------------------------


def test_the_order_of_the_gate_is_the_traders_own() -> None:
    """The screen names the checks of `risk_checks` in their order, and each once a stage."""
    told = [check.reason for stage in (GATE, ORDERS, SIZES) for check in stage.checks]
    assert told == list(CHECKS)
    for stage in STAGES:
        assert len({check.word for check in stage.checks}) == len(stage.checks)


def came(one: DecisionRow, came: Came) -> list[tuple[str, str]]:
    return [
        (stage.name, check.word) for stage, checks in checks_of(one) for check, how in checks if how is came
    ]


@pytest.mark.parametrize(("asked", "stage"), [(0, "books"), (9_000, "gate")])
def test_a_check_that_is_asked_twice_failed_where_the_decision_stopped(asked: int, stage: str) -> None:
    """A book that was too old before Kelly was asked failed at the books, after that at the gate."""
    one = decision(1, "e", Action.REJECTED, Reason.BOOK_TOO_OLD)._replace(kelly_ppm=asked)
    assert came(one, Came.FAILED) == [(stage, "young")]
    assert ("arrived", "in time") in came(one, Came.PASSED)
    assert (stage, "skew" if asked else "of one moment") in came(one, Came.UNREACHED)


def test_what_was_opened_passed_everything() -> None:
    """Also where it failed afterwards: no check refused it."""
    for one in (row(80), row(79), row(76), row(75)):
        assert not came(one, Came.FAILED)
        assert not came(one, Came.UNREACHED)
    unfilled = decision(1, "e", Action.REJECTED, Reason.NOT_FILLED, fill_ms=30)
    assert not came(unfilled, Came.UNREACHED)


def test_of_too_large_a_trade_only_what_is_known_is_told() -> None:
    """The limit that leaves least is named; what it says of the others is nothing."""
    one = decision(1, "e", Action.REJECTED, Reason.VENUE_CASH)._replace(wanted_micros=USD)
    assert came(one, Came.FAILED) == [("size", "cash")]
    assert ("gate", "losses") in came(one, Came.PASSED)
    assert {"size", "orders"} == {stage for stage, _ in came(one, Came.UNREACHED)}


def test_a_reason_that_nobody_knows_passes_nothing() -> None:
    """Of a number from another version, and of what waits, no check is called passed."""
    for one in (
        decision(1, "e", Action.REJECTED)._replace(reason=999),
        decision(1, "e", Action.DETECTED),
    ):
        assert not came(one, Came.PASSED)
        assert "reason 999" in why(one) or one.action == Action.DETECTED


def test_what_a_person_had_sold_is_not_asked() -> None:
    """A flatten passes every limit, and the screen says so."""
    one = decision(1, "e", Action.EXECUTED, mode=FLATTEN, fill_ms=20)
    assert checks_of(one) == []
    for every in (False, True):
        assert "by a person" in why(one, every=every)


# -- all of them --------------------------------------------------------------------------------------------


def test_the_tally_counts_what_became_of_all() -> None:
    """Approved and executed with their shares, trades of the last hour, refusals by reason, most first."""
    text = text_of(draw_tally(everything(), 120, compact=False))
    assert (
        "approved 61 of 148 opportunities (41 %)  executed 29 (20 %)  trades an hour 12  refused 87 times"
        in text
    )
    assert text.index("a book is too old 34") < text.index("edge too small 27")
    assert len(draw_tally(everything(), 78, compact=True)) == 2
    assert "no trader yet" in text_of(draw_tally(waiting(), 80, compact=False))


def test_trades_of_the_last_hour_are_at_least_what_is_kept() -> None:
    """A ring that is full may have lost some: then their pace counts; older ones do not."""
    seen = everything()
    first = seen.outcomes[0]
    full = replace(seen, outcomes=(first._replace(wall_ns=seen.wall_ns - 64 * S),) * 64)
    assert "trades an hour ~3,600" in text_of(draw_tally(full, 120, compact=False))
    old = replace(seen, outcomes=(first._replace(wall_ns=seen.wall_ns - 3601 * S),))
    assert "trades an hour 0" in text_of(draw_tally(old, 120, compact=False))


def test_edges_stand_against_the_threshold() -> None:
    """The mark is risk.min_edge_bp as it is in force."""
    limits = LimitsView(USD, USD, 5, 500, edge_bp=50)
    assert "▲50" in text_of(draw_edges(replace(everything(), limits=limits), 42, 4))
    assert "▲" not in text_of(draw_edges(replace(everything(), limits=None), 42, 4))
    assert "no bp yet" in text_of(draw_edges(quiet(), 42, 4))


# -- the tab ------------------------------------------------------------------------------------------------


async def until(pilot: Pilot[Any], true: Callable[[], bool]) -> None:
    """Wait for what must come, however slow the machine is."""
    for _ in range(200):
        if true():
            return
        await pilot.pause()
    assert true()


def test_why_follows_the_cursor(drive: Drive, screen: Screen) -> None:
    """Without Enter, also where rows are filtered; e names every check; Enter shows the event by itself."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "Why: btc-97k  K→P" in screen(app) and "✓ books 18" in screen(app))
        await pilot.press("down", "down")
        await until(pilot, lambda: "Why: cpi-0.3  K→P" in screen(app))
        await until(pilot, lambda: "risk.max_book_age_ms" in screen(app))
        await pilot.press("up", "e")
        await until(pilot, lambda: "✓ no gap" in screen(app))
        await pilot.press("e", "slash", *"cash", "enter")
        await until(pilot, lambda: "Why: nfl-kc-win" in screen(app) and "✓ no gap" not in screen(app))
        assert app.query_one("#decisions", Grid).count == 1
        await pilot.press("escape", "enter")
        assert app.screen_stack[0].query_one("#decisions", Grid).count == 12
        await until(pilot, lambda: isinstance(app.screen, EventScreen))

    drive(app, WIDE, steps)


def test_a_new_decision_leaves_the_cursor_on_its_row(drive: Drive, screen: Screen) -> None:
    """What a person reads does not change under the eyes; an id that looks like markup stands as it is."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("2", "down")
        new = decision(81, "[bold]x[/bold]", Action.REJECTED, Reason.HALTED)
        source.shown = replace(source.shown, decisions=(new, *source.shown.decisions))
        app.tick()
        await until(pilot, lambda: "Why: fed-hold" in screen(app))
        assert app.query_one("#decisions", Grid).text().splitlines()[1].split()[1] == "[bold]x[/bold]"
        await pilot.press("home")
        await until(pilot, lambda: "Why: [bold]x[/bold]" in screen(app))

    drive(app, WIDE, steps)


def test_it_is_laid_out_at_every_size(drive: Drive, screen: Screen) -> None:
    """The grid has room everywhere; at 80x24 "why" has five lines, and the tally two."""
    app = app_of(CannedSource(everything()))

    def height(name: str) -> int:
        return app.query_one(name).scrollable_content_region.height

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "gross          +$0.62" in screen(app))
        assert "Edges of the last 12" in screen(app)
        assert height("#decisions") >= 10
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: "gross +$0.62" in screen(app) and "approved 61" in screen(app))
        assert (height("#why"), height("#tally")) == (5, 2)
        assert height("#decisions") >= 8
        await pilot.resize_terminal(70, 15)
        await until(pilot, lambda: "approved 61" not in screen(app))
        assert height("#decisions") >= 5
        assert "REASON / RESULT" in screen(app)

    drive(app, WIDE, steps)
